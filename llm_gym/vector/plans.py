"""Settling how each slot begins, before any of them changes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from llm_gym.env import ToolEnv
from llm_gym.tasks import Task
from llm_gym.vector.slots import Slot
from llm_gym.vector.sources import Kinds, draw_kind, kind_rng
from llm_gym.vector.starts import Start

__all__ = ["Plan", "Planner"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a slot will begin: what `Start` left open is settled.

    Attributes:
        slot: Its number.
        kind: The number of its environment.
        rng: Where the slot's next draws of an environment come from, in a mixture.
        seed: For the environment.
        options: For the environment.
    """

    slot: int
    kind: int
    rng: np.random.Generator | None
    seed: int | None
    options: dict[str, Any] | None


class Planner:
    """Draws environments, finds tasks.

    Args:
        kinds: The environments.
        samples: One of each kind, to ask for tasks.
    """

    def __init__(self, kinds: Kinds, samples: Sequence[gym.Env[Any, Any]]) -> None:
        self._kinds = kinds
        self._samples = samples

    def plan(
        self,
        starts: Sequence[Start],
        shared: Mapping[str, Any],
        slots: Sequence[Slot],
        random: np.random.Generator,
    ) -> list[Plan]:
        """Settle how slots begin.

        Args:
            starts: What is known.
            shared: Options for all.
            slots: All slots.
            random: For what no seed decides.

        Raises:
            UnknownTaskError: There is no such task.
            ValueError: An environment is asked for that a slot cannot play.
        """
        known: dict[tuple[int, str], Task | None] = {}
        return [
            self._plan(start, shared, slots[start.slot], known, random)
            for start in starts
        ]

    def _plan(
        self,
        start: Start,
        shared: Mapping[str, Any],
        slot: Slot,
        known: dict[tuple[int, str], Task | None],
        random: np.random.Generator,
    ) -> Plan:
        kind, seed, rng = slot.kind, start.seed, None
        weights = self._kinds.weights
        if weights is not None:
            rng = _rng(start, slot, random)
            kind = draw_kind(rng, weights)
            seed = int(rng.integers(2**31)) if seed is None else seed
        if start.env is not None:
            kind = self._kinds.number(start.env)
        if weights is None and kind != slot.kind:
            own = self._kinds.names[slot.kind]
            raise ValueError(f"slot {start.slot} plays {own!r} only, not {start.env!r}")
        options = dict(shared)
        task = options.pop("task_id", None) if start.task is None else start.task
        if isinstance(task, str):
            if (kind, task) not in known:
                known[kind, task] = self._find_task(slot, kind, task)
            task = known[kind, task] or task
        if task is not None:
            options["task" if isinstance(task, Task) else "task_id"] = task
        return Plan(start.slot, kind, rng, seed, options or None)

    def _find_task(self, slot: Slot, kind: int, task_id: str) -> Task | None:
        """Return a task before any slot changes; None if it is no `ToolEnv`'s."""
        env = slot.env if slot.kind == kind else self._samples[kind]
        inner = env.unwrapped
        return inner.tasks.get(task_id) if isinstance(inner, ToolEnv) else None


def _rng(start: Start, slot: Slot, random: np.random.Generator) -> np.random.Generator:
    """Return where a slot's draws come from; the slot's own stays as it is."""
    if start.seed is not None:
        return kind_rng(start.seed)
    if slot.rng is None:
        return kind_rng(int(random.integers(2**31)))
    return copy.deepcopy(slot.rng)
