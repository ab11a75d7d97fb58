"""What running a program costs: isolated `print(1 + 1)` a second, beside other ways.

Each row runs the same program and checks its output; the rows take turns, so that a
noisy moment of the machine meets all of them, and the median of the rounds is shown.
gem-llm's Python tool isolates nothing and is timed for what a user would have had.

Run: make bench
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tabulate import tabulate

from llm_gym.errors import LLMGymError
from llm_gym.sandbox import open_sandbox
from llm_gym.sandbox.providers import open_bubblewrap, open_monty

PROGRAM = "print(1 + 1)"
ROUNDS = 7
SECONDS = 0.6
"""How long a row runs in each round."""
CALLS = 5_000
"""How many calls a session makes in each round."""

Run = Callable[[], str]


def fork_and_exit() -> str:
    """Fork this process; the child writes and exits. Nothing isolates it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, b"2\n")
        os._exit(0)
    os.close(writer)
    text = os.read(reader, 99).decode()
    os.close(reader)
    os.waitpid(pid, 0)
    return text


def fresh_interpreter() -> str:
    """Start Python with as little as it can have. Nothing isolates it."""
    command = [sys.executable, "-I", "-S", "-E", "-c", PROGRAM]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def local(tier: str) -> tuple[Run, Callable[[], None]]:
    """Run in this package's sandbox."""
    sandbox = open_sandbox(tiers=(tier,))  # type: ignore[arg-type]
    return lambda: sandbox.run(PROGRAM).stdout, sandbox.close


def bubblewrap() -> tuple[Run, Callable[[], None]]:
    """Run by bubblewrap."""
    sandbox = open_bubblewrap()
    return lambda: sandbox.run(PROGRAM).stdout, sandbox.close


def monty() -> tuple[Run, Callable[[], None]]:
    """Run in the interpreter of a part of Python."""
    sandbox = open_monty()
    run = sandbox.run
    return lambda: run(PROGRAM, language="python_subset").stdout, sandbox.close


def gem_tool() -> tuple[Run, Callable[[], None]]:
    """Run by gem-llm's Python tool, as an agent calls it."""
    from gem.tools.python_code_tool import PythonCodeTool

    tool = PythonCodeTool()
    action = f"<python>{PROGRAM}</python>"

    def run() -> str:
        _, _, text, _ = tool.execute_action(action)
        return text[text.index("2") :][:1] + "\n"

    return run, lambda: None


def ways() -> dict[str, tuple[Run, Callable[[], None]]]:
    """Return every way that works here."""
    makers: dict[str, Callable[[], tuple[Run, Callable[[], None]]]] = {
        "fork and exit, isolates nothing": lambda: (fork_and_exit, lambda: None),
        "python -I -S -E, isolates nothing": lambda: (fresh_interpreter, lambda: None),
        "llm_gym, ns": lambda: local("ns"),
        "llm_gym, landlock": lambda: local("landlock"),
        "llm_gym, bubblewrap + python": bubblewrap,
        "llm_gym, monty (a part of Python)": monty,
        "gem-llm's Python tool, isolates nothing": gem_tool,
    }
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except (ImportError, LLMGymError) as error:
            print(f"left out: {name}: {error}")
    return found


def rate(run: Run, threads: int) -> float:
    """Return runs a second."""
    end = time.perf_counter() + SECONDS

    def several(_: int) -> int:
        count = 0
        while time.perf_counter() < end:
            if run() != "2\n":
                raise RuntimeError("a run printed something else")
            count += 1
        return count

    began = time.perf_counter()
    if threads == 1:
        return several(0) / (time.perf_counter() - began)
    with ThreadPoolExecutor(threads) as pool:
        count = sum(pool.map(several, range(threads)))
    return count / (time.perf_counter() - began)


def programs() -> list[list[Any]]:
    """Return a row for each way to run a program."""
    cores = os.cpu_count() or 1
    found = ways()
    seen: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for name, (run, _) in found.items():
            for threads in (1, cores):
                # A fork of a process with threads is no fair comparison, and unsafe.
                if threads == 1 or run is not fork_and_exit:
                    seen.setdefault((name, threads), []).append(rate(run, threads))
    for _, close in found.values():
        close()
    medians = {key: statistics.median(rates) for key, rates in seen.items()}
    base = medians["python -I -S -E, isolates nothing", cores]
    rows = []
    for name in found:
        one, all_ = medians[name, 1], medians.get((name, cores))
        times = f"{all_ / base:.1f}" if all_ else ""
        rows.append([name, f"{one:,.0f}", f"{all_:,.0f}" if all_ else "", times])
    return rows


def sessions() -> list[list[Any]]:
    """Return calls a second in one session, each of the way that it is made."""
    rows = []
    for tier in ("ns", "landlock"):
        rates, started = [], []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            sandbox = open_sandbox(tiers=(tier,), zygotes=1)  # type: ignore[arg-type]
            started.append(time.perf_counter() - began)
            with sandbox, sandbox.session() as session:
                session.execute("1")
                began = time.perf_counter()
                for _ in range(CALLS):
                    session.execute("1 + 1")
                rates.append(CALLS / (time.perf_counter() - began))
        median = statistics.median
        rows.append([tier, f"{median(rates):,.0f}", f"{median(started):.2f}"])
    return rows


def started() -> list[list[Any]]:
    """Return how long a fresh process takes to open a sandbox with its self-check."""
    source = (
        "import time\nfrom llm_gym.sandbox import open_sandbox\n"
        "began = time.perf_counter()\n"
        "sandbox = open_sandbox(tiers=({!r},))\nprint(time.perf_counter() - began)\n"
        "sandbox.close()"
    )
    rows = []
    for tier in ("ns", "landlock"):
        command = [sys.executable, "-W", "ignore", "-c", source.format(tier)]
        seconds = [
            float(subprocess.run(command, capture_output=True, check=True).stdout)
            for _ in range(ROUNDS)
        ]
        rows.append([tier, f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}"])
    return rows


def main() -> None:
    """Print the tables."""
    packages = []
    for name in ("llm-gym", "pydantic-monty", "gem-llm"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    cores = os.cpu_count()
    print(f"Python {platform.python_version()}, {cores} cores, {', '.join(packages)}\n")
    head = [
        "print(1 + 1)",
        "a second, one at a time",
        f"{cores} at once",
        "x fresh python",
    ]
    print(tabulate(programs(), head, tablefmt="github", disable_numparse=True))
    print()
    head = ["session", "execute calls a second", "open again, seconds"]
    print(tabulate(sessions(), head, tablefmt="github", disable_numparse=True))
    print()
    head = ["first open_sandbox of a process", "seconds", "most"]
    print(tabulate(started(), head, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
