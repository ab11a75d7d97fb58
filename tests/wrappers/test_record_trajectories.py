"""`RecordTrajectories`: every finished episode, once, as it was."""

from __future__ import annotations

import pickle

import gymnasium as gym
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AsyncVectorEnv
from gymnasium.wrappers import TimeLimit

from llm_gym import EnvironmentFault, StopReason, UnknownTaskError
from llm_gym.policies import OraclePolicy
from llm_gym.rollouts.engine import rollout
from llm_gym.store import read_trajectories
from llm_gym.wrappers import RecordTrajectories, RewardScale, SystemPrompt, TurnLimit
from tests.envs.driving import call
from tests.sample_envs import AskEnv, BrokenEnv, EchoEnv, VaultEnv


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "rollouts.jsonl"


def read(path):
    return list(read_trajectories(path))


def test_finished_episodes_are_recorded_and_others_are_not(path):
    env = RecordTrajectories(AskEnv(), path)
    expected = []
    for last in ("bye", "hello", "goal"):
        env.reset(seed=1)
        env.step("pay")
        env.step(last)
        if last != "hello":
            expected.append(env.unwrapped.trajectory)
    env.close()
    env.close()
    assert read(path) == expected


def test_a_record_can_be_read_at_once(path):
    env = RecordTrajectories(EchoEnv(), str(path))
    env.reset(seed=1)
    env.step("hi")
    assert len(read(path)) == 1


def test_the_record_is_what_was_shown_and_paid(path):
    env = SystemPrompt(RewardScale(EchoEnv(), 5.0), "New.")
    env = RecordTrajectories(env, path)
    observation, info = env.reset(seed=1)
    env.step(info["task_id"])
    (record,) = read(path)
    assert list(record.prompt) == observation["messages"]
    assert (record.episode_return, record.score.value) == (5.0, 1.0)


def test_a_fault_is_recorded_as_one(path):
    env = RecordTrajectories(VaultEnv(), path)
    env.reset(seed=1)
    with pytest.raises(EnvironmentFault, match="kaput"):
        env.step(call("crash"))
    with pytest.raises(ResetNeeded, match="the episode is over"):
        env.step(call("roll"))
    env.reset(seed=1)
    (record,) = read(path)
    assert "kaput" in record.fault
    assert record.score is None


def test_a_fault_in_reset_is_recorded_as_one(path):
    env = RecordTrajectories(BrokenEnv(where="begin"), path)
    for seed in (3, 4):
        with pytest.raises(EnvironmentFault, match="no start"):
            env.reset(seed=seed)
    env.close()
    assert [(record.seed, record.turns) for record in read(path)] == [(3, ()), (4, ())]


def test_a_reset_that_never_began_is_not_recorded(path):
    class Broken(gym.Wrapper):
        def reset(self, *, seed=None, options=None):
            if seed == 2:
                raise EnvironmentFault("the wrapper broke")
            return self.env.reset(seed=seed, options=options)

    env = RecordTrajectories(Broken(EchoEnv()), path)
    with pytest.raises(UnknownTaskError):
        env.reset(options={"task_id": "zzz"})
    env.reset(seed=1)
    env.step("hi")
    with pytest.raises(EnvironmentFault, match="the wrapper broke"):
        env.reset(seed=2)
    env.close()
    assert [record.seed for record in read(path)] == [1]


def test_an_interrupted_episode_is_recorded_before_the_next(path):
    from tests.sample_envs import KitEnv

    env = RecordTrajectories(KitEnv(), path)
    env.reset(seed=1)
    with pytest.raises(KeyboardInterrupt):
        env.step(call("leave", how="interrupt"))
    env.reset(seed=2)
    (record,) = read(path)
    assert record.fault == "KeyboardInterrupt()"


def test_an_end_without_a_verdict_is_judged(path):
    env = RecordTrajectories(TimeLimit(AskEnv(), 1), path)
    env.reset(seed=1)
    assert env.step("hello")[1:4] == (0.0, False, True)
    (record,) = read(path)
    assert record.stop_reason is StopReason.MAX_TURNS
    assert record.score.value == 1.0


@pytest.mark.parametrize("forget", [True, False])
def test_an_episode_that_is_ended_from_outside_is_recorded_later(path, forget):
    env = TurnLimit(RecordTrajectories(AskEnv(), path), 1)
    env.reset(seed=1)
    env.step("hello")
    assert read(path) == []
    if forget:
        env.unwrapped.forget(seed=2)
    env.reset(seed=2)
    env.step("hello")
    env.close()
    records = read(path)
    assert [record.seed for record in records] == [1, 2]
    assert {record.stop_reason for record in records} == {StopReason.MAX_TURNS}


def test_every_branch_of_a_restored_episode_is_recorded(path):
    env = RecordTrajectories(AskEnv(), path)
    env.reset(seed=1)
    env.step("hello")
    snapshot = env.unwrapped.snapshot()
    env.step("bye")
    env.unwrapped.restore(snapshot)
    env.step("goal")
    reasons = [record.stop_reason for record in read(path)]
    assert reasons == [StopReason.USER_LEFT, StopReason.GOAL]


def test_a_copy_and_a_closed_one_append_to_the_same_file(path):
    env = RecordTrajectories(EchoEnv(), path)
    env.reset(seed=1)
    other = pickle.loads(pickle.dumps(env))
    for one in (env, other):
        one.step("hi")
        one.close()
        one.reset(seed=2)
        one.step("hi")
        one.close()
    assert [record.seed for record in read(path)] == [1, 2, 1, 2]


def test_processes_append_to_one_file(path):
    envs = AsyncVectorEnv(
        [lambda: RecordTrajectories(EchoEnv(), path)] * 3, shared_memory=False
    )
    envs.reset(seed=1)
    for _ in range(9):
        envs.step(["hi"] * 3)
    envs.close()
    assert len(read(path)) == 15


def test_a_rollout_records_what_it_yields(path):
    def make():
        return RecordTrajectories(gym.make("llmgym/MultipleChoice-v0"), path)

    records = list(rollout(make, OraclePolicy(), episodes=6))
    assert {r.digest for r in read(path)} == {record.digest for record in records}
    assert len(read(path)) == 6


def test_a_path_that_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(OSError, match="Is a directory"):
        RecordTrajectories(EchoEnv(), tmp_path)
