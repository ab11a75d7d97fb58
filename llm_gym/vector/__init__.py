"""Vector environments: many episodes side by side.

As an entry point, `"llm_gym.vector:" + id` makes a `ChatVectorEnv` of that id:

    gym.register(
        "me/Mine-v0",
        entry_point="me:MineEnv",
        vector_entry_point="llm_gym.vector:me/Mine-v0",
    )
    envs = gym.make_vec("me/Mine-v0", num_envs=64)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym

from llm_gym.vector.batches import SlotBatch
from llm_gym.vector.chat_vector_env import ChatVectorEnv

__all__ = ["ChatVectorEnv", "SlotBatch"]


def __getattr__(name: str) -> Callable[..., ChatVectorEnv]:
    if name in gym.registry:  # Gymnasium tells an entry point nothing of the id
        return partial(_make, name)
    raise AttributeError(
        f"module `{__name__}` has no attribute {name!r}, nor is that a registered id"
    )


def _make(
    env_id: str, num_envs: int = 1, *, max_threads: int = 256, **env_kwargs: Any
) -> ChatVectorEnv:
    """Make a vector environment of an id, as `gym.make_vec` asks for it."""
    return ChatVectorEnv(
        env_id, num_envs, env_kwargs=env_kwargs, max_threads=max_threads
    )
