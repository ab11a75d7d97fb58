"""What came of an episode, and the reward function that tells TRL of it.

Both paths hand over `Outcome`s: on the one they are read from the environments, on the
other they come with the tokens. A reward is None where there is none, which TRL leaves
out of its baselines and gives no advantage.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llm_gym.adapters.trl.starts import COLUMN
from llm_gym.trajectory import Trajectory, as_score
from llm_gym.verifiers.base import GroupVerifier, least_members

__all__ = ["OUTCOMES", "EpisodeReturn", "Outcome", "judged"]

OUTCOMES = "llm_gym_outcome"
"""The column in which the rollout path hands outcomes to reward functions."""

Log = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an episode.

    Attributes:
        trajectory: Its record; with a `fault` it is no result.
        counts: What is logged besides, by name: where the trainer bent the episode.
        trained: Whether any of its tokens go into the loss.
        group_verifier: What judges its group together, None for nothing.
    """

    trajectory: Trajectory
    counts: Mapping[str, float] = field(default_factory=dict)
    trained: bool = True
    group_verifier: GroupVerifier | None = None

    @property
    def value(self) -> float | None:
        """The reward, None where the episode is no result or has no token to train."""
        if self.trajectory.fault is not None or not self.trained:
            return None
        return self.trajectory.episode_return

    def failed(self, why: str) -> Outcome:
        """Return it as no result, unless it is none already."""
        record = self.trajectory
        if record.fault is not None:
            return self
        record = replace(record, fault=why, tokens=None, certificate=None)
        return replace(self, trajectory=record)

    def metrics(self) -> Iterator[tuple[str, float]]:
        """Yield what is logged of the episode."""
        record = self.trajectory
        yield "llm_gym/faults", float(record.fault is not None)
        yield from ((f"llm_gym/{name}", value) for name, value in self.counts.items())
        if record.fault is not None:
            return
        stop = record.stop_reason
        yield "llm_gym/turns", float(len(record.turns))
        yield "llm_gym/tool_errors", float(record.tool_errors)
        yield "llm_gym/truncated", float(stop is not None and not stop.terminated)
        yield "llm_gym/success", float(record.success)
        score = record.score
        for name, part in score.parts.items() if score is not None else ():
            yield f"llm_gym/score/{name}", part


class EpisodeReturn:
    """The reward function of both paths: what the environment gave, and nothing else.

    Args:
        read: Returns the outcomes of environments, given them, their completions and
            the completions' ids.
    """

    __name__ = "episode_return"

    def __init__(self, read: Callable[..., list[Outcome]]) -> None:
        self._read = read

    def __call__(
        self,
        *,
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        environments: Sequence[Any] | None = None,
        log_metric: Log | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Return the rewards of a batch, and log what it is made of.

        Raises:
            ValueError: There are neither environments nor outcomes of a rollout.
        """
        if environments is not None:
            outcomes = self._read(environments, completions, completion_ids)
        elif OUTCOMES in columns:
            outcomes = columns[OUTCOMES]
        else:
            raise ValueError(
                "`reward_funcs` of a TRLSpec need its `environment_factory` or its "
                "`rollout_func` beside them: pass `**spec.kwargs()` to GRPOTrainer "
                "(RLOOTrainer has neither, and cannot train on environments)"
            )
        outcomes = judged(outcomes, columns.get(COLUMN))
        if log_metric is not None:
            for outcome in outcomes:
                for name, value in outcome.metrics():
                    log_metric(name, value)
        return [outcome.value for outcome in outcomes]


def judged(outcomes: Sequence[Outcome], starts: Sequence[str] | None) -> list[Outcome]:
    """Have the groups judged together whose environment judges groups.

    Args:
        outcomes: The batch, the members of a group together.
        starts: The start of each; neighbours with the same one are a group.

    Raises:
        ValueError: A group is too small for what judges it.
    """
    if starts is None or all(one.group_verifier is None for one in outcomes):
        return list(outcomes)
    rows = zip(outcomes, starts, strict=True)
    groups = itertools.groupby(rows, key=lambda row: row[1])
    return [
        outcome
        for _, members in groups
        for outcome in _judged_group([row[0] for row in members])
    ]


def _judged_group(members: list[Outcome]) -> list[Outcome]:
    verifier = next((m.group_verifier for m in members if m.group_verifier), None)
    if verifier is None:
        return members
    failed = next((m.trajectory.fault for m in members if m.trajectory.fault), None)
    if failed is not None:  # as in rollouts: an incomplete group is no result
        why = f"its group is incomplete: {failed}"
        return [member.failed(why) for member in members]
    needed = least_members(verifier)
    if len(members) < needed:
        raise ValueError(
            f"`{type(verifier).__name__}` judges groups of at least {needed}, "
            f"{len(members)} came: keep `num_generations` at {needed} or more and "
            "whole groups in a process"
        )
    try:
        scores = verifier.verify_group([member.trajectory for member in members])
        return [_with_group_score(*row) for row in zip(members, scores, strict=True)]
    except Exception as err:  # noqa: BLE001  # a grader's failure is no reward
        why = f"judging the group raised {type(err).__name__}: {err}"
        return [member.failed(why) for member in members]


def _with_group_score(member: Outcome, score: object) -> Outcome:
    record = member.trajectory.with_group_score(as_score(score))
    return replace(member, trajectory=record)
