"""`TextAction`: plain strings as replies, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym

from llm_gym.errors import ActionError
from llm_gym.replies import read_reply
from llm_gym.wrappers._base import Step, ToolWrapper, as_step
from llm_gym.wrappers._counting import written
from llm_gym.wrappers._text_space import TextSpace

__all__ = ["TextAction", "reply_text"]


class TextAction(ToolWrapper):
    """Takes plain texts as actions, in a model's own form if `parse` reads it.

    A `ToolEnv` reads texts anyway, with calls in `<tool_call>` tags. This wrapper makes
    them the action space, refuses anything else, and reads other forms of calls. How
    many tokens a reply sampled, and that it was cut off, cannot be told by a text.

    Example:
        >>> def parse(text):  # "CALL name" calls a tool without arguments
        ...     _, called, name = text.partition("CALL ")
        ...     function = {"name": name, "arguments": "{}"}
        ...     calls = [{"type": "function", "function": function}] if called else []
        ...     return {"role": "assistant", "content": text, "tool_calls": calls}
        >>> env = gym.make("llmgym/MultiStep-v0")
        >>> env = TextAction(env, parse)
        >>> _ = env.reset(seed=0)
        >>> *_, info = env.step("CALL finish")
        >>> info["calls"][0]["name"]
        'finish'

        Without the wrapper "CALL finish" is the answer.

    Args:
        env: The environment.
        parse: Reads a text into an assistant's message (or a text in the canonical
            form); whatever a model may have written, it must not raise.

    Raises:
        TypeError: The actions are texts already, or `parse` is not callable.
        ActionError: On `step`, if the action is no text.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        parse: Callable[[str], Mapping[str, Any] | str] | None = None,
    ) -> None:
        if parse is not None and not callable(parse):
            raise TypeError(f"`parse` must be a function of a text, not {parse!r}")
        super().__init__(env, parse=parse)
        self.needs_chat(observations=False, actions=True)
        self.parse = parse
        self.action_space = TextSpace(env.action_space, reply_text)

    def step(self, action: Any) -> Step:
        """Take a turn; see `ToolEnv.step`."""
        if not isinstance(action, str):
            raise ActionError(f"an action must be a str here, not {action!r}")
        reply = action if self.parse is None else self.parse(action)
        return as_step(self.env.step(reply))


def reply_text(reply: Any) -> str:
    """Write a reply of any form as a text, its calls in `<tool_call>` tags."""
    read = read_reply(reply)
    return written(read.message)
