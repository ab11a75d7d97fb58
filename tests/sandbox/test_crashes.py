"""Zygotes and trainers that are killed outright, chaos, and soaking."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import pytest

from llm_gym.errors import SandboxFault
from llm_gym.sandbox import RunLimits, Status, open_sandbox
from tests.sandbox.guard import guarded
from tests.sandbox.processes import children
from tests.sandbox.test_attacks import USERS

TIERS = ["ns", "landlock"]
SOAKING = os.environ.get("LLM_GYM_SOAK") == "1"
"""Whether the long forms are run: minutes instead of seconds."""


def said(*arguments: str, user: str = "same", seconds: float = 150.0) -> dict:
    """Run one of this directory's programs under guard and read what it says."""
    ran = guarded(*arguments, user=user, seconds=seconds)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("tier", TIERS)
def test_nothing_is_left_a_second_after_the_trainer_was_killed(tier, user):
    seen = said("tests.sandbox.kill_trainer", tier, user=user)
    assert seen["busy"] >= 5
    assert seen["left"] == []
    assert seen["seconds"] < 1.0
    assert seen["after_the_next_start"] == []


@pytest.mark.parametrize("tier", TIERS)
def test_a_run_whose_zygote_is_killed_is_run_again(tier):
    before = set(children(os.getpid()))
    source = "import time\ntime.sleep(0.4)\nprint('right')"
    with open_sandbox(tiers=(tier,), zygotes=1) as sandbox:
        sandbox.run("1")
        (zygote,) = set(children(os.getpid())) - before
        results = []
        run = threading.Thread(target=lambda: results.append(sandbox.run(source)))
        run.start()
        time.sleep(0.15)
        os.kill(zygote, signal.SIGKILL)
        run.join()
    assert (results[0].status, results[0].stdout) == (Status.OK, "right\n")


@pytest.mark.parametrize("tier", TIERS)
def test_a_run_whose_zygotes_are_all_killed_is_a_fault(tier):
    over = threading.Event()
    before = set(children(os.getpid()))

    def kill() -> None:
        while not over.wait(0.05):
            for pid in set(children(os.getpid())) - before:
                os.kill(pid, signal.SIGKILL)

    with open_sandbox(tiers=(tier,), zygotes=1) as sandbox:
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            with pytest.raises(SandboxFault):
                sandbox.run("import time\ntime.sleep(30)")
        finally:
            over.set()
            killer.join()
        assert sandbox.run("print(1)").stdout == "1\n"


def answer_until_killed(session):
    for _ in range(1_000):  # right, until the kernel has ended it
        result = session.execute("print(a)", limits=RunLimits(wall_seconds=5.0))
        assert (result.status, result.stdout) == (Status.OK, "1\n")
        time.sleep(0.01)


@pytest.mark.parametrize("tier", TIERS)
def test_a_session_whose_zygote_is_killed_is_a_fault_and_the_next_one_is_not(tier):
    before = set(children(os.getpid()))
    with open_sandbox(tiers=(tier,), zygotes=1) as sandbox:
        session = sandbox.session()
        session.execute("a = 1")
        for pid in set(children(os.getpid())) - before:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(SandboxFault):
            answer_until_killed(session)
        session.close()
        with sandbox.session() as other:
            assert other.execute("1 + 1").stdout == "2\n"


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
def test_each_of_a_thousand_random_runs_has_one_right_outcome(tier):
    runs = 1_000 if SOAKING or tier == "ns" else 250
    seen = said("tests.sandbox.chaos", tier, str(runs), "11", seconds=600.0)
    assert seen["wrong"] == []
    kinds = seen["seen"]
    assert sum(kinds.get(k, 0) for k in ("run", "session", "cancel", "fault")) == runs
    # A fault takes two kills, each of which may meet several runs.
    assert kinds.get("fault", 0) <= 4 * kinds["kill"]
    assert (seen["after"], seen["left"], seen["threads"]) == ("still there\n", 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
def test_many_runs_hold_no_more_than_few(tier):
    runs = 10_000 if SOAKING else 500
    seen = said("tests.sandbox.soak", tier, str(runs), seconds=1800.0)
    before, after = seen["before"], seen["after"]
    assert seen["wrong"] == 0
    for what in ("threads", "descriptors", "processes", "mounts"):
        assert after[what] <= before[what], what
    assert after["bytes"] - before["bytes"] < 8 * 2**20
    assert after["bytes_below"] - before["bytes_below"] < 16 * 2**20
