"""`RewardShaping`: rewards for progress that leave the best policy the best."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym

from llm_gym.env import ToolEnv
from llm_gym.wrappers._base import Step, ToolWrapper, as_step

__all__ = ["RewardShaping"]


class RewardShaping(ToolWrapper):
    """Adds the growth of a potential to every reward.

    A turn's reward becomes `r + gamma * phi(s') - phi(s)`. Of all ways to reward
    progress this is the one that cannot change which policy is optimal (Ng, Harada and
    Russell, "Policy invariance under reward transformations", ICML 1999). The potential
    of an episode's end is 0, also where it was truncated: no value is bootstrapped
    there, so whatever was left would be a bonus for running into a limit (Grzes,
    "Reward shaping in episodic reinforcement learning", AAMAS 2017). With `gamma` 1 the
    shaping of a whole episode sums up to `-phi(s0)`, whatever the policy does.

    The record's rewards are those that `step` returned. What was added stands in
    `info["shaping"]`. A limit that ends episodes (`TurnLimit`, `TokenBudget`) belongs
    inside of this wrapper: from outside it cannot take the last potential back.

    Example:
        >>> def looked_up(env):
        ...     return 0.2 * sum(call.status == "ok" for call in env.trajectory.calls)
        >>> env = gym.make("llmgym/MultiStep-v0", level=0)
        >>> env = RewardShaping(env, looked_up)
        >>> _ = env.reset(seed=0)
        >>> env.step(env.unwrapped.oracle())[1]
        0.2

        Without the wrapper the reward is 0.0.

    Args:
        env: The environment.
        potential: The potential of the state that a `ToolEnv` is in; it reads `state`,
            `task` or `trajectory` and changes nothing. It is asked before and after
            each turn, not remembered, so that restored episodes are shaped rightly.
        gamma: The discount that the trainer uses.

    Raises:
        TypeError: `potential` is not callable.
        ValueError: `gamma` is not in (0, 1].
        EnvironmentFault: On `step`, if the potential raised or is not finite.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        potential: Callable[[ToolEnv], float],
        gamma: float = 1.0,
    ) -> None:
        if not callable(potential):
            raise TypeError(
                f"`potential` must be a function of a ToolEnv, not {potential!r}"
            )
        if not 0.0 < gamma <= 1.0:
            raise ValueError(f"`gamma` must be in (0, 1], not {gamma!r}")
        super().__init__(env, potential=potential, gamma=gamma)
        self.potential = potential
        self.gamma = gamma

    def step(self, action: Any) -> Step:
        """Take a turn; see `ToolEnv.step`."""
        episode = self.tool_env.episode
        over = episode.stop or episode.fault  # the step will say so
        before = 0.0 if over else self._phi()
        observation, reward, terminated, truncated, info = as_step(
            self.env.step(action)
        )
        after = 0.0 if terminated or truncated else self._phi()
        shaping = self.gamma * after - before
        self.put_reward(reward + shaping)
        info = {**info, "shaping": shaping}
        return observation, reward + shaping, terminated, truncated, info

    def _phi(self) -> float:
        try:
            value = float(self.potential(self.tool_env))
        except Exception as err:
            message = f"the potential raised {type(err).__name__}: {err}"
            raise self.fault(message) from err
        if not math.isfinite(value):
            raise self.fault(f"the potential must be finite, not {value!r}")
        return value
