"""What `recv` returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_gym.vector.slots import Outcome

__all__ = ["SlotBatch"]


@dataclass(frozen=True, slots=True)
class SlotBatch:
    """What came of some slots' turns, in the order in which they ended; B of them.

    Attributes:
        ids: The slots' numbers, `(B,)`.
        observations: What each shows now.
        rewards: `(B,)`; NaN after a fault.
        terminated: `(B,)`.
        truncated: `(B,)`.
        infos: The `info` of each.
    """

    ids: np.ndarray[Any, np.dtype[np.int64]]
    observations: tuple[Any, ...]
    rewards: np.ndarray[Any, np.dtype[np.float64]]
    terminated: np.ndarray[Any, np.dtype[np.bool_]]
    truncated: np.ndarray[Any, np.dtype[np.bool_]]
    infos: list[dict[str, Any]]

    @classmethod
    def of(cls, outcomes: Sequence[tuple[int, Outcome]]) -> SlotBatch:
        """Batch what came of slots."""
        every = [outcome for _, outcome in outcomes]
        return cls(
            np.array([number for number, _ in outcomes], dtype=np.int64),
            tuple(outcome.observation for outcome in every),
            np.array([outcome.reward for outcome in every], dtype=np.float64),
            np.array([outcome.terminated for outcome in every], dtype=np.bool_),
            np.array([outcome.truncated for outcome in every], dtype=np.bool_),
            [outcome.info for outcome in every],
        )
