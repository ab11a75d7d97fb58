"""What the wrappers of a `ToolEnv` share; it knows none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, SupportsFloat, TypeAlias

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from llm_gym.env import ToolEnv
from llm_gym.errors import EnvironmentFault
from llm_gym.messages import ChatRequest, Message
from llm_gym.spaces import ChatSpace, ReplySpace
from llm_gym.trajectory import StopReason

__all__ = ["Step", "ToolWrapper", "as_step", "listed"]

Step: TypeAlias = tuple[Any, float, bool, bool, dict[str, Any]]
"""What `step` returns: observation, reward, terminated, truncated, info."""


class ToolWrapper(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """A wrapper somewhere around a `ToolEnv`, that keeps its record true.

    Args:
        env: The environment.
        arguments: The wrapper's own arguments, for `gym.spec`.

    Raises:
        TypeError: There is no `ToolEnv` inside.
    """

    def __init__(self, env: gym.Env[Any, Any], **arguments: Any) -> None:
        # Copied they would cost a tokenizer each, and wrappers change no argument.
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, **arguments)
        inner = env.unwrapped if isinstance(env, gym.Env) else env
        if not isinstance(inner, ToolEnv):
            raise TypeError(
                f"`{type(self).__name__}` wraps a ToolEnv, "
                f"{type(inner).__name__} is none"
            )
        gym.Wrapper.__init__(self, env)

    @property
    def tool_env(self) -> ToolEnv:
        """The environment inside of all wrappers."""
        inner: ToolEnv = self.unwrapped  # type: ignore[assignment]  # see __init__
        return inner

    def needs_chat(self, *, observations: bool = True, actions: bool = False) -> None:
        """Refuse an environment whose observations or actions are texts already.

        Raises:
            TypeError: They are.
        """
        name = type(self).__name__
        if observations and not isinstance(self.env.observation_space, ChatSpace):
            raise TypeError(
                f"`{name}` needs chat observations, not those of "
                f"{self.env.observation_space!r}: put `TextObservation` outside of it"
            )
        if actions and not isinstance(self.env.action_space, ReplySpace):
            raise TypeError(
                f"`{name}` needs replies as actions, not those of "
                f"{self.env.action_space!r}: put `TextAction` outside of it"
            )

    def edit_prompt(
        self,
        observation: ChatRequest,
        edit: Callable[[Sequence[Message]], list[Message]],
    ) -> ChatRequest:
        """Change the first messages, in the episode and in what is shown of it."""
        episode = self.tool_env.episode
        episode.messages = edit(episode.prompt)
        episode.prompt = tuple(episode.messages)
        return {**observation, "messages": edit(observation["messages"])}

    def put_reward(self, reward: float) -> None:
        """Put the reward that `step` returns in place of the last turn's."""
        turns = self.tool_env.episode.turns
        turns[-1] = replace(turns[-1], reward=reward)

    def truncate(self, step: Step, reason: StopReason) -> Step:
        """Return a step as the one that ends the episode, with its score."""
        observation, reward, _, _, info = step
        score = self.tool_env.end(reason)
        episode = self.tool_env.episode
        info = {**info, **episode.info(episode.turns[-1].calls)}
        return observation, reward + score.value, False, True, info

    def fault(self, message: str) -> EnvironmentFault:
        """End the episode by a fault and return it, to be raised."""
        episode, spec = self.tool_env.episode, self.tool_env.spec
        fault = EnvironmentFault(
            message,
            env_id=spec.id if spec else None,
            task_id=episode.task.id,
            seed=episode.seed,
        )
        episode.fault, episode.stop, episode.score = str(fault), None, None
        return fault


def as_step(result: tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]) -> Step:
    """Return what an inner `step` returned with its reward as a float."""
    observation, reward, terminated, truncated, info = result
    return observation, float(reward), terminated, truncated, info


def listed(names: Iterable[str]) -> str:
    """Write names for an error's text."""
    return ", ".join(f"`{name}`" for name in names) or "none"
