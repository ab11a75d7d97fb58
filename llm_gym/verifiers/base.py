"""The Protocol of a verifier."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from llm_gym.trajectory import Score, Trajectory

__all__ = ["Verifier"]


@runtime_checkable
class Verifier(Protocol):
    """Judges an episode by its trajectory alone, so that a stored one can be judged."""

    def verify(self, trajectory: Trajectory) -> Score | float:
        """Judge an episode.

        Args:
            trajectory: A finished episode; its `task.answer` holds what is right.

        Returns:
            A score, or its value in [0, 1]. The model's failure is 0 with a reason.

        Raises:
            Exception: The verifier itself failed, which is a fault and never a 0.
        """
        ...
