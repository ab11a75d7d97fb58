"""`RewardScale`: what `step` returns is what is on record."""

from __future__ import annotations

import gymnasium as gym
import pytest

from llm_gym.policies import OraclePolicy
from llm_gym.rollouts.engine import rollout
from llm_gym.wrappers import RewardScale, TurnLimit
from tests.sample_envs import AskEnv


def rewards(env, *moves):
    env.reset(seed=1)
    result = [env.step(move)[1] for move in moves]
    assert [turn.reward for turn in env.unwrapped.trajectory.turns] == result
    return result


def test_every_reward_is_scaled():
    env = RewardScale(AskEnv(), -2.0)
    assert rewards(env, "hello", "pay", "bye") == [0.0, -0.5, -2.0]
    assert env.unwrapped.trajectory.score.value == 1.0


def test_scales_multiply():
    env = RewardScale(RewardScale(AskEnv(), 2.0), 5.0)
    assert rewards(env, "pay", "bye") == [2.5, 10.0]


def test_a_limit_inside_is_scaled_and_one_outside_is_not():
    assert rewards(RewardScale(TurnLimit(AskEnv(), 1), 10.0), "pay") == [12.5]
    assert rewards(TurnLimit(RewardScale(AskEnv(), 10.0), 1), "pay") == [3.5]


def test_a_rollout_sees_scaled_rewards():
    def make():
        return RewardScale(gym.make("llmgym/MultipleChoice-v0"), 10.0)

    (record,) = rollout(make, OraclePolicy(), episodes=1)
    assert (record.episode_return, record.score.value) == (10.0, 1.0)


@pytest.mark.parametrize("scale", [0.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ValueError, match="`scale` must be finite and not 0"):
        RewardScale(AskEnv(), scale)
