"""The seeds of a run's episodes: the same for whatever runs them."""

from __future__ import annotations

import numpy as np

__all__ = ["draw_of_group", "seed_of_group"]


def seed_of_group(seed: int, group: int) -> int:
    """Return what a group's episodes are reset with.

    Args:
        seed: The run's seed, not negative.
        group: The group's number in the run, from 0.

    Returns:
        A seed of 31 bits.
    """
    return _words(seed, group)[0] >> 1


def draw_of_group(seed: int, group: int) -> float:
    """Return a draw from [0, 1) that is a group's own; see `seed_of_group`."""
    return _words(seed, group)[1] / 2**32


def _words(seed: int, group: int) -> list[int]:
    """Return two independent numbers of 32 bits."""
    state = np.random.SeedSequence([seed, group]).generate_state(2)
    return [int(word) for word in state]
