"""The zygote's set-up, and the way from its fork to the locked-down program.

Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from llm_gym.sandbox import (
    _interpreter,
    _program,
    landlock,
    layout,
    namespaces,
    rlimits,
    seccomp,
    syscalls,
)

__all__ = ["Zygote", "fork", "prepare"]

_PR_SET_PDEATHSIG = 1
_TELL_FD, _FRAMES_FD = 3, 4
_PR_SET_KEEPCAPS, _CAP_DAC_READ_SEARCH = 8, 1 << 2
_TIERS = ("ns", "landlock", "unsafe")
_SOME_PID = 0x7FFFFFF1  # stands in the filter for the number of the process it is for
_ANY_SECONDS = 1e6  # of an interpreter the watchdog bounds each call
_READ = landlock.READ & ~1  # no program is started in the landlock tier


@dataclass(slots=True)
class Zygote:
    """What a zygote has and its children need."""

    tier: str
    proc_fd: int
    parent_fd: int
    python_paths: list[str]
    directory: str = ""
    shared: str = ""
    """The directory that all jobs share: that of a session."""
    base_bytes: int = 0
    base_private: int = 0
    landlock_abi: int = 0
    shared_rules: int = -1
    show: list[str] = field(default_factory=list)
    keep_capabilities: int = 0
    filter: bytes = b""
    ids: tuple[int, int] = (0, 0)
    serve: Callable[[socket.socket, Zygote], None] = lambda _, __: None
    """The loop, for the zygote of a session."""
    count: int = 0

    def new_directory(self) -> str:
        """Make a directory for a job, where it does not mount one of its own."""
        if self.tier == "ns" or self.shared:
            return ""
        self.count += 1
        path = Path(self.directory) / f"run{self.count}"
        path.mkdir(mode=0o700)
        (path / "work").mkdir()
        (path / "tmp").mkdir()
        return str(path)


def prepare(config: dict[str, Any]) -> Zygote:
    """Enter what all runs share, and give up root.

    Raises:
        OSError: The tier is not to be had here.
        ValueError: There is none of that name.
    """
    if config["tier"] not in _TIERS:
        raise ValueError(f"there is no tier {config['tier']!r}")
    parent_fd = os.pidfd_open(config["host_pid"])
    if os.getppid() != config["host_pid"]:
        os._exit(0)
    _allow_descriptors()
    # Where the machine runs out of memory, a program goes before the trainer does.
    Path("/proc/self/oom_score_adj").write_text("1000")
    proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    zygote = Zygote(config["tier"], proc_fd, parent_fd, config["python_paths"])
    zygote.directory = config["directory"]
    newest = landlock.abi()
    zygote.landlock_abi = min(newest, config["landlock_abi"] or newest)
    _isolate(zygote, config["without"])
    page = os.sysconf("SC_PAGE_SIZE")
    size, resident, shared, *_ = map(int, _read(proc_fd, "self/statm").split())
    zygote.base_bytes, zygote.base_private = size * page, (resident - shared) * page
    zygote.ids = (os.geteuid(), os.getegid())
    return zygote


def _isolate(zygote: Zygote, without: Sequence[str]) -> None:
    """Enter namespaces or drop root, and make what locks each run down."""
    tier = zygote.tier
    if tier == "unsafe":
        return
    found = layout.layout_of(
        whole_system=tier == "ns", python_paths=zygote.python_paths
    )
    if tier == "ns":
        namespaces.enter_zygote(zygote.proc_fd, found.show, found.mask)
    elif os.geteuid() == 0:
        _drop_root(zygote, found.show)
    if zygote.landlock_abi and "landlock" not in without:
        _prepare_rules(zygote, found)
    elif tier == "landlock" and not zygote.landlock_abi:
        raise OSError("the kernel has no Landlock")
    if "seccomp" not in without:
        profile: seccomp.Profile = "ns" if tier == "ns" else "landlock"
        zygote.filter = seccomp.program(profile, _SOME_PID)


def _allow_descriptors() -> None:
    """Let a zygote of many sessions have all the descriptors that it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _read(proc_fd: int, path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    try:
        return os.read(fd, 4096).decode()
    finally:
        os.close(fd)


def _drop_root(zygote: Zygote, show: list[str]) -> None:
    """Become nobody; keep the right to read only where Python itself needs it.

    A Python beneath /root cannot be read by anyone else. Landlock still says what can
    be read, and `open_by_handle_at` kills.
    """
    syscalls.prctl(_PR_SET_KEEPCAPS, 1)
    namespaces.drop_root()
    if not all(os.access(path, os.R_OK) for path in show):
        zygote.keep_capabilities = _CAP_DAC_READ_SEARCH
    try:
        syscalls.drop_capabilities(zygote.keep_capabilities)
    except PermissionError as err:
        shut = [path for path in show if not os.access(path, os.R_OK)]
        raise OSError(f"uid 65534 cannot read {shut}, which Python needs") from err


def _prepare_rules(zygote: Zygote, found: layout.Layout) -> None:
    """Make the ruleset that is the same for all runs of the landlock tier.

    It says what can be read of the installation, entry by entry, so that directories
    of packages stay out; a run's own ruleset then narrows where it may write.
    """
    zygote.show = found.show
    if zygote.tier == "ns":
        return  # mounts are made anew in each run, and rules name mounts
    ruleset = landlock.Ruleset(zygote.landlock_abi)
    for path in found.show:
        if not any(Path(mask).parent == Path(path) for mask in found.mask):
            ruleset.allow_all([path], _READ)
            continue
        entries = (str(entry) for entry in Path(path).iterdir())
        ruleset.allow_all((e for e in entries if e not in found.mask), _READ)
    devices = [f"/dev/{name}" for name in namespaces.DEVICES]
    ruleset.allow_all(devices, landlock.READ | landlock.WRITE)
    ruleset.allow(zygote.directory, landlock.WRITE)
    zygote.shared_rules = ruleset.fd


def _own_rules(zygote: Zygote, directory: str) -> landlock.Ruleset:
    """Make the ruleset of one run: what is shown can be read, its directory written."""
    rules = landlock.Ruleset(zygote.landlock_abi)
    rules.allow("/dev", landlock.READ | landlock.WRITE)
    if zygote.tier == "ns":  # where there is nothing but what is shown
        rules.allow("/", landlock.READ)
        rules.allow(namespaces.BOX, landlock.ALL)
    else:
        rules.allow_all(zygote.show, _READ)
        rules.allow(directory, landlock.WRITE)
    return rules


def fork(
    zygote: Zygote,
    request: dict[str, Any],
    fds: list[int],
    tell_fd: int,
    directory: str,
) -> int:
    """Fork the child of a job, which never returns from here.

    Args:
        zygote: What it comes from.
        request: The job.
        fds: Those that the host sent with it.
        tell_fd: Where it says "+" when it is set up, or what went wrong.
        directory: Its directory on the host's file system, or "".

    Returns:
        Its process id.

    Raises:
        OSError: It could not be started.
    """
    flags = 0
    if zygote.tier == "ns":
        flags = namespaces.NEWUSER | namespaces.NEWNS
        flags |= 0 if request["kind"] == "session" else namespaces.NEWPID
    pid = namespaces.clone(flags)
    if pid == 0:
        _in_child(zygote, request, fds, tell_fd, directory)
    return pid


def _in_child(
    zygote: Zygote,
    request: dict[str, Any],
    fds: list[int],
    tell_fd: int,
    directory: str,
) -> NoReturn:
    try:
        start: Callable[[], Any] = _set_up(zygote, request, fds, tell_fd, directory)
        os.write(_TELL_FD, b"+")
        os.close(_TELL_FD)
    except BaseException as error:  # noqa: BLE001  # told to the host, which raises it
        text = f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:4000]
        for fd in (tell_fd, _TELL_FD):  # moved, or not yet
            with contextlib.suppress(OSError):
                os.write(fd, text)
        os._exit(1)
    try:
        start()
    finally:
        os._exit(1)  # nothing may come back into the zygote's own code


def _set_up(
    zygote: Zygote,
    request: dict[str, Any],
    fds: list[int],
    tell_fd: int,
    directory: str,
) -> Callable[[], Any]:
    """Lock this process down and return what is then to be called."""
    os.setsid()
    syscalls.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    home, temporary = _enter(zygote, request, directory or zygote.shared)
    header, program = _read_request(fds[1], home)
    if request["kind"] == "session":
        return _set_up_session(zygote, request, fds, tell_fd, directory)
    _, _, out_fd, err_fd, *more = fds
    stdin_fd = more[0] if request["has_stdin"] else os.open(os.devnull, os.O_RDONLY)
    frames = more[-1] if request["kind"] == "interpreter" else -1
    _arrange((stdin_fd, out_fd, err_fd, tell_fd, frames))
    is_shell = header["language"] == "shell"
    script = f"{temporary}/../main.sh"
    if is_shell:
        Path(script).write_bytes(program)
    _program.settle(home, temporary)
    _lock(zygote, request, directory)
    if frames >= 0:
        return lambda: _interpreter.serve(_FRAMES_FD)
    if is_shell:
        return lambda: _program.run_shell(script)
    source = program.decode("utf-8", "surrogatepass")
    return lambda: _program.run_python(source)


def _enter(zygote: Zygote, request: dict[str, Any], directory: str) -> tuple[str, str]:
    """Enter the directory of a job; return its path and that for temporary files."""
    if zygote.tier == "ns":
        namespaces.map_user(zygote.proc_fd, *zygote.ids)
        if not zygote.shared:
            room = request["disk_bytes"] + request["spare_bytes"]
            namespaces.mount_box(room, request["files"])
        directory = namespaces.BOX
    os.chdir(f"{directory}/work")
    return f"{directory}/work", f"{directory}/tmp"  # noqa: S108  # inside it


def _set_up_session(
    zygote: Zygote,
    request: dict[str, Any],
    fds: list[int],
    tell_fd: int,
    directory: str,
) -> Callable[[], Any]:
    """Become the zygote of one session: all its jobs are in this directory."""
    here = os.open(".", os.O_PATH | os.O_DIRECTORY)
    with socket.socket(fileno=os.dup(fds[2])) as control:
        socket.send_fds(control, [b"{}"], [here])
    rules = zygote.shared_rules
    _arrange((-1, -1, -1, tell_fd, fds[2], zygote.proc_fd, rules))
    syscalls.syscall("close_range", _FRAMES_FD + 3, 0xFFFFFFFF, 0)
    zygote.proc_fd, zygote.parent_fd = _FRAMES_FD + 1, -1
    zygote.shared_rules = _FRAMES_FD + 2 if rules >= 0 else -1
    zygote.directory, zygote.shared = "", directory or namespaces.BOX
    zygote.ids = (os.geteuid(), os.getegid())
    control = socket.socket(fileno=_FRAMES_FD)
    return lambda: zygote.serve(control, zygote)


def _read_request(fd: int, home: str) -> tuple[dict[str, Any], bytes]:
    """Read what the host wrote for this job, and write its files.

    It is a length, that many bytes of JSON, then the program and the files.
    """
    size = os.fstat(fd).st_size
    data = os.pread(fd, size, 0)
    while len(data) < size:
        data += os.pread(fd, size - len(data), len(data))
    start = 4 + int.from_bytes(data[:4], "little")
    header: dict[str, Any] = json.loads(data[4:start])
    end = start + header["program"]
    program = data[start:end]
    for path, length in header["files"]:
        target = Path(home) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data[end : end + length])
        end += length
    return header, program


def _arrange(fds: Sequence[int]) -> None:
    """Give each descriptor its place in the sequence as its number; -1 has none."""
    first_free = 16  # above all places, so that none is overwritten before it moved
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, first_free) if fd >= 0 else -1 for fd in fds]
    for number, fd in enumerate(high):
        if fd >= 0:
            os.dup2(fd, number, inheritable=number < _TELL_FD)


def _lock(zygote: Zygote, request: dict[str, Any], directory: str) -> None:
    own_pid = os.getpid()
    ns = zygote.tier == "ns"
    directory = directory or zygote.shared
    is_interpreter = request["kind"] == "interpreter"
    last = _FRAMES_FD if is_interpreter else _TELL_FD
    if zygote.shared_rules >= 0:
        landlock.restrict(zygote.shared_rules)
    if zygote.show:
        landlock.restrict(_own_rules(zygote, directory).fd)
    if zygote.tier != "unsafe":
        syscalls.drop_capabilities(zygote.keep_capabilities)
    syscalls.syscall("close_range", last + 1, 0xFFFFFFFF, 0)
    if zygote.filter:
        seccomp.install(seccomp.for_pid(zygote.filter, _SOME_PID, own_pid))
    rlimits.apply(
        cpu_seconds=_ANY_SECONDS if is_interpreter else request["cpu_seconds"],
        memory_bytes=request["memory_bytes"],
        disk_bytes=request["disk_bytes"],
        processes=request["processes"] if ns else None,
        base_bytes=zygote.base_bytes,
    )
