"""Groups of episodes as plain arrays: what any trainer can take its loss from.

A row is a training sample: a run of tokens to which each turn only appended. Most
episodes are one row; one whose conversation was rewritten on the way (thinking that a
chat template strips, a history that is cut) is several, which share its reward.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from llm_gym.adapters.advantages import Advantages, Estimator
from llm_gym.tokens.trace import Sample
from llm_gym.trajectory import Trajectory

__all__ = ["Groups", "Padded"]

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Padded:
    """Rows of different lengths as rectangles.

    Attributes:
        prompt_ids: `(N, P)`, padded on the left.
        prompt_mask: `(N, P)` bool; False where it is padding.
        ids: `(N, C)`, padded on the right.
        ids_mask: `(N, C)` bool; False where it is padding.
        mask: `(N, C)` bool; True where the policy sampled: the loss is over these.
        logprobs: `(N, C)` float64; 0.0 where `mask` is False. None if a row told none.
    """

    prompt_ids: Ints
    prompt_mask: Bools
    ids: Ints
    ids_mask: Bools
    mask: Bools
    logprobs: Floats | None


@dataclass(frozen=True, slots=True)
class Groups:
    """Episodes by group, as arrays; each has one entry a row.

    Attributes:
        prompt_ids: Token ids of the prompt, `(P_i,)` each.
        ids: What follows, `(C_i,)` each: replies and what was added between them.
        mask: `(C_i,)` bool each; True where the policy sampled.
        logprobs: `(C_i,)` float64 each: the natural log-probability of each sampled
            token when it was drawn, at temperature 1; 0.0 elsewhere. None where the
            policy told none.
        rewards: `(N,)` float64, the episode's return; NaN where it is not valid.
        valid: `(N,)` bool; False after a fault of the machine. Such a row has no tokens
            and must enter neither the loss nor a mean: it is not a reward of zero.
        group_id: `(N,)` int64; rows of one task and seed have one.
        episode: `(N,)` int64: which trajectory it is of, by its place in what was
            handed in. Rows of one episode share it.
    """

    prompt_ids: tuple[Ints, ...]
    ids: tuple[Ints, ...]
    mask: tuple[Bools, ...]
    logprobs: tuple[Floats | None, ...]
    rewards: Floats
    valid: Bools
    group_id: Ints
    episode: Ints

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.ids)

    @classmethod
    def from_trajectories(cls, trajectories: Iterable[Trajectory]) -> Groups:
        """Make the arrays of episodes, in the order in which they come.

        Args:
            trajectories: Finished episodes of a rollout whose policy tells its tokens.

        Raises:
            ValueError: There is no episode, one is not finished, or has no tokens, or
                is of no rollout and so of no group.
        """
        rows = [
            row
            for place, trajectory in enumerate(trajectories)
            for row in _rows(place, trajectory)
        ]
        if not rows:
            raise ValueError("there are no episodes: hand in at least one trajectory")
        samples = [row.sample for row in rows]
        return cls(
            prompt_ids=tuple(np.array(s.prompt_ids, dtype=np.int64) for s in samples),
            ids=tuple(np.array(s.completion_ids, dtype=np.int64) for s in samples),
            mask=tuple(np.array(s.mask, dtype=np.bool_) for s in samples),
            logprobs=tuple(
                None if s.logprobs is None else np.array(s.logprobs, dtype=np.float64)
                for s in samples
            ),
            rewards=np.array([row.reward for row in rows]),
            valid=np.array([row.valid for row in rows], dtype=np.bool_),
            group_id=np.array([row.group for row in rows], dtype=np.int64),
            episode=np.array([row.episode for row in rows], dtype=np.int64),
        )

    def advantages(self, estimator: Estimator, **options: Any) -> Advantages:
        """Return each row's advantage: its episode's, which is counted once.

        Args:
            estimator: One of `llm_gym.adapters.advantages`, or a function like them.
            **options: What it takes besides, such as `epsilon`.

        Returns:
            `values` `(N,)` and `degenerate` `(N,)`.
        """
        _, firsts, back = np.unique(
            self.episode, return_index=True, return_inverse=True
        )
        found = estimator(
            self.rewards[firsts], self.group_id[firsts], self.valid[firsts], **options
        )
        return Advantages(found.values[back], found.degenerate[back])

    def padded(self, pad_id: int = 0) -> Padded:
        """Return rectangles: prompts padded on the left, the rest on the right.

        Args:
            pad_id: What stands where there is no token.
        """
        prompt_ids, prompt_mask = _rectangle(self.prompt_ids, pad_id, left=True)
        ids, ids_mask = _rectangle(self.ids, pad_id)
        mask, _ = _rectangle(self.mask, 0)
        told = [row for row in self.logprobs if row is not None]
        logprobs = None
        if len(told) == len(self):
            logprobs, _ = _rectangle(told, 0.0)
        return Padded(
            prompt_ids, prompt_mask, ids, ids_mask, mask.astype(np.bool_), logprobs
        )


@dataclass(frozen=True, slots=True)
class _Row:
    sample: Sample
    reward: float
    valid: bool
    group: int
    episode: int


_NOTHING = Sample((), (), (), (), ())


def _rows(place: int, trajectory: Trajectory) -> list[_Row]:
    where = f"episode {place} (task {trajectory.task.id!r})"
    if trajectory.run is None:
        raise ValueError(
            f"{where} is of no rollout, so it is of no group: make it by "
            "`llm_gym.rollout(..., group_size=...)`"
        )
    group = trajectory.run.group
    if trajectory.fault is not None:
        return [_Row(_NOTHING, float("nan"), False, group, place)]
    if trajectory.score is None:
        raise ValueError(f"{where} is not finished: it has neither score nor fault")
    if trajectory.tokens is None and not _sampled_nothing(trajectory):
        raise ValueError(
            f"{where} has no tokens: its policy ({trajectory.run.policy or 'unnamed'}) "
            "does not tell them; see docs/tokens.md for those that do"
        )
    samples = trajectory.tokens.to_samples() if trajectory.tokens else []
    reward = trajectory.episode_return
    return [
        _Row(sample, reward, True, group, place) for sample in samples or [_NOTHING]
    ]


def _sampled_nothing(trajectory: Trajectory) -> bool:
    """Whether its replies say that they are of no token: the prompt left no room."""
    usages = [turn.usage for turn in trajectory.turns]
    return all(u is not None and u.completion_tokens == 0 for u in usages)


def _rectangle(
    rows: Sequence[NDArray[Any]], fill: float, *, left: bool = False
) -> tuple[NDArray[Any], Bools]:
    width = max((len(row) for row in rows), default=0)
    kind = rows[0].dtype if rows else np.dtype(np.int64)
    table = np.full((len(rows), width), fill, dtype=kind)
    real = np.zeros((len(rows), width), dtype=np.bool_)
    for number, row in enumerate(rows):
        span = slice(width - len(row), width) if left else slice(0, len(row))
        table[number, span] = row
        real[number, span] = True
    return table, real
