"""The vocabulary of a sandbox: what is asked of it, and what comes back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol, Self, runtime_checkable

__all__ = [
    "Files",
    "Isolation",
    "Language",
    "Result",
    "RunLimits",
    "Sandbox",
    "Session",
    "Status",
]

Language = Literal["python", "shell", "python_subset"]
Isolation = Literal["ns", "landlock", "bubblewrap", "docker", "monty", "unsafe"]
Files = Mapping[str, str | bytes]
"""Contents by path, relative to the working directory, "/" between its parts."""


class Status(Enum):
    """How a program ended; each is the program's own doing.

    What is not (no status, a dead zygote, a failed set-up, a full host disk) has no
    status: it raises `SandboxFault`.
    """

    OK = "ok"
    NONZERO = "nonzero"
    """It exited with another code than 0."""
    SIGNAL = "signal"
    """A signal ended it; `exit_code` is minus its number."""
    TIMEOUT = "timeout"
    """It ran over its wall-clock or CPU seconds."""
    OUTPUT_LIMIT = "output_limit"
    OUT_OF_MEMORY = "out_of_memory"
    DISK_LIMIT = "disk_limit"
    DENIED = "denied"
    """It tried what no program may, and was stopped for that."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What a program may use.

    Attributes:
        wall_seconds: Wall clock. A run returns within this and 1.5 seconds.
        cpu_seconds: Processor time, of all its processes.
        memory_bytes: Memory, of all its processes.
        output_bytes: Each of stdout and stderr; what is more is cut off, and the
            program ended.
        disk_bytes: All that it has written in its directory.
        files: How many files and directories it may have there.
        processes: Processes and threads at once, where the isolation allows any.

    Raises:
        ValueError: A limit is not above zero, or not finite.
    """

    wall_seconds: float = 10.0
    cpu_seconds: float = 10.0
    memory_bytes: int = 512 * 2**20
    output_bytes: int = 2**20
    disk_bytes: int = 64 * 2**20
    files: int = 1_024
    processes: int = 32

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"`{name}` must be above 0 and finite, not {value!r}")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run.

    Attributes:
        status: How it ended.
        exit_code: Its exit code; minus the signal's number if one ended it, so -9 where
            a limit did.
        stdout: What it wrote, read as UTF-8 with bad bytes replaced.
        stderr: The same of its error stream.
        cpu_seconds: Processor time, of all its processes.
        wall_seconds: Wall clock.
        peak_memory_bytes: The most memory that it held, as far as that was seen.
        truncated: Whether stdout or stderr was cut off.
        isolation: What kept it in; "unsafe" if nothing did.
        reason: What ended it, in words, where it was not its own exit.
    """

    status: Status
    exit_code: int
    stdout: str
    stderr: str
    cpu_seconds: float
    wall_seconds: float
    peak_memory_bytes: int
    truncated: bool
    isolation: Isolation
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether it exited with 0 and nothing of its output was cut off."""
        return self.status is Status.OK and not self.truncated


@runtime_checkable
class Session(Protocol):
    """A working directory and a Python interpreter that last for an episode's turns."""

    def execute(self, code: str, *, limits: RunLimits | None = None) -> Result:
        """Run code in the session's own interpreter, which keeps its names.

        As at Python's prompt, the value of a last expression is printed unless it is
        None. An exception is printed to stderr: `Status.NONZERO`, exit code 1, and the
        session goes on. A limit ends the interpreter; the next call starts a new one,
        without names, on the same files. Here `output_bytes` and `wall_seconds` are per
        call.
        """
        ...

    def run(
        self,
        program: str,
        *,
        stdin: str | bytes = b"",
        limits: RunLimits | None = None,
        language: Language = "python",
    ) -> Result:
        """Run a program in a process of its own, in the session's directory."""
        ...

    async def aexecute(self, code: str, *, limits: RunLimits | None = None) -> Result:
        """Run code as `execute` does, without holding the event loop.

        Cancelling ends the interpreter, as a limit does.
        """
        ...

    async def arun(
        self,
        program: str,
        *,
        stdin: str | bytes = b"",
        limits: RunLimits | None = None,
        language: Language = "python",
    ) -> Result:
        """Run a program as `run` does, without holding the event loop.

        Cancelling ends it.
        """
        ...

    def write_file(self, path: str, content: str | bytes) -> None:
        """Write a file of the session's directory, with the directories above it.

        Raises:
            ValueError: The path is absolute, leaves the directory or holds a NUL.
            OSError: A link or something that is no file stands there, or no room.
        """
        ...

    def read_file(self, path: str, *, max_bytes: int = 2**20) -> bytes:
        """Read a file that the model may have written.

        Raises:
            ValueError: The path is absolute, leaves the directory or holds a NUL.
            FileNotFoundError: There is none.
            OSError: It is a link, no regular file, or longer than `max_bytes`.
        """
        ...

    def list_files(self) -> list[str]:
        """Return the sorted paths of the regular files, links left out.

        Raises:
            OSError: There are more than the session may have.
        """
        ...

    def close(self) -> None:
        """End all that runs in the session and remove its files."""
        ...

    def __enter__(self) -> Self:
        """Return the session."""
        ...

    def __exit__(self, *exception: object) -> None:
        """Close the session."""
        ...


@runtime_checkable
class Sandbox(Protocol):
    """Runs programs that nobody trusts. Threads may share one.

    Attributes:
        isolation: What keeps programs in.
    """

    @property
    def isolation(self) -> Isolation:
        """What keeps programs in."""
        ...

    def run(
        self,
        program: str,
        *,
        files: Files | None = None,
        stdin: str | bytes = b"",
        limits: RunLimits | None = None,
        language: Language = "python",
    ) -> Result:
        """Run a program in an empty directory of its own, of which nothing is kept.

        Args:
            program: Its source.
            files: What stands in its directory when it starts.
            stdin: What it reads.
            limits: What it may use, the sandbox's own if None.
            language: What it is written in.

        Returns:
            What came of it; everything that the program does itself is a `Status`.

        Raises:
            ValueError: A path or the language is not possible here.
            SandboxFault: The sandbox failed, twice: the program is not to blame.
        """
        ...

    async def arun(
        self,
        program: str,
        *,
        files: Files | None = None,
        stdin: str | bytes = b"",
        limits: RunLimits | None = None,
        language: Language = "python",
    ) -> Result:
        """Run a program without holding the event loop; see `run`."""
        ...

    def session(
        self, *, files: Files | None = None, limits: RunLimits | None = None
    ) -> Session:
        """Open a session; see `Session`."""
        ...

    def close(self) -> None:
        """End all that runs and remove all that was written."""
        ...

    def __enter__(self) -> Self:
        """Return the sandbox."""
        ...

    def __exit__(self, *exception: object) -> None:
        """Close the sandbox."""
        ...
