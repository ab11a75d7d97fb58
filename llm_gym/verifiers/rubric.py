"""Several verifiers weighed into one score."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from llm_gym.errors import DefinitionError, EnvironmentFault
from llm_gym.trajectory import Score, Trajectory, as_score
from llm_gym.verifiers.base import GroupVerifier, Verifier, least_members

__all__ = ["Judge", "Rubric"]

Judge: TypeAlias = Verifier | Callable[[Trajectory], Score | float]
"""A verifier, or a function of a trajectory that returns a float or a `Score`."""


class Rubric:
    """The weighted mean of named verifiers, 0 where a gate is not passed.

    A rubric with group parts judges groups too: give it to a rollout as
    `group_verifier`, or to an environment class as both `verifier` and
    `group_verifier`. Alone an episode is then judged by its other parts.

    Example:
        >>> rubric = Rubric({"correct": (is_correct, 0.9), "brief": (is_brief, 0.1)},
        ...                 gates={"format": (has_format, 1.0)})

    Args:
        parts: For each name a verifier (or a function of a trajectory that returns a
            float or a `Score`) and its weight, a positive number. Weights need not sum
            to 1.
        gates: For each name a verifier and the least value that passes. One that is
            not passed makes the whole 0; the parts are then not asked.
        group: For each name a verifier of groups and its weight.
        ranges: For names of parts whose function returns something else than [0, 1]:
            the lowest and the highest value, which become 0 and 1.

    Raises:
        DefinitionError: There is no part, a name stands twice, a weight is not positive
            and finite, a gate's value not in (0, 1], or a range is none.
    """

    def __init__(
        self,
        parts: Mapping[str, tuple[Judge, float]] | None = None,
        *,
        gates: Mapping[str, tuple[Judge, float]] | None = None,
        group: Mapping[str, tuple[GroupVerifier, float]] | None = None,
        ranges: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self._parts = dict(parts or {})
        self._gates = dict(gates or {})
        self._group = dict(group or {})
        self._ranges = dict(ranges or {})
        if not self._parts and not self._group:
            raise DefinitionError("a rubric needs at least one part")
        names = [*self._parts, *self._gates, *self._group]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DefinitionError(f"the name `{twice}` stands twice in the rubric")
        for name, (_, weight) in [*self._parts.items(), *self._group.items()]:
            if not (math.isfinite(weight) and weight > 0):
                raise DefinitionError(
                    f"the weight of `{name}` must be positive, not {weight!r}"
                )
        for name, (_, least) in self._gates.items():
            if not 0 < least <= 1:
                raise DefinitionError(
                    f"the least value of the gate `{name}` must be in (0, 1], "
                    f"not {least!r}"
                )
        self._check_ranges()

    def _check_ranges(self) -> None:
        for name, (low, high) in self._ranges.items():
            if name not in self._parts and name not in self._gates:
                raise DefinitionError(f"`ranges` names `{name}`, which is no part")
            if not (low < high and math.isfinite(high - low)):
                raise DefinitionError(
                    f"the range of `{name}` must be a lower and a higher number, "
                    f"not {(low, high)!r}"
                )

    @property
    def blocking(self) -> bool:
        """Whether a part waits for something."""
        parts: list[Any] = [part for part, _ in self._parts.values()]
        parts += [gate for gate, _ in self._gates.values()]
        return any(getattr(part, "blocking", False) for part in parts)

    @property
    def least_members(self) -> int:
        """How many members a group must have for its group parts."""
        parts = [verifier for verifier, _ in self._group.values()]
        return max(map(least_members, parts), default=1)

    def verify(self, trajectory: Trajectory) -> Score:
        """Judge an episode by every part but those of the group.

        Returns:
            The weighted mean; each part's value stands in `parts` under its name, and
            the reason joins the parts' reasons.

        Raises:
            EnvironmentFault: A part returned a number outside of its range.
        """
        values: dict[str, float] = {}
        reasons: list[str] = []
        for name, (gate, least) in self._gates.items():
            value = self._ask(name, gate, trajectory, values, reasons)
            if value < least:
                why = (
                    f"the gate `{name}` is not passed: {value:g} of at least {least:g}"
                )
                return Score(0.0, values, "; ".join([why, *reasons]))
        for name, (part, _) in self._parts.items():
            self._ask(name, part, trajectory, values, reasons)
        weights = {name: weight for name, (_, weight) in self._parts.items()}
        return Score(_mean(values, weights), values, "; ".join(reasons))

    def verify_group(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Judge the episodes of one task by every part, those of the group too.

        Returns:
            A score for each. One that does not pass a gate has 0, but stands in the
            group that the group parts see.

        Raises:
            EnvironmentFault: A part returned a number outside of its range, or a group
                part another number of scores.
        """
        alone = [self.verify(trajectory) for trajectory in trajectories]
        weights = {name: weight for name, (_, weight) in self._parts.items()}
        found: list[dict[str, float]] = [dict(score.parts) for score in alone]
        for name, (verifier, weight) in self._group.items():
            weights[name] = weight
            scores = verifier.verify_group(trajectories)
            if len(scores) != len(trajectories):
                raise EnvironmentFault(
                    f"the group part `{name}` returned {len(scores)} scores for "
                    f"{len(trajectories)} episodes"
                )
            for values, score in zip(found, scores, strict=True):
                values[name] = as_score(score).value
        return [
            Score(_mean(values, weights) if self._passed(score) else 0.0, values, why)
            for values, score, why in zip(
                found, alone, (score.reason for score in alone), strict=True
            )
        ]

    def _passed(self, score: Score) -> bool:
        return all(
            score.parts.get(name, 0.0) >= least
            for name, (_, least) in self._gates.items()
        )

    def _ask(
        self,
        name: str,
        judge: Judge,
        trajectory: Trajectory,
        values: dict[str, float],
        reasons: list[str],
    ) -> float:
        """Ask one part; note its value in [0, 1] and its reason."""
        result = (
            judge.verify(trajectory)
            if isinstance(judge, Verifier)
            else judge(trajectory)
        )
        low, high = self._ranges.get(name, (0.0, 1.0))
        number = result.value if isinstance(result, Score) else result
        if not (hasattr(number, "__float__") and low <= float(number) <= high):
            raise EnvironmentFault(
                f"the part `{name}` must return a number in [{low:g}, {high:g}], "
                f"it returned {number!r}"
            )
        values[name] = value = (float(number) - low) / (high - low)
        if isinstance(result, Score) and result.reason:
            reasons.append(f"{name}: {result.reason}")
        return value


def _mean(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Return the weighted mean; both sums are rounded alike, so that 1s give 1."""
    if not weights:
        return 0.0
    total = math.fsum(weights.values())
    parts = (weight * values.get(name, 0.0) for name, weight in weights.items())
    return min(math.fsum(parts) / total, 1.0)
