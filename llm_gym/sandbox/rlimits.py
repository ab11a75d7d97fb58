"""Limits that the kernel puts on each process; sums over processes are the watchdog's.

This module runs in the zygote too: standard library only.
"""

from __future__ import annotations

import math
import resource

__all__ = ["apply"]

OPEN_FILES = 256


def apply(
    *,
    cpu_seconds: float,
    memory_bytes: int,
    disk_bytes: int,
    processes: int | None,
    base_bytes: int,
) -> None:
    """Limit the calling process and all that it starts, each by itself.

    Args:
        cpu_seconds: Processor time; whole seconds, rounded up, as a backstop.
        memory_bytes: Address space beyond `base_bytes`.
        disk_bytes: The longest file that can be written.
        processes: Processes and threads of this user namespace, or None.
        base_bytes: Address space that the process held before the program.
    """
    cpu = math.ceil(cpu_seconds) + 1
    limits = {
        resource.RLIMIT_CPU: cpu,
        resource.RLIMIT_AS: memory_bytes + base_bytes,
        resource.RLIMIT_FSIZE: disk_bytes,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 256,
    }
    if processes is not None:
        limits[resource.RLIMIT_NPROC] = processes
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))
