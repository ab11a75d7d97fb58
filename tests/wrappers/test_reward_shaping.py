"""`RewardShaping`: progress is paid for, and taken back at the end."""

from __future__ import annotations

import gymnasium as gym
import pytest

from llm_gym import EnvironmentFault
from llm_gym.wrappers import RewardShaping, TurnLimit
from tests.sample_envs import AskEnv


def heard(env):
    return 1.0 + len(env.state["heard"])


def rewards(env, *moves):
    env.reset(seed=1)
    result = [env.step(move)[1] for move in moves]
    assert [turn.reward for turn in env.unwrapped.trajectory.turns] == result
    return result


def test_a_reward_is_shaped_by_the_growth_of_the_potential():
    env = RewardShaping(AskEnv(), heard, 0.5)
    assert rewards(env, "hello", "pay", "bye") == [
        0.5 * 2 - 1,
        0.25 + 0.5 * 3 - 2,
        1.0 - 3,
    ]


@pytest.mark.parametrize("moves", [["bye"], ["one", "two"], ["pay", "answer"]])
def test_the_shaping_of_an_episode_does_not_depend_on_what_was_done(moves):
    env = RewardShaping(TurnLimit(AskEnv(), 2), heard)
    env.reset(seed=1)
    assert sum(env.step(move)[4]["shaping"] for move in moves) == -1.0


def test_a_restored_episode_is_shaped_from_where_it_is():
    env = RewardShaping(AskEnv(), heard, 0.5)
    env.reset(seed=1)
    snapshot = env.unwrapped.snapshot()
    first = env.step("hello")
    env.step("hello")
    env.unwrapped.restore(snapshot)
    assert env.step("hello") == first


@pytest.mark.parametrize(
    ("potential", "match"),
    [
        (lambda env: 1 / 0, "the potential raised ZeroDivisionError"),
        (lambda env: float("nan"), "the potential must be finite, not nan"),
        (lambda env: None, "the potential raised TypeError"),
    ],
)
def test_a_potential_that_breaks_is_a_fault(potential, match):
    env = RewardShaping(AskEnv(), potential)
    env.reset(seed=1)
    with pytest.raises(EnvironmentFault, match=match):
        env.step("hello")
    assert match in env.unwrapped.trajectory.fault
    with pytest.raises(gym.error.ResetNeeded, match="the episode is over"):
        env.step("hello")
    env.reset(seed=1)


def test_a_potential_that_breaks_after_the_turn_is_a_fault():
    env = RewardShaping(AskEnv(), lambda env: 1 / (1 - len(env.state["heard"])))
    env.reset(seed=1)
    with pytest.raises(EnvironmentFault, match="ZeroDivisionError"):
        env.step("hello")
    assert env.unwrapped.trajectory.score is None


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((1.0,), TypeError, r"must be a function of a ToolEnv, not 1\.0"),
        ((heard, 0.0), ValueError, r"`gamma` must be in \(0, 1\], not 0\.0"),
        ((heard, 1.1), ValueError, r"`gamma` must be in \(0, 1\], not 1\.1"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        RewardShaping(AskEnv(), *arguments)
