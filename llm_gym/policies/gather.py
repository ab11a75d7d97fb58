"""Gathering the calls that wait in an event loop into batches for one engine.

Knows asyncio and one blocking function; knows nothing of models or chats.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from llm_gym.errors import PolicyFault

__all__ = ["Call", "Gatherer"]

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")

# How often the loop turns before a batch is closed: callers that the last batch woke
# get through a `gather` or a `wait_for` of their own and into the next one.
_GRACE_TICKS = 8


@dataclass(frozen=True, slots=True)
class Call(Generic[ItemT, AnswerT]):
    """One caller that waits.

    Attributes:
        item: What it asked.
        future: Where its answer goes.
    """

    item: ItemT
    future: asyncio.Future[AnswerT]

    @property
    def abandoned(self) -> bool:
        """Whether the caller went away; safe to read from any thread."""
        return self.future.cancelled()


@dataclass(slots=True)
class _Queue(Generic[ItemT, AnswerT]):
    """The callers of one event loop and the task that serves them."""

    calls: deque[Call[ItemT, AnswerT]] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class Gatherer(Generic[ItemT, AnswerT]):
    """Serves calls in batches, one batch at a time, in a thread of its own.

    Calls made in one iteration of the event loop share a batch, in their order, up to
    the limit. Any number of event loops may use one gatherer, also one after another.

    Args:
        run: Answers a batch: one answer per call, in order. It blocks, and runs in
            the gatherer's thread.
        limit: The most calls in one batch.
        name: What faults call the engine.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Call[ItemT, AnswerT]]], Sequence[AnswerT]],
        *,
        limit: int,
        name: str,
    ) -> None:
        self._run = run
        self._limit = limit
        self._name = name
        # One thread, always the same: one batch at a time, and OpenMP keeps one team.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="llm_gym-policy")
        self._queues: WeakKeyDictionary[
            asyncio.AbstractEventLoop, _Queue[ItemT, AnswerT]
        ] = WeakKeyDictionary()

    async def ask(self, item: ItemT) -> AnswerT:
        """Wait for the answer to one item.

        Raises:
            PolicyFault: The batch that the item was in failed.
        """
        loop = asyncio.get_running_loop()
        queue = self._queues.setdefault(loop, _Queue())
        call: Call[ItemT, AnswerT] = Call(item, loop.create_future())
        queue.calls.append(call)
        if queue.task is None:
            queue.task = loop.create_task(self._serve(queue))
        return await call.future

    async def _serve(self, queue: _Queue[ItemT, AnswerT]) -> None:
        """Serve one loop's callers until none waits."""
        batch: list[Call[ItemT, AnswerT]] = []
        try:
            while queue.calls:
                for _ in range(_GRACE_TICKS):
                    await asyncio.sleep(0)
                batch = self._take(queue)
                if batch:
                    await self._answer(batch)
        except asyncio.CancelledError:  # the loop is closing: nobody may hang
            for call in (*batch, *queue.calls):
                call.future.cancel()
            queue.calls.clear()
            raise
        finally:
            queue.task = None

    def _take(self, queue: _Queue[ItemT, AnswerT]) -> list[Call[ItemT, AnswerT]]:
        batch: list[Call[ItemT, AnswerT]] = []
        while queue.calls and len(batch) < self._limit:
            call = queue.calls.popleft()
            if not call.abandoned:
                batch.append(call)
        return batch

    async def _answer(self, batch: list[Call[ItemT, AnswerT]]) -> None:
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(self._executor, self._attempt, batch)
        for i, call in enumerate(batch):
            if call.future.done():  # the caller went away
                continue
            if isinstance(outcome, Exception):
                call.future.set_exception(self._fault(outcome))
            else:
                call.future.set_result(outcome[i])

    def _attempt(
        self, batch: list[Call[ItemT, AnswerT]]
    ) -> Sequence[AnswerT] | Exception:
        """Run a batch and return what it raises, so that no caller is left waiting."""
        try:
            answers = self._run(batch)
            if len(answers) != len(batch):
                raise ValueError(f"{len(answers)} answers for {len(batch)} calls")
        except Exception as err:  # noqa: BLE001  the boundary of the engine
            return err
        return answers

    def _fault(self, err: Exception) -> PolicyFault:
        """Make one caller's own fault: a shared exception would mix tracebacks."""
        fault = PolicyFault(f"the policy `{self._name}` failed to generate: {err!r}")
        fault.__cause__ = err
        return fault
