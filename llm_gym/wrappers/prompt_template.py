"""`PromptTemplate`: the task in other words."""

from __future__ import annotations

from collections.abc import Sequence
from string import Formatter
from typing import Any

import gymnasium as gym

from llm_gym import jsontext
from llm_gym.messages import ChatRequest, Message
from llm_gym.wrappers._base import ToolWrapper

__all__ = ["PromptTemplate"]


class PromptTemplate(ToolWrapper):
    r"""Writes the first user message into a template.

    The episode itself is changed, before its first turn: the trajectory's prompt holds
    what the policy was shown. The task, which the verifier reads, stays as it was.

    Example:
        >>> env = gym.make("llmgym/MultipleChoice-v0")
        >>> env = PromptTemplate(env, "{prompt}\n\nThink step by step.")
        >>> observation, _ = env.reset(seed=0)
        >>> observation["messages"][-1]["content"].endswith("Think step by step.")
        True

        Without the wrapper the message ends with the question's last option.

    Args:
        env: The environment.
        template: A text with `{prompt}` in it, once or more; braces that are meant as
            braces are doubled, as in `str.format`. The prompt's own are left alone.

    Raises:
        TypeError: The observations are texts already.
        ValueError: The template is no format, lacks `{prompt}` or has other fields;
            on `reset`, if an episode has no user message.
    """

    def __init__(self, env: gym.Env[Any, Any], template: str) -> None:
        _check(template)
        super().__init__(env, template=template)
        self.needs_chat()
        self.template = template

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ChatRequest, dict[str, Any]]:
        """Start an episode; see `ToolEnv.reset`."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self.edit_prompt(observation, self._edited), info

    def _edited(self, messages: Sequence[Message]) -> list[Message]:
        first = next((i for i, m in enumerate(messages) if m["role"] == "user"), None)
        if first is None:
            roles = [message["role"] for message in messages]
            raise ValueError(
                "`PromptTemplate` needs a user message at the start of an episode, "
                f"this one has {roles}"
            )
        text = self.template.format(prompt=messages[first]["content"])
        own: Message = {**messages[first], "content": jsontext.clean_text(text)}
        return [*messages[:first], own, *messages[first + 1 :]]


def _check(template: str) -> None:
    try:
        parts = list(Formatter().parse(template))
    except (TypeError, ValueError) as err:
        raise ValueError(
            f"`template` must be a format such as 'Question: {{prompt}}', "
            f"not {template!r}: {err}"
        ) from err
    fields = {(name, spec, bang) for _, name, spec, bang in parts if name is not None}
    if fields != {("prompt", "", None)}:
        raise ValueError(
            "`template` must have the field `{prompt}` and no other (double braces "
            f"that are text), not {template!r}"
        )
