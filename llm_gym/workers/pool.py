"""Functions that may hang, explode or crash, called in processes that can be killed.

For grading what a model wrote with libraries that no Python-level limit holds (sympy,
`re`, SQLite): each call runs in a child process, and the deadline is kept from outside
by SIGKILL. The function is trusted, its input is not. Programs that a model wrote do
not belong here but in `llm_gym.sandbox`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import re
import select
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llm_gym.errors import EnvironmentFault
from llm_gym.threads import Workers
from llm_gym.workers import child
from llm_gym.workers.child import HEADER, MOST_BYTES

__all__ = ["KillableWorker", "WorkerCrash", "WorkerError", "WorkerTimeout"]

_MOST_CALLS = 10_000
"""After how many calls a process is replaced, so that no library grows for ever."""

_PATIENCE = 4
"""How many times the deadline a call may take that was not given the processor."""


class WorkerTimeout(EnvironmentFault):
    """A call was killed at its deadline."""


class WorkerCrash(EnvironmentFault):
    """The process died during the call, and a fresh one too: the input does it."""


class WorkerError(EnvironmentFault):
    """The function raised.

    Args:
        message: What happened, in one sentence.
        kind: The name of the exception's type, "MemoryError" for one.
        text: The exception's message.
    """

    def __init__(self, message: str, kind: str = "", text: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.text = text

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.kind, self.text))


@dataclass(frozen=True, slots=True)
class KillableWorker:
    """Calls a module's function in child processes that are killed when they hang.

    The processes are started when they are needed, as many as there are processors at
    most, used again, and shared by all equal workers of a process. They are started
    afresh (no fork of a trainer with its threads and GPU), with a minimal environment
    and the caller's `sys.path`. If the module has a function `warm_up`, it is called
    at the start: it may load what calls need, and test that the library works. A child
    of a fork starts its own processes. Threads may share a worker, and it can be
    pickled.

    Example:
        >>> worker = KillableWorker("math:factorial", seconds=1.0)
        >>> worker.call(5)
        120

    Args:
        function: `module:function`; it takes and returns plain JSON data, and keeps
            nothing between calls that changes their results.
        seconds: Wall-clock seconds of a call. A process that wanted to run and was not
            given half of them on the processor has up to four times as long, so that
            a busy machine does not decide what a call returns.
        memory_bytes: Address space that calls may add to what the start took.
        start_seconds: Wall-clock seconds of a process's start, `warm_up` included.
        confine: Whether the process gives up, before its first call, what no grader
            needs (files, network, other processes), where this machine can do that.

    Raises:
        ValueError: The function's name has another form, or a limit is not above zero.
    """

    function: str
    seconds: float = 2.0
    memory_bytes: int = 2**30
    start_seconds: float = 60.0
    confine: bool = True

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.function):
            form = "`function` must be 'module:function', of a module that can be"
            raise ValueError(f"{form} imported, not {self.function!r}")
        for name in ("seconds", "memory_bytes", "start_seconds"):
            limit = getattr(self, name)
            if not (math.isfinite(limit) and limit > 0):
                raise ValueError(f"`{name}` must be above 0 and finite, not {limit!r}")

    def call(self, *args: Any) -> Any:
        """Call the function and return its result. Waits for a process if all work.

        Args:
            args: Plain JSON data.

        Raises:
            TypeError: An argument is no JSON data.
            ValueError: It holds a NaN or an infinity, or is longer than 64 MiB.
            WorkerTimeout: The deadline passed; the process was killed.
            WorkerCrash: The process died, and a fresh one on the same arguments too.
            WorkerError: The function raised; a MemoryError, of a fresh process.
            EnvironmentFault: No process could be started.
        """
        request = _frame(json.dumps(args, allow_nan=False).encode())
        pool = _pool(self)
        with pool.room:
            try:
                return pool.ask(request, fresh=False)
            except (_Lost, _OutOfMemory):  # perhaps what calls before it left behind
                pass
            try:
                return pool.ask(request, fresh=True)
            except _LostAtStart as err:
                message = f"`{self.function}` cannot start: it died: {err}"
                raise EnvironmentFault(message) from err
            except _Lost as err:
                raise WorkerCrash(f"`{self.function}` died twice: {err}") from err
            except _OutOfMemory as err:
                message = f"`{self.function}` took more than {self.memory_bytes} bytes"
                raise WorkerError(message, "MemoryError", str(err)) from err

    def close(self) -> None:
        """End the processes of this worker and its equals; a later call starts new."""
        _pool(self).close()


_NAME = re.compile(r"(?!__main__:)[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class _Lost(Exception):  # not seen outside
    """The process died."""


class _LostAtStart(_Lost):
    """It died before it had started."""


class _OutOfMemory(Exception):
    """The function raised a MemoryError."""


class _Late(Exception):
    """The deadline passed."""


class _Pool:
    """The processes of one worker in this process."""

    def __init__(self, worker: KillableWorker) -> None:
        self.room = threading.BoundedSemaphore(_processors())
        self._worker = worker
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()

    def ask(self, request: bytes, *, fresh: bool) -> Any:
        """Make one call on an idle process, or on a new one."""
        process = self._start() if fresh or not self._idle else self._take()
        try:
            reply = json.loads(process.ask(request, self._worker.seconds))
            kind, text = reply.get("error", ("", ""))
            if kind == "MemoryError":
                raise _OutOfMemory(text)
        except _Late as err:
            self._end(process)
            seconds = self._worker.seconds
            message = f"`{self._worker.function}` took more than {seconds:g} seconds"
            raise WorkerTimeout(message) from err
        except BaseException:  # an interrupt too leaves a reply on the way
            self._end(process)
            raise
        if process.calls < _MOST_CALLS:
            self._idle.append(process)
        else:
            self._end(process)
        if kind:
            raised = f"`{self._worker.function}` raised {kind}: {text}"
            raise WorkerError(raised, kind, text)
        return reply["value"]

    def close(self) -> None:
        """Kill all processes; calls that are running start a new one."""
        with contextlib.suppress(IndexError):
            while True:
                self._end(self._idle.pop())
        for process in list(self._all):
            process.stop()  # whose call it is closes the pipes

    def forget(self) -> None:
        """Let go of what belongs to the parent of a fork."""
        for process in self._all:
            process.forget()

    def _take(self) -> _Process:
        try:
            return self._idle.pop()
        except IndexError:  # closed, or taken, a moment ago
            return self._start()

    def _start(self) -> _Process:
        function = self._worker.function
        try:
            # By a thread that lives as long as this process: the kernel kills the
            # child when the *thread* that started it ends.
            process = _STARTER.submit(_Process, self._worker).result()
        except OSError as err:
            raise EnvironmentFault(f"`{function}` cannot start: {err}") from err
        self._all.add(process)
        try:
            reply = json.loads(process.ask(b"", self._worker.start_seconds))
        except _Lost as err:
            self._end(process)
            raise _LostAtStart(*err.args) from err
        except _Late as err:
            self._end(process)
            late = f"it took more than {self._worker.start_seconds:g} seconds"
            raise EnvironmentFault(f"`{function}` cannot start: {late}") from err
        except BaseException:
            self._end(process)
            raise
        if "fault" in reply:
            self._end(process)
            raise EnvironmentFault(f"`{function}` cannot start: {reply['fault']}")
        return process

    def _end(self, process: _Process) -> None:
        process.kill()
        self._all.discard(process)


class _Process:
    """One child process, and the pipes to it."""

    def __init__(self, worker: KillableWorker) -> None:
        self.calls = -1  # the first answer is that it has started
        lifeline, self._lifeline = os.pipe()
        config = {**asdict(worker), "lifeline": lifeline, "parent": os.getpid()}
        paths = [str(Path(path or ".").resolve()) for path in sys.path]
        start = [sys.executable, "-I", child.__file__, json.dumps([paths, config])]
        try:
            self._child = subprocess.Popen(  # noqa: S603  # our own interpreter
                start,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(lifeline,),
                env=_environment(),
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(lifeline)
        self._in = _descriptor(self._child.stdin)
        self._out = _descriptor(self._child.stdout)
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)

    def ask(self, request: bytes, seconds: float) -> bytes:
        """Send a frame, return the content of the one that comes back.

        Raises:
            _Lost: The process died.
            _Late: It did not answer in time. It is still running.
        """
        self.calls += 1
        clock = _Deadline(self._child.pid, seconds)
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        if request:
            poll.register(self._in, select.POLLOUT)
        rest, got = memoryview(request), bytearray()
        while (body := _body(got)) is None:
            for descriptor, _ in poll.poll(clock.milliseconds()):
                if descriptor == self._out:
                    got += self._read()
                    continue
                rest = rest[self._write(rest) :]
                if not rest:
                    poll.unregister(self._in)
        return body

    def _read(self) -> bytes:
        chunk = os.read(self._out, 2**16)
        if not chunk:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(1.0)
            raise _Lost(f"exit status {self._child.returncode}")
        return chunk

    def _write(self, rest: memoryview) -> int:
        try:
            return os.write(self._in, rest[: 2**16])
        except BrokenPipeError as err:
            raise _Lost("it reads no more") from err

    def stop(self) -> None:
        """Kill the process."""
        self._child.kill()

    def kill(self) -> None:
        """Kill the process, wait for its end, close the pipes; again is harmless."""
        self._child.kill()
        self._child.wait()
        self.forget()

    def forget(self) -> None:
        """Close the pipes."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        lifeline, self._lifeline = self._lifeline, -1
        if lifeline >= 0:
            os.close(lifeline)
        if self._child.returncode is None:  # another process's child, after a fork
            self._child.returncode = 0


class _Deadline:
    """The clock of one call."""

    def __init__(self, pid: int, seconds: float) -> None:
        self._pid, self._seconds = pid, seconds
        self._started = time.monotonic()
        self._end = self._started + seconds
        self._used = _cpu_seconds(pid)

    def milliseconds(self) -> int:
        """Return how long to wait yet.

        Raises:
            _Late: The deadline has passed.
        """
        now = time.monotonic()
        if now >= self._end:
            last = self._started + _PATIENCE * self._seconds
            if now >= last or not self._starved():
                raise _Late
            self._end = min(last, now + self._seconds / 4)
        return math.ceil((self._end - now) * 1000)

    def _starved(self) -> bool:
        """Say whether it wants the processor and had it less than half the time."""
        if _cpu_seconds(self._pid) - self._used >= self._seconds / 2:
            return False
        try:
            stat = Path(f"/proc/{self._pid}/stat").read_bytes()
        except OSError:
            return False
        return stat.rpartition(b")")[2].split()[0] in (b"R", b"D")


def _cpu_seconds(pid: int) -> float:
    try:
        return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid has it
    except OSError:
        return math.inf


def _frame(content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise ValueError(
            f"the arguments of a call must be at most {MOST_BYTES} bytes of JSON, "
            f"they are {len(content)}"
        )
    return HEADER.pack(len(content)) + content


def _body(got: bytearray) -> bytes | None:
    """Return the content of a frame, None if it is not complete."""
    if len(got) < HEADER.size:
        return None
    (size,) = HEADER.unpack_from(got)
    if size > MOST_BYTES:
        raise _Lost("it wrote no frame")
    return bytes(got[HEADER.size :]) if len(got) >= HEADER.size + size else None


def _descriptor(pipe: Any) -> int:
    return int(pipe.fileno())


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _environment() -> dict[str, str]:
    """Return what an interpreter needs, and no key or token that the trainer has."""
    kept = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
    fixed = {"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return fixed | {name: os.environ[name] for name in kept if name in os.environ}


_LOCK = threading.Lock()
_POOLS: dict[KillableWorker, _Pool] = {}
_STARTER = Workers(1, "llm_gym-worker-start")


def _pool(worker: KillableWorker) -> _Pool:
    with _LOCK:
        pool = _POOLS.get(worker)
        if pool is None:
            pool = _POOLS[worker] = _Pool(worker)
        return pool


def _after_fork() -> None:
    global _LOCK  # another thread of the parent may have held it
    _LOCK = threading.Lock()
    for pool in list(_POOLS.values()):
        pool.forget()
    _POOLS.clear()


def _at_exit() -> None:
    for pool in list(_POOLS.values()):
        pool.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
