"""The same seed and replies give the same bytes, whatever else the process did."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from llm_gym.checks.episodes import Recording, compare, play, wander
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import demand
from llm_gym.env import ToolEnv

__all__ = ["check_determinism"]


def check_determinism(subject: Subject) -> str:
    """Replay each episode on the same env, after others, and on a fresh one."""
    recordings = subject.recordings
    with _own_generators():
        env = subject.make()
        for number, recording in enumerate(recordings):
            _reseed(number)
            before = _global_state()
            _replay(env, recording, "replayed")
            _replay(env, recording, "replayed again")
            demand(
                _global_state() == before,
                f"{recording.title}: the global generator of `random` or `numpy` was "
                "used; draw from `self.np_random`, `self.task.rng()` or the `rng` "
                "that a task is generated with",
            )
            env.reset(seed=recording.seed + 7919)
            wander(env, recording.seed)
            _replay(env, recording, "replayed after a part of another episode")
            fresh = subject.make()
            _replay(fresh, recording, "replayed by a fresh env")
            fresh.close()
        env.close()
    return f"{len(recordings)} episodes, each replayed four times"


def _replay(env: ToolEnv, recording: Recording, circumstance: str) -> None:
    shown = play(env, recording.replies, seed=recording.seed)
    compare(recording, shown, env.trajectory.digest, circumstance)


@contextlib.contextmanager
def _own_generators() -> Iterator[None]:
    """Put the global generators back as they were."""
    before = random.getstate(), np.random.get_state(legacy=False)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def _reseed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)


def _global_state() -> tuple[Any, ...]:
    numbers: Any = np.random.get_state(legacy=False)
    inner = numbers["state"]
    counted = numbers["has_gauss"], numbers["gauss"], inner["pos"]
    return random.getstate(), inner["key"].tobytes(), counted
