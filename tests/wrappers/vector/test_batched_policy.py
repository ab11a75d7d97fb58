"""`BatchedPolicy`: replies for all slots at once, and none waits for another."""

from __future__ import annotations

import asyncio
import math
import signal
import threading

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from llm_gym import ListTasks, Reply, ScriptedPolicy, Task, Trajectory, rollout
from llm_gym.errors import PolicyFault
from llm_gym.messages import call_text
from llm_gym.policies.oracle import OraclePolicy
from llm_gym.policies.random import RandomPolicy
from llm_gym.registration import ENVIRONMENTS
from llm_gym.vector import ChatVectorEnv
from llm_gym.wrappers.vector import BatchedPolicy, GroupReset, Mixture
from tests.sample_envs import AsyncEnv, BrokenEnv, EchoEnv, KitEnv, VaultEnv
from tests.vector.slow_envs import GateEnv, call_wait

ROLL = call_text("roll", {})


class GatheringPolicy:
    """Replies when as many calls as the test asked for are waiting."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.waiting: list[asyncio.Future[None]] = []
        self.batches: list[int] = []

    async def reply(self, request, trace=None):
        own = asyncio.get_running_loop().create_future()
        self.waiting.append(own)
        if len(self.waiting) == self.at_once:
            self.batches.append(len(self.waiting))
            for future in self.waiting:
                future.set_result(None)
            self.waiting = []
        await asyncio.wait_for(own, 5)
        if len(request["messages"]) > 3:
            return Reply("enough")
        return Reply(ROLL)


class TokenPolicy:
    """Keeps exact tokens, of which the last tells how long the conversation was."""

    async def reply(self, request, trace=None):
        size = len(request["messages"])
        if trace:
            trace.read([7])
        else:
            trace.begin([1, 2])
        trace.sampled([size], [-0.5])
        return Reply(ROLL if size < 6 else "enough")


class FailingPolicy:
    """Its engine breaks in some episodes."""

    async def reply(self, request, trace=None):
        if "ho" in request["messages"][0]["content"]:
            raise PolicyFault("the engine is away")
        return Reply("hi")


def contents(records):
    """Return what episodes were, whatever the order in which they ended."""
    return sorted((r.run.episode, r.run.group, r.digest) for r in records)


@pytest.fixture
def batched():
    envs = BatchedPolicy(ChatVectorEnv(VaultEnv, 4), GatheringPolicy(4))
    yield envs
    envs.close()


def test_replies_for_all_slots_are_generated_at_once(batched):
    batched.reset(seed=1)
    while batched.active.any():
        batched.step()
    assert batched.policy.batches == [4, 4]
    assert [len(batched.trajectory(slot).turns) for slot in range(4)] == [2] * 4


def test_acting_and_stepping_apart_is_the_same():
    envs = BatchedPolicy(ChatVectorEnv(VaultEnv, 2), ScriptedPolicy([ROLL, "enough"]))
    envs.reset(seed=1)
    actions = envs.act()
    assert [action.message for action in actions] == [ROLL] * 2
    envs.step(["enough", actions[1]])
    assert [one and one.message for one in envs.act()] == [None, "enough"]
    envs.reset(options={"reset_mask": np.array([True, False])})
    assert [one.message for one in envs.act()] == [ROLL, "enough"]


def test_acting_before_a_reset_is_refused():
    inner = ChatVectorEnv(VaultEnv, 1)
    envs = BatchedPolicy(inner, ScriptedPolicy(["x"]))
    inner.reset(seed=1)
    with pytest.raises(gym.error.ResetNeeded, match="slot 0 has not been reset here"):
        envs.act()


@pytest.mark.parametrize("env_id", sorted(ENVIRONMENTS))
@pytest.mark.parametrize("policy", [OraclePolicy(), RandomPolicy(3)])
def test_a_run_plays_the_episodes_of_the_engine(env_id, policy):
    envs = BatchedPolicy(gym.make_vec(env_id, num_envs=3), policy)
    records = list(envs.run(7, seed=4))
    expected = list(rollout(env_id, policy, episodes=7, seed=4))
    assert contents(records) == contents(expected)
    assert all(record.timing.env_seconds > 0 for record in records)
    assert Trajectory.from_json(records[0].to_json()) == records[0]
    envs.close()


def test_a_run_of_groups_begins_them_together():
    inner = ChatVectorEnv(VaultEnv, 4)
    envs = BatchedPolicy(GroupReset(inner, 2), ScriptedPolicy([ROLL, "x"]))
    records = sorted(envs.run(6, seed=4), key=lambda record: record.run.episode)
    assert [record.run.group for record in records] == [0, 0, 1, 1, 2, 2]
    assert len({record.seed for record in records}) == 3
    expected = rollout(
        VaultEnv, envs.policy, episodes=6, group_size=2, seed=4, retries=0
    )
    assert contents(records) == contents(expected)


def test_a_run_of_a_mixture_plays_several_environments():
    weights = {"llmgym/SingleTool-v0": 1, "llmgym/MultiStep-v0": 1}
    inner = GroupReset(Mixture(ChatVectorEnv(weights, 8), weights), 2)
    records = list(BatchedPolicy(inner, OraclePolicy()).run(16))
    assert {record.env_id for record in records} == set(weights)
    assert all(record.success for record in records)
    by_group = {record.run.group: record.env_id for record in records}
    assert all(by_group[r.run.group] == r.env_id for r in records)


def test_exact_tokens_go_into_the_trajectory():
    envs = BatchedPolicy(ChatVectorEnv(VaultEnv, 2), TokenPolicy())
    for record in envs.run(4):
        (segment,) = record.tokens.segments
        assert segment.ids == (1, 2, 2, 7, 4, 7, 6)
        assert segment.mask == (0, 0, 1, 0, 1, 0, 1)
        assert record.certificate.digest == record.digest
    envs.reset(seed=1)
    envs.step()
    assert envs.trajectory(0).tokens.segments[0].ids == (1, 2, 2)


def test_ready_slots_generate_while_the_tools_of_others_work():
    GateEnv.renew()

    def reply(request):
        if len(request["messages"]) > 2:
            return "enough"
        first = request["messages"][0]["content"] == "first"
        return call_text("wait", {}) if first else call_wait(0)

    class First(GateEnv):
        def begin(self, task):
            super().begin(task)
            return "first"

    envs = BatchedPolicy(ChatVectorEnv([First, GateEnv]), ScriptedPolicy(reply))
    run = envs.run(5)
    others = [next(run) for _ in range(4)]
    assert [record.prompt[0]["content"] for record in others] == ["Wait."] * 4
    GateEnv.gate.set()
    assert next(run).prompt[0]["content"] == "first"
    assert next(run, None) is None
    envs.close()


def test_no_episode_waits_for_the_reset_of_another():
    GateEnv.renew()

    class Late(GateEnv):
        tasks = ListTasks([Task(id="at the gate")])

    envs = BatchedPolicy(ChatVectorEnv([Late, GateEnv]), ScriptedPolicy(["x"]))
    run = envs.run(4)
    others = [next(run) for _ in range(3)]
    assert "at the gate" not in {record.task.id for record in others}
    GateEnv.gate.set()
    assert next(run).task.id == "at the gate"
    envs.close()


def test_a_run_gives_up_what_is_under_way():
    inner = ChatVectorEnv(VaultEnv, 2)
    inner.reset(seed=1)
    inner.send([ROLL], [0])
    envs = BatchedPolicy(inner, ScriptedPolicy(["x"]))
    assert [len(record.turns) for record in envs.run(4)] == [1] * 4


def test_async_tools_are_played():
    script = ScriptedPolicy([call_text("guess", {"number": 3})])
    with_threads = BatchedPolicy(ChatVectorEnv(AsyncEnv, 2), script)
    assert [r.stop_reason.value for r in with_threads.run(4)] == ["tool"] * 4
    with_threads.close()


def test_a_fault_of_the_policy_or_the_environment_is_no_zero():
    envs = BatchedPolicy(ChatVectorEnv(EchoEnv, 2), FailingPolicy())
    envs.reset(options={"tasks": ["hi", "ho"]})
    rewards = envs.step()[1]
    assert rewards[0] == 1.0
    assert math.isnan(rewards[1])
    assert envs.trajectory(1).fault == "the engine is away"
    records = list(envs.run(12, seed=1))
    for record in records:
        assert (record.fault is not None) == (record.task.id == "ho")
        assert math.isnan(record.episode_return) == (record.task.id == "ho")
    assert {record.task.id for record in records} == {"hi", "ho"}


@pytest.mark.parametrize("where", ["begin", "respond", "verify"])
def test_a_broken_environment_is_recorded_as_such(where):
    broken = ChatVectorEnv(BrokenEnv, 2, env_kwargs={"where": where})
    records = list(BatchedPolicy(broken, ScriptedPolicy(["x"])).run(3))
    assert len(records) == 3
    assert all("raised" in record.fault for record in records)
    assert all(math.isnan(record.episode_return) for record in records)


def test_an_episode_that_a_wrapper_ends_is_judged():
    inner = gym.make_vec("llmgym/MultiStep-v0", num_envs=2, max_episode_steps=1)
    envs = BatchedPolicy(inner, ScriptedPolicy([call_text("nothing", {})]))
    for record in envs.run(2):
        assert (record.stop_reason.value, record.score.value) == ("max_turns", 0.0)
    broken = ChatVectorEnv(
        lambda: gym.wrappers.TimeLimit(BrokenEnv("verify"), 1), num_envs=1
    )
    script = ScriptedPolicy([call_text("nothing", {})])
    (record,) = BatchedPolicy(broken, script).run(1)
    assert "the verifier raised" in record.fault


class Ending(gym.Wrapper):
    """Ends an episode after its first turn: terminated with even seeds only."""

    def reset(self, *, seed=None, options=None):
        self.even = seed % 2 == 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action):
        observation, reward, _, _, info = self.env.step(action)
        return observation, reward, self.even, not self.even, info


def test_how_a_wrapper_has_ended_an_episode_is_told():
    inner = ChatVectorEnv(lambda: Ending(VaultEnv()), 2)
    envs = BatchedPolicy(inner, ScriptedPolicy([ROLL]))
    for seeds in ([2, 3], [5, 4]):
        envs.reset(seed=seeds)
        envs.step()
        reasons = [envs.trajectory(slot).stop_reason.value for slot in range(2)]
        assert reasons == ["max_turns" if seed % 2 else "goal" for seed in seeds]
    for record in envs.run(8):
        assert record.stop_reason.value == ("max_turns" if record.seed % 2 else "goal")


def test_an_error_of_the_policy_cancels_the_other_replies():
    cancelled = []

    class Halting:
        async def reply(self, request, trace=None):
            if len(request["messages"]) > 2:
                raise LookupError("a policy's bug")
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                cancelled.append(1)
                raise

    envs = BatchedPolicy(ChatVectorEnv(VaultEnv, 2), Halting())
    envs.reset(seed=1)
    envs.step([ROLL, "x"])
    envs.reset(options={"reset_mask": ~envs.active})
    with pytest.raises(LookupError, match="a policy's bug"):
        envs.act()
    assert cancelled == [1]


def test_another_error_of_the_policy_ends_the_run_and_the_next_is_fine():
    lines = ["x"]

    def reply(request):
        return lines[0]

    envs = BatchedPolicy(ChatVectorEnv(VaultEnv, 3), ScriptedPolicy(reply))
    lines[0] = 5
    with pytest.raises(TypeError, match="the action of slot"):
        list(envs.run(6))
    lines[0] = "x"
    assert len(list(envs.run(6))) == 6


def test_an_error_of_a_wrapper_ends_the_run():
    class Odd(gym.Wrapper):
        def step(self, action):
            raise LookupError("a wrapper's bug")

    envs = ChatVectorEnv([lambda: Odd(VaultEnv()), GateEnv])
    batched = BatchedPolicy(envs, ScriptedPolicy([call_wait(0)]))
    with pytest.raises(LookupError, match="a wrapper's bug"):
        list(batched.run(2))
    batched.close()


def test_a_run_that_is_left_gives_its_slots_up():
    GateEnv.renew()

    def reply(request):
        return call_text("wait", {}) if GateEnv.gate.is_set() else "enough"

    envs = BatchedPolicy(ChatVectorEnv(GateEnv, 2), ScriptedPolicy(reply))
    run = envs.run(50)
    next(run)
    with pytest.raises(RuntimeError, match="another run is under way"):
        envs.run(2)
    run.close()
    assert len(list(envs.run(2))) == 2
    envs.close()
    left = {t.name for t in threading.enumerate() if t.name.startswith("llm_gym-")}
    assert not left - {"llm_gym-asking", "llm_gym-worker-start-0"}  # they last


def test_a_run_that_is_left_does_not_wait_for_what_hangs():
    GateEnv.renew()
    script = [call_text("wait", {}), "enough"]

    class Quick(GateEnv):
        def begin(self, task):
            super().begin(task)
            return [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"},
            ]

    policy = ScriptedPolicy(
        lambda r: script[1] if len(r["messages"]) == 2 else script[0]
    )
    envs = BatchedPolicy(ChatVectorEnv([GateEnv, Quick]), policy)
    run = envs.run(3)
    assert next(run).prompt[1]["content"] == "b"
    assert GateEnv.arrived.wait(5)
    stuck = envs.chat_envs.envs[0]
    run.close()
    assert envs.chat_envs.envs[0] is not stuck
    GateEnv.gate.set()
    envs.close()


def test_an_interrupt_amid_a_step_ends_the_run_and_the_next_is_fine():
    class LightEnv(KitEnv):
        blocking = False

    leave = ScriptedPolicy([call_text("leave", {"how": "interrupt"})])
    envs = BatchedPolicy(ChatVectorEnv(LightEnv, 3), leave)
    with pytest.raises(KeyboardInterrupt):
        list(envs.run(9))
    envs.policy = ScriptedPolicy(["x"])
    assert len(list(envs.run(6))) == 6


def test_an_interrupt_ends_a_policy_that_waits():
    class Waiting:
        async def reply(self, request, trace=None):
            loop = asyncio.get_running_loop()
            loop.call_soon(signal.raise_signal, signal.SIGINT)
            await asyncio.sleep(30)

    envs = BatchedPolicy(ChatVectorEnv(VaultEnv, 2), Waiting())
    with pytest.raises(KeyboardInterrupt):
        list(envs.run(2))
    envs.reset(seed=1)
    with pytest.raises(KeyboardInterrupt):
        envs.act()


def test_the_contents_of_a_run_do_not_depend_on_how_many_slots_there_are():
    script = ScriptedPolicy([ROLL, ROLL, "enough"])
    runs = [
        contents(BatchedPolicy(ChatVectorEnv(VaultEnv, size), script).run(9, seed=2))
        for size in (1, 4, 32)
    ]
    assert runs[0] == runs[1] == runs[2]


def test_it_works_where_an_event_loop_runs_already(batched):
    async def notebook():
        batched.reset(seed=1)
        batched.step()
        batched.policy.at_once = 1
        records = list(batched.run(4))
        batched.close()
        return records

    records = asyncio.run(notebook())
    assert [len(record.turns) for record in records] == [2] * 4


@pytest.mark.parametrize(("episodes", "seed"), [(0, 0), (3, 0), (2, -1)])
def test_numbers_out_of_range_are_refused(episodes, seed):
    envs = GroupReset(ChatVectorEnv(VaultEnv, 2), 2)
    batched = BatchedPolicy(envs, ScriptedPolicy(["x"]))
    with pytest.raises(ValueError, match="`episodes` must be a multiple of 2 above 0"):
        batched.run(episodes, seed=seed)


def test_a_wrapper_that_would_see_no_turn_is_refused_by_run_alone():
    counted = RecordEpisodeStatistics(ChatVectorEnv(VaultEnv, 2))
    envs = BatchedPolicy(counted, ScriptedPolicy(["x"]))
    with pytest.raises(TypeError, match="`RecordEpisodeStatistics` would not see"):
        envs.run(2)
    envs.reset(seed=1)
    assert envs.step()[-1]["episode"]["l"].tolist() == [1, 1]
    around = RecordEpisodeStatistics(
        BatchedPolicy(ChatVectorEnv(VaultEnv, 1), envs.policy)
    )
    around.reset(seed=1)
    assert around.step(None)[-1]["episode"]["l"].tolist() == [1]


@pytest.mark.parametrize("policy", [5, ScriptedPolicy])
def test_what_is_no_policy_is_refused(policy):
    with pytest.raises(TypeError, match="a policy must have `async reply"):
        BatchedPolicy(ChatVectorEnv(VaultEnv, 1), policy)


def test_what_is_no_tool_env_is_refused():
    envs = ChatVectorEnv(lambda: gym.make("CartPole-v1"), 1)
    with pytest.raises(TypeError, match="needs ToolEnvs, CartPoleEnv is none"):
        BatchedPolicy(envs, ScriptedPolicy(["x"]))
