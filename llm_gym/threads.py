"""Threads for steps that wait for something, and which environments' steps do.

The threads are daemons: a tool that hangs for ever holds neither `close` nor the
interpreter's end, where `concurrent.futures` would join its thread and hang too.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, Self, TypeVar

import gymnasium as gym

__all__ = ["Workers", "blocks"]

P = ParamSpec("P")
T = TypeVar("T")

_IDLE_SECONDS = 5.0
"""How long an idle thread may take to end: it runs nothing that could hold it."""


class Workers:
    """A pool of daemon threads, started when they are needed and used again.

    After a fork the child's pool starts empty; work that the parent had submitted
    stays the parent's, and its futures never complete in the child.

    Example:
        >>> workers = Workers(8)
        >>> workers.submit(pow, 2, 10).result()
        1024
        >>> workers.close()
        0

    Args:
        limit: The most threads there are at once; further work waits for one.
        name: What the threads' names begin with.

    Raises:
        ValueError: `limit` is less than 1.
    """

    def __init__(self, limit: int, name: str = "llm_gym") -> None:
        if limit < 1:
            raise ValueError(f"`limit` must be at least 1, not {limit!r}")
        self.limit = limit
        self.name = name
        self._crew = _Crew()
        _POOLS.add(self)

    def submit(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Have a thread call a function, in a copy of the caller's context.

        Returns:
            The future of its result. Its callbacks run in the thread that worked, and
            must be brief.

        Raises:
            RuntimeError: The pool is closed.
        """
        future: Future[T] = Future()
        call = partial(contextvars.copy_context().run, function, *args, **kwargs)
        self._crew.take((future, call), self.limit, self.name)
        return future

    def close(self, seconds: float = 0.0) -> int:
        """End the idle threads, cancel work that has not begun, refuse new work.

        Args:
            seconds: How long to wait for threads that are busy, in all. One that is
                busy longer is left behind, and ends when its work does.

        Returns:
            How many threads are still busy.
        """
        crew = self._crew
        threads = crew.close()
        me = threading.current_thread()
        deadline = time.monotonic() + seconds
        for thread in threads:
            if thread is not me:
                thread.join(max(0.0, deadline - time.monotonic()))
        deadline = time.monotonic() + _IDLE_SECONDS
        for thread in threads:
            while crew.is_idle(thread) and time.monotonic() < deadline:
                thread.join(0.01)
        return sum(thread.is_alive() for thread in threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_crew"):
            self._crew.dismiss()

    def _after_fork(self) -> None:
        closed = self._crew.closed
        self._crew = _Crew()
        self._crew.closed = closed


_Job = tuple[Future[Any], Callable[[], Any]]


class _Crew:
    """The threads and what they share; it knows no pool, so that a pool can be freed.

    `idle` counts the threads that wait for a job or are about to, and `pending` the
    jobs that none of them has taken note of: more jobs than idle threads is the sign
    that another thread is needed.
    """

    def __init__(self) -> None:
        self.closed = False
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: dict[threading.Thread, bool] = {}  # and whether it is busy
        self._numbers = itertools.count()
        self._idle = 0
        self._pending = 0

    def take(self, job: _Job, limit: int, name: str) -> None:
        """Put a job into the queue and start a thread if one is needed."""
        with self._lock:
            if self.closed:
                raise RuntimeError(f"the threads of {name!r} are closed")
            if self._pending >= self._idle and len(self._threads) < limit:
                self._add_thread(name)
            self._pending += 1
            self._jobs.put(job)

    def _add_thread(self, name: str) -> None:
        name = f"{name}-{next(self._numbers)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more to give: those there are must do
            if not self._threads:
                raise
            return
        self._threads[thread] = False
        self._idle += 1

    def _work(self) -> None:
        me = threading.current_thread()
        while (job := self._jobs.get()) is not None:
            future, call = job
            with self._lock:
                self._idle -= 1
                self._pending -= 1
                self._threads[me] = True
            wanted = future.set_running_or_notify_cancel()
            result, error = _call(call) if wanted else (None, None)
            with self._lock:  # first, so that who has a result finds the thread idle
                self._idle += 1
                self._threads[me] = False
            if error is not None:
                future.set_exception(error)
            elif wanted:
                future.set_result(result)
            del job, future, call, result, error  # nothing is kept alive while it waits
        with self._lock:
            self._threads.pop(me, None)

    def is_idle(self, thread: threading.Thread) -> bool:
        """Say whether a thread has no work and has not ended."""
        return thread.is_alive() and self._threads.get(thread) is not True

    def close(self) -> list[threading.Thread]:
        """Refuse and cancel jobs, and tell the threads to end; return them."""
        with self._lock:
            self.closed = True
            threads = list(self._threads)
        with contextlib.suppress(Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    job[0].cancel()
        self.dismiss()
        return threads

    def dismiss(self) -> None:
        """Tell the threads to end when the queue is empty; takes no lock."""
        for _ in range(len(self._threads)):
            self._jobs.put(None)


def _call(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return call(), None
    except BaseException as err:  # noqa: BLE001  # the future hands it on
        return None, err


_POOLS: weakref.WeakSet[Workers] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_POOLS):
        pool._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def blocks(env: gym.Env[Any, Any]) -> bool:
    """Say whether an environment's steps wait for something, and belong in a thread.

    Its class says so with `blocking`; where that is None, its verifier's own `blocking`
    or its async tools do. An environment that is no `ToolEnv` may have a `blocking`
    too, and else does not block.

    Args:
        env: The environment, wrapped or not.
    """
    inner = env.unwrapped
    blocking = getattr(inner, "blocking", None)
    if blocking is not None:
        return bool(blocking)
    if getattr(getattr(inner, "verifier", None), "blocking", False):
        return True
    specs = getattr(inner, "tool_specs", {})
    return any(spec.is_async for spec in specs.values())
