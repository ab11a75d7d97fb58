"""Runs attacks and says of each, as a line of JSON, what was wrong on the host's side.

python -m tests.sandbox.attacks.runner TIER FAMILY [NAME ...]
"""

# ruff: noqa: PTH112, PTH118
# (paths as strings)

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.sandbox.attacks.corpus import ATTACKS
from tests.sandbox.attacks.model import LIMITS, Attack
from tests.sandbox.attacks.scene import Scene
from tests.sandbox.processes import threads
from tests.sandbox.refusing import refuse

if TYPE_CHECKING:
    from llm_gym.sandbox.base import Result, Sandbox

GRACE_SECONDS = 1.5
"""How much later than its wall-clock limit a run may return."""
MEMORY_SLACK = 96 * 2**20
"""Interpreters, zygotes that are just started, and what is seen late."""
DISK_SLACK = {"landlock": 64 * 2**20}
"""What is written between two looks of a watchdog; a tmpfs allows nothing."""
MAY_FAULT = {"session_thread_that_goes_on_lying"}
"""Attacks that on a busy machine may leave a session without a result, which is
a fault and so no score. Why its process ends is not known."""
_BROKEN = re.compile(
    r"^(NameError|SyntaxError|IndentationError|AttributeError|TypeError|KeyError|"
    r"IndexError|UnboundLocalError|ctypes.ArgumentError|struct.error).*",
    re.MULTILINE,
)


def open_tier(tier: str) -> Any:
    """Open the sandbox to attack."""
    if tier == "bubblewrap":
        from llm_gym.sandbox.providers.bubblewrap import open_bubblewrap

        return open_bubblewrap()
    from llm_gym.sandbox import open_sandbox

    if tier == "unsafe":
        return open_sandbox(unsafe=True, zygotes=2)
    return open_sandbox(tiers=(tier,), zygotes=2)  # type: ignore[arg-type]


class Watch(threading.Thread):
    """Notes the most that the sandbox's processes held at any time."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(daemon=True)
        self.scene = scene
        self.before = scene.memory()
        self.disk_before = _disk_use(tempfile.gettempdir())
        self.memory = self.disk = self.threads = 0
        self._end = threading.Event()

    def run(self) -> None:
        """Look again and again."""
        while not self._end.wait(0.03):
            self.memory = max(self.memory, self.scene.memory() - self.before)
            count = sum(threads(pid) for pid in self.scene.strangers())
            self.threads = max(self.threads, count)
            used = _disk_use(tempfile.gettempdir()) - self.disk_before
            self.disk = max(self.disk, used)

    def stop(self) -> None:
        """Stop looking."""
        self._end.set()
        self.join()


def _disk_use(top: str) -> int:
    total = 0
    for here, _, names in os.walk(top):
        for name in names:
            try:
                total += os.lstat(os.path.join(here, name)).st_blocks * 512
            except OSError:
                continue
    return total


def warm_up(sandbox: Sandbox, scene: Scene) -> set[int]:
    """Start what the sandbox keeps running, and return those processes."""
    limits = scene.limits()
    source = "import time\ntime.sleep(0.2)\n"
    runs = [
        threading.Thread(target=sandbox.run, args=(source,), kwargs={"limits": limits})
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    if sandbox.isolation != "bubblewrap":
        with sandbox.session(limits=limits) as session:
            session.execute("1")
    for run in runs:
        run.join()
    time.sleep(0.2)
    return set(scene.strangers())


def say(line: dict[str, Any]) -> None:
    """Write a line of JSON."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def clear_up(scene: Scene, kept: set[int]) -> None:
    """Remove what a breach left, so that the next attack is judged by itself."""
    for path in set(scene.left_over()):
        if path.startswith("/") and os.path.lexists(path):
            shutil.rmtree(path) if os.path.isdir(path) else Path(path).unlink()
    if len(left := scene.strangers()) > len(kept):
        for pid in set(left) - kept:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def attack_once(
    attack: Attack, sandbox: Sandbox, scene: Scene, kept: set[int]
) -> dict[str, Any]:
    """Run one attack and look at the host."""
    from llm_gym.errors import SandboxFault

    scene.begin(attack.limits)
    program = scene.fill_in(attack.program)
    before = scene.state()
    watch = Watch(scene)
    watch.start()
    began = time.monotonic()
    problems: list[str] = []
    results: list[Result] = []
    try:
        try:
            results = _driven(attack, sandbox, scene, program)
        except SandboxFault:  # once: on a busy machine a zygote may end by itself
            results = _driven(attack, sandbox, scene, program)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is no outcome
        if not (isinstance(error, SandboxFault) and attack.name in MAY_FAULT):
            problems.append(f"no outcome: {error!r}")
    seconds = time.monotonic() - began
    watch.stop()
    most = LIMITS | attack.limits
    if attack.drive is None and seconds > most["wall_seconds"] + GRACE_SECONDS:
        problems.append(f"it returned after {seconds:.2f} s")
    problems += _bounds(watch, most, sandbox.isolation) + _after(scene, before, kept)
    problems += [p for result in results for p in _of_result(attack, result, most)]
    if results and not any("go\n" in r.stdout for r in results):
        problems.append(f"the attack did not start: {results}")
    problems += _leaks(scene, results)
    if results and attack.statuses and not _as_expected(attack, results):
        problems.append(f"it ended as {_statuses(results)}, not {attack.statuses}")
    if results and attack.judge is not None and (wrong := attack.judge(scene, results)):
        problems.append(wrong)
    return {
        "name": attack.name,
        "family": attack.family,
        "problems": problems,
        "statuses": _statuses(results),
        "seconds": round(seconds, 2),
        "output": [r.stdout[-1500:] for r in results] if problems else [],
        "errors": [r.stderr[-800:] for r in results] if problems else [],
    }


def _driven(
    attack: Attack, sandbox: Sandbox, scene: Scene, program: str
) -> list[Result]:
    if attack.drive is not None:
        return attack.drive(sandbox, scene, program)
    return [_plain(attack, sandbox, scene, program)]


def _plain(attack: Attack, sandbox: Sandbox, scene: Scene, program: str) -> Result:
    return sandbox.run(
        program,
        stdin=attack.stdin,
        limits=scene.limits(),
        language=attack.language,  # type: ignore[arg-type]
    )


def _as_expected(attack: Attack, results: list[Result]) -> bool:
    attacked = results[0] if attack.drive is None else results[-1]
    return attacked.status.name in attack.statuses


def _statuses(results: list[Result]) -> list[str]:
    return [result.status.name for result in results]


def _bounds(watch: Watch, most: dict[str, Any], isolation: str) -> list[str]:
    problems = []
    if watch.memory > most["memory_bytes"] + MEMORY_SLACK:
        problems.append(f"its processes held {watch.memory / 2**20:.0f} MiB")
    if watch.disk > most["disk_bytes"] + DISK_SLACK.get(isolation, 2**20):
        problems.append(f"its files held {watch.disk / 2**20:.0f} MiB")
    if watch.threads > most["processes"] + 24:
        problems.append(f"there were {watch.threads} threads")
    return problems


def _after(scene: Scene, before: dict[str, object], kept: set[int]) -> list[str]:
    problems = [f"there is {path}" for path in scene.left_over()]
    deadline = time.monotonic() + 1.0
    while len(scene.strangers()) > len(kept) and time.monotonic() < deadline:
        time.sleep(0.02)
    if len(left := scene.strangers()) > len(kept):
        problems.append(f"{len(left) - len(kept)} processes are left of {left}")
    after = scene.state()
    problems += [
        f"changed: {what}: {before[what]} to {after[what]}"
        for what in after
        if after[what] != before[what]
    ]
    return problems + scene.notes + scene.arrived


def _of_result(attack: Attack, result: Result, most: dict[str, Any]) -> list[str]:
    problems = []
    if "BREACH" in result.stdout:
        lines = [line for line in result.stdout.splitlines() if "BREACH" in line]
        problems.append(f"it got through: {lines}")
    if attack.language == "python" and (broken := _BROKEN.search(result.stderr)):
        own = attack.family in ("persistence", "forging")  # those raise on purpose
        if not own and "resource_tracker" not in result.stderr:
            problems.append(f"the attack is broken: {broken[0]}")
    for name, text in (("stdout", result.stdout), ("stderr", result.stderr)):
        if len(text.encode()) > 3 * most["output_bytes"]:
            problems.append(f"{name} holds {len(text)} characters")
    return problems


def _leaks(scene: Scene, results: list[Result]) -> list[str]:
    accounts = [
        line for line in Path("/etc/passwd").read_text().splitlines() if ":1:1:" in line
    ]
    machine = [os.uname().nodename] if len(os.uname().nodename) > 12 else []
    marks = {f"the secret {n!r}": s for n, s in scene.secrets.items()}
    marks |= {f"a line of {n}": n for n in [*accounts, *machine]}
    marks["a source of the library"] = "Running programs that " + "nobody trusts"
    marks["a source of the tests"] = "The host that is " + "attacked:"
    return [
        f"it read {what}"
        for what, mark in marks.items()
        if any(mark in r.stdout or mark in r.stderr for r in results)
    ]


def main(arguments: list[str]) -> int:
    """Run the attacks of a family on a tier."""
    tier, family, *names = arguments
    if tier == "ns-without-landlock":
        tier = "ns"
        refuse(["landlock_create_ruleset"])
    chosen = [
        attack
        for attack in ATTACKS
        if family in (attack.family, "all") and (not names or attack.name in names)
    ]
    if tier == "unsafe":
        chosen = [attack for attack in chosen if attack.harmless]
    else:
        chosen = [attack for attack in chosen if tier in attack.tiers]
    with Scene() as scene, open_tier(tier) as sandbox:
        kept = warm_up(sandbox, scene)
        for attack in chosen:
            say(attack_once(attack, sandbox, scene, kept))
            clear_up(scene, kept)
    say({"end": True})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
