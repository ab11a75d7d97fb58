"""The Protocol of what turns a request into a reply: a policy, a judge's, a user's."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from llm_gym.messages import ChatRequest, Reply
from llm_gym.tokens.trace import TokenTrace

__all__ = ["Policy", "policy_name"]


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


def policy_name(policy: object) -> str:
    """Return what a record calls a policy: its `name`, or its class's."""
    return str(getattr(policy, "name", type(policy).__name__))
