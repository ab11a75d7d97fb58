"""`LocalSandbox`: a pool of zygotes, and runs spread over them."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Self

from llm_gym.errors import SandboxFault
from llm_gym.sandbox.base import Files, Isolation, Language, Result, RunLimits
from llm_gym.sandbox.job import Job, Request, check_language, outcome
from llm_gym.sandbox.session import LocalSession
from llm_gym.sandbox.zygote import ZygoteOptions, ZygoteProcess

__all__ = ["LocalSandbox"]

_open: weakref.WeakSet[LocalSandbox] = weakref.WeakSet()


class LocalSandbox:
    """Runs programs in children of zygotes on this machine; threads may share it.

    Made by `open_sandbox`, which proves the isolation first.

    Args:
        options: How to start a zygote.
        limits: What a run may use unless it says otherwise.
        zygotes: How many programs may run at once.
        first: A zygote that runs already; it is the sandbox's from now on.
    """

    def __init__(
        self,
        options: ZygoteOptions,
        *,
        limits: RunLimits,
        zygotes: int,
        first: ZygoteProcess | None = None,
    ) -> None:
        self._options = options
        self._limits = limits
        self._most = zygotes
        self._reset()
        if first is not None:
            self._idle.append(first)
        _open.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._free = threading.Semaphore(self._most)
        self._idle: list[ZygoteProcess] = []
        self._busy: set[ZygoteProcess] = set()
        self._hosts: list[ZygoteProcess] = []
        self._sessions: weakref.WeakSet[LocalSession] = weakref.WeakSet()
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False

    @property
    def isolation(self) -> Isolation:
        """What keeps programs in."""
        return self._options.tier

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def run(
        self,
        program: str,
        *,
        files: Files | None = None,
        stdin: str | bytes = b"",
        limits: RunLimits | None = None,
        language: Language = "python",
    ) -> Result:
        """Run a program in an empty directory of its own; see `Sandbox.run`."""
        request = self._request(program, files, stdin, limits, language)
        return self._run(request, Ticket())

    async def arun(
        self,
        program: str,
        *,
        files: Files | None = None,
        stdin: str | bytes = b"",
        limits: RunLimits | None = None,
        language: Language = "python",
    ) -> Result:
        """Run a program without holding the event loop; cancelling ends it."""
        request = self._request(program, files, stdin, limits, language)
        ticket = Ticket()
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._executor(), self._run, request, ticket)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            ticket.cancel()
            running.add_done_callback(lambda over: over.cancelled() or over.exception())
            raise

    def _request(
        self,
        program: str,
        files: Files | None,
        stdin: str | bytes,
        limits: RunLimits | None,
        language: Language,
    ) -> Request:
        check_language(language, self.isolation)
        return Request.of(program, files, stdin, limits or self._limits, language)

    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._most, "llm-gym-sandbox")
            return self._threads

    def _run(self, request: Request, ticket: Ticket) -> Result:
        """Run on a zygote; after a fault once more, on a fresh one."""
        try:
            return self._attempt(request, ticket, fresh=False)
        except SandboxFault:
            if self._closed or ticket.is_cancelled:
                raise
        return self._attempt(request, ticket, fresh=True)

    def _attempt(self, request: Request, ticket: Ticket, *, fresh: bool) -> Result:
        with self._zygote(fresh=fresh) as zygote:
            job = Job(request, zygote.submit)
            try:
                ticket.hold(job)
                answer = job.wait()
                return outcome(answer, job.out, job.err, job.limits, self.isolation)
            finally:
                job.close()

    @contextlib.contextmanager
    def _zygote(self, *, fresh: bool) -> Iterator[ZygoteProcess]:
        """Lend a zygote to one run; one that failed is not used again."""
        self._check_open()
        with self._free:
            zygote = self._take(fresh=fresh)
            try:
                yield zygote
            except SandboxFault:
                self._drop(zygote)
                raise
            except BaseException:  # say Ctrl-C: the run is ended, the zygote is well
                self._give_back(zygote)
                raise
            self._give_back(zygote)

    def _give_back(self, zygote: ZygoteProcess) -> None:
        with self._lock:
            self._busy.discard(zygote)
            if not self._closed:
                self._idle.append(zygote)
                return
        zygote.close()

    def _take(self, *, fresh: bool) -> ZygoteProcess:
        with self._lock:
            while self._idle and not fresh:
                zygote = self._idle.pop()
                if zygote.is_alive():
                    self._busy.add(zygote)
                    return zygote
                zygote.close()
        zygote = ZygoteProcess(self._options)
        with self._lock:
            self._busy.add(zygote)
        return zygote

    def _drop(self, zygote: ZygoteProcess) -> None:
        with self._lock:
            self._busy.discard(zygote)
        zygote.close(at_once=True)

    def forget(self) -> None:
        """Start anew in a forked child: the zygotes are the parent's."""
        was_closed = self._closed
        for zygote in (*self._idle, *self._busy, *self._hosts):
            zygote.abandon()
        self._reset()
        self._closed = was_closed

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this sandbox is closed: open another one")

    def session(
        self, *, files: Files | None = None, limits: RunLimits | None = None
    ) -> LocalSession:
        """Open a session; see `Session`.

        Raises:
            ValueError: A path is not possible, or the sandbox is closed.
            SandboxFault: It could not be set up, twice.
        """
        limits = limits or self._limits
        request = replace(Request.of("", files, b"", limits), kind="session")
        self._check_open()
        try:
            return self._open_session(request, fresh=False)
        except SandboxFault:
            return self._open_session(request, fresh=True)

    def _open_session(self, request: Request, *, fresh: bool) -> LocalSession:
        # Sessions have a zygote apart: one that failed a run is ended, with its jobs.
        with self._lock:
            if fresh or not self._hosts or not self._hosts[-1].is_alive():
                self._hosts.append(ZygoteProcess(self._options))
            zygote = self._hosts[-1]
        session = LocalSession(zygote.submit, request, self.isolation)
        with self._lock:
            self._sessions.add(session)
        return session

    def close(self) -> None:
        """End all that runs and remove all that was written; harmless when repeated."""
        with self._lock:
            self._closed = True
            zygotes = [*self._idle, *self._busy, *self._hosts]
            self._idle.clear()
            self._hosts.clear()
            sessions = list(self._sessions)
            threads, self._threads = self._threads, None
        for session in sessions:
            session.close()
        for zygote in zygotes:
            zygote.close()
        if threads is not None:
            threads.shutdown(wait=threading.current_thread() not in threads._threads)

    def __enter__(self) -> Self:
        """Return the sandbox."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the sandbox."""
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


class Ticket:
    """What a cancelled call holds of its run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._job: Job | None = None
        self.is_cancelled = False

    def hold(self, job: Job) -> None:
        """Take the run that is under way.

        Raises:
            SandboxFault: The call was cancelled meanwhile.
        """
        with self._lock:
            if self.is_cancelled:
                raise SandboxFault("the run was cancelled")
            self._job = job

    def cancel(self) -> None:
        """End the run that is under way, and start none any more."""
        with self._lock:
            self.is_cancelled = True
            if self._job is not None:
                self._job.cancel()


def _close_all() -> None:
    for sandbox in list(_open):
        sandbox.close()


def _forget_all() -> None:
    for sandbox in list(_open):
        sandbox.forget()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_all)
