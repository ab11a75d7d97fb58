"""What an environment holds on to, and the floors that its card states."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from typing import Any

import pytest

from llm_gym import Score, Trajectory
from llm_gym.checks import Finding, check
from llm_gym.checks.card_floors import (
    Floors,
    constant_replies,
    measure,
    read_floors,
)
from llm_gym.checks.soak import held
from llm_gym.checks.subject import Subject
from llm_gym.messages import call_text
from tests.checks.zoo import BoxesEnv, HandInEnv, NoOracleEnv

LINE = "oracle 1.000, null 0.000, constant 0.125, random 0.012 (1,000 episodes, seed 0)"


def find(target: Any, name: str, **options: Any) -> Finding:
    (finding,) = check(target, only=[name], **{"seeds": range(2), **options}).findings
    return finding


# Soak


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_gym.checks.soak._EPISODES", 200)


def test_threads_and_descriptors_are_counted() -> None:
    before = held()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    reading, writing = os.pipe()
    during = held()
    stop.set()
    thread.join()
    os.close(reading)
    os.close(writing)
    assert during.threads == before.threads + 1
    assert during.descriptors == before.descriptors + 2
    assert held().descriptors == before.descriptors


def test_processes_are_counted_unreaped_ones_too() -> None:
    before = held().processes
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as child:
        assert held().processes == before + 1
        child.communicate(b"\n")
    assert held().processes == before


@pytest.mark.usefixtures("_short")
def test_thread_of_every_episode_is_found() -> None:
    stop = threading.Event()

    class ThreadedEnv(BoxesEnv):
        """Starts a thread with each environment and never stops it."""

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            threading.Thread(target=stop.wait, daemon=True).start()

    try:
        message = find(ThreadedEnv, "soak").message
    finally:
        stop.set()
    assert "threads; release in `close()`" in message


@pytest.mark.usefixtures("_short")
def test_child_of_every_env_is_found() -> None:
    children: list[subprocess.Popen[bytes]] = []

    class ParentEnv(BoxesEnv):
        """Starts a process with each environment and never ends it."""

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            children.append(subprocess.Popen(["sleep", "60"]))

    try:
        message = find(ParentEnv, "soak").message
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert "processes; release" in message


@pytest.mark.usefixtures("_short")
def test_env_without_oracle_is_soaked_by_random_replies() -> None:
    finding = find(NoOracleEnv, "soak")
    assert finding.status == "passed"
    assert finding.message.startswith("200 episodes")


def test_at_least_a_hundred_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_gym.checks.soak._MOST_SECONDS", 0.0)
    assert find(BoxesEnv, "soak").message.startswith("100 episodes")


def test_other_systems_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert find(BoxesEnv, "soak").status == "skipped"


# The floors of a card


def test_line_of_a_card_is_read_and_written() -> None:
    floors = read_floors(f"A card.\n\nFloors:\n    {LINE}\n")
    assert floors == Floors(1.0, 0.0, 0.125, 0.012)
    assert floors.line() == LINE
    assert read_floors("oracle 1.000, null 0.000") is None
    assert read_floors(LINE.replace(" (1,000", "\n    (1,000")) == floors


def test_constant_replies_are_lucky_words_in_the_oracle_s_form() -> None:
    assert {"yes", "0", "A"} <= {*constant_replies(BoxesEnv())}

    class SubmitEnv(HandInEnv):
        """Answers in a form."""

        def verify(self, trajectory: Trajectory) -> Score:
            code = trajectory.task.answer["code"]
            return Score(float(trajectory.answer == f"Code: {code}"), {}, "x")

        def oracle(self) -> str:
            return f"Code: {self.task.answer['code']}"

    replies = constant_replies(SubmitEnv())
    assert "Code: A" in replies
    assert "A" in replies
    assert constant_replies(NoOracleEnv())[:2] == ["yes", "no"]


def test_constant_is_the_best_of_them() -> None:
    class ZeroEnv(BoxesEnv):
        """Pays for a zero, and less for a one."""

        def verify(self, trajectory: Trajectory) -> Score:
            values = {"0": 0.5, "1": 0.25}
            return Score(values.get(trajectory.answer or "", 0.0), {}, "x")

        def oracle(self) -> str:
            return call_text("knock", {"times": 1})

    few = dict.fromkeys(("oracle", "null", "constant", "random"), 4)
    measured = measure(Subject(ZeroEnv, range(2)), few)
    assert measured["constant"] == (0.5, 4)
    assert measured["null"] == (0.0, 4)


def test_fault_is_no_floor() -> None:
    class FaultyEnv(BoxesEnv):
        """Cannot judge silence."""

        def verify(self, trajectory: Trajectory) -> Score:
            if not trajectory.answer:
                raise KeyError("nothing")
            return super().verify(trajectory)

    finding = find(FaultyEnv, "card_floors")
    assert finding.status == "failed"
    assert re.search("ended in a fault|raised KeyError", finding.message)


def test_card_without_a_line_is_told_a_sample() -> None:
    message = find(BoxesEnv, "card_floors").message
    assert message.startswith("the card states none; a small sample gave oracle 1.000")
