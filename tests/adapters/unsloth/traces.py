"""The token traces of the exact path, beside the rows that a trainer makes of them."""

from __future__ import annotations

from typing import Any

from llm_gym.adapters.trl import TRLSpec
from llm_gym.tokens import Sample
from tests.adapters.trl.stage import Row

__all__ = ["same", "watch_traces"]


def watch_traces(spec: TRLSpec) -> list[Sample]:
    """Return a list that fills with the samples of each episode's trace."""
    rollouts: Any = spec.rollout_func
    plain, samples = rollouts._row, []

    def watched(record: Any, theatre: Any) -> Any:
        samples.extend(record.tokens.to_samples())
        return plain(record, theatre)

    rollouts._row = watched
    return samples


def same(row: Row, sample: Sample) -> bool:
    """Whether a row has the trace's ids and mask, and both kinds of tokens."""
    return (
        row.prompt == list(sample.prompt_ids)
        and row.completion == list(sample.completion_ids)
        and row.mask == list(sample.mask)
        and 0 < sum(row.mask) < len(row.mask)
    )
