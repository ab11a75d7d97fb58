"""`FaultInjection`: by chance, by seed, on record, and gone after the step."""

from __future__ import annotations

import time

import pytest
from gymnasium.error import ResetNeeded

from llm_gym import EnvironmentFault, Task, ToolEnv, tool
from llm_gym.policies import OraclePolicy
from llm_gym.rollouts.engine import rollout
from llm_gym.threads import blocks
from llm_gym.wrappers import FaultInjection
from llm_gym.wrappers.fault_injection import FAILURES
from tests.envs.driving import call
from tests.sample_envs import AskEnv, AsyncEnv, KitEnv, VaultEnv

LOOKUP = call("lookup", colour="red")


class InnerCallEnv(ToolEnv):
    """A tool that calls another, and a verifier that does."""

    def begin(self, task: Task) -> str:
        """Start."""
        self.state = {}
        return "Go."

    @tool
    def one(self) -> str:
        """Say one."""
        return "one"

    @tool(ends_episode=True)
    def two(self) -> str:
        """Say it twice."""
        return self.one() * 2

    def verify(self, trajectory):
        """Call a tool."""
        return float(self.one() == "one")


def started(kind=VaultEnv, **chances):
    env = FaultInjection(kind(), **chances)
    env.reset(seed=1)
    return env


def contents(step):
    return [m["content"] for m in step[0]["messages"] if m["role"] == "tool"]


def kinds(step):
    return [(entry["tool"], entry["kind"]) for entry in step[4]["injected"]]


def test_nothing_is_injected_by_default():
    env, plain = started(), VaultEnv()
    plain.reset(seed=1)
    step, expected = env.step(LOOKUP), plain.step(LOOKUP)
    assert step[4].pop("injected") == []
    assert step == expected


def test_a_failing_tool_does_not_run():
    env = started(failure=1.0)
    step = env.step(LOOKUP)
    assert "looked" not in env.unwrapped.state
    assert contents(step)[0].removeprefix("Error: ") in FAILURES
    assert step[4]["calls"][0]["status"] == "tool_error"
    assert kinds(step) == [("lookup", "failure")]
    (recorded,) = env.unwrapped.trajectory.calls
    assert recorded.result == contents(step)[0]


def test_failures_say_what_they_are_told():
    assert contents(started(failure=1.0, failures=["no"]).step(LOOKUP)) == ["Error: no"]


def test_a_tool_that_returns_garbage_has_run():
    results = set()
    for seed in range(40):
        env = started(garbage=1.0, seed=seed)
        step = env.step(LOOKUP)
        assert env.unwrapped.state["looked"] == ["red"]
        assert step[4]["calls"][0]["status"] == "ok"
        assert kinds(step) == [("lookup", "garbage")]
        results.add(contents(step)[0])
    code = str(env.unwrapped.state["codes"]["red"])
    assert len(results) == 5
    assert {"", code[: len(code) // 2]} < results
    assert code not in results


def test_garbage_keeps_a_tools_reward_and_end():
    env = started(KitEnv, garbage=1.0)
    _, reward, terminated, *_ = env.step(call("pay", reward=0.5, stop=True))
    assert (reward, terminated) == (0.5, True)


def test_a_refusal_of_the_tools_own_is_no_garbage():
    step = started(garbage=1.0).step(call("lookup", colour="pink"))
    assert contents(step) == ["Error: there is no pink vault"]
    assert kinds(step) == []


def test_a_call_that_is_not_valid_meets_nothing():
    step = started(failure=1.0).step(call("lookup") + call("zzz"))
    assert [entry["status"] for entry in step[4]["calls"]] == ["invalid"] * 2
    assert kinds(step) == []


@pytest.mark.parametrize(
    ("kind", "move"), [(VaultEnv, LOOKUP), (AsyncEnv, call("guess", number=1))]
)
def test_a_delayed_tool_waits_and_then_runs(kind, move):
    env = started(kind, delay=1.0, delay_seconds=(0.03, 0.03))
    began = time.perf_counter()
    step = env.step(move)
    assert time.perf_counter() - began >= 0.03
    assert step[4]["calls"][0]["status"] == "ok"
    assert [kind for _, kind in kinds(step)] == ["delay"]


def test_a_delay_makes_an_environment_one_that_blocks():
    assert blocks(started(delay=0.1))
    assert not blocks(started(failure=0.1))


def test_async_tools_fail_and_return_garbage_in_the_order_of_the_calls():
    meet = call("meet", me="a", other="b") + call("meet", me="b", other="a")
    step = started(AsyncEnv, garbage=1.0).step(meet + call("refuse"))
    assert kinds(step) == [("meet", "garbage")] * 2
    step = started(AsyncEnv, failure=1.0).step(meet + call("refuse"))
    assert kinds(step) == [("meet", "failure")] * 2 + [("refuse", "failure")]
    assert all(text.startswith("Error: ") for text in contents(step))


def test_a_fault_ends_the_episode_before_the_turn():
    env = started(AskEnv, fault=1.0)
    with pytest.raises(EnvironmentFault, match=r"an injected fault \(.*seed 1\)"):
        env.step("hello")
    record = env.unwrapped.trajectory
    assert (record.turns, record.score) == ((), None)
    assert "an injected fault" in record.fault
    with pytest.raises(ResetNeeded, match="the episode is over"):
        env.step("hello")
    env.reset(seed=2)


def test_an_episode_that_has_not_begun_has_no_faults():
    with pytest.raises(ResetNeeded, match="no episode has begun"):
        FaultInjection(AskEnv(), fault=1.0).step("hello")


def test_all_is_drawn_from_the_seeds():
    def outcome(reset_seed, **arguments):
        env = FaultInjection(
            VaultEnv(max_turns=30), failure=0.4, garbage=0.4, **arguments
        )
        env.reset(seed=reset_seed)
        return [kinds(env.step(LOOKUP * 2)) for _ in range(20)]

    assert outcome(1) == outcome(1)
    assert len({str(outcome(1)), str(outcome(2)), str(outcome(1, seed=1))}) == 3


def test_probabilities_are_kept_to():
    env = FaultInjection(VaultEnv(max_turns=99), failure=0.25, garbage=0.5)
    env.reset(seed=1)
    seen = [kind for _ in range(40) for _, kind in kinds(env.step(LOOKUP * 10))]
    assert 70 <= seen.count("failure") <= 130
    assert 115 <= seen.count("garbage") <= 185


def test_tools_called_by_the_environment_itself_are_left_alone():
    env = started(InnerCallEnv, garbage=1.0, failures=["no"])
    step = env.step(call("two"))
    assert kinds(step) == [("two", "garbage")]
    assert step[4]["score"]["value"] == 1.0


@pytest.mark.parametrize("move", [LOOKUP, call("crash")])
def test_the_environment_is_itself_again_after_a_step(move):
    env = FaultInjection(started(failure=0.5), garbage=0.5)
    inner = env.unwrapped
    before = set(vars(inner))
    env.reset(seed=1)
    for _ in range(3):
        try:
            env.step(move)
        except (EnvironmentFault, ResetNeeded):
            env.reset(seed=2)
    assert set(vars(inner)) == before
    assert inner.tool_specs is VaultEnv.tool_specs


def test_one_may_stand_around_another():
    env = FaultInjection(FaultInjection(VaultEnv(), garbage=1.0), failure=1.0)
    env.reset(seed=1)
    assert contents(env.step(LOOKUP))[0].removeprefix("Error: ") in FAILURES
    env = FaultInjection(FaultInjection(VaultEnv(), failure=1.0), garbage=1.0)
    env.reset(seed=1)
    assert contents(env.step(LOOKUP))[0].removeprefix("Error: ") in FAILURES


def test_a_rollout_never_takes_a_fault_for_a_reward():
    def make():
        return FaultInjection(VaultEnv(), fault=1.0, delay=0.5, delay_seconds=(0, 0.01))

    records = list(rollout(make, OraclePolicy(), episodes=3, retries=1))
    assert [record.run.attempts for record in records] == [2] * 3
    assert all("an injected fault" in record.fault for record in records)
    assert all(record.score is None for record in records)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"failure": 1.1}, r"`failure` must be a probability, not 1\.1"),
        ({"fault": -0.1}, r"`fault` must be a probability, not -0\.1"),
        ({"garbage": float("nan")}, "`garbage` must be a probability, not nan"),
        ({"delay_seconds": (2, 1)}, "the least and the most seconds, not"),
        ({"delay_seconds": (1,)}, "the least and the most seconds, not"),
        ({"delay_seconds": (0, float("inf"))}, "the least and the most seconds, not"),
        ({"failures": []}, "`failures` must be texts that are not empty"),
        ({"failures": "no"}, "`failures` must be texts that are not empty"),
        ({"seed": -1}, "`seed` must be at least 0, not -1"),
    ],
)
def test_bad_arguments_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        FaultInjection(VaultEnv(), **arguments)
