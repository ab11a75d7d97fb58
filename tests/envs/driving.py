"""Driving an environment by hand: what the tests of every environment need."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import gymnasium as gym

from llm_gym import ToolEnv, Trajectory
from llm_gym.messages import call_text
from llm_gym.policies.base import EnvPolicy, Policy, bound

__all__ = ["call", "drive", "make", "play", "resume"]


def make(env_id: str, **kwargs: Any) -> ToolEnv:
    """Make an environment without Gymnasium's wrappers."""
    return gym.make(env_id, **kwargs).unwrapped


def call(name: str, /, **arguments: Any) -> str:
    """Write one tool call as text; several are joined by `+`."""
    return call_text(name, arguments)


def play(env: ToolEnv, replies: Iterable[Any], **reset: Any) -> Trajectory:
    """Reset, take replies until they or the episode end, return the record."""
    env.reset(**reset)
    for reply in replies:
        _, _, terminated, truncated, _ = env.step(reply)
        if terminated or truncated:
            break
    return env.trajectory


def drive(env: ToolEnv, policy: Policy | EnvPolicy, **reset: Any) -> Trajectory:
    """Reset, let a policy act to the end, return the record."""
    observation, _ = env.reset(**reset)
    return _finish(env, policy, observation)


def resume(env: ToolEnv, policy: Policy | EnvPolicy) -> Trajectory:
    """Let a policy act from where the episode is, return the record."""
    return _finish(env, policy, {"messages": env.trajectory.messages})


def _finish(env: ToolEnv, policy: Policy | EnvPolicy, observation: Any) -> Trajectory:
    actor = bound(policy, env)
    while env.trajectory.stop_reason is None:
        observation, *_ = env.step(asyncio.run(actor.reply(observation)))
    return env.trajectory
