"""One run from the host's side: what is sent, what comes back, what it is called.

The zygote enforces the limits of time and memory by itself; the host collects the
output, bounds it, and gives up on a zygote that no longer answers.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from llm_gym.errors import SandboxFault
from llm_gym.sandbox.base import Files, Isolation, Language, Result, RunLimits, Status

__all__ = [
    "Capture",
    "Job",
    "Request",
    "Submit",
    "by_last_words",
    "check_language",
    "checked_path",
    "outcome",
    "sealed",
]

_PAGE = 4096
_PIPE_BYTES = 65536  # a pipe holds no more: a shorter read has emptied it
GRACE_SECONDS = 1.2
"""How long after its wall clock a run's status may take to come."""

Submit = Callable[[dict[str, Any], list[int]], socket.socket]
_SEALS = 0x1 | 0x2 | 0x4 | 0x8  # F_SEAL_SEAL, _SHRINK, _GROW, _WRITE
_KILLED = {
    "wall": (Status.TIMEOUT, "it ran longer than {0.wall_seconds:g} s"),
    "cpu": (Status.TIMEOUT, "it used more than {0.cpu_seconds:g} s of processor time"),
    "memory": (Status.OUT_OF_MEMORY, "it held more than {0.memory_bytes} bytes"),
    "disk": (
        Status.DISK_LIMIT,
        "it wrote more than {0.disk_bytes} bytes or {0.files} files",
    ),
    "processes": (Status.DENIED, "it started more than {0.processes} threads"),
    "frames": (Status.DENIED, "it wrote to its sandbox's own channel"),
    "output": (Status.OUTPUT_LIMIT, "it wrote more than {0.output_bytes} bytes"),
}
_LAST_WORDS = (
    (re.compile(r"MemoryError\b|.*Cannot allocate memory$"), Status.OUT_OF_MEMORY),
    (re.compile(r".*(\[Errno 28\]|No space left on device)"), Status.DISK_LIMIT),
    (re.compile(r".*(\[Errno 27\]|File too large)"), Status.DISK_LIMIT),
    (re.compile(r"PermissionError\b"), Status.DENIED),
)
"""What the last line of the error stream says of an exception that ended a program."""
_FULL_BYTES = 16 * 2**20
"""A host's disk with less room is full."""


def checked_path(path: str) -> str:
    """Return a path inside a working directory in its plain form.

    Raises:
        ValueError: It is empty or absolute, leaves the directory or holds a NUL.
    """
    pure = PurePosixPath(path)
    parts = pure.parts
    if not parts or pure.is_absolute() or ".." in parts or "\0" in path:
        raise ValueError(
            "a path must be relative and stay inside the working directory,"
            f" without NUL, not {path!r}"
        )
    encoded = [os.fsencode(part) for part in parts]
    if max(map(len, encoded)) > 255 or sum(map(len, encoded)) > 1000:
        raise ValueError(f"a path of {len(path)} characters is too long: {path[:80]!r}")
    return str(pure)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be run.

    Attributes:
        program: Its source.
        files: Contents by checked path.
        stdin: What it reads.
        limits: What it may use.
        language: "python" or "shell".
        kind: "run", or "interpreter" or "session" for the parts of a session.
    """

    program: bytes
    files: Mapping[str, bytes]
    stdin: bytes
    limits: RunLimits
    language: Language = "python"
    kind: str = "run"

    @classmethod
    def of(
        cls,
        program: str,
        files: Files | None,
        stdin: str | bytes,
        limits: RunLimits,
        language: Language = "python",
    ) -> Request:
        """Check what a caller gave.

        Raises:
            ValueError: A path is not possible, or the files exceed the limits.
        """
        contents = {
            checked_path(path): _encoded(content)
            for path, content in (files or {}).items()
        }
        _check_files(contents, limits)
        return cls(_encoded(program), contents, _encoded(stdin), limits, language)

    def body(self) -> bytes:
        """Return what the child reads: a length, JSON, the program, the files."""
        header = {
            "language": self.language,
            "program": len(self.program),
            "files": [(path, len(data)) for path, data in self.files.items()],
        }
        text = json.dumps(header).encode()
        size = struct.pack("<I", len(text))
        return b"".join([size, text, self.program, *self.files.values()])

    @property
    def spare_bytes(self) -> int:
        """Room for what is not the program's: its files take whole pages."""
        return _PAGE * (len(self.files) + 2) + len(self.program)

    def header(self) -> dict[str, Any]:
        """Return what the zygote is told: numbers only."""
        limits = self.limits
        return {
            "kind": self.kind,
            "has_stdin": bool(self.stdin),
            "wall_seconds": limits.wall_seconds,
            "cpu_seconds": limits.cpu_seconds,
            "memory_bytes": int(limits.memory_bytes),
            "disk_bytes": int(limits.disk_bytes),
            "files": int(limits.files),
            "spare_bytes": self.spare_bytes,
            "processes": int(limits.processes),
        }


def _encoded(content: str | bytes) -> bytes:
    if isinstance(content, str):
        return content.encode("utf-8", "surrogatepass")
    return bytes(content)


def _check_files(contents: Mapping[str, bytes], limits: RunLimits) -> None:
    size = sum(map(len, contents.values()))
    above = {str(p) for path in contents for p in PurePosixPath(path).parents} - {"."}
    count = len(contents) + len(above)
    if size > limits.disk_bytes or count > limits.files:
        raise ValueError(
            f"{count} files and directories of {size} bytes exceed the limits of"
            f" {limits.files} files and {limits.disk_bytes} bytes"
        )
    if both := above & contents.keys():
        raise ValueError(f"{min(both)!r} cannot be both a file and a directory")


def sealed(data: bytes) -> int:
    """Return a descriptor of an unchangeable file of these bytes.

    Raises:
        OSError: There is no room or no descriptor.
    """
    fd = os.memfd_create("llm-gym", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


@dataclass(slots=True)
class Capture:
    """One output stream, as far as its bound.

    Attributes:
        fd: Where it is read, not blocking.
        bound: How many bytes are kept.
        kept: Those bytes.
        is_cut: Whether there was more.
    """

    fd: int
    bound: int
    kept: bytearray = field(default_factory=bytearray)
    is_cut: bool = False

    def restart(self, bound: int) -> None:
        """Forget what was kept."""
        self.bound, self.is_cut = bound, False
        if self.kept:
            self.kept = bytearray()

    def drain(self, most: int = 2**20) -> bool:
        """Read what is there; return False at the stream's end."""
        while most > 0:
            try:
                part = os.read(self.fd, _PIPE_BYTES)
            except BlockingIOError:
                return True
            if not part:
                return False
            most -= len(part)
            room = self.bound - len(self.kept)
            self.kept += part[:room]
            self.is_cut = self.is_cut or len(part) > room
            if len(part) < _PIPE_BYTES:
                return True
        return True

    @property
    def text(self) -> str:
        """What was kept, bad bytes replaced."""
        return self.kept.decode("utf-8", "replace") if self.kept else ""


class Job:
    """A run on its way.

    Args:
        request: What to run.
        submit: Hands it to a zygote and returns the job's link.
        more: Further descriptors for the child; they stay the caller's.

    Raises:
        SandboxFault: This process is out of descriptors or memory, or the zygote gone.
    """

    def __init__(
        self,
        request: Request,
        submit: Submit,
        more: Sequence[int] = (),
    ) -> None:
        self.limits = request.limits
        self._fds: list[int] = []
        self._is_told = False
        self._began = time.monotonic()
        self.link: socket.socket | None = None
        try:
            body = self._own(sealed(request.body()))
            (out_r, out_w), (err_r, err_w) = self._pipe(), self._pipe()
            theirs = [body, out_w, err_w]
            if request.stdin:
                theirs.append(self._own(sealed(request.stdin)))
            self.link = submit(request.header(), [*theirs, *more])
            for fd in theirs:
                self._disown(fd)
        except OSError as err:
            self.close()
            raise SandboxFault(f"a run could not be started: {err}") from err
        except BaseException:
            self.close()
            raise
        bound = int(self.limits.output_bytes)
        self.out, self.err = Capture(out_r, bound), Capture(err_r, bound)

    def _own(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def _disown(self, fd: int) -> None:
        self._fds.remove(fd)
        os.close(fd)

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._fds += ends
        os.set_blocking(ends[0], False)
        return ends

    @property
    def link_fd(self) -> int:
        """The descriptor from which the zygote's word on this job comes; -1 if none."""
        return self.link.fileno() if self.link is not None else -1

    def wait(self) -> dict[str, Any]:
        """Collect the output until the zygote says how the run ended.

        Raises:
            SandboxFault: It did not say in time, or is gone.
        """
        if self.link is None:
            raise SandboxFault("the run was given up")
        link_fd = self.link.fileno()
        captures = {self.out.fd: self.out, self.err.fd: self.err}
        poller = select.poll()
        for fd in (link_fd, *captures):
            poller.register(fd, select.POLLIN)
        deadline = self._began + self.limits.wall_seconds + GRACE_SECONDS
        while True:
            left = deadline - time.monotonic()
            ready = poller.poll(max(0.0, left) * 1000)
            if not ready and left <= 0:
                raise SandboxFault("a zygote did not say in time how a run ended")
            for fd, _ in ready:
                if fd in captures and not captures[fd].drain():
                    poller.unregister(fd)
            self.end_if_cut()
            if any(fd == link_fd for fd, _ in ready):
                return self.answer()

    def answer(self) -> dict[str, Any]:
        """Return how the run ended, once the zygote has said so.

        Raises:
            SandboxFault: It has not, and never will.
        """
        text = b""
        if self.link is not None:
            try:
                text = self.link.recv(65536)
            except ConnectionResetError:  # it left an order unread; its word follows
                text = self.link.recv(65536)
        if not text:
            raise SandboxFault("a zygote ended during a run")
        answer: dict[str, Any] = json.loads(text)
        if answer.get("fault"):
            raise SandboxFault(f"a run could not be set up: {answer['fault']}")
        for capture in (self.out, self.err):
            capture.drain()
        return answer

    def end_if_cut(self) -> bool:
        """End the run if it wrote too much; return whether it did."""
        is_cut = self.out.is_cut or self.err.is_cut
        if is_cut and not self._is_told:
            self._is_told = True
            self.order(kill="output")
        return is_cut

    def order(self, **what: object) -> None:
        """Tell the zygote something of this job."""
        link = self.link
        if link is not None:
            with contextlib.suppress(OSError):
                link.send(json.dumps(what).encode(), socket.MSG_DONTWAIT)

    def cancel(self) -> None:
        """End the run from another thread; `wait` then returns or raises."""
        self.order(kill="host")

    def close(self) -> None:
        """Let go of all descriptors; a run that still runs is ended by that."""
        link, self.link = self.link, None
        if link is not None:
            link.close()
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()


def outcome(
    answer: Mapping[str, Any],
    out: Capture,
    err: Capture,
    limits: RunLimits,
    isolation: Isolation,
) -> Result:
    """Say how a run ended.

    Raises:
        SandboxFault: The host ended it, so that nothing is known.
    """
    waited = int(answer["status"])
    code = os.waitstatus_to_exitcode(waited)
    status, reason = _status(str(answer["killed"]), code, answer, err.text, limits)
    if out.is_cut or err.is_cut:
        status = Status.OUTPUT_LIMIT
        reason = _KILLED["output"][1].format(limits)
        code = -signal.SIGKILL if code == 0 else code
    return Result(
        status=status,
        exit_code=code,
        stdout=out.text,
        stderr=err.text,
        cpu_seconds=float(answer["cpu_seconds"]),
        wall_seconds=float(answer["wall_seconds"]),
        peak_memory_bytes=int(answer["peak_bytes"]),
        truncated=out.is_cut or err.is_cut,
        isolation=isolation,
        reason=reason,
    )


def _status(
    killed: str, code: int, answer: Mapping[str, Any], stderr: str, limits: RunLimits
) -> tuple[Status, str]:
    if killed in _KILLED and code == -signal.SIGKILL:
        status, text = _KILLED[killed]
        return status, text.format(limits)
    if killed == "host" and code == -signal.SIGKILL:
        raise SandboxFault("a run was ended by the host")
    if code == 0:
        return Status.OK, ""
    if code == -signal.SIGSYS:
        return Status.DENIED, "it made a system call that no program may make"
    if code == -signal.SIGXFSZ:
        return Status.DISK_LIMIT, "a file of its was too long"
    if code < 0:
        spent = float(answer["cpu_seconds"])
        if code in (-signal.SIGXCPU, -signal.SIGKILL) and spent >= limits.cpu_seconds:
            return Status.TIMEOUT, _KILLED["cpu"][1].format(limits)
        return Status.SIGNAL, f"signal {-code} ended it"
    room = int(answer.get("room_bytes", 2**62))
    return by_last_words(stderr, limits, room) or (Status.NONZERO, "")


def by_last_words(
    stderr: str, limits: RunLimits, room_bytes: int
) -> tuple[Status, str] | None:
    """Read what an uncaught exception was from the last line of the error stream.

    Raises:
        SandboxFault: No room was left on the host's disk, which is not its doing.
    """
    last = stderr.rstrip().rsplit("\n", 1)[-1]
    for pattern, status in _LAST_WORDS:
        if not pattern.match(last):
            continue
        if status is Status.DISK_LIMIT and room_bytes < _FULL_BYTES:
            raise SandboxFault("the host's disk is full")
        return status, f"it ended with: {last[:200]}"
    return None


def check_language(language: str, isolation: Isolation) -> None:
    """Check that programs of this language can run.

    Raises:
        ValueError: They cannot here.
    """
    if language not in ("python", "shell"):
        raise ValueError(
            '`language` must be "python" or "shell" in a local sandbox, not'
            f" {language!r}"
        )
    if language == "shell" and isolation == "landlock":
        raise ValueError(
            'language="shell" needs the "ns" tier: the "landlock" tier starts no'
            " processes, so run Python there or open namespaces to this user"
        )
