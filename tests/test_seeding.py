"""Seeds of groups: fixed for ever, small enough, and independent."""

from __future__ import annotations

import numpy as np

from llm_gym.seeding import draw_of_group, seed_of_group


def test_seeds_never_change():
    assert [seed_of_group(7, group) for group in range(3)] == SEEDS


def test_seeds_fit_and_differ():
    seeds = [seed_of_group(seed, group) for seed in range(20) for group in range(20)]
    assert len(set(seeds)) == 400
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_draws_are_uniform():
    draws = [draw_of_group(1, group) for group in range(2_000)]
    counts, _ = np.histogram(draws, bins=10, range=(0, 1))
    assert counts.sum() == 2_000
    assert counts.min() > 140


SEEDS = [1041839916, 184785996, 504589498]
