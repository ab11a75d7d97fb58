"""The one Protocol that everything that acts follows."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from llm_gym.messages import ChatRequest, Reply

__all__ = ["Policy"]


@runtime_checkable
class Policy(Protocol):
    """Turns an observation into a reply.

    Many episodes share one policy: calls overlap, and an engine that batches gathers
    the calls that are waiting. A policy that must know the environment that it acts in
    (a random or an oracle policy) has a method `bind(env)` besides, which returns the
    policy for one episode.
    """

    async def reply(self, request: ChatRequest, trace: object | None = None) -> Reply:
        """Reply to a request.

        Args:
            request: The observation, not to be changed.
            trace: The episode's token record, None where none is kept.

        Returns:
            The reply, with what the engine knows of it.
        """
        ...
