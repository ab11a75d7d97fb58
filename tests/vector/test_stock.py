"""Our environments in Gymnasium's own vector environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest
from gymnasium.vector import AutoresetMode

from llm_gym.registration import ENVIRONMENTS
from llm_gym.spaces import ReplySpace

SEEDS = [11, 5]
TURNS = 8


def single(env_id: str, seed: int) -> list[Any]:
    """Play an environment that is reset in the step in which an episode ends."""
    env = gym.make(env_id, disable_env_checker=True)
    replies = ReplySpace(env.action_space.tools, seed)
    pages: list[Any] = [env.reset(seed=seed)[0]]
    for _ in range(TURNS):
        observation, *row, info = env.step(replies.sample())
        final = None
        if row[1] or row[2]:
            final = (observation, info["stop_reason"], info["score"]["value"])
            observation, _ = env.reset()
        pages.append((observation, *row, final))
    return pages


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("env_id", sorted(ENVIRONMENTS))
def test_same_step_autoreset_shows_what_single_environments_show(env_id, mode):
    kwargs: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}
    if mode == "async":
        kwargs["shared_memory"] = False
    envs = gym.make_vec(env_id, 2, vectorization_mode=mode, vector_kwargs=kwargs)
    observations, _ = envs.reset(seed=SEEDS)
    pages = [[observation] for observation in observations]
    tools = envs.single_action_space.tools
    replies = [ReplySpace(tools, seed) for seed in SEEDS]
    for _ in range(TURNS):
        observations, *columns, info = envs.step(tuple(r.sample() for r in replies))
        for i, page in enumerate(pages):
            row = [column[i].item() for column in columns]
            page.append((observations[i], *row, final(info, i)))
    envs.close()
    assert pages == [single(env_id, seed) for seed in SEEDS]


def final(info: dict[str, Any], slot: int) -> Any:
    """Return what a slot showed last, None if its episode goes on."""
    if not info.get("_final_obs", [False] * 2)[slot]:
        return None
    last = info["final_info"]
    return (
        info["final_obs"][slot],
        last["stop_reason"][slot],
        last["score"]["value"][slot],
    )
