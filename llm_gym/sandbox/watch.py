"""What a run uses, read from /proc: memory and processor time of all its processes.

This module runs in the zygote too: standard library only.
"""

# ruff: noqa: PTH208
# (descriptors of /proc)

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

__all__ = ["Usage", "disk_use", "open_deleted_bytes", "usage"]

PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")
_SOCKET_BYTES = 212_992
"""How much a socket's buffer holds: net.core.wmem_default of every usual kernel."""
_FEW_SOCKETS = 8
"""These are free, for an event loop has two and an interpreter one."""


@dataclass(slots=True)
class Usage:
    """What a tree of processes holds now.

    Attributes:
        memory_bytes: Private memory, and shared memory that has no name.
        cpu_seconds: Processor time, of those that ended too.
        processes: Processes and threads.
    """

    memory_bytes: int = 0
    cpu_seconds: float = 0.0
    processes: int = 0


def _read(proc_fd: int, path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    except OSError:
        return b""
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    except OSError:  # it ended between the two
        return b""
    finally:
        os.close(fd)


def _names(proc_fd: int, path: str) -> list[str]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc_fd)
    except OSError:
        return []
    try:
        return os.listdir(fd)
    except OSError:
        return []
    finally:
        os.close(fd)


def _tree(proc_fd: int, root: int, most: int = 4096) -> list[int]:
    """Return a process and its descendants; the kernel gives orphans to the root."""
    found: list[int] = []
    queue = [root]
    while queue and len(found) < most:
        pid = queue.pop()
        found.append(pid)
        for thread in _names(proc_fd, f"{pid}/task"):
            children = _read(proc_fd, f"{pid}/task/{thread}/children")
            queue.extend(int(child) for child in children.split())
    return found


def usage(proc_fd: int, root: int, *, descendants: bool) -> Usage:
    """Add up what a process and, if wanted, all its descendants use."""
    total = Usage()
    pids = _tree(proc_fd, root) if descendants else [root]
    for pid in pids:
        fields = _read(proc_fd, f"{pid}/stat").rpartition(b")")[2].split()
        sizes = _read(proc_fd, f"{pid}/statm").split()
        if len(fields) < 18 or len(sizes) < 3:
            continue
        # Those of children that were waited for count at whoever waited.
        total.cpu_seconds += sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICK
        total.processes += int(fields[17])
        total.memory_bytes += (int(sizes[1]) - int(sizes[2])) * PAGE
    if len(pids) > 1:
        total.memory_bytes += _nameless_bytes(proc_fd, pids)
    total.memory_bytes += _socket_bytes(proc_fd, pids)
    return total


def _socket_bytes(proc_fd: int, pids: list[int]) -> int:
    """Return what the buffers of the processes' sockets may hold of kernel memory.

    What is in them is in no process, and cannot be seen; so each counts as full.
    """
    found = set()
    for pid in pids:
        for name in _names(proc_fd, f"{pid}/fd"):
            try:
                target = os.readlink(f"{pid}/fd/{name}", dir_fd=proc_fd)
            except OSError:
                continue
            if target.startswith("socket:"):
                found.add(target)
    return max(0, len(found) - _FEW_SOCKETS) * _SOCKET_BYTES


def _nameless_bytes(proc_fd: int, pids: list[int]) -> int:
    """Return the size of shared memory and deleted files that the processes map.

    Pages of such memory stay when no process has them in its page table, so what is
    resident says too little.
    """
    sizes: dict[tuple[bytes, bytes], int] = {}
    for pid in pids:
        mapped: dict[tuple[bytes, bytes], int] = {}
        for line in _read(proc_fd, f"{pid}/maps").splitlines():
            if not line.endswith(b"(deleted)"):
                continue
            span, _, _, device, inode = line.split()[:5]
            start, _, end = span.partition(b"-")
            key = (device, inode)
            mapped[key] = mapped.get(key, 0) + int(end, 16) - int(start, 16)
        for key, size in mapped.items():
            sizes[key] = max(size, sizes.get(key, 0))
    return sum(sizes.values())


def open_deleted_bytes(proc_fd: int, pid: int) -> int:
    """Return the room of files that a process holds open and has deleted."""
    total, seen = 0, set()
    for name in _names(proc_fd, f"{pid}/fd"):
        try:
            found = os.stat(f"{pid}/fd/{name}", dir_fd=proc_fd)
        except OSError:
            continue
        key = (found.st_dev, found.st_ino)
        is_gone = stat.S_ISREG(found.st_mode) and found.st_nlink == 0
        if is_gone and key not in seen:
            seen.add(key)
            total += found.st_blocks * 512
    return total


def disk_use(directory: str, most_files: int) -> tuple[int, int]:
    """Return the bytes of files and the number of entries beneath a directory.

    Stops counting at `most_files` entries.
    """
    total, entries, queue = 0, 0, [directory]
    while queue:
        try:
            with os.scandir(queue.pop()) as listing:
                for entry in listing:
                    entries += 1
                    if entries > most_files:
                        return total, entries
                    if entry.is_dir(follow_symlinks=False):
                        queue.append(entry.path)
                        continue
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # nested to hide from this
                return total, most_files + 1
            continue  # it went away while it was counted
    return total, entries
