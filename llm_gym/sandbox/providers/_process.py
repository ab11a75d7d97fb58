"""A program of the host that isolates another, with limits around it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import selectors
import signal
import subprocess  # a known program, started with a list and no shell
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llm_gym.errors import SandboxFault, SandboxUnavailable
from llm_gym.sandbox.base import Files, Isolation, Language, Result, RunLimits, Status
from llm_gym.sandbox.job import Request
from llm_gym.sandbox.watch import usage

__all__ = ["LAUNCHER", "PYTHON_FLAGS", "Command", "CommandSandbox", "Ended"]

LAUNCHER = Path(__file__).with_name("_launcher.py").read_text()
PYTHON_FLAGS = ("-s", "-S", "-B", "-X", "utf8", "-c")
"""Without -I, which would ignore `PYTHONHASHSEED`; the environment is ours."""
_SHUT = "this sandbox is closed: open another one"


@dataclass(slots=True)
class Command:
    """How to start one run.

    Attributes:
        arguments: The host's program and what it is told.
        pass_fds: Descriptors that it is to have.
        status_fd: Where it writes JSON about itself, or -1.
        user: The user that it becomes, None for this one.
        stop: A command that ends the run where killing the program does not.
        own: Descriptors to close once it runs.
    """

    arguments: Sequence[str]
    pass_fds: Sequence[int] = ()
    status_fd: int = -1
    user: int | None = None
    stop: Sequence[str] = ()
    own: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Ended:
    """What came of a command.

    Attributes:
        code: Its exit code.
        streams: What it wrote to stdout and stderr.
        cut: Whether either was cut off.
        killed: Why it was ended, or "".
        about: What it wrote to `status_fd`.
        wall_seconds: How long it took.
        cpu_seconds: Processor time of what it ran, as far as that was seen.
        peak_bytes: The most memory that was seen.
    """

    code: int = 0
    streams: tuple[bytearray, bytearray] = field(
        default_factory=lambda: (bytearray(), bytearray())
    )
    cut: bool = False
    killed: str = ""
    about: bytes = b""
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0


def body_of(request: Request, directory: str) -> bytes:
    """Return what the launcher reads, and then the program's own input.

    Args:
        request: What to run.
        directory: Where a shell's script is put, as the launcher sees it.
    """
    limits = request.limits
    header = {
        "language": request.language,
        "script": f"{directory}/main.sh",
        "size": len(request.program),
        "files": [(path, len(data)) for path, data in request.files.items()],
        "limits": {
            "RLIMIT_AS": int(limits.memory_bytes) + 2**26,
            "RLIMIT_FSIZE": int(limits.disk_bytes),
            "RLIMIT_CPU": int(limits.cpu_seconds) + 1,
            "RLIMIT_NOFILE": 256,
            "RLIMIT_CORE": 0,
            "RLIMIT_NPROC": int(limits.processes),
        },
    }
    text = json.dumps(header).encode()
    start = f"{len(text):016d}".encode() + text
    return b"".join([start, *request.files.values(), request.program, request.stdin])


class _Running:
    """One command on its way; another thread may end it."""

    def __init__(self, command: Command, limits: RunLimits) -> None:
        self.ended = Ended()
        self._command, self._limits = command, limits
        self._began = time.monotonic()
        self._process = self._start(command)
        self._cancelled = threading.Event()

    @staticmethod
    def _start(command: Command) -> subprocess.Popen[bytes]:
        other: dict[str, Any] = {}
        if command.user is not None:
            other = {"user": command.user, "group": command.user, "extra_groups": []}
        try:
            return subprocess.Popen(  # noqa: S603  # a list, and no shell
                list(command.arguments),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=list(command.pass_fds),
                env=_environment(command),
                cwd="/",
                start_new_session=True,
                **other,
            )
        except OSError as err:
            program = command.arguments[0]
            raise SandboxFault(f"`{program}` could not be started: {err}") from err
        finally:
            for fd in command.own:
                os.close(fd)

    def cancel(self) -> None:
        """End it soon."""
        self._cancelled.set()

    def wait(self, stdin: bytes) -> Ended:
        """Feed it, read it, watch over it, and return what came of it."""
        process = self._process
        with selectors.DefaultSelector() as selector:
            for stream, where in ((process.stdout, 0), (process.stderr, 1)):
                self._register(selector, stream, selectors.EVENT_READ, where)
            whole = memoryview(stdin)
            self._register(selector, process.stdin, selectors.EVENT_WRITE, whole)
            if self._command.status_fd >= 0:
                os.set_blocking(self._command.status_fd, False)
                selector.register(self._command.status_fd, selectors.EVENT_READ, 2)
            end_fd = os.pidfd_open(process.pid)
            selector.register(end_fd, selectors.EVENT_READ, None)
            try:
                self._loop(selector)
            finally:
                selector.unregister(end_fd)
                os.close(end_fd)
                self._end_all(selector)
        self.ended.wall_seconds = time.monotonic() - self._began
        self.ended.code = process.returncode
        return self.ended

    @staticmethod
    def _register(
        selector: selectors.BaseSelector, stream: Any, event: int, data: Any
    ) -> None:
        os.set_blocking(stream.fileno(), False)
        selector.register(stream, event, data)

    def _loop(self, selector: selectors.BaseSelector) -> None:
        proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        looked = 0.0
        try:
            while not self.ended.killed:
                for key, _ in selector.select(0.02):
                    self._serve(selector, key)
                if self._process.poll() is not None:
                    return
                if time.monotonic() - looked > 0.02:
                    self._judge(proc_fd)
                    looked = time.monotonic()
        finally:
            os.close(proc_fd)

    def _serve(
        self, selector: selectors.BaseSelector, key: selectors.SelectorKey
    ) -> None:
        if key.data is None:  # the process ended
            return
        if isinstance(key.data, memoryview):
            self._write(selector, key)
            return
        try:
            part = os.read(key.fd, 65536)
        except OSError:
            part = b""
        if not part:
            selector.unregister(key.fileobj)
        elif key.data == 2:
            self.ended.about += part
        else:
            kept = self.ended.streams[key.data]
            room = int(self._limits.output_bytes) - len(kept)
            kept += part[:room]
            if len(part) > room:
                self.ended.cut, self.ended.killed = True, "output"

    @staticmethod
    def _write(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        rest: memoryview = key.data
        try:
            rest = rest[os.write(key.fd, rest[:65536]) :] if rest else rest
        except BlockingIOError:
            return
        except OSError:  # the program reads no more
            rest = rest[:0]
        if rest:
            selector.modify(key.fileobj, selectors.EVENT_WRITE, rest)
        else:
            selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]  # Popen's pipe

    def _judge(self, proc_fd: int) -> None:
        ended, limits = self.ended, self._limits
        used = usage(proc_fd, self._process.pid, descendants=True)
        ended.cpu_seconds = max(ended.cpu_seconds, used.cpu_seconds)
        ended.peak_bytes = max(ended.peak_bytes, used.memory_bytes)
        if self._cancelled.is_set():
            ended.killed = "cancelled"
        elif time.monotonic() - self._began > limits.wall_seconds:
            ended.killed = "wall"
        elif used.cpu_seconds > limits.cpu_seconds:
            ended.killed = "cpu"
        elif used.memory_bytes > limits.memory_bytes:
            ended.killed = "memory"

    def _end_all(self, selector: selectors.BaseSelector) -> None:
        """Kill what still runs, and read what it wrote before."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._command.stop:
            subprocess.run(self._command.stop, capture_output=True, timeout=10.0)  # noqa: S603
        self._process.wait()
        for key in list(selector.get_map().values()):
            while isinstance(key.data, int) and key.fd in selector.get_map():
                self._serve(selector, key)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if self._command.status_fd >= 0:
            os.close(self._command.status_fd)


def _environment(command: Command) -> dict[str, str]:
    """Return the command's environment: empty, for it can be read from inside."""
    if command.stop:  # a client of a server elsewhere, which has to find it
        return {
            k: v for k, v in os.environ.items() if k.startswith(("DOCKER_", "PATH"))
        }
    return {}


_KILLED = {
    "wall": (Status.TIMEOUT, "it ran over {0.wall_seconds} seconds"),
    "cpu": (Status.TIMEOUT, "it used more than {0.cpu_seconds} seconds of processor"),
    "memory": (Status.OUT_OF_MEMORY, "it held more than {0.memory_bytes} bytes"),
    "output": (Status.OUTPUT_LIMIT, "it wrote more than {0.output_bytes} bytes"),
}


class CommandSandbox(ABC):
    """A sandbox that starts a program of the host for each run.

    Args:
        limits: What a run may use unless it says otherwise.
    """

    def __init__(self, limits: RunLimits | None) -> None:
        self._limits = limits or RunLimits()
        self._running: set[_Running] = set()
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False

    @property
    @abstractmethod
    def isolation(self) -> Isolation:
        """What keeps programs in."""

    @property
    @abstractmethod
    def _scratch(self) -> str:
        """Where a shell's script is put, inside."""

    @abstractmethod
    def _command(self, limits: RunLimits) -> Command:
        """Return how to start a run."""

    @abstractmethod
    def _exit_code(self, ended: Ended) -> int:
        """Return the program's own exit code, minus a signal's number.

        Raises:
            SandboxFault: There is none: the isolation failed.
        """

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
        return self._run(request, [])

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
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(os.cpu_count(), "llm-gym-provider")
        started: list[_Running | None] = []
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, self._run, request, started)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            started.append(None)  # so that none is started any more
            for running in started:
                if running is not None:
                    running.cancel()
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise

    def _request(
        self,
        program: str,
        files: Files | None,
        stdin: str | bytes,
        limits: RunLimits | None,
        language: Language,
    ) -> Request:
        if self._closed:
            raise ValueError(_SHUT)
        if language not in ("python", "shell"):
            raise ValueError(
                f'`language` must be "python" or "shell" here, not {language!r}'
            )
        return Request.of(program, files, stdin, limits or self._limits, language)

    def _run(self, request: Request, started: list[_Running | None]) -> Result:
        try:
            return self._attempt(request, started)
        except SandboxFault:
            if self._closed or (started and started[-1] is None):
                raise
        return self._attempt(request, started)

    def _attempt(self, request: Request, started: list[_Running | None]) -> Result:
        if started and started[-1] is None:
            raise SandboxFault("the run was cancelled")
        running = _Running(self._command(request.limits), request.limits)
        with self._lock:
            self._running.add(running)
        started.append(running)
        try:
            ended = running.wait(body_of(request, self._scratch))
        finally:
            with self._lock:
                self._running.discard(running)
        if ended.killed == "cancelled":
            raise SandboxFault("the run was cancelled")
        return self._result(ended, request.limits)

    def _result(self, ended: Ended, limits: RunLimits) -> Result:
        if ended.killed:
            code = -signal.SIGKILL
            status, reason = _KILLED[ended.killed]
            reason = reason.format(limits)
        else:
            code = self._exit_code(ended)
            status, reason = _status_of(code)
        stdout, stderr = (kept.decode("utf-8", "replace") for kept in ended.streams)
        return Result(
            status=status,
            exit_code=code,
            stdout=stdout,
            stderr=stderr,
            cpu_seconds=ended.cpu_seconds,
            wall_seconds=ended.wall_seconds,
            peak_memory_bytes=ended.peak_bytes,
            truncated=ended.cut,
            isolation=self.isolation,
            reason=reason,
        )

    def session(
        self, *, files: Files | None = None, limits: RunLimits | None = None
    ) -> Any:
        """Refuse: there are no sessions here.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"{self.isolation} has no sessions here: use `open_sandbox()`, whose"
            " sandboxes have"
        )

    def check(self, program: str, expected: str) -> None:
        """Run the self-check's program.

        Raises:
            SandboxUnavailable: It failed, or printed anything else than expected.
        """
        limits = RunLimits(wall_seconds=15.0)
        try:
            result = self.run(program, limits=limits)
        except SandboxFault as fault:
            raise SandboxUnavailable(
                f"{self.isolation} does not work here: {fault.message}"
            ) from fault
        if not result.ok or result.stdout != expected:
            raise SandboxUnavailable(
                f"{self.isolation} did not prove itself: its self-check ended as"
                f" {result.status.value}, with {result.stdout[:300]!r} and"
                f" {result.stderr[-300:]!r}"
            )

    def close(self) -> None:
        """End all that runs; harmless when repeated."""
        self._closed = True
        with self._lock:
            running, threads = list(self._running), self._threads
            self._threads = None
        for run in running:
            run.cancel()
        if threads is not None:
            threads.shutdown(wait=True)

    def __enter__(self) -> Self:
        """Return the sandbox."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the sandbox."""
        self.close()


def _status_of(code: int) -> tuple[Status, str]:
    if code == 0:
        return Status.OK, ""
    if code == -signal.SIGSYS:
        return Status.DENIED, "it made a system call that no program may make"
    if code == -signal.SIGXFSZ:
        return Status.DISK_LIMIT, "a file of its was too long"
    if code == -signal.SIGXCPU:
        return Status.TIMEOUT, "it used too much of the processor"
    if code < 0:
        return Status.SIGNAL, f"signal {-code} ended it"
    return Status.NONZERO, ""
