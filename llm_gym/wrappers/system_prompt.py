"""`SystemPrompt`: another system message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import gymnasium as gym

from llm_gym import jsontext
from llm_gym.messages import ChatRequest, Message
from llm_gym.wrappers._base import ToolWrapper

__all__ = ["SystemPrompt"]

Mode = Literal["replace", "append", "add"]


class SystemPrompt(ToolWrapper):
    """Gives episodes another system message.

    The episode itself is changed, before its first turn: the trajectory's prompt holds
    what the policy was shown.

    Example:
        >>> env = gym.make("llmgym/MultiStep-v0")
        >>> env = SystemPrompt(env, "Think before you act.")
        >>> observation, _ = env.reset(seed=0)
        >>> observation["messages"][0]
        {'role': 'system', 'content': 'Think before you act.'}

        Without the wrapper there is no system message: this environment has none.

    Args:
        env: The environment.
        text: What the system message says.
        mode: "replace" makes it the only system message; "append" puts it behind the
            first one's text, after an empty line; "add" gives it to episodes that have
            no system message, and leaves others alone.

    Raises:
        TypeError: The observations are texts already.
        ValueError: The text is empty or the mode unknown.
    """

    def __init__(
        self, env: gym.Env[Any, Any], text: str, mode: Mode = "replace"
    ) -> None:
        if not (isinstance(text, str) and text):
            raise ValueError(f"`text` must be a text that is not empty, not {text!r}")
        if mode not in get_args(Mode):
            raise ValueError(f"`mode` must be one of {get_args(Mode)}, not {mode!r}")
        super().__init__(env, text=text, mode=mode)
        self.needs_chat()
        self.text = jsontext.clean_text(text)
        self.mode = mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ChatRequest, dict[str, Any]]:
        """Start an episode; see `ToolEnv.reset`."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self.edit_prompt(observation, self._edited), info

    def _edited(self, messages: Sequence[Message]) -> list[Message]:
        own: Message = {"role": "system", "content": self.text}
        rest = [message for message in messages if message["role"] != "system"]
        first = next((i for i, m in enumerate(messages) if m["role"] == "system"), None)
        if first is None or self.mode == "replace":
            return [own, *rest]
        if self.mode == "add":
            return list(messages)
        told = messages[first]["content"]
        own["content"] = f"{told}\n\n{self.text}" if told else self.text
        return [*messages[:first], own, *messages[first + 1 :]]
