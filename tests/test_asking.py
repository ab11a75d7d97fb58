"""Asking a policy from ordinary code, from threads and from inside a loop."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from llm_gym import Reply, ScriptedPolicy, asking
from llm_gym.asking import ask, ask_many
from llm_gym.errors import PolicyFault
from llm_gym.policies import EndpointPolicy
from llm_gym.testing import LocalServer

REQUEST = {"messages": [{"role": "user", "content": "?"}], "tools": []}


class Slow:
    """Waits, and tells in which thread it was asked."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.live = self.most = 0
        self.cancelled = 0

    async def reply(self, request, trace=None):
        self.live += 1
        self.most = max(self.most, self.live)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.live -= 1
        return Reply({"role": "assistant", "content": threading.current_thread().name})


def test_reply_comes_from_ordinary_code():
    assert ask(ScriptedPolicy(["yes"]), REQUEST).message == "yes"


def test_reply_comes_inside_of_a_running_loop():
    async def inside():
        return ask(Slow(0.0), REQUEST).message["content"]

    assert asyncio.run(inside()) == "llm_gym-asking"


def test_many_are_asked_at_once_and_come_in_order():
    policy = Slow(0.02)
    replies = ask_many(policy, [REQUEST] * 5)
    assert [type(reply) for reply in replies] == [Reply] * 5
    assert policy.most == 5


def test_exception_of_one_stands_among_the_replies():
    class Odd:
        async def reply(self, request, trace=None):
            if request["messages"]:
                raise ValueError("odd")
            return Reply({"role": "assistant", "content": ""})

    first, second = ask_many(Odd(), [REQUEST, {"messages": [], "tools": []}])
    assert isinstance(first, ValueError)
    assert isinstance(second, Reply)
    with pytest.raises(ValueError, match="odd"):
        ask(Odd(), REQUEST)


def test_reply_that_takes_too_long_is_a_fault():
    policy = Slow(5.0)
    with pytest.raises(PolicyFault, match=r"limit of 0.02 seconds"):
        ask(policy, REQUEST, seconds=0.02)
    assert policy.cancelled == 1


def test_timeout_of_the_policy_itself_is_not_ours():
    class Impatient:
        async def reply(self, request, trace=None):
            raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        ask(Impatient(), REQUEST, seconds=5.0)


def test_policy_that_asks_in_turn_is_refused():
    class Nested:
        async def reply(self, request, trace=None):
            return ask(Slow(0.0), request)

    with pytest.raises(RuntimeError, match="must not ask in turn"):
        ask(Nested(), REQUEST)


def test_threads_may_ask_at_once():
    policy, found = Slow(0.02), []
    threads = [
        threading.Thread(target=lambda: found.append(ask(policy, REQUEST)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert policy.most > 1


def test_child_of_a_fork_asks_in_a_loop_of_its_own():
    ask(Slow(0.0), REQUEST)
    child = os.fork()
    if child == 0:
        fine = ask(Slow(0.0), REQUEST, seconds=5.0).message["content"]
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_endpoint_is_asked_from_two_loops():
    with LocalServer(["yes"]) as server:
        policy = EndpointPolicy(server.url, "m")

        async def both():
            direct = await policy.reply(REQUEST)
            return direct, await asyncio.to_thread(ask, policy, REQUEST)

        first, second = asyncio.run(both())
        third = ask(policy, REQUEST)
        asking._wait(policy.close())
    assert {type(reply) for reply in (first, second, third)} == {Reply}
