"""`RewardScale`: every reward times a number."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym

from llm_gym.wrappers._base import Step, ToolWrapper, as_step

__all__ = ["RewardScale"]


class RewardScale(ToolWrapper):
    """Multiplies every reward by a number.

    The record's rewards are those that `step` returned, so what trains on trajectories
    sees them too; the verifier's score, in the record and in `info`, stays as it was.
    A limit that ends episodes (`TurnLimit`, `TokenBudget`) adds its score as it is when
    it stands outside of this wrapper: put it inside.

    Example:
        >>> env = gym.make("llmgym/MultipleChoice-v0")
        >>> env = RewardScale(env, 10.0)
        >>> _ = env.reset(seed=0)
        >>> _, reward, *_, info = env.step(env.unwrapped.oracle())
        >>> reward, info["score"]["value"]
        (10.0, 1.0)

        Without the wrapper the reward is 1.0.

    Args:
        env: The environment.
        scale: The factor.

    Raises:
        ValueError: `scale` is 0 or not finite.
    """

    def __init__(self, env: gym.Env[Any, Any], scale: float) -> None:
        if not (math.isfinite(scale) and scale):
            raise ValueError(f"`scale` must be finite and not 0, not {scale!r}")
        super().__init__(env, scale=scale)
        self.scale = float(scale)

    def step(self, action: Any) -> Step:
        """Take a turn; see `ToolEnv.step`."""
        step = as_step(self.env.step(action))
        reward = step[1] * self.scale
        self.put_reward(reward)
        return step[0], reward, *step[2:]
