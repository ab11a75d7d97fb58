"""Copies of an episode: snapshots, forks, and the same bytes from the same replies."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym import EnvironmentFault, SnapshotError, Trajectory
from tests.envs.driving import call, play
from tests.sample_envs import AskEnv, AsyncEnv, EchoEnv, VaultEnv

ROLL = call("roll")
MOVES = st.lists(
    st.sampled_from([ROLL, call("lookup", colour="red"), call("zzz"), ROLL + ROLL]),
    max_size=4,
)


def started(*moves, seed=1):
    env = VaultEnv(max_turns=20)
    env.reset(seed=seed)
    for move in moves:
        env.step(move)
    return env


def finish(env, *moves):
    for move in [*moves, ROLL * 3, "end"]:
        env.step(move)
    return env.trajectory.to_json()


@given(MOVES, MOVES, MOVES)
def test_a_fork_continues_as_if_it_had_never_been_forked(before, aside, after):
    env = started(*before)
    fork, other = env.fork(), env.fork()
    finish(other, *aside)
    expected = finish(started(*before), *after)
    assert finish(fork, *after) == expected
    assert finish(env, *after) == expected


@given(MOVES, MOVES, MOVES)
def test_a_restored_episode_continues_as_from_its_snapshot(before, aside, after):
    env = started(*before)
    snapshot = pickle.loads(pickle.dumps(env.snapshot()))
    finish(env, *aside)
    observation = env.restore(snapshot)
    assert observation == started(*before)._observe(env._episode)
    assert finish(env, *after) == finish(started(*before), *after)


def test_a_snapshot_can_be_restored_many_times_and_elsewhere():
    env = started(ROLL)
    snapshot = env.snapshot()
    ends = []
    for other in (env, env, VaultEnv(max_turns=20), started(ROLL, ROLL, seed=9)):
        other.restore(snapshot)
        ends.append(finish(other))
    assert len(set(ends)) == 1


def test_a_fork_shares_nothing_that_changes():
    env = started(ROLL)
    fork = env.fork()
    fork.state["codes"]["red"] = "changed"
    fork.step(ROLL)
    fork.action_space.seed(5)
    assert env.state["codes"]["red"] != "changed"
    assert len(env.trajectory.turns) == 1
    assert env.np_random is not fork.np_random
    assert env.action_space is not fork.action_space
    assert env.observation_space is not fork.observation_space
    assert env._loop is not fork._loop


def test_a_fork_before_reset_draws_for_itself():
    env = VaultEnv()
    env.np_random_seed  # noqa: B018  # makes the generator
    fork = env.fork()
    _, info = fork.reset()
    assert env.reset()[1] == info


def test_an_ended_episode_can_be_copied_and_stays_ended():
    env = started("end")
    fork = env.fork()
    assert fork.trajectory == env.trajectory
    with pytest.raises(Exception, match="the episode is over"):
        fork.step(ROLL)


def test_an_episode_after_a_fault_goes_back_to_before_it():
    env = started(ROLL)
    snapshot = env.snapshot()
    with pytest.raises(EnvironmentFault):
        env.step(call("crash"))
    env.restore(snapshot)
    assert env.trajectory.fault is None
    assert finish(env) == finish(started(ROLL))


def test_a_fork_of_async_tools_has_its_own_loop():
    env = AsyncEnv()
    env.reset(seed=1)
    meet = call("meet", me="a", other="a")
    env.step(meet)
    fork = env.fork()
    env.close()
    fork.step(call("note", text="x") + call("refuse"))
    assert [record.status for record in fork.trajectory.calls] == [
        "ok",
        "ok",
        "tool_error",
    ]
    fork.close()


@pytest.mark.parametrize("wrong", [None, {}, "x", AskEnv()])
def test_a_snapshot_of_another_kind_is_refused(wrong):
    if isinstance(wrong, AskEnv):
        wrong.reset(seed=1)
        wrong = wrong.snapshot()
    env = started()
    expected = r"expected a snapshot of `tests\.sample_envs:VaultEnv`"
    with pytest.raises(SnapshotError, match=expected):
        env.restore(wrong)
    assert env.trajectory.turns == ()


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))]
)
def test_an_environment_is_copied_and_pickled_in_the_middle_of_an_episode(copied):
    env = started(ROLL)
    other = copied(env)
    assert finish(other) == finish(env)


def test_the_same_seed_and_replies_give_the_same_bytes():
    replies = [ROLL, call("lookup", colour="red"), "<think>hm</think>", "end"]
    first = play(VaultEnv(), replies, seed=11).to_json()
    env = VaultEnv()
    play(env, [ROLL], seed=4)
    assert play(env, replies, seed=11).to_json() == first
    assert play(VaultEnv(), replies, seed=12).to_json() != first


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_gives_the_same_bytes(hash_seed):
    code = (
        "from tests.test_env_state import ROLL, finish, started;"
        "print(finish(started(ROLL, 'see ' + ROLL, seed=3)), end='')"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    output = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert output == finish(started(ROLL, "see " + ROLL, seed=3))


def test_a_stored_trajectory_is_judged_again_without_an_environment():
    env = VaultEnv()
    env.reset(seed=1)
    record = play(env, [call("open", code=env.task.answer["code"])], seed=1)
    stored = Trajectory.from_json(record.to_json())
    assert VaultEnv().verify(stored) == record.score
    assert record.score.value == 1.0


def test_nothing_in_an_episode_depends_on_the_answer():
    seen = []
    for answer in ("hi", "changed"):
        env = EchoEnv()
        task = env.tasks.get("hi")
        env.reset(seed=1, options={"task": type(task)("hi", "hi", {}, answer)})
        observation, *_, info = env.step(call("zzz"))
        seen.append((observation, info))
    assert seen[0] == seen[1]
