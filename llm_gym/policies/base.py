"""The one Protocol that everything that acts follows."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from llm_gym.env import ToolEnv
from llm_gym.messages import ChatRequest, Reply
from llm_gym.tokens.trace import TokenTrace

__all__ = ["EnvPolicy", "Policy", "bound", "policy_name"]


@runtime_checkable
class Policy(Protocol):
    """Turns an observation into a reply.

    Many episodes share one policy: calls overlap, and an engine that batches gathers
    the calls that are waiting.
    """

    async def reply(
        self, request: ChatRequest, trace: TokenTrace | None = None
    ) -> Reply:
        """Reply to a request.

        Args:
            request: The observation, not to be changed.
            trace: The episode's token record, to which a policy that knows its token
                ids appends what it read and sampled; None where none is kept.

        Returns:
            The reply, with what the engine knows of it.
        """
        ...


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


def policy_name(policy: object) -> str:
    """Return what a record calls a policy: its `name`, or its class's."""
    return str(getattr(policy, "name", type(policy).__name__))
