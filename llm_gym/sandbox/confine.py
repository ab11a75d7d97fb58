"""Confining this process itself, for good: no network, no programs, no writing.

For workers that compute on what a model wrote (sympy, regular expressions) after they
have imported what they need. A lock on one's own door: it bounds what a hole in those
libraries could reach, and is no sandbox for programs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from llm_gym.sandbox import landlock, seccomp, syscalls

__all__ = ["confine"]

_SYSTEM = ("/usr/lib", "/lib", "/lib64", "/usr/share/zoneinfo", "/dev/urandom")


def confine(read_paths: Sequence[str | Path] = ()) -> tuple[str, ...]:
    """Confine the calling process and the threads that it starts.

    From then on it opens no socket, starts no process and no program, sends signals to
    itself alone, and writes only to descriptors that are open already. Files can be
    read beneath `read_paths`, in Python's installation and on `sys.path`. What the
    kernel does not offer is left out.

    Args:
        read_paths: Further directories and files that can be read.

    The filter of system calls binds every thread of the process; Landlock only the
    calling one and those that it starts, so call this before others are started that
    handle what a model wrote.

    Returns:
        The layers that were put on, some of "no_new_privs", "landlock" and "seccomp".
    """
    layers = []
    if _attempt(lambda: syscalls.prctl(38, 1)):  # PR_SET_NO_NEW_PRIVS
        layers.append("no_new_privs")
    version = landlock.abi() if syscalls.SUPPORTED else 0
    if version and _attempt(lambda: _restrict(version, read_paths)):
        layers.append("landlock")
    if syscalls.SUPPORTED and _attempt(_filter):
        layers.append("seccomp")
    return tuple(layers)


def _attempt(action: Callable[[], object]) -> bool:
    try:
        action()
    except OSError:
        return False
    return True


def _restrict(version: int, read_paths: Sequence[str | Path]) -> None:
    rules = landlock.Ruleset(version)
    paths = [sys.prefix, sys.base_prefix, *sys.path, *_SYSTEM, *map(str, read_paths)]
    try:
        rules.allow_all((path for path in paths if path), landlock.READ)
        rules.allow_all(["/dev/null"], landlock.READ | landlock.WRITE)
        landlock.restrict(rules.fd)
    finally:
        os.close(rules.fd)


def _filter() -> None:
    instructions = seccomp.program("confine", os.getpid())
    seccomp.install(instructions, every_thread=True)
