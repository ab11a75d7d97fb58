"""`TextObservation`: one plain string instead of messages and tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from llm_gym.messages import ChatRequest
from llm_gym.tokens.chat_text import text_messages
from llm_gym.wrappers._base import Step, ToolWrapper, as_step
from llm_gym.wrappers._text_space import TextSpace

__all__ = ["TextObservation", "request_text"]


class TextObservation(ToolWrapper):
    """Shows the conversation as one plain text.

    Tools are described in the system message, calls and results stand in tags, as
    models read them whose chat template knows no tools. The form is for reading:
    content is not escaped, so a message could pretend to be several. Thinking is left
    out. The trajectory keeps messages. Policies of this library read requests and not
    texts; wrappers that change messages belong inside of this one.

    Example:
        >>> env = gym.make("llmgym/MultiStep-v0")
        >>> env = TextObservation(env)
        >>> text, _ = env.reset(seed=0)
        >>> text.splitlines()[0]
        '[system]'

        Without the wrapper it is `{"messages": [...], "tools": [...]}`.

    Args:
        env: The environment.
        write: Writes a request as a text, by default `request_text`.

    Raises:
        TypeError: The observations are texts already, or `write` is not callable.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        write: Callable[[ChatRequest], str] | None = None,
    ) -> None:
        if write is not None and not callable(write):
            raise TypeError(f"`write` must be a function of a request, not {write!r}")
        super().__init__(env, write=write)
        self.needs_chat()
        self.write = write or request_text
        self.observation_space = TextSpace(env.observation_space, self.write)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode; see `ToolEnv.reset`."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self.write(observation), info

    def step(self, action: Any) -> Step:
        """Take a turn; see `ToolEnv.step`."""
        step = as_step(self.env.step(action))
        return self.write(step[0]), *step[1:]


def request_text(request: ChatRequest) -> str:
    """Write a request as a text: each message under its role, tools in the first."""
    messages = text_messages(
        request["messages"], request.get("tools", ()), tool_role=True
    )
    return "\n\n".join(f"[{m['role']}]\n{m['content']}" for m in messages)
