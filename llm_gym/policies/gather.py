"""Bringing the calls that wait in event loops to one engine, and its answers back.

The engine works step by step in a thread of its own: calls join between steps while
others are under way, and each answer goes out as soon as it is known. Knows asyncio
and threads; knows nothing of models or chats.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from llm_gym.errors import PolicyFault

__all__ = ["Call", "Engine", "Gatherer"]

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")
T = TypeVar("T")

# How often the loop turns before an engine at rest is woken: callers that were woken
# together get through a `gather` or a `wait_for` of their own and start together.
_GRACE_TICKS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Call(Generic[ItemT, AnswerT]):
    """One caller that waits.

    Attributes:
        item: What it asked.
        future: Where its answer goes.
        loop: The event loop that it waits in.
    """

    item: ItemT
    future: asyncio.Future[AnswerT]
    loop: asyncio.AbstractEventLoop

    @property
    def abandoned(self) -> bool:
        """Whether the caller went away; safe to read from any thread."""
        return self.future.cancelled() or self.loop.is_closed()

    def settle(self, outcome: AnswerT | PolicyFault) -> None:
        """Hand the caller its answer or its fault, from any thread."""
        try:
            self.loop.call_soon_threadsafe(self._settle, outcome)
        except RuntimeError:  # the loop is closed: nobody waits
            return

    def _settle(self, outcome: AnswerT | PolicyFault) -> None:
        if self.future.done():  # the caller went away
            return
        if isinstance(outcome, PolicyFault):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Engine(Protocol[ItemT, AnswerT]):
    """What a `Gatherer` drives, always in one and the same thread."""

    def room(self, waiting: int) -> int:
        """Return how many of the calls that wait it takes now, at most.

        It may put calls off for a while to take several at once, but not if it is idle.
        """
        ...

    def admit(self, calls: Sequence[Call[ItemT, AnswerT]]) -> None:
        """Take calls, at most as many as `room` said."""
        ...

    def step(self) -> Sequence[tuple[Call[ItemT, AnswerT], AnswerT]]:
        """Work for a moment and return the calls that are answered now.

        Calls that were abandoned leave without an answer.
        """
        ...

    def idle(self) -> bool:
        """Whether no call is under way."""
        ...

    def clear(self) -> Sequence[Call[ItemT, AnswerT]]:
        """Give up all calls, after an error, and return them."""
        ...


class Gatherer(Generic[ItemT, AnswerT]):
    """Feeds one engine with the calls of any number of event loops.

    Calls are taken in the order in which they came. Those made in one iteration of an
    event loop reach an engine at rest together.

    Args:
        engine: The engine; it blocks, and runs in the gatherer's thread.
        name: What faults call it.
    """

    def __init__(self, engine: Engine[ItemT, AnswerT], *, name: str) -> None:
        self._engine = engine
        self._name = name
        # One thread, always the same, so that OpenMP keeps one team.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="llm_gym-policy")
        self._lock = threading.Lock()
        self._working = False
        self._calls: deque[Call[ItemT, AnswerT]] = deque()
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    async def ask(self, item: ItemT) -> AnswerT:
        """Wait for the answer to one item.

        Raises:
            PolicyFault: The engine failed while the item was under way.
        """
        loop = asyncio.get_running_loop()
        call: Call[ItemT, AnswerT] = Call(item, loop.create_future(), loop)
        self._calls.append(call)
        try:
            for _ in range(_GRACE_TICKS):
                if self._working:
                    break
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            call.future.cancel()
            raise
        self._wake()
        return await call.future

    def run_alone(self, function: Callable[[], T]) -> T:
        """Run a function in the engine's thread while no call is under way.

        Calls under way are finished first; those that still wait are taken up after
        it. Blocks until it has run; any thread may call, but for the engine's own.

        Returns:
            What the function returns; what it raises is raised.
        """
        future: Future[T] = Future()
        self._jobs.append((future, function))
        self._wake()
        return future.result()

    def _wake(self) -> None:
        """Start the thread's work if it is at rest and there is some."""
        with self._lock:
            if self._working or not (self._calls or self._jobs):
                return
            self._working = True
        self._executor.submit(self._work)

    def _rests(self) -> bool:
        """Whether nothing is left to do; the thread's work ends then."""
        with self._lock:
            self._working = bool(self._calls or self._jobs or not self._engine.idle())
            return not self._working

    def _work(self) -> None:
        """Serve until nobody waits."""
        while not self._rests():
            if self._jobs and self._engine.idle():
                self._run_job()
            else:
                self._serve([] if self._jobs else self._take())

    def _run_job(self) -> None:
        future, function = self._jobs.popleft()
        try:
            future.set_result(function())
        except BaseException as err:  # noqa: BLE001  it is raised where it was asked
            future.set_exception(err)

    def _take(self) -> list[Call[ItemT, AnswerT]]:
        """Take as many waiting calls as the engine has room for."""
        batch: list[Call[ItemT, AnswerT]] = []
        room = self._engine.room(len(self._calls))
        while self._calls and len(batch) < room:
            call = self._calls.popleft()
            if not call.abandoned:
                batch.append(call)
        return batch

    def _serve(self, batch: list[Call[ItemT, AnswerT]]) -> None:
        """Let the engine take a batch and work; no caller is left waiting if it fails.

        The broad except is the boundary of the engine.
        """
        try:
            if batch:
                self._engine.admit(batch)
            if not self._engine.idle():
                for call, answer in self._engine.step():
                    call.settle(answer)
        except BaseException as err:  # noqa: BLE001  whatever it is, callers wait
            self._fail({*self._engine.clear(), *batch}, err)

    def _fail(self, calls: Iterable[Call[ItemT, AnswerT]], err: BaseException) -> None:
        for call in calls:  # each its own fault: a shared one would mix tracebacks
            text = f"the policy `{self._name}` failed to generate: {err!r}"
            fault = PolicyFault(text)
            fault.__cause__ = err
            call.settle(fault)
