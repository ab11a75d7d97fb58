"""Namespaces: a machine with nothing in it, for the zygote and then for each run.

The zygote makes the expensive ones once (network, System V IPC, host name, the
read-only root). A run gets process, mount and user namespaces of its own, and a capped
tmpfs.

This module runs in the zygote too: standard library only.
"""

# ruff: noqa: PTH102, PTH106, PTH115, PTH211
# (paths as the kernel takes them)

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
from collections.abc import Sequence
from pathlib import Path

from llm_gym.sandbox.syscalls import NUMBERS, mount, prctl, syscall

__all__ = [
    "BOX",
    "DEVICES",
    "WORK",
    "build_root",
    "clone",
    "enter_zygote",
    "map_user",
    "mount_box",
]

BOX = "/box"
"""Where the run's tmpfs is mounted."""
WORK = "/box/work"
"""The program's working directory."""
_TMP = "/box/tmp"
_INSIDE_ID = 1000
_OWN_FILES = 4  # the root, work, tmp and a shell's script

NEWNS, NEWUTS, NEWIPC = 0x00020000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
_NOSUID, _NODEV, _REMOUNT, _BIND, _REC = 2, 4, 32, 4096, 16384
_held = ctypes.PyDLL(None, use_errno=True)
_held.syscall.restype = ctypes.c_long
_RDONLY, _PRIVATE = 1, 1 << 18
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
DEVICES = ("null", "zero", "full", "random", "urandom")


def unshare(flags: int) -> None:
    """Leave namespaces for new ones.

    Raises:
        OSError: The kernel, or who confines this process, refuses.
    """
    syscall("unshare", flags)


def clone(flags: int) -> int:
    """Fork into new namespaces; like `os.fork`, for a process of a single thread.

    Raises:
        OSError: It is refused.
    """
    if not flags:
        return os.fork()
    settid = 0
    with contextlib.suppress(OSError):
        address = ctypes.c_ulong()
        prctl(40, ctypes.addressof(address))  # PR_GET_TID_ADDRESS, the C library's
        settid = address.value
    flags |= signal.SIGCHLD | (0x01200000 if settid else 0)  # SETTID, CLEARTID
    # x86_64 takes (ptid, ctid, tls), arm64 (ptid, tls, ctid).
    last = (settid, 0) if platform.machine() == "x86_64" else (0, settid)
    arguments = [ctypes.c_long(n) for n in (NUMBERS["clone"], flags, 0, 0, *last)]
    ctypes.pythonapi.PyOS_BeforeFork()
    # By `pythonapi`, so that the interpreter's lock stays with this thread.
    pid: int = _held.syscall(*arguments)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    code = ctypes.get_errno()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(code, f"{os.strerror(code)}: clone")
    return pid


def user_namespace(proc_fd: int, flags: int, inside: int = _INSIDE_ID) -> None:
    """Enter a new user namespace, with others that it then owns.

    Args:
        proc_fd: A directory descriptor of /proc.
        flags: The other namespaces.
        inside: Which user and group one is in there.

    Raises:
        OSError: They are refused.
    """
    uid, gid = os.geteuid(), os.getegid()
    unshare(NEWUSER | flags)
    map_user(proc_fd, uid, gid, inside)


def map_user(proc_fd: int, uid: int, gid: int, inside: int = _INSIDE_ID) -> None:
    """Say who one is in the user namespace that one has just entered.

    Raises:
        OSError: It is refused.
    """
    _write(proc_fd, "self/setgroups", "deny")
    _write(proc_fd, "self/uid_map", f"{inside} {uid} 1")
    _write(proc_fd, "self/gid_map", f"{inside} {gid} 1")


def _write(proc_fd: int, path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def build_root(paths: Sequence[str], masked: Sequence[str]) -> None:
    """Replace the root by a read-only one that holds only the given host paths.

    Args:
        paths: Host files and directories, each at its own place in the new root.
        masked: Directories beneath them that are to be empty.

    Raises:
        OSError: A mount is refused.
    """
    mount(None, "/", None, _REC | _PRIVATE)
    new = "/tmp"  # noqa: S108  # only a mount point, in a mount namespace of our own
    mount("tmpfs", new, "tmpfs", _NOSUID | _NODEV, "mode=0755,size=1m,nr_inodes=4096")
    # The new root hides /tmp, so the old one stays reachable by a descriptor.
    old_root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(new)
        os.mkdir("old")
        syscall("pivot_root", b".\0", b"old\0")
    finally:
        os.close(old_root)
    os.chdir("/")
    for path in paths:
        _show(path)
    for path in masked:
        if Path(path).is_dir():
            mount("tmpfs", path, "tmpfs", _NOSUID | _NODEV | _RDONLY, "size=4k")
    _devices()
    for path in (BOX,):
        Path(path).mkdir(parents=True, exist_ok=True)
    if not Path("/tmp").exists():  # noqa: S108  # the new root's
        os.symlink(_TMP, "/tmp")  # noqa: S108
    syscall("umount2", b"/old\0", 2)  # MNT_DETACH
    os.rmdir("/old")
    mount(None, "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def _show(path: str) -> None:
    """Make a host path visible, read-only, at the same place."""
    source = Path("/old" + path)
    if source.is_symlink():
        _copy_link(path, os.readlink(source))
        return
    target = Path(path)
    if target.exists():  # beneath something that is shown already
        return
    _place(source, target)
    _bind("/old" + path, path, _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV)


def _copy_link(path: str, to: str) -> None:
    if not os.path.lexists(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(to, path)


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()


def _bind(source: str, target: str, attributes: int) -> None:
    mount(source, target, None, _BIND | _REC)
    values = b"".join(n.to_bytes(8, "little") for n in (attributes, 0, 0, 0))
    at_recursive = 0x8000
    syscall("mount_setattr", -100, target.encode(), at_recursive, values, len(values))


def _devices() -> None:
    Path("/dev").mkdir()
    for name in DEVICES:
        source, target = f"/old/dev/{name}", f"/dev/{name}"
        if Path(source).exists():
            Path(target).touch()
            _bind(source, target, _ATTR_RDONLY | _ATTR_NOSUID)
    os.symlink(_TMP, "/dev/shm")  # noqa: S108  # semaphores of multiprocessing


def enter_zygote(proc_fd: int, paths: Sequence[str], masked: Sequence[str]) -> None:
    """Enter the namespaces that the runs of a zygote share.

    As root the root directory is built first, while every path can be reached, and then
    the uid is dropped; a user builds it with the rights that the namespace gives.

    Raises:
        OSError: One of them is refused.
    """
    shared = NEWNS | NEWNET | NEWIPC | NEWUTS
    if os.geteuid() == 0:
        unshare(NEWNS)
        build_root(paths, masked)
        drop_root()
        user_namespace(proc_fd, shared)
    else:
        user_namespace(proc_fd, shared)
        build_root(paths, masked)
    syscall("sethostname", b"sandbox", 7)


def drop_root(nobody: int = 65534) -> None:
    """Become a user without rights, for good."""
    with contextlib.suppress(PermissionError):  # a user namespace may forbid it
        os.setgroups([])
    os.setresgid(nobody, nobody, nobody)
    os.setresuid(nobody, nobody, nobody)
    os.umask(0o022)
    prctl(4, 1)  # PR_SET_DUMPABLE, which that cleared: /proc/self is ours again


def mount_box(disk_bytes: int, files: int) -> None:
    """Mount the empty, capped directory of a run or a session.

    Raises:
        OSError: It is refused.
    """
    options = f"mode=0755,size={disk_bytes},nr_inodes={files + _OWN_FILES}"
    mount("tmpfs", BOX, "tmpfs", _NOSUID | _NODEV, options)
    os.mkdir(WORK)
    os.mkdir(_TMP)
    os.chdir(WORK)
