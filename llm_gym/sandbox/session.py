"""`LocalSession`: one directory and one interpreter for the turns of an episode."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Self

from llm_gym.errors import SandboxFault
from llm_gym.sandbox import files as safe_files
from llm_gym.sandbox.base import Isolation, Language, Result, RunLimits
from llm_gym.sandbox.interpreter import Interpreter
from llm_gym.sandbox.job import Job, Request, Submit, check_language, outcome, sealed
from llm_gym.sandbox.zygote import submit, wait_readable

__all__ = ["LocalSession"]

_SECONDS = 20.0
_NOBODY = 65534


class LocalSession:
    """A working directory and an interpreter under a zygote of their own.

    Threads may share one; `execute` and `run` then take turns.

    Args:
        start: Hands a job to the zygote that the session's own is forked from.
        request: What stands in its directory at first, and its limits.
        isolation: What keeps its programs in.

    Raises:
        SandboxFault: It could not be set up.
    """

    def __init__(self, start: Submit, request: Request, isolation: Isolation) -> None:
        self._limits = request.limits
        self._isolation = isolation
        self._owner = os.getpid()
        self._turn = threading.RLock()
        self._sending = threading.Lock()
        self._interpreter: Interpreter | None = None
        self._job: Job | None = None
        self._caller: threading.Event | None = None
        self._closed = False
        self._link: socket.socket | None = None
        self._directory_fd = -1
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._start(start, request, theirs)
            self._meet()
        except BaseException:
            self.close()
            raise

    def _start(self, start: Submit, request: Request, theirs: socket.socket) -> None:
        try:
            body = sealed(request.body())
        except OSError as err:
            raise SandboxFault(f"a session could not be started: {err}") from err
        try:
            self._link = start(request.header(), [body, theirs.fileno()])
        finally:
            os.close(body)

    def _meet(self) -> None:
        """Wait until the session's zygote stands, and take its directory."""
        if self._link is None:
            raise SandboxFault("the session has no zygote")
        self._control.settimeout(_SECONDS)
        try:
            text, fds, _, _ = socket.recv_fds(self._control, 4096, 1)
        except OSError as err:
            raise SandboxFault(f"a session did not start: {err}") from err
        if not text or not fds:
            self._link.settimeout(_SECONDS)
            said = self._link.recv(4096).decode("utf-8", "replace")
            raise SandboxFault(f"a session could not be set up: {said or 'it ended'}")
        self._directory_fd = fds[0]
        os.set_inheritable(self._directory_fd, False)

    def _submit(self, request: dict[str, Any], fds: list[int]) -> socket.socket:
        return submit(self._control, self._sending, request, fds)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this session is closed: open another one")
        if self._owner != os.getpid():
            raise ValueError("this session belongs to the process that opened it")

    def execute(self, code: str, *, limits: RunLimits | None = None) -> Result:
        """Run code in the session's interpreter; see `Session.execute`.

        Raises:
            ValueError: The session is closed, or another process's.
            SandboxFault: The sandbox failed: the code is not to blame.
        """
        with self._turn:
            self._check_open()
            limits = limits or self._limits
            interpreter = self._interpreter
            if interpreter is None or interpreter.is_over:
                return self._first(code, limits)
            return self._call(interpreter, code, limits)

    def _first(self, code: str, limits: RunLimits) -> Result:
        """Run code in a new interpreter, and once more in another after a fault."""
        try:
            return self._call(self._new(), code, limits)
        except SandboxFault:
            return self._call(self._new(), code, limits)

    def _new(self) -> Interpreter:
        self._interpreter = Interpreter(self._submit, self._limits, self._isolation)
        return self._interpreter

    def _call(self, interpreter: Interpreter, code: str, limits: RunLimits) -> Result:
        try:
            return interpreter.call(code, limits)
        except SandboxFault:
            interpreter.close()
            raise

    def run(
        self,
        program: str,
        *,
        stdin: str | bytes = b"",
        limits: RunLimits | None = None,
        language: Language = "python",
    ) -> Result:
        """Run a program in a process of its own; see `Session.run`.

        Raises:
            ValueError: The language is not possible here, or the session closed.
            SandboxFault: The sandbox failed: the program is not to blame.
        """
        check_language(language, self._isolation)
        request = Request.of(program, None, stdin, limits or self._limits, language)
        with self._turn:
            self._check_open()
            job = self._job = Job(request, self._submit)
            try:
                answer = job.wait()
                return outcome(answer, job.out, job.err, job.limits, self._isolation)
            finally:
                self._job = None
                job.close()

    async def aexecute(self, code: str, *, limits: RunLimits | None = None) -> Result:
        """Run code without holding the event loop; see `Session.aexecute`."""
        call = partial(self.execute, code, limits=limits)
        return await self._apart(call, self._cancel_interpreter)

    async def arun(
        self,
        program: str,
        *,
        stdin: str | bytes = b"",
        limits: RunLimits | None = None,
        language: Language = "python",
    ) -> Result:
        """Run a program without holding the event loop; see `Session.arun`."""
        call = partial(self.run, program, stdin=stdin, limits=limits, language=language)
        return await self._apart(call, self._cancel_job)

    async def _apart(
        self, call: Callable[[], Result], cancel: Callable[[], None]
    ) -> Result:
        """Make a call in a thread; where this is cancelled, the call is too."""
        gone = threading.Event()
        waiting = asyncio.to_thread(self._in_turn, call, gone)
        running = asyncio.ensure_future(waiting)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            gone.set()
            running.add_done_callback(lambda over: over.cancelled() or over.exception())
            # One that waits for its turn still sees that it is not wanted any more.
            while self._caller is gone and not running.done():
                cancel()  # again, for a first call is made twice
                await asyncio.wait([running], timeout=0.05)
            raise

    def _in_turn(self, call: Callable[[], Result], gone: threading.Event) -> Result:
        with self._turn:
            self._caller = gone
            try:
                if gone.is_set():
                    raise SandboxFault("the call was cancelled")
                return call()
            finally:
                self._caller = None

    def _cancel_interpreter(self) -> None:
        interpreter = self._interpreter
        if interpreter is not None:
            interpreter.cancel()

    def _cancel_job(self) -> None:
        job = self._job
        if job is not None:
            job.cancel()

    def write_file(self, path: str, content: str | bytes) -> None:
        """Write a file of the session's directory; see `Session.write_file`.

        Raises:
            ValueError: The path is absolute, leaves the directory or holds a NUL.
            OSError: A link or something that is no file stands there, or no room.
        """
        data = content.encode() if isinstance(content, str) else bytes(content)
        if len(data) > self._limits.disk_bytes:
            raise OSError(28, f"longer than the {self._limits.disk_bytes} bytes", path)
        self._check_open()
        with safe_files.as_user(self._uid):
            safe_files.write_file(self._directory_fd, path, data)

    def read_file(self, path: str, *, max_bytes: int = 2**20) -> bytes:
        """Read a file that the model may have written; see `Session.read_file`.

        Raises:
            ValueError: The path is absolute, leaves the directory or holds a NUL.
            FileNotFoundError: There is none.
            OSError: It is a link, no regular file, or longer than `max_bytes`.
        """
        self._check_open()
        with safe_files.as_user(self._uid):
            return safe_files.read_file(self._directory_fd, path, max_bytes)

    def list_files(self) -> list[str]:
        """Return the sorted paths of the regular files, links left out.

        Raises:
            OSError: There are more than the session may have.
        """
        self._check_open()
        with safe_files.as_user(self._uid):
            return safe_files.list_files(self._directory_fd, int(self._limits.files))

    @property
    def _uid(self) -> int:
        return os.geteuid() if self._isolation == "unsafe" else _NOBODY

    def close(self) -> None:
        """End all that runs in the session and remove its files.

        A call that another thread has under way ends with a `SandboxFault`.
        """
        if self._closed:
            return
        self._closed = True
        is_ours = self._owner == os.getpid()
        if self._link is not None and is_ours:
            with contextlib.suppress(OSError):
                self._link.send(b'{"kill": "host"}', socket.MSG_DONTWAIT)
        if not is_ours:
            self._turn = threading.RLock()  # whoever held it is not in this process
        with self._turn:  # nobody reads from what is closed here
            if self._link is not None and is_ours:
                with contextlib.suppress(OSError):  # till nothing of it is left
                    wait_readable([self._link.fileno()], time.monotonic() + _SECONDS)
            self._let_go()

    def _let_go(self) -> None:
        if self._interpreter is not None:
            self._interpreter.close()
        self._control.close()
        if self._link is not None:
            self._link.close()
        if self._directory_fd >= 0:
            os.close(self._directory_fd)
            self._directory_fd = -1

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the session."""
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()
