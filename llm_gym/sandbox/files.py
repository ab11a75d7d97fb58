"""Files that the model may have written, touched from the host.

Links lead nowhere, FIFOs and devices are not opened, giants are not read: every path is
resolved by the kernel beneath one directory (`openat2`), never by its name alone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from llm_gym.sandbox.job import checked_path
from llm_gym.sandbox.syscalls import syscall

__all__ = ["as_user", "list_files", "read_file", "write_file"]

_BENEATH = 0x08 | 0x04 | 0x02  # RESOLVE_BENEATH, _NO_SYMLINKS, _NO_MAGICLINKS
_libc = ctypes.CDLL(None)


def _open(directory_fd: int, path: str, flags: int, mode: int = 0) -> int:
    """Open a path beneath a directory, following no link.

    Raises:
        OSError: It is not there, or something on the way is a link.
    """
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, _BENEATH)
    try:
        return syscall(
            "openat2", directory_fd, os.fsencode(path) + b"\0", how, len(how)
        )
    except OSError as err:
        code = err.errno or errno.EIO
        raise OSError(code, os.strerror(code), path) from err


def _open_regular(directory_fd: int, path: str, flags: int) -> int:
    """Open a regular file without waiting for anybody.

    Raises:
        OSError: It is none.
    """
    mode = 0o644 if flags & os.O_CREAT else 0
    try:
        fd = _open(directory_fd, path, flags | os.O_NONBLOCK | os.O_NOCTTY, mode)
    except OSError as err:
        if err.errno in (errno.ENXIO, errno.ELOOP):  # a FIFO or socket, a link
            raise OSError(err.errno, "a link or no regular file", path) from err
        raise
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "no regular file", path)


def read_file(directory_fd: int, path: str, max_bytes: int) -> bytes:
    """Read a regular file; see `Session.read_file`.

    Raises:
        ValueError: The path leaves the directory.
        OSError: It is no such file, or too long.
    """
    name = checked_path(path)
    fd = _open_regular(directory_fd, name, os.O_RDONLY)
    try:
        if os.fstat(fd).st_size > max_bytes:
            raise OSError(errno.EFBIG, f"longer than {max_bytes} bytes", path)
        parts, size = [], 0
        while part := os.read(fd, min(2**20, max_bytes + 1 - size)):
            parts.append(part)
            size += len(part)
            if size > max_bytes:
                raise OSError(errno.EFBIG, f"longer than {max_bytes} bytes", path)
        return b"".join(parts)
    finally:
        os.close(fd)


def write_file(directory_fd: int, path: str, content: bytes) -> None:
    """Write a regular file and the directories above it; see `Session.write_file`.

    Raises:
        ValueError: The path leaves the directory.
        OSError: A link or something that is no file stands there, or no room.
    """
    name = checked_path(path)
    parts = name.split("/")
    for depth in range(1, len(parts)):
        _make_directory(directory_fd, "/".join(parts[:depth]))
    fd = _open_regular(directory_fd, name, os.O_WRONLY | os.O_CREAT)
    try:
        os.ftruncate(fd, 0)
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def _make_directory(directory_fd: int, path: str) -> None:
    parent, _, name = path.rpartition("/")
    fd = _open(directory_fd, parent or ".", os.O_PATH | os.O_DIRECTORY)
    try:
        os.mkdir(name, 0o755, dir_fd=fd)
    except FileExistsError:
        pass
    finally:
        os.close(fd)


def list_files(directory_fd: int, most: int) -> list[str]:
    """Return the sorted paths of the regular files; see `Session.list_files`.

    Raises:
        OSError: There are more than `most` files and directories.
    """
    found, seen, queue = [], 0, ["."]
    while queue:
        here = queue.pop()
        try:
            fd = _open(directory_fd, here, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # it went away, or the program shut it
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    seen += 1
                    if seen > most:
                        raise OSError(errno.E2BIG, f"more than {most} files")
                    path = entry.name if here == "." else f"{here}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        queue.append(path)
                    elif entry.is_file(follow_symlinks=False):
                        found.append(path)
        finally:
            os.close(fd)
    return sorted(found)


@contextmanager
def as_user(uid: int) -> Iterator[None]:
    """Touch files as another user, in this thread only; root alone can.

    Root's own id does not exist in a run's file system, and root should not be who
    opens what a program has left.
    """
    if os.geteuid() != 0:
        yield
        return
    _libc.setfsgid(uid)
    _libc.setfsuid(uid)
    try:
        yield
    finally:
        _libc.setfsuid(0)
        _libc.setfsgid(os.getegid())
