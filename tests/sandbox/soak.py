"""Many runs, and what the process holds before and after: `... soak TIER RUNS`."""

# ruff: noqa: PTH208
# (paths as strings)

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from llm_gym.sandbox import RunLimits
from tests.sandbox.attacks.runner import open_tier
from tests.sandbox.processes import descendants, private_bytes

LIMITS = RunLimits(wall_seconds=10.0)


def held() -> dict[str, int]:
    """Return what this process and all beneath it hold."""
    gc.collect()
    below = descendants(os.getpid(), zombies=True)
    return {
        "bytes": private_bytes(os.getpid()),
        "bytes_below": sum(private_bytes(pid) for pid in below),
        "threads": threading.active_count(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "processes": len(below),
        "mounts": len(Path("/proc/self/mounts").read_text().splitlines()),
    }


def some(sandbox: Any, runs: int) -> int:
    """Do that many runs and some sessions; return how many were wrong."""

    def one(i: int) -> bool:
        if i % 50 == 0:
            with sandbox.session(limits=LIMITS) as session:
                session.write_file("f", "x" * 10_000)
                return bool(session.execute(f"{i} + 1").stdout == f"{i + 1}\n")
        result = sandbox.run(f"open('f', 'w').write('x' * 9999)\nprint({i})")
        return bool(result.ok and result.stdout == f"{i}\n")

    with ThreadPoolExecutor(2) as pool:
        return sum(not good for good in pool.map(one, range(runs)))


def main(arguments: list[str]) -> int:
    """Soak, and say what is held."""
    tier, runs = arguments[0], int(arguments[1])
    with open_tier(tier) as sandbox:
        wrong = some(sandbox, max(100, runs // 10))
        before = held()
        wrong += some(sandbox, runs)
        after = held()
    said = {"wrong": wrong, "before": before, "after": after}
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
