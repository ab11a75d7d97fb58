"""Advantages of VeRL that leave rows without anything to train on out of their group.

VeRL's estimators know rewards and groups; that a row stands for no episode they do not
know, and its number would count in the group's mean. These call VeRL's own, with each
such row in a group of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from llm_gym.errors import require

__all__ = ["ESTIMATORS", "leaving_out", "own_groups", "register_estimators"]

ESTIMATORS = {"llmgym_grpo": "grpo", "llmgym_rloo": "rloo"}
"""What `algorithm.adv_estimator` may be, and the estimator of VeRL that it calls."""


def own_groups(groups: Sequence[Any], valid: Sequence[bool]) -> tuple[Any, list[bool]]:
    """Give rows that are left out a group of their own.

    Args:
        groups: For each row its group, `(B,)`.
        valid: For each row whether it has an advantage, `(B,)`.

    Returns:
        The groups as an array of objects, `(B,)`, and for each row whether it is the
        only one that is left of its group: then nothing is known to compare it with.
    """
    before = Counter(groups)
    left = Counter(g for g, counts in zip(groups, valid, strict=True) if counts)
    own = np.empty(len(groups), dtype=object)
    for row, (group, counts) in enumerate(zip(groups, valid, strict=True)):
        own[row] = group if counts else ("left out", row)
    alone = [before[group] > 1 and left[group] == 1 for group in groups]
    return own, alone


def leaving_out(
    estimator: Callable[..., Any], *, deviates: bool = False
) -> Callable[..., Any]:
    """Return an estimator of VeRL's form that leaves rows with a mask of zeros out.

    The only row that is left of a group has the advantage 0.

    Args:
        estimator: One of VeRL's, of outcome rewards and groups.
        deviates: Whether it is told if to divide by the deviation
            (`algorithm.norm_adv_by_std_in_grpo`).
    """

    def estimate(
        token_level_rewards: Any,
        response_mask: Any,
        index: Any,
        config: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        torch = require("torch", extra="verl")
        valid = response_mask.bool().any(dim=-1)
        own, alone = own_groups(list(index), valid.tolist())
        rewards = torch.where(
            valid[:, None], token_level_rewards, torch.zeros_like(token_level_rewards)
        )
        if deviates and config is not None:
            told = config.get("norm_adv_by_std_in_grpo", True)
            kwargs = {"norm_adv_by_std_in_grpo": told, **kwargs}
        values = estimator(
            token_level_rewards=rewards,
            response_mask=response_mask,
            index=own,
            config=config,
            **kwargs,
        )
        kept = ~torch.tensor(alone, device=response_mask.device)[:, None]
        advantages, returns = values
        return advantages * kept, returns * kept

    return estimate


def register_estimators() -> None:
    """Make the estimators known to VeRL, in this process; again does nothing."""
    algos = require("verl.trainer.ppo.core_algos", extra="verl")
    for name, inner in ESTIMATORS.items():
        if name not in algos.ADV_ESTIMATOR_REGISTRY:
            estimator = algos.get_adv_estimator_fn(inner)
            estimate = leaving_out(estimator, deviates=inner == "grpo")
            algos.register_adv_est(name)(estimate)
