"""The host's side of a zygote: starts it, hands it jobs, notices that it is gone."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llm_gym.errors import SandboxFault
from llm_gym.sandbox.trees import remove_tree

__all__ = ["Tier", "ZygoteOptions", "ZygoteProcess", "interpreter"]

Tier = Literal["ns", "landlock", "unsafe"]

_START_SECONDS = 20.0
_END_SECONDS = 2.0
_HERE = Path(__file__).parent
_NOBODY = 65534


@dataclass(frozen=True, slots=True)
class ZygoteOptions:
    """How to start a zygote.

    Attributes:
        tier: What keeps its programs in.
        python_paths: Directories that programs may import from.
        without: Layers to leave out, so that tests see the self-check refuse.
        landlock_abi: The newest version of Landlock to use, for tests of older ones.
    """

    tier: Tier
    python_paths: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    landlock_abi: int | None = None


def interpreter() -> str:
    """Return the Python to start: this one's base, or the system's if that is shut.

    Raises:
        SandboxFault: No Python can be started.
    """
    own = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    for path in (own, shutil.which("python3", path="/usr/local/bin:/usr/bin") or own):
        if os.access(path, os.X_OK):
            return path
    raise SandboxFault(f"no Python can be started here: `{own}` is not executable")


class ZygoteProcess:
    """A running zygote.

    Args:
        options: How to start it.

    Raises:
        SandboxFault: It did not start; the message says why.
    """

    def __init__(self, options: ZygoteOptions) -> None:
        self.options = options
        self.directory = ""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self.directory = _make_directory(options.tier)
                self._process = self._spawn(theirs)
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _spawn(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        config = {
            "tier": self.options.tier,
            "control_fd": theirs.fileno(),
            "host_pid": os.getpid(),
            "package": str(_HERE),
            "directory": self.directory,
            "python_paths": list(self.options.python_paths),
            "without": list(self.options.without),
            "landlock_abi": self.options.landlock_abi,
        }
        flags = ["-s", "-P", "-S", "-B", "-X", "utf8"]
        program = [interpreter(), *flags, str(_HERE / "_zygote.py"), json.dumps(config)]
        # A pipe that nobody reads: its streams are then as on the pipes of a run.
        unread, pipe = os.pipe()
        try:
            return subprocess.Popen(  # noqa: S603  # our own file, no shell
                program,
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env=_environment(),
                cwd="/",
                start_new_session=True,
            )
        except OSError as err:
            raise SandboxFault(f"no zygote could be started: {err}") from err
        finally:
            os.close(unread)
            os.close(pipe)

    def _wait_until_ready(self) -> None:
        self.control.settimeout(_START_SECONDS)
        try:
            text = self.control.recv(65536)
        except OSError as err:
            raise SandboxFault(f"a zygote did not start: {err}") from err
        answer = json.loads(text) if text else {"error": self._last_words()}
        if "error" in answer:
            raise SandboxFault(f"a zygote did not start: {answer['error']}")

    def _last_words(self) -> str:
        process = self._process
        if process is None or process.stderr is None:
            return "it ended"
        words = process.stderr.read(4096).decode("utf-8", "replace").strip()
        return words.splitlines()[-1] if words else "it ended"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid if self._process else 0

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process is not None and self._process.poll() is None

    def submit(self, request: dict[str, Any], fds: Sequence[int]) -> socket.socket:
        """Hand a job over.

        Args:
            request: What it is; plain JSON.
            fds: Descriptors that it needs; they stay open here.

        Returns:
            The host's end of the job's link: how it ended comes from there.

        Raises:
            SandboxFault: The zygote is gone.
        """
        return submit(self.control, self._lock, request, fds)

    def close(self, *, at_once: bool = False) -> None:
        """End it and all that it runs; harmless when repeated.

        Args:
            at_once: Do not wait for it to end by itself: it may no longer answer.
        """
        self.control.close()
        process, self._process = self._process, None
        if process is not None:
            _end(process, 0.0 if at_once else _END_SECONDS)
        directory, self.directory = self.directory, ""
        if directory:
            _remove(directory)

    def abandon(self) -> None:
        """Let go of it in a forked child, whose parent still uses it."""
        self.control.close()
        process, self._process = self._process, None
        self.directory = ""
        if process is not None:
            process.returncode = 0  # so that nobody waits for what is no child here
            if process.stderr is not None:
                process.stderr.close()


def submit(
    control: socket.socket,
    lock: threading.Lock,
    request: dict[str, Any],
    fds: Sequence[int],
) -> socket.socket:
    """Send a job over a control socket; see `ZygoteProcess.submit`."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with theirs, lock:
            message = [json.dumps(request).encode()]
            socket.send_fds(control, message, [theirs.fileno(), *fds])
    except OSError as err:
        ours.close()
        raise SandboxFault(f"a zygote is gone: {err}") from err
    return ours


def wait_readable(fds: Sequence[int], deadline: float) -> bool:
    """Wait until one of the descriptors can be read, or the deadline passes."""
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    return bool(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))


def _end(process: subprocess.Popen[bytes], patience_seconds: float) -> None:
    """End a zygote; its programs are bound to die with it."""
    try:
        process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    if process.stderr is not None:
        process.stderr.close()


def _remove(directory: str) -> None:
    """Remove a zygote's directory; a program that is just dying may write once more."""
    for _ in range(20):
        try:
            remove_tree(directory)
        except OSError:
            time.sleep(0.01)
        if not Path(directory).exists():
            return


def _make_directory(tier: Tier) -> str:
    if tier == "ns":
        return ""
    try:
        path = tempfile.mkdtemp(prefix="llm-gym-")
        if os.geteuid() == 0 and tier != "unsafe":
            os.chown(path, _NOBODY, _NOBODY)
    except OSError as err:
        raise SandboxFault(f"no directory for runs could be made: {err}") from err
    return path


def _environment() -> dict[str, str]:
    """Return a zygote's environment: nothing of this one but the loader's path."""
    kept = {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8"}
    if path := os.environ.get("LD_LIBRARY_PATH"):
        kept["LD_LIBRARY_PATH"] = path
    return kept
