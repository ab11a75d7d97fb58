"""The Protocols that everything that acts follows."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from llm_gym.env import ToolEnv
from llm_gym.policy import Policy, policy_name

__all__ = ["EnvPolicy", "Policy", "bound", "policy_name"]


@runtime_checkable
class EnvPolicy(Protocol):
    """A policy that must know the environment that it acts in."""

    def bind(self, env: ToolEnv, episode: int = 0) -> Policy:
        """Return the policy for one episode.

        Args:
            env: The environment, reset already.
            episode: The episode's number in its run; the members of a group, which
                share their task and seed, have different ones.
        """
        ...


def bound(policy: Policy | EnvPolicy, env: ToolEnv, episode: int = 0) -> Policy:
    """Return the policy for one episode; see `EnvPolicy.bind`.

    Raises:
        TypeError: It is no policy.
    """
    if not isinstance(policy, type):  # a class has these methods too
        if isinstance(policy, EnvPolicy):
            return policy.bind(env, episode)
        if isinstance(policy, Policy):
            return policy
    raise TypeError(
        "a policy must have `async reply(request, trace=None)` or `bind(env)`, "
        f"{policy!r} is none"
    )
