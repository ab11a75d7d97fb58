"""A policy that calls tools at random: the floor that every environment states."""

from __future__ import annotations

import numpy as np

from llm_gym.env import ToolEnv
from llm_gym.messages import ChatRequest, Reply
from llm_gym.policies.base import Policy
from llm_gym.spaces import ReplySpace
from llm_gym.tokens.trace import TokenTrace

__all__ = ["RandomPolicy"]


class RandomPolicy:
    """Schema-valid random calls, and now and then a text.

    Args:
        seed: With an episode's seed and number it decides what is drawn in it.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def bind(self, env: ToolEnv, episode: int = 0) -> Policy:
        """Return the policy for one episode; see `EnvPolicy.bind`."""
        record = env.trajectory
        seeds = np.random.SeedSequence([self.seed, record.seed, episode])
        return _Bound(ReplySpace(record.tools, seed=int(seeds.generate_state(1)[0])))


class _Bound:
    def __init__(self, space: ReplySpace) -> None:
        self._space = space

    async def reply(
        self, request: ChatRequest, trace: TokenTrace | None = None
    ) -> Reply:
        """Return a sample of the action space."""
        return Reply(self._space.sample())
