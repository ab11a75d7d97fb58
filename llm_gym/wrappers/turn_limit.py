"""`TurnLimit`: an end after some turns, with a verdict."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from llm_gym.trajectory import StopReason
from llm_gym.wrappers._base import Step, ToolWrapper, as_step

__all__ = ["TurnLimit"]


class TurnLimit(ToolWrapper):
    """Truncates an episode after some turns, and has it judged.

    Gymnasium's `TimeLimit` truncates without a word to the environment: the episode
    has no score, and the record does not know that it ended. Here the verifier is
    asked, its score is in the reward and in `info`, and the record's stop reason is
    `StopReason.MAX_TURNS`. Turns are counted by the episode itself, so the limit also
    holds in one that `ToolEnv.restore` has put back.

    Example:
        >>> env = gym.make("llmgym/MultiStep-v0")
        >>> env = TurnLimit(env, 2)
        >>> _ = env.reset(seed=0)
        >>> _ = env.step('<tool_call>{"name": "?"}</tool_call>')
        >>> *_, truncated, info = env.step('<tool_call>{"name": "?"}</tool_call>')
        >>> truncated, info["stop_reason"], info["score"]["value"]
        (True, 'max_turns', 0.0)

        Without the wrapper the second step returns `(False, ...)`, without a score.

    Args:
        env: The environment.
        max_turns: Replies until the end. One that is not below the environment's own
            `max_turns` changes nothing.

    Raises:
        ValueError: `max_turns` is less than 1.
    """

    def __init__(self, env: gym.Env[Any, Any], max_turns: int) -> None:
        if max_turns < 1:
            raise ValueError(f"`max_turns` must be at least 1, not {max_turns!r}")
        super().__init__(env, max_turns=max_turns)
        self.max_turns = max_turns

    def step(self, action: Any) -> Step:
        """Take a turn, the last one perhaps; see `ToolEnv.step`."""
        step = as_step(self.env.step(action))
        over = step[2] or step[3]
        if over or len(self.tool_env.episode.turns) < self.max_turns:
            return step
        return self.truncate(step, StopReason.MAX_TURNS)
