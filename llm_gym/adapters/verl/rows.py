"""A trajectory's tokens as rows of VeRL's batches, and what is asserted of each.

VeRL pads and stacks what a loop returns, and where lengths differ it does not always
say so; a row is held to its rules before it is handed over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from llm_gym.adapters.verl.policy import Budget
from llm_gym.tokens.trace import TokenRecord

__all__ = ["Row", "RowError", "check_row", "excluded_row", "rows_of"]


class RowError(ValueError):
    """A row breaks a rule that VeRL's batches need and do not check."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a batch.

    Attributes:
        prompt_ids: `(P,)`, at most the prompt's part of a row.
        response_ids: `(R,)`, at most the response's part: what is left of the prompt,
            replies, and what was added between them.
        mask: `(R,)`; 1 where the model sampled.
        logprobs: `(R,)`, 0.0 where the mask is 0; None if the engine told none.
        turns: The numbers of the turns whose replies are in it.
        segment: The number of the trace's segment that it is.
    """

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    mask: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    turns: tuple[int, ...] = ()
    segment: int = 0


def rows_of(record: TokenRecord, budget: Budget) -> list[Row]:
    """Return a row for each segment that has a reply.

    The ids of a row, prompt and response together, are those of its segment: nothing is
    cut off on either side.

    Args:
        record: The episode's tokens.
        budget: How long a row's parts may be.

    Raises:
        RowError: A segment does not fit in a row.
    """
    rows = []
    for number, segment in enumerate(record.segments):
        if not segment.spans:
            continue
        sample = segment.sample()
        rest = sample.prompt_ids[budget.prompt_tokens :]
        told = sample.logprobs
        row = Row(
            sample.prompt_ids[: budget.prompt_tokens],
            rest + sample.completion_ids,
            (0,) * len(rest) + sample.mask,
            None if told is None else (0.0,) * len(rest) + told,
            sample.turns,
            number,
        )
        rows.append(check_row(row, budget, logprobs=told is not None))
    return rows


def excluded_row(filler_id: int, *, response: bool, logprobs: bool) -> Row:
    """Return a row of which nothing is trained on.

    Args:
        filler_id: The one id in it.
        response: Whether it needs a token in the response too.
        logprobs: Whether the other rows of its batch have log-probabilities.
    """
    filler = (filler_id,) if response else ()
    told = (0.0,) * len(filler) if logprobs else None
    return Row((filler_id,), filler, (0,) * len(filler), told)


def check_row(row: Row, budget: Budget, *, logprobs: bool) -> Row:
    """Return a row that keeps the rules.

    Args:
        row: The row.
        budget: How long its parts may be.
        logprobs: Whether the rows of this batch have log-probabilities.

    Raises:
        RowError: It breaks one.
    """
    lengths = {"mask": len(row.mask)}
    if row.logprobs is not None:
        lengths["log-probabilities"] = len(row.logprobs)
    for name, length in lengths.items():
        if length != len(row.response_ids):
            raise RowError(
                f"expected as many {name} as response ids, came {length} for "
                f"{len(row.response_ids)}"
            )
    if (row.logprobs is not None) != logprobs:
        raise RowError(
            f"expected {'' if logprobs else 'no '}log-probabilities, as "
            "`rollout.calculate_log_probs` says, and the reverse came"
        )
    _check_lengths(row, budget)
    _check_numbers(row.logprobs or ())
    return row


def _check_lengths(row: Row, budget: Budget) -> None:
    for name, ids, limit in (
        ("prompt", row.prompt_ids, budget.prompt_tokens),
        ("response", row.response_ids, budget.response_tokens),
    ):
        if len(ids) > limit:
            raise RowError(
                f"expected at most {limit} {name} ids, came {len(ids)}: raise "
                f"`data.max_{name}_length` or shorten the episodes"
            )


def _check_numbers(logprobs: Sequence[float]) -> None:
    if not all(map(math.isfinite, logprobs)):
        raise RowError("expected finite log-probabilities, came NaN or an infinity")
