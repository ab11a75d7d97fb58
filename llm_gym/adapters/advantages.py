"""Advantages from returns: small pure functions, each with its source.

All take the same arrays, one entry an episode: `rewards` `(E,)`, `group_id` `(E,)` of
integers, `valid` `(E,)` of bool. An episode that is not valid (a fault of the machine)
has no reward, whatever stands in its place, NaN included: it enters no mean, and its
advantage is 0. It is not an episode that earned nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Advantages",
    "Estimator",
    "dr_grpo",
    "grpo",
    "reinforce_batch_norm",
    "returns_to_go",
    "rloo",
]

_SAME = 1e-8
"""Rewards that differ by no more are equal: a group of them teaches nothing."""


@dataclass(frozen=True, slots=True)
class Advantages:
    """What an estimator returns.

    Attributes:
        values: `(E,)` float64; 0.0 where an episode is not valid.
        degenerate: `(E,)` bool; whether the rewards that the episode was compared with
            are all equal, or it had none to be compared with, so that all their
            advantages are 0 and nothing is learned from them. Sample harder or easier
            tasks where that is so of many.
    """

    values: NDArray[np.float64]
    degenerate: NDArray[np.bool_]


Estimator: TypeAlias = Callable[..., Advantages]
"""A function of `rewards`, `group_id` and `valid`."""


def grpo(
    rewards: ArrayLike,
    group_id: ArrayLike,
    valid: ArrayLike | None = None,
    *,
    epsilon: float = 1e-4,
) -> Advantages:
    """Return (reward - mean of its group) / (deviation of its group + epsilon).

    Shao et al. 2024, "DeepSeekMath", section 4.1 (arXiv:2402.03300). The deviation is
    that of a sample (n - 1), and `epsilon` that of TRL, both of which the paper leaves
    open.

    Args:
        rewards: `(E,)`.
        group_id: `(E,)`; episodes of one task have one.
        valid: `(E,)`; all are if None.
        epsilon: Added to the deviation.

    Raises:
        ValueError: The arrays differ in length, or a valid reward is not finite.
    """

    def scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return _centred(values) / float(values.std(ddof=1) + epsilon)

    return _by_group(rewards, group_id, valid, scaled)


def dr_grpo(
    rewards: ArrayLike, group_id: ArrayLike, valid: ArrayLike | None = None
) -> Advantages:
    """Return reward - mean of its group, not divided by the deviation.

    Liu et al. 2025, "Understanding R1-Zero-Like Training" (arXiv:2503.20783). The other
    half of Dr. GRPO is in the loss: sum the tokens' losses and divide by a constant,
    not by each reply's length.

    Args:
        rewards: `(E,)`.
        group_id: `(E,)`.
        valid: `(E,)`; all are if None.

    Raises:
        ValueError: The arrays differ in length, or a valid reward is not finite.
    """
    return _by_group(rewards, group_id, valid, _centred)


def rloo(
    rewards: ArrayLike, group_id: ArrayLike, valid: ArrayLike | None = None
) -> Advantages:
    """Return reward - mean of the others of its group ("leave one out").

    Kool et al. 2019, "Buy 4 REINFORCE Samples, Get a Baseline for Free!"; for language
    models Ahmadian et al. 2024, "Back to Basics" (arXiv:2402.14740).

    Args:
        rewards: `(E,)`.
        group_id: `(E,)`.
        valid: `(E,)`; all are if None.

    Raises:
        ValueError: The arrays differ in length, or a valid reward is not finite.
    """

    def against_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values - (float(values.sum()) - values) / (len(values) - 1)

    return _by_group(rewards, group_id, valid, against_others)


def reinforce_batch_norm(
    rewards: ArrayLike,
    group_id: ArrayLike | None = None,
    valid: ArrayLike | None = None,
    *,
    epsilon: float = 1e-8,
) -> Advantages:
    """Return (return - mean of the batch) / (deviation of the batch + epsilon).

    REINFORCE with return batch normalisation, Liu et al. 2025, "GEM"
    (arXiv:2510.01051). It needs no groups. For a return of each turn instead of each
    episode hand it the turns of all episodes, from `returns_to_go`.

    Args:
        rewards: `(E,)` returns.
        group_id: Not looked at; here so that all estimators are called alike.
        valid: `(E,)`; all are if None.
        epsilon: Added to the deviation.

    Raises:
        ValueError: The arrays differ in length, or a valid reward is not finite.
    """

    def scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return _centred(values) / float(values.std() + epsilon)

    one_group = np.zeros(np.shape(np.asarray(rewards)), dtype=np.int64)
    return _by_group(rewards, one_group, valid, scaled)


def returns_to_go(rewards: ArrayLike, discount: float = 1.0) -> NDArray[np.float64]:
    """Return for each turn the discounted sum of the rewards from it on.

    Sutton and Barto, "Reinforcement Learning" (2nd edition), equation 3.9.

    Args:
        rewards: `(T,)`, the rewards of an episode's turns.
        discount: How much less a reward counts for each turn that it is away.

    Raises:
        ValueError: The discount is not in [0, 1].
    """
    if not 0.0 <= discount <= 1.0:
        raise ValueError(f"`discount` must be in [0, 1], not {discount!r}")
    found = np.array(rewards, dtype=np.float64)
    for turn in range(len(found) - 2, -1, -1):
        found[turn] += discount * found[turn + 1]
    return found


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values - float(values.mean())


def _by_group(
    rewards: ArrayLike,
    group_id: ArrayLike,
    valid: ArrayLike | None,
    estimate: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Advantages:
    """Estimate the advantages of each group's valid members among themselves."""
    values = np.asarray(rewards, dtype=np.float64)
    groups = np.asarray(group_id)
    is_valid = (
        np.ones(values.shape, dtype=np.bool_)
        if valid is None
        else np.asarray(valid, dtype=np.bool_)
    )
    _check(values, groups, is_valid)
    advantages = np.zeros(values.shape)
    degenerate = np.ones(values.shape, dtype=np.bool_)
    for group in np.unique(groups):
        inside = groups == group
        members = inside & is_valid
        found = values[members]
        if len(found) < 2 or np.ptp(found) <= _SAME:
            continue
        degenerate[inside] = False
        advantages[members] = estimate(found)
    return Advantages(advantages, degenerate)


def _check(
    rewards: NDArray[np.float64], groups: NDArray[Any], valid: NDArray[np.bool_]
) -> None:
    shapes = rewards.shape, groups.shape, valid.shape
    if rewards.ndim != 1 or len(set(shapes)) > 1:
        raise ValueError(
            "`rewards`, `group_id` and `valid` must be of one length, one entry an "
            f"episode, not of shapes {', '.join(map(str, shapes))}"
        )
    wrong = valid & ~np.isfinite(rewards)
    if wrong.any():
        raise ValueError(
            f"the reward of episode {int(np.argmax(wrong))} is "
            f"{rewards[np.argmax(wrong)]}, and yet it is said to be valid: an episode "
            "without a reward must have `valid` False"
        )
