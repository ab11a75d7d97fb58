"""Bubblewrap with the flags that hold, and this package's seccomp filter.

It starts an interpreter for each run, three times as slow as this package's own tiers
and no safer; it is for machines where `bwrap` is what was audited. Lacks: sessions, a
limit on the number of files, and the difference between a signal and an exit code above
128.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from pathlib import Path

from llm_gym.errors import SandboxFault, SandboxUnavailable
from llm_gym.sandbox import seccomp
from llm_gym.sandbox.base import Isolation, RunLimits
from llm_gym.sandbox.layout import layout_of
from llm_gym.sandbox.providers._process import (
    LAUNCHER,
    PYTHON_FLAGS,
    Command,
    CommandSandbox,
    Ended,
)
from llm_gym.sandbox.providers._selfcheck import prove

__all__ = ["BubblewrapSandbox", "open_bubblewrap"]

_NOBODY = 65534
_DEVICES = ("null", "zero", "full", "random", "urandom")


class BubblewrapSandbox(CommandSandbox):
    """Runs each program by `bwrap`; made by `open_bubblewrap`.

    Args:
        program: The path of `bwrap`.
        limits: What a run may use unless it says otherwise.
    """

    def __init__(self, program: str, limits: RunLimits | None) -> None:
        super().__init__(limits)
        self._program = program
        self._python = _reachable_python()
        self._shown = _shown(self._python)
        self._filter = seccomp.program("ns")

    @property
    def isolation(self) -> Isolation:
        """What keeps programs in."""
        return "bubblewrap"

    @property
    def _scratch(self) -> str:
        return "/box/source"

    def _command(self, limits: RunLimits) -> Command:
        rules, fd = os.pipe2(os.O_CLOEXEC)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.write(fd, self._filter)  # some kilobytes: a pipe holds 64
        os.close(fd)
        flags = ["--unshare-all", "--die-with-parent", "--new-session"]
        flags += ["--cap-drop", "ALL", "--uid", "1000", "--gid", "1000"]
        flags += ["--hostname", "sandbox", "--seccomp", str(rules)]
        flags += ["--json-status-fd", str(writer), *self._shown, *_box(limits)]
        python = [self._python, *PYTHON_FLAGS, LAUNCHER]
        return Command(
            [self._program, *flags, "--", *python],
            pass_fds=(rules, writer),
            status_fd=reader,
            user=_NOBODY if os.geteuid() == 0 else None,
            own=[rules, writer],
        )

    def _exit_code(self, ended: Ended) -> int:
        for line in ended.about.splitlines():
            if "exit-code" in (said := json.loads(line)):
                code = int(said["exit-code"])
                return 128 - code if code > 128 else code
        words = ended.streams[1].decode("utf-8", "replace").strip()
        raise SandboxFault(f"bwrap did not run the program: {words[-300:]}")


def _box(limits: RunLimits) -> list[str]:
    size = str(int(limits.disk_bytes) + 2**16)
    flags = ["--size", size, "--tmpfs", "/box", "--dir", "/box/work"]
    flags += ["--dir", "/box/tmp", "--size", str(2**22), "--tmpfs", "/box/source"]
    flags += ["--remount-ro", "/"]
    for name, value in (
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("HOME", "/box/work"),
        ("TMPDIR", "/box/tmp"),
        ("LANG", "C.UTF-8"),
        ("PYTHONHASHSEED", "0"),
    ):
        flags += ["--setenv", name, value]
    return [*flags, "--chdir", "/box/work"]


def _shown(python: str) -> list[str]:
    """Return the flags that show the system, devices and nothing of the host's own."""
    layout = layout_of(whole_system=True, python_paths=())
    flags: list[str] = ["--proc", "/proc", "--dir", "/dev", "--dir", "/tmp"]  # noqa: S108
    paths = [path for path in layout.show if path != sys.executable]
    for path in dict.fromkeys([*paths, python]):
        if Path(path).is_symlink():
            flags += ["--symlink", os.readlink(path), path]  # noqa: PTH115
        elif _is_open_to_all(path):
            flags += ["--ro-bind", path, path]
    for path in layout.mask:
        if _is_open_to_all(path):
            flags += ["--size", "4096", "--tmpfs", path, "--remount-ro", path]
    for name in _DEVICES:
        flags += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    return [*flags, "--symlink", "/box/tmp", "/dev/shm"]  # noqa: S108  # semaphores


def _is_open_to_all(path: str) -> bool:
    """Whether any user can reach and read a path: bwrap runs as one without rights."""
    try:
        found = Path(path).resolve(strict=True)
        ways = [p.stat().st_mode & stat.S_IXOTH for p in found.parents]
        return all(ways) and bool(found.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _reachable_python() -> str:
    own = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    system = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    for path in (own, system):
        if path and _is_open_to_all(os.path.realpath(path)):
            return os.path.realpath(path)
    raise SandboxUnavailable(
        f"bubblewrap finds no Python that every user can read: neither {own!r} nor"
        f" {system!r}; install one under /usr"
    )


def open_bubblewrap(
    *, limits: RunLimits | None = None, program: str | None = None
) -> BubblewrapSandbox:
    """Open a sandbox that runs each program by bubblewrap, and see that it holds.

    Args:
        limits: What a run may use unless it says otherwise.
        program: The path of `bwrap`, looked up if None.

    Raises:
        SandboxUnavailable: It is not installed, does not work or does not hold.
    """
    found = program or shutil.which("bwrap")
    if found is None:
        raise SandboxUnavailable(
            "bubblewrap is not installed: `apt install bubblewrap`, or use"
            " `open_sandbox()`"
        )
    sandbox = BubblewrapSandbox(found, limits)
    try:
        prove(sandbox)
    except BaseException:
        sandbox.close()
        raise
    return sandbox
