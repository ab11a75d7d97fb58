"""The Protocols of verifiers: of one episode, and of a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from llm_gym.trajectory import Score, Trajectory

__all__ = ["GroupVerifier", "Verifier", "least_members"]


@runtime_checkable
class Verifier(Protocol):
    """Judges an episode by its trajectory alone, so that a stored one can be judged.

    One that waits for something (a model, a sandbox) has `blocking = True`: rollouts
    then step environments that use it in threads.
    """

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


@runtime_checkable
class GroupVerifier(Protocol):
    """Judges the episodes of one task together, as comparisons need it.

    One that needs several members says so with an int `least_members`.
    """

    def verify_group(self, trajectories: Sequence[Trajectory]) -> Sequence[Score]:
        """Judge a group.

        Args:
            trajectories: Finished episodes of one task, none with a fault.

        Returns:
            A score for each, in their order.

        Raises:
            Exception: The verifier itself failed, which is a fault of the whole group.
        """
        ...


def least_members(verifier: GroupVerifier) -> int:
    """Return how many members a verifier needs, 1 if it says nothing."""
    return int(getattr(verifier, "least_members", 1))
