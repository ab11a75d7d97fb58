"""The host's side of a session's interpreter: one exchange of frames for each call.

The interpreter runs in the process of the program itself, so nothing that it says is
believed beyond "this call is over": limits are the zygote's, output is what the pipes
held, and time is the kernel's.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from pathlib import Path
from typing import Any

from llm_gym.errors import SandboxFault
from llm_gym.sandbox.base import Isolation, Result, RunLimits, Status
from llm_gym.sandbox.job import (
    GRACE_SECONDS,
    Job,
    Request,
    Submit,
    by_last_words,
    outcome,
)

__all__ = ["Interpreter"]

_HEADER = struct.Struct("<II")
_UNWATCHED_SECONDS = 0.05
"""A call that takes longer is watched by the zygote."""
_QUICK_SECONDS = 0.001
"""A call within this is taken not to have needed more memory than those before."""
_AWAKE_EVERY = 0.5
"""How often, at most, the zygote is told that there are calls."""
_PART_BYTES = 2**17
_LONGEST_CODE = 2**24


class Interpreter:
    """A running interpreter of a session.

    Args:
        submit: Hands a job to the session's zygote.
        limits: What the session may use.
        isolation: What keeps it in.

    Attributes:
        is_over: Whether it has ended, so that another is needed.

    Raises:
        SandboxFault: It could not be started.
    """

    def __init__(self, submit: Submit, limits: RunLimits, isolation: Isolation) -> None:
        self.is_over = False
        self._isolation = isolation
        self._number = 0
        self._pid = 0
        self._clock = 0
        self._cpu_seconds = 0.0
        self._peak_bytes = 0
        self._told_at = 0.0
        self._final: dict[str, Any] | None = None
        self._frames, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                request = Request(b"", {}, b"", limits, kind="interpreter")
                self._job = Job(request, submit, [theirs.fileno()])
            except BaseException:
                self._frames.close()
                raise
        self._frames.setblocking(False)
        self._frames_fd = self._frames.fileno()
        self._link_fd = self._job.link_fd
        self._captures = {c.fd: c for c in (self._job.out, self._job.err)}
        self._only_answered = [(self._frames_fd, select.POLLIN)]
        self._poller = select.poll()
        # The frames first: the output of a call is written before its answer is, so a
        # poll that sees the answer sees the output too.
        for fd in (self._frames_fd, *self._captures, self._link_fd):
            self._poller.register(fd, select.POLLIN)

    def call(self, code: str, limits: RunLimits) -> Result:
        """Run code.

        Raises:
            ValueError: The code is absurdly long.
            SandboxFault: The zygote is gone, or no longer answers.
        """
        source = code.encode("utf-8", "surrogatepass")
        if len(source) > _LONGEST_CODE:
            raise ValueError(f"code of {len(source)} bytes is too long")
        began = time.monotonic()
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._job.out.restart(limits.output_bytes)
        self._job.err.restart(limits.output_bytes)
        if began - self._told_at > _AWAKE_EVERY:
            self._tell_awake(began, limits)
        data = _HEADER.pack(len(source), self._number) + source
        failed = self._exchange(data, began, limits)
        wall = time.monotonic() - began
        if failed is None:
            return self._ended(limits, wall)
        return self._result(failed, limits, wall)

    def _tell_awake(self, now: float, limits: RunLimits) -> None:
        self._told_at = now
        self._job.order(awake=True, cpu_seconds=limits.cpu_seconds)

    def _exchange(self, data: bytes, began: float, limits: RunLimits) -> bool | None:
        """Send a request and wait for its answer; None if the interpreter ended."""
        rest = self._send(data)
        if not rest:
            ready = self._poller.poll(_UNWATCHED_SECONDS * 1000)
            if ready == self._only_answered:
                failed = self._hear()
                if failed is not None:
                    return failed
            elif (failed := self._take(ready)) is not None:
                return failed
        return self._wait(rest, began, limits)

    def _wait(self, rest: bytes, began: float, limits: RunLimits) -> bool | None:
        """Wait for the answer of a call that is long, large or talkative."""
        deadline = began + limits.wall_seconds + GRACE_SECONDS
        if rest:
            self._poller.modify(self._frames_fd, select.POLLIN | select.POLLOUT)
        watched = False
        while self._final is None:
            now = time.monotonic()
            if now >= deadline:
                raise SandboxFault("a zygote did not say in time how a call ended")
            if not watched and now - began >= _UNWATCHED_SECONDS:
                watched = True
                self._watch(limits, limits.wall_seconds - (now - began))
            patience = deadline - now if watched else 0.02
            answer = self._take(self._poller.poll(patience * 1000))
            if answer is not None:
                if watched:
                    self._tell_awake(time.monotonic(), limits)
                return answer
            if rest and not (rest := self._send(rest)):
                self._poller.modify(self._frames_fd, select.POLLIN)
        return None

    def _watch(self, limits: RunLimits, left: float) -> None:
        self._job.order(
            busy=True,
            wall_seconds=left,
            cpu_seconds=limits.cpu_seconds,
            memory_bytes=int(limits.memory_bytes),
        )

    def _send(self, data: bytes) -> bytes:
        """Send what there is room for, and return the rest."""
        try:
            return data[self._frames.send(data[:_PART_BYTES]) :]
        except BlockingIOError:
            return data
        except OSError:  # it closed its end: the link tells how it ended
            return data[:0]

    def _take(self, ready: list[tuple[int, int]]) -> bool | None:
        """Handle what is ready; return whether the call failed once it is over."""
        answer = None
        for fd, events in ready:
            if fd == self._frames_fd:
                if events == select.POLLOUT:
                    continue
                answer = self._hear()
            elif fd == self._link_fd:
                self._read_link()
            elif not self._captures[fd].drain():
                self._poller.unregister(fd)
        return None if self._job.end_if_cut() else answer

    def _hear(self) -> bool | None:
        """Read an answer; anything else than the one that is due ends the program."""
        try:
            frame = self._frames.recv(64)
        except OSError:
            frame = b""
        if len(frame) == _HEADER.size:
            number, failed = _HEADER.unpack(frame)
            if number == self._number:
                return bool(failed)
        self._poller.unregister(self._frames_fd)
        if frame:  # else it closed its end, and is about to end
            self._job.order(kill="frames")
        return None

    def _read_link(self) -> None:
        answer = self._job.answer()
        if "pid" in answer:
            # The kernel's clock of that process (time.pthread_getcpuclockid's kin).
            self._pid = int(answer["pid"])
            self._clock = (~self._pid << 3) | 2
        else:
            self._final = answer

    def _spent(self) -> float:
        """Return the processor time of this call."""
        before = self._cpu_seconds
        try:
            self._cpu_seconds = time.clock_gettime(self._clock)
        except OSError:  # it has just ended
            return 0.0
        return self._cpu_seconds - before if self._clock else 0.0

    def _look_at_peak(self) -> None:
        """Read how much memory it has held at most."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            text = Path(f"/proc/{self._pid}/status").read_text()
            self._peak_bytes = int(text.split("VmHWM:")[1].split()[0]) * 1024

    def _result(self, failed: bool, limits: RunLimits, wall: float) -> Result:
        out, err = self._job.out, self._job.err
        status, reason = Status.OK, ""
        if failed:
            found = by_last_words(err.text, limits, 2**62)
            status, reason = found or (Status.NONZERO, "")
        if wall > _QUICK_SECONDS or not self._peak_bytes:
            self._look_at_peak()
        return Result(
            status=status,
            exit_code=int(failed),
            stdout=out.text,
            stderr=err.text,
            cpu_seconds=self._spent(),
            wall_seconds=wall,
            peak_memory_bytes=self._peak_bytes,
            truncated=False,
            isolation=self._isolation,
            reason=reason,
        )

    def _ended(self, limits: RunLimits, wall: float) -> Result:
        """Say how the interpreter ended in this call."""
        self.is_over = True
        answer = dict(self._final or {})
        before = self._cpu_seconds
        answer["cpu_seconds"] = max(0.0, float(answer["cpu_seconds"]) - before)
        answer["wall_seconds"] = wall
        out, err = self._job.out, self._job.err
        result = outcome(answer, out, err, limits, self._isolation)
        self.close()
        return result

    def cancel(self) -> None:
        """End it from another thread; a call that is under way then raises."""
        self._job.cancel()

    def close(self) -> None:
        """End it; harmless when repeated."""
        self.is_over = True
        self._frames.close()
        self._job.close()
