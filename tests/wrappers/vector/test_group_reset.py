"""`GroupReset`: the members of a group begin alike, other groups differently."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from llm_gym.vector import ChatVectorEnv
from llm_gym.wrappers.vector import GroupReset, Mixture
from tests.sample_envs import EchoEnv, VaultEnv

ROLL = '<tool_call>{"name": "roll", "arguments": {}}</tool_call>'


@pytest.fixture
def groups():
    envs = GroupReset(ChatVectorEnv(VaultEnv, 6), 3)
    yield envs
    envs.close()


def seeds_of(envs):
    return [info["seed"] for info in envs.infos]


def test_a_group_shares_task_seed_and_chance(groups):
    observations, _ = groups.reset(seed=4)
    assert seeds_of(groups) == [4] * 3 + [5] * 3
    tasks = groups.chat_envs.get_attr("task")
    assert tasks[0] == tasks[2] != tasks[3]
    assert observations[3] == VaultEnv().reset(seed=5)[0]
    rolled = groups.step([ROLL] * 6)[0]
    assert rolled[0] == rolled[1] == rolled[2]
    assert groups.active.all()


def test_seeds_are_given_by_group_or_by_slot(groups):
    groups.reset(seed=[8, 2])
    assert seeds_of(groups) == [8] * 3 + [2] * 3
    groups.reset(seed=[1, 1, 1, 7, 7, 7])
    assert seeds_of(groups) == [1] * 3 + [7] * 3


def test_a_reset_without_seed_draws_one_for_each_group_after_the_last(groups):
    other = GroupReset(ChatVectorEnv(VaultEnv, 6), 3)
    drawn = []
    for envs in (groups, other):
        envs.reset(seed=4)
        envs.reset()
        drawn.append(seeds_of(envs))
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0][:3])) == len(set(drawn[0][3:])) == 1
    assert len(set(drawn[0])) == 2
    groups.reset()
    assert seeds_of(groups) != drawn[0]
    groups.reset(seed=4)
    groups.reset()
    assert seeds_of(groups) == drawn[0]


def test_tasks_and_masks_are_of_groups():
    envs = GroupReset(ChatVectorEnv(EchoEnv, 4), 2)
    envs.reset(seed=1, options={"tasks": ["hi", "ho"]})
    assert [info["task_id"] for info in envs.infos] == ["hi", "hi", "ho", "ho"]
    mask = np.array([False, True])
    for given in (mask, mask.repeat(2)):
        options = {"task_ids": ["he", "he"], "reset_mask": given}
        info = envs.reset(options=options)[1]
        assert [i.get("task_id") for i in info["infos"]] == [None, None, "he", "he"]


def test_a_group_of_a_mixture_plays_one_environment():
    weights = {"llmgym/SingleTool-v0": 1, "llmgym/MultiStep-v0": 1}
    for envs in (
        ChatVectorEnv(weights, 16),
        Mixture(ChatVectorEnv(weights, 16), weights),
    ):
        groups = GroupReset(envs, 2)
        groups.reset(seed=3)
        names = groups.chat_envs.env_names
        assert names[::2] == names[1::2]
        assert set(names) == set(weights)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"seed": [1, 2, 3]}, ValueError, "`seed` must hold one for each of 2 slots"),
        (
            {"seed": [1, 1, 2, 3, 3, 3]},
            ValueError,
            "share their `seed`: slot 2 has 2 and its group 1",
        ),
        ({"options": {"tasks": "ab"}}, TypeError, "`tasks` must be a sequence"),
        (
            {"options": {"reset_mask": np.arange(6) > 0}},
            ValueError,
            "share their `reset_mask`: slot 1",
        ),
        ({"options": {"reset_mask": [True]}}, TypeError, "an array of np.bool_"),
    ],
)
def test_what_would_divide_a_group_is_refused(groups, arguments, error, match):
    with pytest.raises(error, match=match):
        groups.reset(**arguments)


@pytest.mark.parametrize("size", [0, 4])
def test_a_size_that_does_not_divide_the_slots_is_refused(size):
    with pytest.raises(
        ValueError, match=f"divide the number of slots, 6, not be {size}"
    ):
        GroupReset(ChatVectorEnv(VaultEnv, 6), size)


def test_another_vector_environment_is_refused():
    stock = gym.vector.SyncVectorEnv([VaultEnv])
    with pytest.raises(TypeError, match="`GroupReset` wraps a ChatVectorEnv, as"):
        GroupReset(stock, 1)
