"""Several verifiers weighed into one score."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from llm_gym.errors import DefinitionError
from llm_gym.trajectory import Score, Trajectory, as_score
from llm_gym.verifiers.base import Verifier

__all__ = ["Rubric"]


class Rubric:
    """The weighted mean of named verifiers.

    Example:
        >>> rubric = Rubric({"correct": (is_correct, 0.9), "brief": (is_brief, 0.1)})

    Args:
        parts: For each name a verifier (or a function of a trajectory that returns a
            float or a `Score`) and its weight, a positive number. Weights need not sum
            to 1.

    Raises:
        DefinitionError: There is no part, or a weight is not positive and finite.
    """

    def __init__(
        self,
        parts: Mapping[
            str, tuple[Verifier | Callable[[Trajectory], Score | float], float]
        ],
    ) -> None:
        if not parts:
            raise DefinitionError("a rubric needs at least one part")
        for name, (_, weight) in parts.items():
            if not (math.isfinite(weight) and weight > 0):
                raise DefinitionError(
                    f"the weight of `{name}` must be positive, not {weight!r}"
                )
        self._parts = dict(parts)

    def verify(self, trajectory: Trajectory) -> Score:
        """Judge an episode by every part.

        Returns:
            The weighted mean; each part's value stands in `parts` under its name, and
            the reason joins the parts' reasons.
        """
        values: dict[str, float] = {}
        reasons = []
        for name, (verifier, _) in self._parts.items():
            judge = verifier.verify if isinstance(verifier, Verifier) else verifier
            score = as_score(judge(trajectory))
            values[name] = score.value
            if score.reason:
                reasons.append(f"{name}: {score.reason}")
        # Both sums are rounded alike, so that full marks everywhere are full marks.
        weights = {name: weight for name, (_, weight) in self._parts.items()}
        total = math.fsum(weights.values())
        value = math.fsum(weights[name] * values[name] for name in weights) / total
        return Score(min(value, 1.0), values, "; ".join(reasons))
