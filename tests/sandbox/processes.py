"""What of other processes can be seen in /proc."""

# ruff: noqa: PTH208
# (paths as strings)

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["children", "descendants", "private_bytes", "threads"]


def _parents() -> dict[int, tuple[int, str]]:
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            fields = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        found[int(name)] = (int(fields[1]), fields[0].decode())
    return found


def descendants(root: int, *, zombies: bool = False) -> list[int]:
    """Return the processes beneath one, without those that only wait to be noticed."""
    parents = _parents()
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in parents.items():
        children.setdefault(parent, []).append(pid)
    found, queue = [], list(children.get(root, ()))
    while queue:
        pid = queue.pop()
        queue += children.get(pid, ())
        if zombies or parents[pid][1] not in "ZX":
            found.append(pid)
    return sorted(found)


def children(parent: int) -> list[int]:
    """Return the processes that one started itself and that still run."""
    found = _parents().items()
    return sorted(
        p for p, (above, state) in found if above == parent and state not in "ZX"
    )


def private_bytes(pid: int) -> int:
    """Return a process's share of memory, its resident memory where that is hidden."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        sizes = Path(f"/proc/{pid}/statm").read_text().split()
        return (int(sizes[1]) - int(sizes[2])) * 4096
    except (OSError, IndexError):
        return 0


def threads(pid: int) -> int:
    """Return how many threads a process has, 0 if it is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0
