"""A policy that calls tools at random, but the same on every run."""

from __future__ import annotations

import pytest

from llm_gym.policies.base import bound
from llm_gym.policies.random import RandomPolicy
from tests.envs.driving import drive
from tests.sample_envs import AsyncEnv, EchoEnv


class NoteEnv(AsyncEnv):
    """Only tools that may be called at random."""

    meet = None
    crash = None
    leave = None


def play_at_random(seed=0, episode=0, env_seed=1, kind=NoteEnv):
    env = kind()

    class Policy:
        def bind(self, env, _=0):
            return bound(RandomPolicy(seed), env, episode)

    record = drive(env, Policy(), seed=env_seed)
    env.close()
    return record


def test_the_same_seeds_and_episode_give_the_same_bytes():
    assert play_at_random().to_json() == play_at_random().to_json()


@pytest.mark.parametrize("changed", [{"seed": 1}, {"episode": 1}, {"env_seed": 2}])
def test_another_seed_or_episode_gives_other_calls(changed):
    replies = [
        [turn.reply for turn in play_at_random(**change).turns]
        for change in ({}, changed)
    ]
    assert replies[0] != replies[1]


def test_every_call_is_valid():
    statuses = {c.status for seed in range(20) for c in play_at_random(seed).calls}
    assert statuses <= {"ok", "tool_error", "not_run"}


def test_without_tools_it_writes():
    record = play_at_random(kind=EchoEnv)
    assert record.answer
    assert list(record.calls) == []
