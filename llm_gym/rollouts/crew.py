"""The tasks that play episodes, and the trajectories that wait to be taken.

Knows how many episodes are live, which groups are complete and when to hold back; what
an episode goes through is the player's affair.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import replace
from operator import attrgetter

from llm_gym.errors import EnvironmentFault
from llm_gym.rollouts.collector import CalmCollector
from llm_gym.rollouts.plan import Plan
from llm_gym.rollouts.player import Player
from llm_gym.rollouts.progress import Progress
from llm_gym.trajectory import Trajectory

__all__ = ["Crew"]


class Crew:
    """Runs a plan's episodes while somebody takes their trajectories.

    Nothing begins before the first call of `next`. Episodes that are live or wait to
    be taken are at most twice the plan's concurrency and one group: a consumer that
    stops taking them stops the crew.

    Args:
        plan: What to run.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._player = Player(plan)
        self._numbers = iter(range(plan.episodes))
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(2 * plan.concurrency + plan.group_size)
        self._ready: deque[Trajectory] = deque()
        self._groups: dict[int, list[Trajectory]] = defaultdict(list)
        self._news = asyncio.Event()
        self._error: BaseException | None = None
        self._taken = 0
        self._progress: Progress | None = None
        self._closed = False
        self._collector = CalmCollector(min(plan.concurrency, plan.episodes))

    async def next(self) -> Trajectory | None:
        """Return the next finished trajectory, None after the last.

        Raises:
            Exception: What broke a worker, after all that had ended before.
        """
        if self._progress is None:
            self._begin()
        while not self._ready:
            if self._error is not None:
                raise self._error
            if self._taken == self._plan.episodes:
                return None
            self._news.clear()
            await self._news.wait()
        return self._take()

    def finished(self) -> Iterator[Trajectory]:
        """Yield what has ended and was not taken, without waiting for more."""
        while self._ready:
            yield self._take()

    def _take(self) -> Trajectory:
        self._taken += 1
        self._room.release()
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Cancel what still runs, wait until it has ended, and close everything."""
        if self._closed:
            return
        self._closed = True
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._player.close()
        self._collector.close()
        if self._progress is not None:
            self._progress.close()

    def _begin(self) -> None:
        plan = self._plan
        self._progress = Progress(plan.episodes, plan.title, shown=plan.progress)
        for _ in range(min(plan.concurrency, plan.episodes)):
            task = asyncio.create_task(self._work())
            task.add_done_callback(self._ended)
            self._tasks.add(task)

    async def _work(self) -> None:
        for number in self._numbers:
            await self._room.acquire()
            self._collector.began()
            await self._deliver(await self._player.play(number))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._error = self._error or task.exception()
            self._news.set()

    async def _deliver(self, record: Trajectory) -> None:
        """Add a trajectory to its group, and hand over the group if it is complete."""
        number = record.run.group if record.run else 0
        self._groups[number].append(record)
        if len(self._groups[number]) < self._plan.group_size:
            return
        members = sorted(self._groups.pop(number), key=attrgetter("run.episode"))
        for member in await self._judged(_together(members)):
            self._ready.append(member)
            if self._progress is not None:
                self._progress.update(member)
        self._news.set()

    async def _judged(self, group: list[Trajectory]) -> list[Trajectory]:
        """Have a group judged together; where that fails, none of it is a result."""
        if any(member.fault is not None for member in group):
            return group
        try:
            return await self._player.judge(group)
        except EnvironmentFault as err:
            return [_given_up(member, str(err)) for member in group]


def _together(group: list[Trajectory]) -> list[Trajectory]:
    """Return a group's members; if one of them failed, none of them is a result."""
    failed = next((member for member in group if member.fault is not None), None)
    if failed is None:
        return group
    number = failed.run.episode if failed.run else 0
    why = f"its group is incomplete: episode {number} failed: {failed.fault}"
    return [member if member.fault else _given_up(member, why) for member in group]


def _given_up(member: Trajectory, why: str) -> Trajectory:
    record = replace(member, fault=why, tokens=None, certificate=None)
    return record if member.tokens is None else record.with_tokens(member.tokens)
