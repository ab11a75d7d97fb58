"""In which order prompts are read, so that little is read twice and little is padded.

Episodes of one environment begin with the same system prompt and tools, rollouts of
one task with the same prompt: one row reads what several share, the others copy it.
Knows token ids; knows no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from llm_gym.errors import require

__all__ = [
    "LEAST_SHARED",
    "Ids",
    "as_ids",
    "buckets",
    "common_length",
    "left_padded",
    "split_round",
]

Ids = npt.NDArray[np.int64]
RowT = TypeVar("RowT")

# Fewer shared tokens than these are read again: another pass costs more than it saves.
LEAST_SHARED = 32
# Rows whose lengths differ by no more than this, or by a quarter, share a pass.
_SLACK = 16


def as_ids(ids: Sequence[int]) -> Ids:
    """Return token ids as an array."""
    return np.asarray(ids, dtype=np.int64)


def common_length(one: Ids, other: Ids) -> int:
    """Return how many tokens two rows have in common at their start."""
    most = min(len(one), len(other))
    differ = np.flatnonzero(one[:most] != other[:most])
    return int(differ[0]) if len(differ) else most


def split_round(prompts: Sequence[Ids], known: Sequence[int]) -> list[bool]:
    """Say which prompts are read now, and which wait until another one was.

    Args:
        prompts: The prompts, in lexicographic order.
        known: How many tokens of each are known already.

    Returns:
        For each whether it is read now. One waits if an earlier one that is read now
        spares it many tokens; the first never waits.
    """
    now: list[bool] = []
    leader: Ids | None = None
    for prompt, start in zip(prompts, known, strict=True):
        # In this order no other leader has more in common with it than the last one.
        shared = 0 if leader is None else common_length(prompt[:-1], leader[:-1])
        waits = shared - start >= LEAST_SHARED
        now.append(not waits)
        if not waits:
            leader = prompt
    return now


def buckets(
    rows: Sequence[RowT], length: Callable[[RowT], int], limit_tokens: int
) -> list[list[RowT]]:
    """Group rows of like length, so that padding stays below about a quarter.

    Args:
        rows: The rows.
        length: How many tokens are to be read of one.
        limit_tokens: The most tokens of a group, with its padding; a longer row is a
            group of its own.
    """
    groups: list[list[RowT]] = []
    longest = 0
    for row in sorted(rows, key=length, reverse=True):
        one = length(row)
        alike = longest - one <= max(_SLACK, longest // 4)
        if groups and alike and longest * (len(groups[-1]) + 1) <= limit_tokens:
            groups[-1].append(row)
        else:
            groups.append([row])
            longest = one
    return groups


def left_padded(
    prompts: Sequence[Sequence[int]], pad: int, device: Any
) -> dict[str, Any]:
    """Return the inputs of `generate` for a batch of prompts.

    Args:
        prompts: The token ids of each row, none empty.
        pad: The id that fills short rows at their left; it is masked.
        device: Where the inputs go.

    Returns:
        `input_ids` and `attention_mask`, both `(B, T)` with `T` the longest prompt's
        length.
    """
    torch = require("torch", extra="transformers")
    width = max(map(len, prompts))
    missing = [width - len(prompt) for prompt in prompts]
    rows = zip(missing, prompts, strict=True)
    ids = [[*[pad] * short, *prompt] for short, prompt in rows]
    mask = [[0] * short + [1] * (width - short) for short in missing]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }
