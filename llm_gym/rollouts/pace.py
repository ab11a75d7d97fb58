"""Keeping an event loop responsive while thousands of tasks have work for it.

A loop runs all that is ready before it looks at the network again: with 16,000 episodes
ready, each for a fraction of a millisecond, replies would wait for seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

__all__ = ["Pace"]


class Pace:
    """Lets tasks work for a bounded time in each turn of the event loop.

    Tasks call `wait` before each piece of work. Those that come first in a turn of the
    loop go on at once; when the time is up the others wait for the next turns, in the
    order in which they came. How many go on in a turn adapts to what turns took.

    Args:
        seconds: The time to keep a turn of the loop within.
    """

    def __init__(self, seconds: float = 0.02) -> None:
        self._seconds = seconds
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._turn_began = 0.0
        self._in_turn = False
        self._batch = 1

    async def wait(self) -> None:
        """Wait for a turn of the loop that has time left."""
        loop = asyncio.get_running_loop()
        if not self._in_turn:
            self._begin_turn(loop)
        elif self._waiting or time.perf_counter() - self._turn_began > self._seconds:
            future = loop.create_future()
            self._waiting.append(future)
            await future

    def _begin_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._in_turn = True
        self._turn_began = time.perf_counter()
        loop.call_soon(self._end_turn, loop)

    def _end_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin the next turn, with as many of those who wait as fit into it."""
        self._in_turn = False
        if not self._waiting:
            return
        late = time.perf_counter() - self._turn_began > self._seconds
        self._batch = max(1, self._batch // 2) if late else self._batch + 1
        self._begin_turn(loop)
        for _ in range(min(self._batch, len(self._waiting))):
            future = self._waiting.popleft()
            if not future.done():  # its task was cancelled
                future.set_result(None)
