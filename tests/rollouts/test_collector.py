"""The collector is calmed while many episodes are live, and no longer."""

from __future__ import annotations

import gc

import pytest

from llm_gym import ScriptedPolicy, rollout
from llm_gym.rollouts.collector import CalmCollector
from tests.sample_envs import EchoEnv


@pytest.fixture(autouse=True)
def _as_it_was():
    before = gc.get_threshold()
    yield
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_few_episodes_change_nothing():
    before = gc.get_threshold()
    collector = CalmCollector(1_023)
    for _ in range(1_023):
        collector.began()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
    collector.close()


def test_many_are_set_aside_once_all_have_begun():
    collector = CalmCollector(1_024)
    for _ in range(1_023):
        collector.began()
    assert gc.get_freeze_count() == 0
    collector.began()
    assert gc.get_freeze_count() > 0
    collector.close()
    collector.close()


def test_the_last_of_several_runs_lets_it_be():
    first, second = CalmCollector(2_000), CalmCollector(2_000)
    before = gc.get_threshold()
    first.began()
    second.began()
    first.close()
    assert gc.get_threshold() != before
    second.close()


def test_a_run_leaves_it_as_it_was():
    hello = ScriptedPolicy(["hi"])
    stream = rollout(EchoEnv, hello, episodes=1_500, concurrency=1_500)
    assert sum(1 for _ in stream) == 1_500
