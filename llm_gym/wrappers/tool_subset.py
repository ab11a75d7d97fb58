"""`ToolSubset`: some of the tools only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import gymnasium as gym

from llm_gym.episode import tool_name
from llm_gym.messages import ChatRequest
from llm_gym.spaces import ChatSpace, ReplySpace
from llm_gym.wrappers._base import ToolWrapper, listed

__all__ = ["ToolSubset"]


class ToolSubset(ToolWrapper):
    """Leaves a policy some of the tools.

    The others are neither declared in the observation nor can they be called: a call of
    one is answered as that of a tool which does not exist. The trajectory's tools are
    those that are left. What the prompt says of tools is the environment's affair.

    Example:
        >>> env = gym.make("llmgym/SessionState-v0")
        >>> names = [tool["function"]["name"] for tool in env.action_space.tools]
        >>> env = ToolSubset(env, names[:1])
        >>> observation, _ = env.reset(seed=0)
        >>> len(names) > 1, len(observation["tools"])
        (True, 1)

        Without the wrapper the observation declares them all.

    Args:
        env: The environment.
        tools: The names of the tools that are left; none for none at all.

    Raises:
        TypeError: `tools` is a text, or observations or actions are texts already.
        ValueError: The environment has no such tool.
    """

    def __init__(self, env: gym.Env[Any, Any], tools: Collection[str]) -> None:
        if isinstance(tools, str):
            raise TypeError(f"`tools` must be a list of names, not the text {tools!r}")
        super().__init__(env, tools=list(tools))
        self.needs_chat(actions=True)
        known: tuple[Any, ...] = env.action_space.tools  # type: ignore[attr-defined]  # needs_chat
        unknown = sorted(set(tools) - set(map(tool_name, known)))
        if unknown:
            raise ValueError(
                f"`tools` names {listed(unknown)}, "
                f"the environment's are {listed(map(tool_name, known))}"
            )
        self.tools = frozenset(tools)
        left = [tool for tool in known if tool_name(tool) in self.tools]
        self.observation_space = ChatSpace(left)
        self.action_space = ReplySpace(left)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ChatRequest, dict[str, Any]]:
        """Start an episode; see `ToolEnv.reset`."""
        observation, info = self.env.reset(seed=seed, options=options)
        episode = self.tool_env.episode
        left = tuple(tool for tool in episode.tools if tool_name(tool) in self.tools)
        episode.tools = left
        shown: ChatRequest = {"messages": observation["messages"]}
        if left:
            shown["tools"] = list(left)
        return shown, info
