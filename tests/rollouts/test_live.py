"""A run while it lives: threads, limits, groups, back-pressure, and its end."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest

from llm_gym import (
    EnvironmentFault,
    Reply,
    ScriptedPolicy,
    TokenTrace,
    ToolEnv,
    arollout,
    rollout,
    tool,
)
from llm_gym.rollouts.crew import Crew
from llm_gym.rollouts.plan import Limits
from llm_gym.wrappers import RewardScale, TurnLimit
from tests.envs.driving import call
from tests.rollouts.test_plan import plan
from tests.sample_envs import EchoEnv


class WaitingEnv(ToolEnv):
    """Its tool waits until the test, or the clock, lets it go on."""

    blocking = True
    gate: ClassVar[threading.Event] = threading.Event()
    closed: ClassVar[list[bool]] = []

    @tool
    def wait(self, seconds: float) -> str:
        """Wait.

        Args:
            seconds: How long at most.
        """
        self.gate.wait(seconds)
        return threading.current_thread().name

    def verify(self, trajectory):
        return 1.0

    def close(self):
        self.closed.append(True)
        super().close()


@pytest.fixture(autouse=True)
def _gate():
    WaitingEnv.gate = threading.Event()
    WaitingEnv.closed = []
    yield
    WaitingEnv.gate.set()


def waits(seconds, times=1):
    return ScriptedPolicy([call("wait", seconds=seconds)] * times + ["end"])


def alive():
    return {t for t in threading.enumerate() if t.name.startswith("llm_gym-tools")}


def wait_until(holds, seconds=5.0):
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    return holds()


def test_blocking_tools_run_in_threads_at_once():
    began = time.monotonic()
    records = list(rollout(WaitingEnv, waits(0.2), episodes=16, concurrency=16))
    assert time.monotonic() - began < 16 * 0.2 / 2
    names = {record.turns[0].added[0]["content"] for record in records}
    assert len(names) > 1
    assert all(name.startswith("llm_gym-tools") for name in names)
    assert not alive()


def test_an_environment_that_does_not_block_stays_in_its_thread():
    class Inline(WaitingEnv):
        blocking = False

    (record,) = rollout(Inline, waits(0), episodes=1)
    assert record.turns[0].added[0]["content"] == threading.current_thread().name


def test_a_tool_past_its_limit_is_a_fault_and_left_behind():
    limits = Limits(tools=0.05)
    (record,) = rollout(WaitingEnv, waits(60), episodes=1, retries=1, limits=limits)
    assert "tools of a turn took longer than its limit of 0.05" in record.fault
    assert (record.score, record.run.attempts) == (None, 2)
    assert record.episode_return != record.episode_return
    assert not WaitingEnv.closed
    WaitingEnv.gate.set()
    assert wait_until(lambda: len(WaitingEnv.closed) == 2 and not alive())


def test_a_limit_takes_every_environment_into_a_thread():
    limits = Limits(tools=10.0)
    (record,) = rollout(EchoEnv, ScriptedPolicy(["hi"]), episodes=1, limits=limits)
    assert record.fault is None
    assert not alive()


class Never:
    """A policy that never replies to some of its calls."""

    def __init__(self, calls):
        self.calls = calls
        self.called = 0

    async def reply(self, request, trace=None):
        self.called += 1
        if self.called in self.calls:
            await asyncio.Event().wait()
        return Reply("hi")


def test_a_reply_past_its_limit_is_a_fault_and_retried():
    limits = Limits(reply=0.02)
    (record,) = rollout(EchoEnv, Never({1}), episodes=1, limits=limits)
    assert (record.fault, record.run.attempts) == (None, 2)
    (record,) = rollout(EchoEnv, Never({1, 2}), episodes=1, limits=limits)
    assert record.fault == "a reply took longer than its limit of 0.02 seconds"


def test_an_episode_past_its_limit_is_a_fault():
    limits = Limits(episode=0.02)
    (record,) = rollout(EchoEnv, Never({1, 2}), episodes=1, limits=limits)
    assert record.fault == "the episode took longer than its limit of 0.02 seconds"


def test_a_timeout_of_the_policys_own_is_a_bug_that_is_seen():
    class Late:
        async def reply(self, request, trace=None):
            raise TimeoutError("mine")

    limits = Limits(reply=10.0, episode=10.0)
    with pytest.raises(TimeoutError, match="mine"):
        list(rollout(EchoEnv, Late(), episodes=1, limits=limits))


class FailsFor:
    """A policy whose engine breaks in the episodes of some numbers."""

    def __init__(self, numbers):
        self.numbers = numbers

    def bind(self, env, episode=0):
        policy = ScriptedPolicy(["hi"])
        if episode in self.numbers:

            class Broken:
                async def reply(self, request, trace=None):
                    raise EnvironmentFault("no engine")

            return Broken()
        return policy


def test_a_group_is_whole_or_none_of_it_is_a_result():
    failing = FailsFor({2})
    records = list(rollout(EchoEnv, failing, episodes=6, group_size=3, tasks=["hi"]))
    by_number = {record.run.episode: record for record in records}
    assert [by_number[n].fault for n in (3, 4, 5)] == [None] * 3
    assert by_number[2].fault == "no engine"
    for number in (0, 1):
        expected = "its group is incomplete: episode 2 failed: no engine"
        assert by_number[number].fault == expected
        assert by_number[number].turns
        assert by_number[number].score.value == 1.0
        assert not by_number[number].success
        assert by_number[number].episode_return != by_number[number].episode_return


def test_a_groups_members_come_together():
    class Uneven:
        def bind(self, env, episode=0):
            self.episode = episode
            return Waiter(0.03 if episode == 0 else 0)

    class Waiter:
        def __init__(self, seconds):
            self.seconds = seconds

        async def reply(self, request, trace=None):
            await asyncio.sleep(self.seconds)
            return Reply("hi")

    records = list(rollout(EchoEnv, Uneven(), episodes=6, group_size=2))
    assert [record.run.episode for record in records] == [2, 3, 4, 5, 0, 1]


def test_a_mixture_is_played_in_each_of_its_environments():
    mixture = {"llmgym/SingleTool-v0": 1, "llmgym/MultipleChoice-v0": 1}
    records = list(rollout(mixture, ScriptedPolicy(["hm"] * 9), episodes=24))
    assert {record.env_id for record in records} == set(mixture)
    again = list(rollout(mixture, ScriptedPolicy(["hm"] * 9), episodes=24))
    assert {r.digest for r in records} == {r.digest for r in again}


@pytest.mark.parametrize("group_size", [1, 4])
def test_a_consumer_that_stops_stops_the_crew(group_size):
    counted = Never(set())

    async def main():
        crew = Crew(plan(policy=counted, episodes=4000, group_size=group_size))
        await crew.next()
        for _ in range(2000):
            await asyncio.sleep(0)
        begun = counted.called
        await crew.aclose()
        return begun

    assert asyncio.run(main()) <= 2 * (2 * 2 + group_size)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_leaving_leaves_nothing_behind():
    list(rollout(WaitingEnv, waits(0), episodes=2))
    gc.collect()
    files = open_files()

    async def main():
        stream = arollout(WaitingEnv, waits(0.01, 3), episodes=500, concurrency=8)
        async for _ in stream:
            break
        await stream.aclose()
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(main()) == set()
    assert wait_until(lambda: not alive())
    gc.collect()
    assert open_files() == files


def test_cancelling_the_reader_leaves_no_task():
    async def read():
        return [r async for r in arollout(EchoEnv, Never({1}), episodes=1)]

    async def main():
        reader = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(main()) == set()


def interrupted(body):
    """Run a script that is interrupted, in a process of its own; return its output."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{_SCRIPT}{body}"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "KeyboardInterrupt" in ran.stderr.splitlines()[-1], ran.stderr
    return ran.stdout.split()


_SCRIPT = """
import asyncio, os, signal, sys, threading, time
from llm_gym import Reply, ScriptedPolicy, rollout
from tests.rollouts.test_live import WaitingEnv, waits
from tests.sample_envs import EchoEnv

sent = []

def interrupt():
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

class Hangs:
    def __init__(self, interrupts):
        self.interrupts = interrupts

    async def reply(self, request, trace=None):
        if self.interrupts:
            interrupt()
        await asyncio.Event().wait()

class EndsFive:
    def bind(self, env, episode=0):
        return Hangs(episode == 5) if episode >= 5 else ScriptedPolicy(["hi"])

def told(stream):
    try:
        for record in stream:
            print(record.run.episode)
    finally:
        print("seconds", time.monotonic() - sent[0])
"""


def test_what_ended_before_an_interrupt_is_yielded():
    told = interrupted("told(rollout(EchoEnv, EndsFive(), episodes=9, concurrency=9))")
    assert told[:-1] == ["0", "1", "2", "3", "4", "seconds"]
    assert float(told[-1]) < 1


def test_an_interrupt_while_a_tool_hangs_stops_within_a_second():
    told = interrupted(
        "threading.Timer(0.2, interrupt).start()\n"
        "told(rollout(WaitingEnv, waits(3600), episodes=4, concurrency=4))"
    )
    assert told[0] == "seconds"
    assert float(told[1]) < 1


def test_an_incomplete_group_is_not_yielded_after_an_interrupt():
    told = interrupted(
        "told(rollout(EchoEnv, EndsFive(), episodes=9, concurrency=9, group_size=3))"
    )
    assert told[:-1] == ["0", "1", "2", "seconds"]


class Telling:
    """A policy that tells its tokens."""

    async def reply(self, request, trace: TokenTrace | None = None):
        trace.begin([1, 2])
        trace.sampled([3], [-0.5])
        return Reply("hi")


def test_tokens_are_kept_with_their_certificate():
    (record,) = rollout(EchoEnv, Telling(), episodes=1)
    (segment,) = record.tokens.segments
    assert (segment.ids, segment.mask) == ((1, 2, 3), (0, 0, 1))
    assert record.certificate.digest == record.digest
    assert record.certificate.ids == record.tokens.ids_hash


def test_the_wrappers_around_an_environment_are_recorded():
    hello = ScriptedPolicy(["hi"])
    (record,) = rollout(
        lambda: TurnLimit(RewardScale(EchoEnv(), 2), 3), hello, episodes=1
    )
    assert record.run.wrappers == ("RewardScale", "TurnLimit")
    (record,) = rollout("llmgym/SingleTool-v0", hello, episodes=1)
    assert record.run.wrappers == ()


def test_progress_is_shown_when_asked(capsys):
    list(rollout(EchoEnv, FailsFor({1}), episodes=3, progress=True))
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "1 faults" in shown
    list(rollout(EchoEnv, FailsFor({1}), episodes=3))
    assert capsys.readouterr().err == ""
