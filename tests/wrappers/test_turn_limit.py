"""`TurnLimit`: truncated, judged, on record."""

from __future__ import annotations

import gymnasium as gym
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.wrappers import TimeLimit

from llm_gym import EnvironmentFault, StopReason
from llm_gym.policies import OraclePolicy
from llm_gym.rollouts.engine import rollout
from llm_gym.wrappers import RewardScale, TurnLimit
from tests.envs.driving import call
from tests.sample_envs import AskEnv, BrokenEnv, VaultEnv

ROLL = call("roll")


def test_the_last_turn_is_truncated_and_judged():
    env = TurnLimit(AskEnv(), 2)
    env.reset(seed=1)
    assert env.step("hello")[1:4] == (0.0, False, False)
    observation, reward, terminated, truncated, info = env.step("pay")
    assert (reward, terminated, truncated) == (1.25, False, True)
    assert (info["stop_reason"], info["score"]["value"]) == ("max_turns", 1.0)
    assert observation["messages"][-1]["content"] == "Thanks."
    record = env.unwrapped.trajectory
    assert record.stop_reason is StopReason.MAX_TURNS
    assert record.episode_return == 1.25
    with pytest.raises(ResetNeeded, match="the episode is over"):
        env.step("more")


def test_an_episode_that_ends_by_itself_is_left_alone():
    env = TurnLimit(AskEnv(), 1)
    env.reset(seed=1)
    *_, terminated, truncated, info = env.step("bye")
    assert (terminated, truncated) == (True, False)
    assert info["stop_reason"] == "user_left"


def test_the_environments_own_limit_holds():
    env = TurnLimit(VaultEnv(max_turns=1), 2)
    env.reset(seed=1)
    assert env.step(ROLL)[3] is True


def test_what_another_wrapper_truncated_is_left_alone():
    env = TurnLimit(TimeLimit(AskEnv(), 1), 1)
    env.reset(seed=1)
    *_, truncated, info = env.step("hello")
    assert truncated
    assert "stop_reason" not in info


def test_restored_turns_count():
    env = TurnLimit(VaultEnv(), 2)
    env.reset(seed=1)
    env.step(ROLL)
    snapshot = env.unwrapped.snapshot()
    assert env.step(ROLL)[3] is True
    env.unwrapped.restore(snapshot)
    assert env.step(ROLL)[3] is True


def test_a_verifier_that_breaks_is_a_fault():
    env = TurnLimit(BrokenEnv(where="verify"), 1)
    env.reset(seed=1)
    with pytest.raises(EnvironmentFault, match="judge is away"):
        env.step("hello")
    assert "judge is away" in env.unwrapped.trajectory.fault


def test_a_rollout_records_the_end():
    def make():
        return TurnLimit(RewardScale(gym.make("llmgym/MultiStep-v0"), 2.0), 1)

    (record,) = rollout(make, OraclePolicy(), episodes=1)
    assert record.stop_reason is StopReason.MAX_TURNS
    assert len(record.turns) == 1
    assert record.score is not None


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="`max_turns` must be at least 1, not 0"):
        TurnLimit(VaultEnv(), 0)
