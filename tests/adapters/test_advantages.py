"""Advantages against formulas written out, and what must hold of any of them."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym.adapters.advantages import (
    dr_grpo,
    grpo,
    reinforce_batch_norm,
    returns_to_go,
    rloo,
)

GROUPED = [grpo, dr_grpo, rloo]
ALL = [*GROUPED, reinforce_batch_norm]
REWARDS = st.sampled_from([0.0, 0.25, 0.5, 1.0])
EPISODES = st.lists(
    st.tuples(REWARDS, st.integers(0, 3), st.booleans()), min_size=1, max_size=24
)


def columns(episodes):
    rewards, groups, valid = (
        np.array(column) for column in zip(*episodes, strict=True)
    )
    return np.where(valid, rewards, math.nan), groups, valid


def test_grpo_is_as_written_out():
    found = grpo([1, 0, 0, 0, 1, 1], [7, 7, 7, 7, 9, 9])
    spread = statistics.stdev([1, 0, 0, 0]) + 1e-4
    assert found.values == pytest.approx([0.75 / spread, *[-0.25 / spread] * 3, 0, 0])
    assert found.degenerate.tolist() == [False] * 4 + [True] * 2


def test_dr_grpo_is_not_divided():
    found = dr_grpo([1, 0, 0, 0], [0, 0, 0, 0])
    assert found.values == pytest.approx([0.75, -0.25, -0.25, -0.25])


def test_rloo_leaves_itself_out():
    found = rloo([1, 0, 0.5], [0, 0, 0])
    assert found.values == pytest.approx([1 - 0.25, 0 - 0.75, 0.5 - 0.5])


def test_batch_norm_takes_all_episodes_together():
    rewards = [1.0, 0.0, 0.0, 0.5]
    found = reinforce_batch_norm(rewards, [0, 1, 2, 3])
    mean, spread = statistics.mean(rewards), statistics.pstdev(rewards)
    assert found.values == pytest.approx([(r - mean) / spread for r in rewards])
    assert reinforce_batch_norm(rewards).values.tolist() == found.values.tolist()


@pytest.mark.parametrize("estimator", ALL)
@given(EPISODES)
def test_what_is_not_valid_changes_nothing(estimator, episodes):
    rewards, groups, valid = columns(episodes)
    found = estimator(rewards, groups, valid)
    assert np.isfinite(found.values).all()
    assert not found.values[~valid].any()
    if valid.any():
        alone = estimator(rewards[valid], groups[valid])
        assert found.values[valid] == pytest.approx(alone.values)


@pytest.mark.parametrize("estimator", ALL)
@given(EPISODES)
def test_advantages_of_what_is_compared_add_up_to_nothing(estimator, episodes):
    rewards, groups, valid = columns(episodes)
    found = estimator(rewards, groups, valid)
    sets = [groups == g for g in np.unique(groups)] if estimator in GROUPED else [valid]
    for members in sets:
        assert found.values[members].sum() == pytest.approx(0.0, abs=1e-9)
        flagged = found.degenerate[members & valid]
        same = len(set(rewards[members & valid])) < 2
        assert flagged.tolist() == [same] * len(flagged)


@pytest.mark.parametrize("estimator", ALL)
@given(EPISODES, st.floats(-5, 5))
def test_a_shift_of_all_rewards_changes_nothing(estimator, episodes, shift):
    rewards, groups, valid = columns(episodes)
    found = estimator(rewards, groups, valid).values
    assert estimator(rewards + shift, groups, valid).values == pytest.approx(
        found, abs=1e-6
    )


@given(EPISODES)
def test_leaving_one_out_is_the_mean_s_advantage_scaled(episodes):
    rewards, groups, valid = columns(episodes)
    plain, left = (e(rewards, groups, valid).values for e in (dr_grpo, rloo))
    for group in np.unique(groups):
        members = (groups == group) & valid
        n = members.sum()
        if n > 1:
            assert left[members] == pytest.approx(plain[members] * n / (n - 1))


def test_one_valid_member_has_nothing_to_be_compared_with():
    found = grpo([1.0, math.nan], [0, 0], [True, False])
    assert found.values.tolist() == [0.0, 0.0]
    assert found.degenerate.tolist() == [True, True]


def test_a_missing_reward_must_be_said_not_to_be_valid():
    with pytest.raises(ValueError, match=r"episode 1 is nan.*must have `valid` False"):
        grpo([1.0, math.nan], [0, 0])
    with pytest.raises(ValueError, match=r"one length.*\(2,\), \(3,\), \(2,\)"):
        grpo([1.0, 0.0], [0, 0, 0])


def test_returns_to_go_are_discounted():
    assert returns_to_go([1, 0, 2], 0.5).tolist() == [1 + 0.5, 1.0, 2.0]
    assert returns_to_go([0, 0, 1]).tolist() == [1, 1, 1]
    assert returns_to_go([]).tolist() == []
    with pytest.raises(ValueError, match="`discount` must be in"):
        returns_to_go([1], 1.5)
