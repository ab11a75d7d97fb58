"""Running episodes: many at once, the same whatever the order, faults recorded."""

from __future__ import annotations

import asyncio
import math

import gymnasium as gym
import pytest
from gymnasium.wrappers import TimeLimit

from llm_gym import (
    ActionError,
    EnvironmentFault,
    ListTasks,
    Reply,
    ScriptedPolicy,
    Task,
    Trajectory,
    UnknownTaskError,
    arollout,
    rollout,
)
from llm_gym.errors import PolicyFault
from llm_gym.policies.oracle import OraclePolicy
from llm_gym.policies.random import RandomPolicy
from llm_gym.trajectory import Timing
from tests.envs.driving import call
from tests.sample_envs import AskEnv, AsyncEnv, BrokenEnv, EchoEnv, VaultEnv

LOOK = ScriptedPolicy([call("lookup", colour="red"), "end"])


def boom(request):
    raise RuntimeError("a bug")


def run(env=VaultEnv, policy=LOOK, **arguments):
    """Run episodes and return them in their order of number."""
    records = rollout(env, policy, **{"episodes": 4, **arguments})
    return sorted(records, key=lambda record: record.run.episode)


class Slow:
    """A policy that replies to the first requests last."""

    def __init__(self):
        self.waiting = 0
        self.most = 0

    async def reply(self, request, trace=None):
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        for _ in range(20):
            await asyncio.sleep(0)
        self.waiting -= 1
        return Reply("hi")


class Failing:
    """A policy whose engine breaks in some of its calls."""

    def __init__(self, fails, error=None):
        self.calls = 0
        self.fails = fails
        self.error = error or PolicyFault("out of memory")

    async def reply(self, request, trace=None):
        self.calls += 1
        if self.calls in self.fails:
            raise self.error
        return Reply("hi")


def test_episodes_are_run_recorded_and_numbered():
    records = run(episodes=6, group_size=2)
    assert [record.run.episode for record in records] == list(range(6))
    assert [record.run.group for record in records] == [0, 0, 1, 1, 2, 2]
    assert all(record.run.policy == "ScriptedPolicy" for record in records)
    assert all(record.run.attempts == 1 for record in records)
    assert all(len(record.turns) == 2 for record in records)
    assert all(record.timing.env_seconds > 0 for record in records)


def test_a_group_shares_its_start_and_groups_differ():
    records = run(episodes=6, group_size=3, policy=RandomPolicy())
    for group in (records[:3], records[3:]):
        assert len({(record.task.id, record.seed) for record in group}) == 1
        assert all(record.prompt == group[0].prompt for record in group)
    assert records[0].task != records[3].task
    assert records[0].digest != records[1].digest


@pytest.mark.parametrize("concurrency", [1, 2, 5, 64])
def test_the_same_seed_gives_the_same_bytes_however_many_run_at_once(concurrency):
    digests = [
        r.digest
        for r in run(policy=RandomPolicy(), episodes=6, concurrency=concurrency)
    ]
    assert digests == [r.digest for r in run(policy=RandomPolicy(), episodes=6)]
    assert digests != [r.digest for r in run(policy=RandomPolicy(), episodes=6, seed=1)]


def test_an_episode_is_had_again_from_its_record():
    record = run(policy=OraclePolicy())[2]
    env = VaultEnv()
    env.reset(seed=record.seed)
    for turn in record.turns:
        env.step(turn.reply)
    assert env.trajectory.digest == record.digest


def test_many_episodes_wait_for_one_policy_at_once():
    policy = Slow()
    assert len(run(EchoEnv, policy, episodes=20, concurrency=8)) == 20
    assert policy.most == 8


def test_trajectories_come_as_they_end():
    class Uneven:
        """Takes its time over the first task only."""

        async def reply(self, request, trace=None):
            if request["messages"][0]["content"] == "hi":
                await asyncio.sleep(0.05)
            return Reply("end")

    records = list(rollout(EchoEnv, Uneven(), episodes=3, tasks=["hi", "ho", "he"]))
    assert [record.task.id for record in records] == ["ho", "he", "hi"]


def test_tasks_are_taken_in_turn_a_group_each():
    records = run(EchoEnv, episodes=6, group_size=2, tasks=["he", "hi"])
    assert [record.task.id for record in records] == [
        "he",
        "he",
        "hi",
        "hi",
        "he",
        "he",
    ]


def test_an_environment_is_an_id_a_class_or_a_function():
    gym.register("tests/Rollout-v0", entry_point=VaultEnv)
    try:
        (named,) = run("tests/Rollout-v0", episodes=1, env_kwargs={"max_turns": 1})
    finally:
        del gym.registry["tests/Rollout-v0"]
    assert (named.env_id, named.env_kwargs) == ("tests/Rollout-v0", {"max_turns": 1})
    (made,) = run(VaultEnv, episodes=1, env_kwargs={"max_turns": 1})
    (called,) = run(lambda: VaultEnv(max_turns=1), episodes=1)
    assert made.turns == called.turns == named.turns


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"episodes": 0}, "`episodes` must be at least 1, not 0"),
        ({"concurrency": 0}, "`concurrency` must be at least 1"),
        ({"group_size": -1}, "`group_size` must be at least 1"),
        ({"episodes": 5, "group_size": 2}, "5 is none of 2"),
        ({"retries": -1}, "`retries` must be at least 0, not -1"),
        ({"seed": -1}, "`seed` must be at least 0, not -1"),
        ({"tasks": []}, "`tasks` must be a sequence of task ids"),
        ({"tasks": "hi"}, "`tasks` must be a sequence of task ids"),
    ],
)
@pytest.mark.parametrize("start", [rollout, arollout])
def test_a_number_out_of_range_is_refused_at_once(start, arguments, why):
    with pytest.raises(ValueError, match=why):
        start(VaultEnv, LOOK, **{"episodes": 4, **arguments})


def test_a_transient_fault_is_tried_again():
    (record,) = run(EchoEnv, Failing({1}), episodes=1, seed=3)
    assert record.fault is None
    assert record.run.attempts == 2
    assert record.score is not None


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (1, 2), (3, 4)])
def test_a_fault_that_stays_has_no_score_and_no_return(retries, attempts):
    (record,) = run(EchoEnv, Failing(range(99)), episodes=1, retries=retries)
    assert record.run.attempts == attempts
    assert record.fault == "out of memory"
    assert record.score is None
    assert record.stop_reason is None
    assert math.isnan(record.episode_return)
    assert Trajectory.from_json(record.to_json()) == record


@pytest.mark.parametrize("where", ["begin", "respond", "verify"])
def test_a_fault_of_the_environment_is_recorded_with_its_task_and_seed(where):
    for record in run(BrokenEnv, env_kwargs={"where": where}):
        assert where.rstrip("y") in record.fault or "the judge is away" in record.fault
        assert repr(record.task.id) in record.fault
        assert f"seed {record.seed}" in record.fault
        assert record.score is None


def test_one_fault_touches_no_other_episode():
    policy = Failing({2, 3}, EnvironmentFault("the server is away"))
    records = run(EchoEnv, policy, episodes=5, concurrency=1, retries=1)
    assert [record.fault for record in records] == [
        None,
        "the server is away",
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("env", "policy", "arguments", "error"),
    [
        (EchoEnv, ScriptedPolicy(boom), {}, RuntimeError),
        (EchoEnv, ScriptedPolicy(lambda request: 5), {}, ActionError),
        (EchoEnv, "gpt", {}, TypeError),
        (EchoEnv, LOOK, {"tasks": ["zzz"]}, UnknownTaskError),
        (EchoEnv, LOOK, {"env_kwargs": {"max_turns": 0}}, ValueError),
        ("tests/NoSuchId-v0", LOOK, {}, gym.error.Error),
        (lambda: gym.make("CartPole-v1"), LOOK, {}, TypeError),
    ],
)
@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_mistake_of_the_caller_is_raised_and_nothing_hangs(
    env, policy, arguments, error, concurrency
):
    with pytest.raises(error):
        list(rollout(env, policy, episodes=6, concurrency=concurrency, **arguments))


class Counting(EchoEnv):
    """Counts how many of its kind are open."""

    open_now = 0

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        type(self).open_now += 1

    def close(self):
        type(self).open_now -= 1
        super().close()


@pytest.mark.parametrize("policy", [LOOK, Slow()])
def test_every_environment_is_closed_if_the_reader_leaves(policy):
    Counting.open_now = 0
    stream = rollout(Counting, policy, episodes=9, concurrency=3)
    next(stream)
    assert 1 <= Counting.open_now <= 3
    stream.close()
    assert Counting.open_now == 0


def test_every_environment_is_closed_if_one_breaks():
    Counting.open_now = 0
    policy = Failing({4}, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        list(rollout(Counting, policy, episodes=9, concurrency=3))
    assert policy.calls >= 4
    assert Counting.open_now == 0


def test_a_run_that_is_never_read_makes_no_environment():
    Counting.open_now = 0
    rollout(Counting, LOOK, episodes=3)
    assert Counting.open_now == 0


def test_a_slow_reader_holds_the_workers_back():
    policy = Failing(())
    stream = rollout(EchoEnv, policy, episodes=1000, concurrency=2)
    next(stream)
    assert policy.calls < 20
    stream.close()


def test_inside_a_loop_the_other_function_is_named():
    async def inside():
        with pytest.raises(
            RuntimeError, match=r"async for trajectory in llm_gym\.arollout"
        ):
            rollout(EchoEnv, LOOK, episodes=1)
        return [record async for record in arollout(EchoEnv, LOOK, episodes=3)]

    digests = {record.digest for record in asyncio.run(inside())}
    assert digests == {record.digest for record in run(EchoEnv, episodes=3)}


def test_arollout_may_be_left_early():
    Counting.open_now = 0

    async def inside():
        stream = arollout(Counting, Slow(), episodes=50, concurrency=4)
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(inside())
    assert Counting.open_now == 0


def test_async_tools_run_in_rollouts():
    meet = call("meet", me="a", other="b") + call("meet", me="b", other="a")
    for record in run(AsyncEnv, ScriptedPolicy([meet, "end"]), concurrency=4):
        assert [c.result for c in record.calls] == ["a met b", "b met a"]


def test_wrapped_environments_are_run():
    records = run(lambda: TimeLimit(AskEnv(), 10), ScriptedPolicy(["bye"]))
    assert all(record.score.value == 1.0 for record in records)


def test_an_episode_that_a_wrapper_truncates_is_no_silent_zero():
    (record,) = run(
        lambda: TimeLimit(AskEnv(), 1), ScriptedPolicy(["hello"]), episodes=1
    )
    assert record.score is not None or math.isnan(record.episode_return)


class Ending(gym.Wrapper):
    """A wrapper that ends the episode by itself."""

    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, True, False, info


def test_an_episode_that_a_wrapper_terminates_is_no_silent_zero():
    (record,) = run(lambda: Ending(AskEnv()), ScriptedPolicy(["hello"]), episodes=1)
    assert record.score is not None or math.isnan(record.episode_return)


class AwayTasks(ListTasks):
    """A source of which one task cannot be had."""

    def select(self, split, level):
        return self

    def get(self, task_id):
        if task_id == "ho":
            raise EnvironmentFault("the hub is away")
        return super().get(task_id)


def test_a_fault_of_a_task_source_is_not_recorded_with_the_episode_before():
    source = AwayTasks([Task("hi", "hi"), Task("ho", "ho")])
    _, broken = run(
        EchoEnv,
        ScriptedPolicy(["hi"]),
        episodes=2,
        concurrency=1,
        tasks=["hi", "ho"],
        env_kwargs={"tasks": source},
    )
    assert broken.fault == "the hub is away"
    assert broken.turns == ()
    assert broken.task.id == "ho"
    assert broken.seed > 0


class Refusing(gym.Wrapper):
    """A wrapper that fails every reset but the first."""

    resets = 0

    def reset(self, **arguments):
        self.resets += 1
        if self.resets > 1:
            raise EnvironmentFault("the wrapper is away")
        return super().reset(**arguments)


def test_a_fault_of_a_wrapper_is_not_recorded_with_the_episode_before():
    first, broken = run(
        lambda: Refusing(AskEnv()),
        ScriptedPolicy(["bye"]),
        episodes=2,
        concurrency=1,
        retries=0,
    )
    assert first.turns
    assert (broken.turns, broken.score) == ((), None)
    assert broken.fault == "the wrapper is away"
    assert broken.seed != first.seed


class Clock:
    """A clock that only moves when it is told to."""

    now = 0.0

    def __call__(self):
        return self.now


CLOCK = Clock()


class TimedEnv(EchoEnv):
    """Takes 5 seconds to judge."""

    def verify(self, trajectory):
        CLOCK.now += 5
        return 1.0


def test_time_is_told_apart(monkeypatch):
    class Timed:
        async def reply(self, request, trace=None):
            CLOCK.now += 2
            return Reply("hi")

    monkeypatch.setattr("llm_gym.rollouts.player.time.perf_counter", CLOCK)
    (record,) = run(TimedEnv, Timed(), episodes=1)
    assert record.timing == Timing(policy_seconds=2.0, env_seconds=5.0)
