"""Asking a policy from ordinary code: a judge's vote, a simulated user's next line.

Policies are asynchronous, verifiers and environments are not, and may themselves run in
an event loop's thread. So there is one loop in a thread of its own for every process.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from llm_gym.errors import PolicyFault
from llm_gym.messages import ChatRequest, Reply
from llm_gym.policy import Policy

__all__ = ["ask", "ask_many"]

T = TypeVar("T")


def ask(policy: Policy, request: ChatRequest, *, seconds: float | None = None) -> Reply:
    """Return a policy's reply, wherever the caller stands.

    The caller's thread waits. Inside an event loop that is the loop's thread: give an
    environment that asks `blocking = True`, so that rollouts step it in a thread.

    Args:
        policy: What is asked.
        request: What it is asked.
        seconds: The longest that it may take, None for no limit.

    Raises:
        PolicyFault: It took longer.
        Exception: What the policy raises.
    """
    return _wait(_limited(policy, request, seconds))


def ask_many(
    policy: Policy, requests: Sequence[ChatRequest], *, seconds: float | None = None
) -> list[Reply | Exception]:
    """Return a policy's replies to requests that it is asked at once, in their order.

    Args:
        policy: What is asked; one that batches gets all of them together.
        requests: What it is asked.
        seconds: The longest that each may take, None for no limit.

    Returns:
        For each request its reply, or the exception that came instead.
    """

    async def all_of_them() -> list[Reply | Exception]:
        asked = (_limited(policy, request, seconds) for request in requests)
        replies = await asyncio.gather(*asked, return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException) and not isinstance(reply, Exception):
                raise reply
        return replies  # type: ignore[return-value]  # the others have been raised

    return _wait(all_of_them())


async def _limited(
    policy: Policy, request: ChatRequest, seconds: float | None
) -> Reply:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await policy.reply(request)
    except TimeoutError as err:
        if not limit.expired():
            raise
        raise PolicyFault(
            f"a reply took longer than its limit of {seconds} seconds"
        ) from err


class _Loop:
    """An event loop in a daemon thread; a child of a fork makes its own."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.loop = asyncio.new_event_loop()
        name = "llm_gym-asking"
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def close(self) -> None:
        """End the loop, and what policies keep open in it."""
        if self.owner == os.getpid():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(1.0)


_LOCK = threading.Lock()
_CURRENT: list[_Loop] = []


def _loop() -> _Loop:
    with _LOCK:
        if not _CURRENT or _CURRENT[0].owner != os.getpid():
            _CURRENT[:] = [_Loop()]
            atexit.register(_CURRENT[0].close)
        return _CURRENT[0]


def _after_fork() -> None:
    global _LOCK  # the parent's may be held by a thread that the child does not have
    _LOCK = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _wait(work: Coroutine[Any, Any, T]) -> T:
    ours = _loop()
    if threading.current_thread() is ours.thread:
        work.close()
        raise RuntimeError(
            "a policy that is asked must not ask in turn from the same thread: it "
            "would wait for itself"
        )
    future: Future[T] = asyncio.run_coroutine_threadsafe(work, ours.loop)
    try:
        while True:
            try:  # in short waits, for one without an end cannot be interrupted
                return future.result(timeout=1.0)
            except FutureTimeoutError:
                if future.done():
                    return future.result()
    except BaseException:
        future.cancel()
        raise
