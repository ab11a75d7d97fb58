"""Many episodes leave nothing behind: threads, descriptors, processes, memory.

Linux alone: what the process holds is read in `/proc`.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_gym.checks.episodes import MAX_TURNS, actors
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import Note, Skipped, demand
from llm_gym.env import ToolEnv

__all__ = ["Held", "check_soak", "held"]

_EPISODES, _FEWEST = 1000, 100
_MOST_SECONDS = 10.0
_WARM_UP = 0.25
"""The share of the episodes, or of the time, after which nothing may grow."""

_REMADE = 20
"""Episodes after which the environment is closed and made again."""

_SLACK = {"threads": 3, "descriptors": 3, "processes": 3}
_MOST_GROWN_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Held:
    """What this process holds.

    Attributes:
        threads: Threads.
        descriptors: Open descriptors.
        processes: Processes that descend from it.
        memory_bytes: Resident memory.
    """

    threads: int
    descriptors: int
    processes: int
    memory_bytes: int


def held() -> Held:
    """Look at this process, its garbage collected."""
    gc.collect()
    _trim()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Held(
        threads=len(list(Path("/proc/self/task").iterdir())),
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        processes=_descendants(),
        memory_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
    )


def check_soak(subject: Subject) -> Note:
    """Play many episodes, finished and not, closing the environment now and then."""
    if not sys.platform.startswith("linux"):
        raise Skipped("what a process holds is read in Linux's `/proc`")
    started = time.perf_counter()
    env = subject.make()
    before: Held | None = None
    episodes = 0
    while episodes < _EPISODES:
        spent = time.perf_counter() - started
        if episodes >= _FEWEST and spent > _MOST_SECONDS:
            break
        warm = episodes >= _WARM_UP * _EPISODES or spent > _WARM_UP * _MOST_SECONDS
        if before is None and warm and episodes >= _WARM_UP * _FEWEST:
            env = _remade(subject, env)
            before = held()
            since = episodes
        if episodes % _REMADE == _REMADE - 1:
            env = _remade(subject, env)
        _play(env, episodes)
        episodes += 1
    env = _remade(subject, env)
    after = held()
    env.close()
    _compare(before or after, after, episodes - since)
    return Note(f"{episodes} episodes, nothing held that was not before")


def _compare(before: Held, after: Held, episodes: int) -> None:
    for name, slack in _SLACK.items():
        one, other = getattr(before, name), getattr(after, name)
        demand(
            other <= one + slack,
            f"{episodes} episodes took the process from {one} to {other} {name}; "
            "release in `close()` what an environment opens, and in `begin` what an "
            "episode that was not finished left",
        )
    grown = after.memory_bytes - before.memory_bytes
    demand(
        grown <= _MOST_GROWN_BYTES,
        f"{episodes} episodes took {grown / 2**20:.0f} MiB of memory that they did "
        f"not give back, {grown / 1024 / episodes:.0f} KiB each",
    )


def _remade(subject: Subject, env: ToolEnv) -> ToolEnv:
    env.close()
    made = subject.make()
    made.reset(seed=0)
    return made


def _play(env: ToolEnv, number: int) -> None:
    """Play an episode: the oracle's, a random one, or the beginning of one."""
    env.reset(seed=number)
    _, actor = actors(number)[number % 2]
    most = 1 if number % 3 == 2 else min(MAX_TURNS, env.max_turns)
    for _ in range(most):
        try:
            reply: Any = actor(env)
        except Exception:  # noqa: BLE001  # the boundary: an oracle may raise anything
            return
        _, _, terminated, truncated, _ = env.step(reply)
        if terminated or truncated:
            return


def _descendants() -> int:
    """Count the processes that descend from this one."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except OSError:  # it has ended meanwhile
                continue
            _, parent = stat.rpartition(")")[2].split()[:2]
            parents[int(entry.name)] = int(parent)
    found = {os.getpid()}
    while new := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= new
    return len(found) - 1


def _trim() -> None:
    """Give free memory back to the system, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
