"""Environments that break at will, and one whose groups are judged together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from llm_gym import Task, Trajectory, tool
from tests.sample_envs import VaultEnv

__all__ = ["FlakyEnv", "GroupedEnv"]


class FlakyEnv(VaultEnv):
    """A vault whose look-up breaks as often as `breaks` says, over all instances."""

    breaks: ClassVar[dict[str, int]] = {}
    closed: ClassVar[list[int]] = []

    @tool
    def lookup(self, colour: str) -> int:
        """Look the code of a vault up.

        Args:
            colour: The vault's colour.
        """
        if self.breaks.get("lookup", 0) > 0:
            self.breaks["lookup"] -= 1
            raise RuntimeError("the archive is away")
        return self.state["codes"][colour]

    def begin(self, task: Task) -> Any:
        """Break, or begin."""
        if self.breaks.get("begin", 0) > 0:
            self.breaks["begin"] -= 1
            raise RuntimeError("no beginning")
        return super().begin(task)

    def close(self) -> None:
        """Take note."""
        self.closed.append(id(self))
        super().close()


class Ranks:
    """Judges a group: the first member wins."""

    least_members = 2

    def verify_group(self, trajectories: Sequence[Trajectory]) -> list[float]:
        """Give the first full marks."""
        return [1.0, *[0.25] * (len(trajectories) - 1)]


class GroupedEnv(VaultEnv):
    """A vault whose groups are ranked."""

    group_verifier = Ranks()
