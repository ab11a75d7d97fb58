"""16,384 live episodes against a local server whose replies take 0.5 to 2 seconds.

The server is the one that `llm_gym.testing` ships, in a process of its own. Printed:
how many episodes ended, how many were lost, the most memory of the process that plays,
and how late its event loop woke a task that sleeps for 10 milliseconds.

Run: make bench, or python benchmarks/many_live.py [EPISODES]
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time

import numpy as np
from tabulate import tabulate

from llm_gym import Limits, arollout
from llm_gym.policies.endpoint import EndpointLimits, EndpointPolicy
from llm_gym.testing import ServerProcess

EPISODES = 16_384
TURNS = 4
TICK_SECONDS = 0.01


async def lags(into: list[float]) -> None:
    """Sleep again and again, and note how much too long it took."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK_SECONDS)
        into.append(time.perf_counter() - began - TICK_SECONDS)


async def play(url: str, episodes: int) -> tuple[int, int, int, list[float]]:
    """Return episodes that ended, faults, turns, and the lags."""
    limits = EndpointLimits(connections=CONNECTIONS, reply_seconds=3600)
    policy = EndpointPolicy(url, "any-model", limits=limits)
    late: list[float] = []
    ticker = asyncio.create_task(lags(late))
    ended = faults = turns = 0
    async for trajectory in arollout(
        "llmgym/MultiStep-v0",
        policy,
        episodes=episodes,
        concurrency=episodes,
        env_kwargs={"max_turns": TURNS},
        limits=Limits(episode=3600),
        progress=sys.stderr.isatty(),
    ):
        ended += trajectory.fault is None
        faults += trajectory.fault is not None
        turns += len(trajectory.turns)
    ticker.cancel()
    await policy.close()
    return ended, faults, turns, late


def peak_gigabytes() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


CONNECTIONS = 512
CALL = '<tool_call>{"name": "no_such_tool", "arguments": {}}</tool_call>'


def main(episodes: int) -> None:
    """Print the table."""
    before = peak_gigabytes()
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as script:
        script.write(json.dumps(CALL))
        script.flush()
        arguments = ["--delay", "0.5", "2", "--script", script.name]
        with ServerProcess(arguments) as server:
            began, cpu = time.perf_counter(), time.process_time()
            ended, faults, turns, late = asyncio.run(play(server.url, episodes))
            seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    rows = [
        ("episodes, all live at once", f"{episodes:,}"),
        ("ended", f"{ended:,}"),
        ("faults", f"{faults:,}"),
        ("lost", f"{episodes - ended - faults:,}"),
        ("turns", f"{turns:,}"),
        ("requests at once", f"{CONNECTIONS:,}"),
        ("seconds", f"{seconds:.0f}"),
        ("CPU microseconds a turn", f"{spent / turns * 1e6:.0f}"),
        ("peak memory, GB", f"{peak_gigabytes():.2f} ({before:.2f} before)"),
        ("event loop lag, ms: median", f"{np.median(late) * 1e3:.1f}"),
        ("event loop lag, ms: p99", f"{np.percentile(late, 99) * 1e3:.1f}"),
        ("event loop lag, ms: most", f"{max(late) * 1e3:.1f}"),
    ]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(tabulate(rows, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else EPISODES)
