"""Kills a trainer outright in the middle of its work and looks what is left of it.

Runs under the guard, which takes in every orphan: `python -m tests.sandbox.kill_trainer
TIER`; with the second argument `work` it is the trainer.
"""

# ruff: noqa: PTH208
# (paths as strings)

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

from tests.sandbox.attacks.runner import open_tier
from tests.sandbox.processes import descendants

STUBBORN = """
import signal, sys, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
open("left.txt", "w").write("x" * 1000)
time.sleep(60)
"""
FORKS = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
time.sleep(60)
"""


def work(tier: str) -> None:
    """Keep runs and sessions going for ever."""
    sandbox = open_tier(tier)
    from llm_gym.sandbox import RunLimits

    limits = RunLimits(wall_seconds=60.0)
    sources = [STUBBORN, STUBBORN if tier == "landlock" else FORKS]
    for source in sources:
        threading.Thread(
            target=sandbox.run, args=(source,), kwargs={"limits": limits}
        ).start()
    session = sandbox.session(limits=limits)
    session.execute("held = list(range(1000))")
    other = sandbox.session(limits=limits)
    threading.Thread(target=other.execute, args=("while True: pass",)).start()
    time.sleep(0.7)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    time.sleep(60)


def left(start: int) -> list[int]:
    """Return the processes beneath the guard, but for this one."""
    return [pid for pid in descendants(start) if pid != os.getpid()]


def main(arguments: list[str]) -> int:
    """Start a trainer, kill it, and say what is left and for how long."""
    tier, *rest = arguments
    if rest:
        work(tier)
        return 0
    guard = os.getppid()
    command = [sys.executable, "-m", "tests.sandbox.kill_trainer", tier, "work"]
    trainer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert trainer.stdout is not None
    trainer.stdout.readline()
    busy = len(left(guard))
    os.kill(trainer.pid, signal.SIGKILL)
    killed = time.monotonic()
    trainer.wait()
    while left(guard) and time.monotonic() < killed + 5.0:
        time.sleep(0.01)
    seconds = time.monotonic() - killed
    directories = [n for n in os.listdir(tempfile.gettempdir()) if "llm-gym" in n]
    with open_tier(tier) as sandbox:
        sandbox.run("1")
    after = [n for n in os.listdir(tempfile.gettempdir()) if "llm-gym" in n]
    said = {
        "busy": busy,
        "seconds": seconds,
        "left": left(guard),
        "directories": directories,
        "after_the_next_start": after,
    }
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
