"""`TokenBudget`: an end after some sampled tokens, with a verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from llm_gym.errors import ActionError
from llm_gym.messages import Message
from llm_gym.replies import read_reply
from llm_gym.trajectory import StopReason, Turn
from llm_gym.wrappers._base import Step, ToolWrapper, as_step
from llm_gym.wrappers._counting import text_counter, whole, written

__all__ = ["TokenBudget"]


class TokenBudget(ToolWrapper):
    """Truncates an episode that has sampled its tokens, and has it judged.

    Replies say how many tokens they sampled (`Reply.usage`, or a completion's `usage`).
    One that does not is refused before anything happens, unless `count_tokens` is given
    to estimate it; the record's `usage` never holds an estimate. (The environment's own
    `max_tokens` takes such a reply for one of no tokens.) The reply that spends the
    last token is still played. The tokens so far stand in `info["sampled_tokens"]`;
    they are counted from the episode, so they are right in a restored one.

    Example:
        >>> env = gym.make("llmgym/MultiStep-v0")
        >>> env = TokenBudget(env, 100)
        >>> _ = env.reset(seed=0)
        >>> reply = Reply('<tool_call>{"name": "?"}</tool_call>', usage=Usage(50, 100))
        >>> *_, truncated, info = env.step(reply)
        >>> truncated, info["stop_reason"], info["sampled_tokens"]
        (True, 'max_tokens', 100)

        Without the wrapper the episode goes on.

    Args:
        env: The environment.
        max_tokens: Sampled tokens at which the episode ends.
        count_tokens: Estimates replies without `usage`: a function of their text
            (thinking, content and calls) or a tokenizer.

    Raises:
        ValueError: `max_tokens` is less than 1.
        TypeError: `count_tokens` is neither; on `step`, if it returns no whole number.
        ActionError: On `step`, if a reply has no `usage` and nothing estimates it.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        max_tokens: int,
        count_tokens: Callable[[str], int] | Any = None,
    ) -> None:
        if max_tokens < 1:
            raise ValueError(f"`max_tokens` must be at least 1, not {max_tokens!r}")
        super().__init__(env, max_tokens=max_tokens, count_tokens=count_tokens)
        self.max_tokens = max_tokens
        self._count = None if count_tokens is None else text_counter(count_tokens)
        self._estimates: list[tuple[Message, int]] = []

    def step(self, action: Any) -> Step:
        """Take a turn, the last one perhaps; see `ToolEnv.step`."""
        if self._count is None and read_reply(action).usage is None:
            raise ActionError(
                "`TokenBudget` needs replies that say how many tokens they sampled: "
                "step with a `Reply` that has `usage`, or give the wrapper "
                "`count_tokens` to estimate it"
            )
        observation, reward, terminated, truncated, info = as_step(
            self.env.step(action)
        )
        spent = self._spent(self.tool_env.episode.turns)
        info = {**info, "sampled_tokens": spent}
        step = observation, reward, terminated, truncated, info
        if terminated or truncated or spent < self.max_tokens:
            return step
        return self.truncate(step, StopReason.MAX_TOKENS)

    def _spent(self, turns: list[Turn]) -> int:
        """Add up; a turn's estimate is made once, and again if it is another turn."""
        for number, turn in enumerate(turns):
            known = self._estimates[number : number + 1]
            if not known or known[0][0] is not turn.reply:
                self._estimates[number:] = [(turn.reply, self._tokens(turn))]
        return sum(tokens for _, tokens in self._estimates)

    def _tokens(self, turn: Turn) -> int:
        if turn.usage is not None:
            return turn.usage.completion_tokens
        return 0 if self._count is None else whole(self._count(written(turn.reply)))
