"""Landlock: which paths a process may touch, enforced by the kernel for good.

This module runs in the zygote too: standard library only.
"""

# ruff: noqa: PTH116
# (descriptors)

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from llm_gym.sandbox.syscalls import prctl, syscall

__all__ = ["ALL", "READ", "WRITE", "Ruleset", "abi", "restrict"]

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST_ABI = (1 << 13) - 1
_MAKE_DEVICES = 1 << 6 | 1 << 11
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

READ = _EXECUTE | _READ_FILE | _READ_DIR
"""Read files and list directories, and run what is executable."""
WRITE = (_FIRST_ABI & ~_MAKE_DEVICES & ~_EXECUTE) | _REFER | _TRUNCATE
"""All that can be done with files, but devices and running them."""
ALL = WRITE | _EXECUTE
"""`WRITE`, and running files."""


def abi() -> int:
    """Return the kernel's Landlock version, 0 where there is none."""
    try:
        return syscall("landlock_create_ruleset", None, 0, 1)
    except OSError:
        return 0


def _handled(version: int) -> int:
    rights = _FIRST_ABI
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        rights |= right if version >= since else 0
    return rights


class Ruleset:
    """What will be allowed; everything else of the file system is refused.

    Args:
        version: What `abi()` returned, above 0.

    Raises:
        OSError: The kernel refused.
    """

    def __init__(self, version: int) -> None:
        self.handled = _handled(version)
        attributes = struct.pack("=Q", self.handled)
        if version >= 4:
            attributes += struct.pack("=Q", 3)  # TCP: no bind, no connect
        if version >= 6:
            attributes += struct.pack("=Q", 3)  # abstract Unix sockets, signals
        self.fd = syscall("landlock_create_ruleset", attributes, len(attributes), 0)

    def allow(self, path: str, rights: int) -> None:
        """Allow rights on a path and all beneath it.

        Raises:
            OSError: There is no such path.
        """
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            is_directory = os.stat(fd).st_mode & 0o170000 == 0o040000
            rights &= self.handled if is_directory else self.handled & _FILE_RIGHTS
            rule = struct.pack("=Qi", rights, fd)
            syscall("landlock_add_rule", self.fd, 1, rule, 0)
        finally:
            os.close(fd)

    def allow_all(self, paths: Iterable[str], rights: int) -> None:
        """Allow rights on those of the paths that exist."""
        for path in paths:
            try:
                self.allow(path, rights)
            except FileNotFoundError:
                continue


def restrict(ruleset_fd: int) -> None:
    """Put a ruleset on the calling thread and all that it starts, for good.

    Raises:
        OSError: The kernel refused it.
    """
    prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    syscall("landlock_restrict_self", ruleset_fd, 0)
