"""Random runs, sessions, cancellations and kills, each with one right outcome.

    python -m tests.sandbox.chaos TIER RUNS SEED

Programs, limits and what happens beside them come from the seed; which thread meets
which kill does not.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llm_gym.errors import SandboxFault
from llm_gym.sandbox import Result, RunLimits
from tests.sandbox.attacks.runner import GRACE_SECONDS, open_tier
from tests.sandbox.processes import children, descendants

Expected = tuple[tuple[str, ...], int | None, str | None]
WALL = 0.25


def program(chance: random.Random, tier: str) -> tuple[str, dict[str, Any], Expected]:
    """Return a program, the limits that matter to it, and what must come of it."""
    n = chance.randrange(1000)
    code = chance.randrange(1, 120)
    big = 20_000 + n
    kinds: list[tuple[str, dict[str, Any], Expected]] = [
        (f"print({n} * {n})", {}, (("OK",), 0, f"{n * n}\n")),
        (f"print('x' * {big})", {}, (("OK",), 0, "x" * big + "\n")),
        (
            f"import sys; print({n}); sys.exit({code})",
            {},
            (("NONZERO",), code, f"{n}\n"),
        ),
        (f"raise ValueError({n})", {}, (("NONZERO",), 1, "")),
        (
            "import time; time.sleep(60)",
            {"wall_seconds": WALL},
            (("TIMEOUT",), None, ""),
        ),
        ("while True: pass", {"wall_seconds": WALL}, (("TIMEOUT",), None, "")),
        (
            "while True: print('x' * 999)",
            {"output_bytes": 10_000 + n},
            (("OUTPUT_LIMIT",), None, None),
        ),
        (
            "held = []\nwhile True: held.append(bytearray(b'x' * 2**20))",
            {"memory_bytes": 64 * 2**20},
            (("OUT_OF_MEMORY",), None, ""),
        ),
        (
            "with open('f', 'wb') as f:\n    while True: f.write(b'x' * 2**20)",
            {"disk_bytes": 4 * 2**20},
            (("DISK_LIMIT",), None, ""),
        ),
        ("import ctypes; ctypes.string_at(0)", {}, (("SIGNAL",), -11, "")),
        (
            f"open('f', 'w').write('{n}' * 1000); print(len(open('f').read()))",
            {},
            (("OK",), 0, f"{len(str(n)) * 1000}\n"),
        ),
        (
            "from threading import Thread\n"
            "t = [Thread(target=print, args=('t',)) for _ in range(4)]\n"
            "[x.start() for x in t]; [x.join() for x in t]",
            {},
            (("OK",), 0, "t\n" * 4),
        ),
    ]
    if tier == "ns":
        fork = "import os, time\nif os.fork() == 0: time.sleep(60)\nprint('left')"
        kinds.append((fork, {}, (("OK",), 0, "left\n")))
    return chance.choice(kinds)


def judged(result: Result, expected: Expected) -> str | None:
    """Return what is wrong with a result."""
    statuses, code, stdout = expected
    if result.status.name not in statuses:
        seen = f"{result.status.name} ({result.reason})"
        return f"{seen}, not {statuses}: {result.stderr[-300:]}"
    if code is not None and result.exit_code != code:
        return f"exit code {result.exit_code}, not {code}"
    if stdout is not None and result.stdout != stdout:
        return f"stdout {result.stdout[:80]!r}, not {stdout[:80]!r}"
    return None


class Chaos:
    """What is going on."""

    def __init__(self, tier: str) -> None:
        self.tier = tier
        self.sandbox = open_tier(tier)
        self.wrong: list[str] = []
        self.seen: Counter[str] = Counter()
        self.over = threading.Event()

    def one(self, seed: int) -> None:
        """Do one random thing; note how it ended."""
        chance = random.Random(seed)
        kind = chance.choices(["run", "session", "cancel"], [85, 10, 5])[0]
        began = time.monotonic()
        try:
            bound = getattr(self, f"_{kind}")(chance)
        except SandboxFault:
            self.seen["fault"] += 1
            return
        except Exception as error:  # noqa: BLE001  # every other is a wrong outcome
            self.wrong.append(f"{kind} {seed}: {error!r}")
            return
        # Twice, for a run whose zygote was killed is run again.
        # (The bound itself is held to by the attacks; here it is for what hangs.)
        if time.monotonic() - began > 2 * (bound + GRACE_SECONDS) + 10.0:
            self.wrong.append(f"{kind} {seed} took {time.monotonic() - began:.1f} s")
        self.seen[kind] += 1

    def _limits(self, chance: random.Random, fixed: dict[str, Any]) -> RunLimits:
        given = {
            "wall_seconds": chance.choice([5.0, 8.0]),
            "memory_bytes": chance.choice([128, 256]) * 2**20,
            "output_bytes": chance.choice([2**16, 2**20]),
            "disk_bytes": chance.choice([8, 16]) * 2**20,
        }
        return RunLimits(**{**given, **fixed})

    def _run(self, chance: random.Random) -> float:
        source, fixed, expected = program(chance, self.tier)
        limits = self._limits(chance, fixed)
        result = self.sandbox.run(source, limits=limits)
        if wrong := judged(result, expected):
            self.wrong.append(f"{source!r}: {wrong}")
        return limits.wall_seconds

    def _cancel(self, chance: random.Random) -> float:
        async def cancelled() -> None:
            run = self.sandbox.arun("import time; time.sleep(60)")
            task = asyncio.ensure_future(run)
            await asyncio.sleep(chance.random() * 0.1)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                return
            self.wrong.append("a cancelled run had a result")

        asyncio.run(cancelled())
        return 1.0

    def _session(self, chance: random.Random) -> float:
        n = chance.randrange(1000)
        with self.sandbox.session(limits=RunLimits(wall_seconds=5.0)) as session:
            first = session.execute(f"a = {n}\nprint(a)")
            session.write_file("f.txt", str(n))
            second = session.execute("a + 1")
            third = session.run("print(open('f.txt').read())")
            seen = (
                first.stdout,
                second.stdout,
                third.stdout,
                session.read_file("f.txt"),
            )
        if seen != (f"{n}\n", f"{n + 1}\n", f"{n}\n", str(n).encode()):
            self.wrong.append(f"session: {seen} {second.stderr[-200:]!r}")
        return 5.0

    def kill_zygotes(self, seed: int) -> None:
        """Kill a zygote now and then, whatever it does."""
        chance = random.Random(seed)
        while not self.over.wait(0.5 + chance.random()):
            # Its children alone: those below are the programs, which look alike.
            zygotes = children(os.getpid())
            if zygotes:
                try:
                    os.kill(chance.choice(zygotes), signal.SIGKILL)
                    self.seen["kill"] += 1
                except ProcessLookupError:
                    continue


def main(arguments: list[str]) -> int:
    """Run it and say how often what happened."""
    tier, runs, seed = arguments[0], int(arguments[1]), int(arguments[2])
    chaos = Chaos(tier)
    killer = threading.Thread(target=chaos.kill_zygotes, args=(seed,))
    killer.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(chaos.one, range(seed, seed + runs)))
    chaos.over.set()
    killer.join()
    after = chaos.sandbox.run("print('still there')").stdout
    chaos.sandbox.close()
    time.sleep(0.3)
    said = {
        "wrong": chaos.wrong,
        "seen": dict(chaos.seen),
        "after": after,
        "left": len(descendants(os.getpid())),
        "threads": threading.active_count(),
    }
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
