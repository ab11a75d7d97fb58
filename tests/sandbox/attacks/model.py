"""What an attack is, and the pieces of Python that many of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_gym.sandbox.base import Result, Sandbox
    from tests.sandbox.attacks.scene import Scene

ALL = ("ns", "landlock", "bubblewrap")
"""The tiers that the corpus runs on."""
WITH_SESSIONS = ("ns", "landlock")
"""Those that have sessions."""
FORKING = ("ns", "bubblewrap")
"""Those in which a program may start processes."""

LIMITS = {
    "wall_seconds": 1.0,
    "cpu_seconds": 1.0,
    "memory_bytes": 128 * 2**20,
    "output_bytes": 64 * 2**10,
    "disk_bytes": 8 * 2**20,
    "files": 256,
    "processes": 16,
}
"""What an attack is given, unless it asks for other limits."""

Drive = Callable[["Sandbox", "Scene", str], "list[Result]"]
Judge = Callable[["Scene", "list[Result]"], "str | None"]


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        name: Unique in the corpus.
        family: The file that it stands in.
        program: Its source; `@NAME@` stands for what the scene calls so.
        tiers: Where it can be run at all.
        language: Of the program.
        limits: What differs from `LIMITS`.
        statuses: Names of the only statuses that are right; any if empty.
        drive: Runs it otherwise than by one call of `Sandbox.run`.
        judge: What is checked beside what is checked of every attack; returns what was
            wrong, or None.
        harmless: Whether it may run with nothing around it, to see that it would work.
        stdin: What it reads.
    """

    name: str
    family: str
    program: str
    tiers: Sequence[str] = ALL
    language: str = "python"
    limits: dict[str, Any] = field(default_factory=dict)
    statuses: Sequence[str] = ()
    drive: Drive | None = None
    judge: Judge | None = None
    harmless: bool = False
    stdin: str = ""


SYSCALLS = """\
import ctypes, os, sys
print("go", flush=True)
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    ctypes.set_errno(0)
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    value = _libc.syscall(ctypes.c_long(number), *given)
    return value, ctypes.get_errno()
def attempt(what, number, *arguments):
    value, code = call(number, *arguments)
    print(what, f"BREACH {value}" if value >= 0 else f"refused {code}", flush=True)
    return value
"""
"""System calls by number; a success is a breach."""

GO = 'print("go", flush=True)\n'
"""Every attack says that it started, so that one that is broken is no success."""

SHOW = (
    GO
    + """\
def show(path):
    try:
        with open(path, "rb") as file:
            data = file.read(4096)
        print(path, data.decode("latin-1"), flush=True)
    except Exception as error:
        print(path, "refused", type(error).__name__, flush=True)
"""
)
"""Prints a file that should not be readable."""
