"""`pydantic-monty`: an interpreter of a part of Python, written in Rust.

A program reaches nothing that is not handed to it, on any system, and starts in about a
millisecond. What it lacks is much: most of the standard library, packages, `sys.exit`,
`input`, files, processes, and sleeping (`time.sleep` returns at once). So it is a
language of its own here, `language="python_subset"`, and never a substitute that is
picked silently.
"""

from __future__ import annotations

import ast
import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from llm_gym.errors import SandboxFault, SandboxUnavailable, require
from llm_gym.sandbox.base import Files, Isolation, Language, Result, RunLimits, Status

__all__ = ["MontySandbox", "MontySession", "open_monty"]

_EXTRA = "monty"
_SLACK_BYTES = 2**12


class _OutputFull(Exception):
    """The program wrote more than it may."""


class _Output:
    """What a program wrote, as far as its bound."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._kept = {"stdout": bytearray(), "stderr": bytearray()}
        self.is_cut = False

    def __call__(self, stream: str, text: str) -> None:
        kept, data = self._kept[stream], text.encode("utf-8", "replace")
        room = self._bound - len(kept)
        kept += data[:room]
        if len(data) > room:
            self.is_cut = True
            raise _OutputFull

    def text(self, stream: str) -> str:
        """Return what was kept of a stream."""
        return self._kept[stream].decode("utf-8", "replace")


class MontySandbox:
    """Runs programs by `pydantic-monty`; made by `open_monty`. Threads may share it.

    Args:
        limits: What a run may use unless it says otherwise. `disk_bytes`, `files` and
            `processes` mean nothing here: there are none.
    """

    def __init__(self, limits: RunLimits | None) -> None:
        self._limits = limits or RunLimits()
        self._monty: Any = require("pydantic_monty", extra=_EXTRA)
        try:
            self._pool = self._monty.Monty(max_checkouts_per_worker=1_000).__enter__()
        except Exception as err:  # it names no errors of its start
            raise SandboxUnavailable(
                f"`pydantic-monty` cannot start its workers: {err}; install it anew"
            ) from err
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False

    @property
    def isolation(self) -> Isolation:
        """What keeps programs in."""
        return "monty"

    def run(
        self,
        program: str,
        *,
        files: Files | None = None,
        stdin: str | bytes = b"",
        limits: RunLimits | None = None,
        language: Language = "python",
    ) -> Result:
        """Run a program of Python's subset; see `Sandbox.run`.

        Raises:
            ValueError: The language is another one, or there are files or an input.
            SandboxFault: The worker was lost, twice.
        """
        self._check(language, files, stdin)
        limits = limits or self._limits
        for attempt in (1, 2):
            with self._checkout(limits) as session:
                result = self.feed(session, program, limits)
            if result is not None:
                return result
            if attempt == 2:
                break
        raise SandboxFault("a worker of `pydantic-monty` was lost, twice")

    async def arun(
        self,
        program: str,
        *,
        files: Files | None = None,
        stdin: str | bytes = b"",
        limits: RunLimits | None = None,
        language: Language = "python",
    ) -> Result:
        """Run a program without holding the event loop; its limits end it."""
        self._check(language, files, stdin)
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(None, "llm-gym-monty")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads,
            lambda: self.run(program, limits=limits, language=language),
        )

    def session(
        self, *, files: Files | None = None, limits: RunLimits | None = None
    ) -> MontySession:
        """Open a session, which has names but no files."""
        self._check("python_subset", files, b"")
        return MontySession(self, limits or self._limits)

    def _check(self, language: str, files: Files | None, stdin: str | bytes) -> None:
        if self._closed:
            raise ValueError("this sandbox is closed: open another one")
        if language != "python_subset":
            raise ValueError(
                'monty runs a part of Python only: say language="python_subset", not'
                f" {language!r}"
            )
        if files or stdin:
            raise ValueError("monty has neither files nor a standard input")

    def _checkout(self, limits: RunLimits) -> Any:
        seconds = min(limits.wall_seconds, limits.cpu_seconds)
        return self._pool.checkout(
            limits={
                "max_feed_duration_secs": seconds,
                "max_memory": int(limits.memory_bytes),
                "max_suspensions": 100_000,
            },
            # A sleep counts towards no limit of time.
            os_policy={"sleep": "zero", "random_start": {"seed": 0}},
        )

    def feed(self, session: Any, program: str, limits: RunLimits) -> Result | None:
        """Run a program in a checked-out session; None if the worker was lost."""
        output = _Output(int(limits.output_bytes))
        began = time.monotonic()
        status, words = Status.OK, ""
        try:
            # Its value is dropped: what it would be here has no bound.
            session.feed_run(program + "\nNone\n", print_callback=output)
        except self._monty.MontyCrashedError as err:
            if not err.timed_out and "limit" not in str(err):
                return None
            status, words = Status.TIMEOUT, str(err)
        except self._monty.MontyError as err:
            status, words = _status_of(err.exception(), output), err.display()
        return self._result(status, words, output, time.monotonic() - began)

    def _result(
        self, status: Status, words: str, output: _Output, seconds: float
    ) -> Result:
        is_limit = status not in (Status.OK, Status.NONZERO)
        return Result(
            status=status,
            exit_code=0 if status is Status.OK else -9 if is_limit else 1,
            stdout=output.text("stdout"),
            stderr=output.text("stderr")
            + (words + "\n" if words else "")[:_SLACK_BYTES],
            cpu_seconds=seconds,
            wall_seconds=seconds,
            peak_memory_bytes=0,
            truncated=output.is_cut,
            isolation="monty",
            reason=words.splitlines()[-1][:200] if is_limit and words else "",
        )

    def close(self) -> None:
        """End the workers; harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        if self._threads is not None:
            self._threads.shutdown(wait=True)
        self._pool.__exit__(None, None, None)

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


class MontySession:
    """Names that last for an episode's turns; there are no files.

    Args:
        sandbox: Where its programs run.
        limits: Of each call, unless that says otherwise.
    """

    def __init__(self, sandbox: MontySandbox, limits: RunLimits) -> None:
        self._sandbox = sandbox
        self._limits = limits
        self._session: Any = None
        self._closed = False

    def execute(self, code: str, *, limits: RunLimits | None = None) -> Result:
        """Run code in the session's interpreter; see `Session.execute`.

        The limits of time and memory are those of the session's start.
        """
        if self._closed:
            raise ValueError("this session is closed: open another one")
        if self._session is None:
            self._session = self._sandbox._checkout(self._limits)
            self._session.__enter__()
        limits = limits or self._limits
        result = self._sandbox.feed(self._session, _echoing(code), limits)
        if result is None:
            self._leave()
            raise SandboxFault("a worker of `pydantic-monty` was lost")
        if result.exit_code < 0:  # a limit leaves the interpreter in an unknown state
            self._leave()
        return result

    def run(
        self,
        program: str,
        *,
        stdin: str | bytes = b"",
        limits: RunLimits | None = None,
        language: Language = "python",
    ) -> Result:
        """Run a program without the session's names."""
        return self._sandbox.run(
            program, stdin=stdin, limits=limits or self._limits, language=language
        )

    async def aexecute(self, code: str, *, limits: RunLimits | None = None) -> Result:
        """Run code without holding the event loop; cancelling does not end it."""
        return await asyncio.to_thread(self.execute, code, limits=limits)

    async def arun(
        self,
        program: str,
        *,
        stdin: str | bytes = b"",
        limits: RunLimits | None = None,
        language: Language = "python",
    ) -> Result:
        """Run a program without the session's names; see `MontySandbox.arun`."""
        limits = limits or self._limits
        return await self._sandbox.arun(
            program, stdin=stdin, limits=limits, language=language
        )

    def write_file(self, path: str, content: str | bytes) -> None:
        """Refuse: there are no files.

        Raises:
            OSError: Always.
        """
        raise OSError(f"monty has no files: {path!r} cannot be written")

    def read_file(self, path: str, *, max_bytes: int = 2**20) -> bytes:
        """Refuse: there are no files.

        Raises:
            FileNotFoundError: Always.
        """
        raise FileNotFoundError(f"monty has no files: there is no {path!r}")

    def list_files(self) -> list[str]:
        """Return none."""
        return []

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.__exit__(None, None, None)

    def close(self) -> None:
        """Give the worker back; harmless when repeated."""
        self._closed = True
        self._leave()

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the session."""
        self.close()


def _status_of(error: BaseException, output: _Output) -> Status:
    text = str(error)
    if output.is_cut:
        return Status.OUTPUT_LIMIT
    if isinstance(error, TimeoutError) and "time limit exceeded" in text:
        return Status.TIMEOUT
    if isinstance(error, MemoryError) and "memory limit exceeded" in text:
        return Status.OUT_OF_MEMORY
    if isinstance(error, PermissionError):
        return Status.DENIED
    return Status.NONZERO


def _echoing(code: str) -> str:
    """Return code that prints the value of its last expression, unless it is None."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code  # the interpreter will say what is wrong
    if not body or not isinstance(last := body[-1], ast.Expr):
        return code
    lines = code.encode().splitlines(keepends=True)
    before = (
        b"".join(lines[: last.lineno - 1]) + lines[last.lineno - 1][: last.col_offset]
    )
    value = code.encode()[len(before) :].decode()
    shown = f"__last = (\n{value}\n)\nif __last is not None:\n    print(repr(__last))\n"
    return before.decode() + shown


def open_monty(*, limits: RunLimits | None = None) -> MontySandbox:
    """Open a sandbox for `language="python_subset"`, and see that it holds.

    Args:
        limits: What a run may use unless it says otherwise.

    Raises:
        MissingDependencyError: `pydantic-monty` is not installed.
        SandboxUnavailable: It does not work, or lets something through.
    """
    sandbox = MontySandbox(limits)
    try:
        _prove(sandbox)
    except BaseException:
        sandbox.close()
        raise
    return sandbox


def _prove(sandbox: MontySandbox) -> None:
    short = RunLimits(wall_seconds=0.05, cpu_seconds=0.05)
    small = RunLimits(wall_seconds=5.0, cpu_seconds=5.0, memory_bytes=2**24)
    for program, status, limits in (
        ("print(sum(range(10)))", Status.OK, None),
        ("open('/etc/passwd').read()", Status.DENIED, None),
        ("import socket", Status.NONZERO, None),
        ("import os\nprint(os.environ)", Status.NONZERO, None),
        ("while True: pass", Status.TIMEOUT, short),
        ("x = []\nwhile True: x.append('y' * 65536)", Status.OUT_OF_MEMORY, small),
    ):
        result = sandbox.run(program, limits=limits, language="python_subset")
        if result.status is not status:
            raise SandboxUnavailable(
                "`pydantic-monty` did not prove itself: a program ended as"
                f" {result.status.value}, not {status.value}: {program!r}"
            )
