"""Resets and turns of single slots for coroutines, gathered where that is cheaper."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from llm_gym.threads import Workers
from llm_gym.vector import ChatVectorEnv

__all__ = ["Resets", "Turns"]


class Turns:
    """Sends the actions of single slots, and wakes who waits for what came of them.

    Made and closed within a running event loop, which it belongs to.

    Args:
        envs: The vector environment; nothing else may `recv` from it meanwhile.
    """

    def __init__(self, envs: ChatVectorEnv) -> None:
        self._envs = envs
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[tuple[Any, bool]]] = {}
        self._told = False
        envs.abandon(range(envs.num_envs))
        envs.when_ready(self._tell)

    async def take(self, slot: int, action: Any) -> tuple[Any, bool]:
        """Take a turn in a slot.

        Returns:
            The next observation, and whether the episode has terminated.
        """
        future: asyncio.Future[tuple[Any, bool]] = self._loop.create_future()
        self._waiting[slot] = future
        try:
            self._envs.send([action], [slot])
            return await future
        finally:
            self._waiting.pop(slot, None)

    def close(self) -> None:
        """Give up the turns that are under way."""
        self._envs.when_ready(None)
        self._envs.abandon(range(self._envs.num_envs))

    def _tell(self) -> None:
        if not self._told:  # once is enough for all that is ready when it is heard
            self._told = True
            with contextlib.suppress(RuntimeError):  # the loop may be closed
                self._loop.call_soon_threadsafe(self._fetch)

    def _fetch(self) -> None:
        self._told = False
        if not self._waiting:
            return
        try:
            batch = self._envs.recv(0, 0.0)
        except Exception as err:  # noqa: BLE001  # it is nobody's in particular
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(err)
            return
        for slot, observation, terminated in zip(
            batch.ids.tolist(), batch.observations, batch.terminated, strict=True
        ):
            future = self._waiting[slot]
            if not future.done():
                future.set_result((observation, bool(terminated)))


class Resets:
    """Resets slots: those that are due at the same time together, or each in a thread.

    A reset costs something for every slot that there is, so that one for many is the
    cheaper; but where resets wait for something, none is to wait for another's.

    Args:
        envs: The vector environment, with its wrappers.
        threads: Where to reset, None for here.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], threads: Workers | None) -> None:
        self._envs = envs
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._due: list[tuple[range, int, asyncio.Future[Any]]] = []

    async def begin(self, slots: range, seed: int) -> Any:
        """Reset slots with a seed; return the observations of all slots."""
        if self._threads is not None:
            work = self._threads.submit(self._reset, [(slots, seed)])
            return await asyncio.wrap_future(work)
        if not self._due:
            self._loop.call_soon(self._reset_due)
        future = self._loop.create_future()
        self._due.append((slots, seed, future))
        return await future

    def _reset_due(self) -> None:
        due, self._due = self._due, []
        error, observations = None, None
        try:
            observations = self._reset([(slots, seed) for slots, seed, _ in due])
        except Exception as err:  # noqa: BLE001  # raised where it is awaited
            error = err
        for _, _, future in due:
            if future.done():  # cancelled
                continue
            if error is None:
                future.set_result(observations)
            else:
                future.set_exception(error)

    def _reset(self, starts: list[tuple[range, int]]) -> Any:
        size = self._envs.num_envs
        mask = np.zeros(size, dtype=np.bool_)
        seeds: list[int | None] = [None] * size
        for slots, seed in starts:
            mask[slots.start : slots.stop] = True
            seeds[slots.start : slots.stop] = [seed] * len(slots)
        options = {"reset_mask": mask}
        return self._envs.reset(seed=seeds, options=options)[0]  # type: ignore[arg-type]  # a list is taken
