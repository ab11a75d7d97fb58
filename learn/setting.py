"""What all paths share: the task, how much is played, and how a model is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from llm_gym import rollout
from llm_gym.policies import Sampling, TransformersPolicy

__all__ = ["SETTING", "OnStep", "Setting", "mean_return", "measure"]

OnStep: TypeAlias = Callable[[int, float], None]
"""Called after each step with its number from 0 and the mean reward of its episodes."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A task, and how it is learned.

    Attributes:
        env_id: The environment.
        env_kwargs: What it is made with, but for the split.
        steps: Steps of the optimiser.
        groups: Tasks of a step.
        group_size: Episodes of each.
        lr: The learning rate after the warm-up.
        warm_up_steps: In which it rises.
        reply_tokens: The most tokens of a reply.
        episode_tokens: The most tokens of an episode after its prompt.
        held_out: The split that is measured on.
        measured: How many episodes that are.
    """

    env_id: str = "llmgym/MultiStep-v0"
    env_kwargs: dict[str, Any] = field(
        default_factory=lambda: {"level": 0, "max_turns": 4}
    )
    steps: int = 40
    groups: int = 8
    group_size: int = 16
    lr: float = 1e-3
    warm_up_steps: int = 5
    reply_tokens: int = 16
    episode_tokens: int = 96
    held_out: str = "test"
    measured: int = 128


SETTING = Setting()


def measure(model: Any, tokenizer: Any, setting: Setting = SETTING) -> float:
    """Return a model's mean reward on tasks that are held out, always the same."""
    policy = TransformersPolicy(
        model,
        tokenizer=tokenizer,
        sampling=Sampling(max_new_tokens=setting.reply_tokens, seed=0),
        max_batch_size=setting.measured,
    )
    return mean_return(policy, setting)


def mean_return(policy: Any, setting: Setting = SETTING) -> float:
    """Return a policy's mean reward on those tasks."""
    episodes = rollout(
        setting.env_id,
        policy,
        episodes=setting.measured,
        seed=0,
        concurrency=setting.measured,
        env_kwargs={**setting.env_kwargs, "split": setting.held_out},
    )
    return sum(one.episode_return for one in episodes) / setting.measured
