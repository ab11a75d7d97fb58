"""A policy that asks the environment itself: the ceiling that every one states."""

from __future__ import annotations

from llm_gym.env import ToolEnv
from llm_gym.messages import ChatRequest, Reply
from llm_gym.policies.base import Policy
from llm_gym.tokens.trace import TokenTrace

__all__ = ["OraclePolicy"]


class OraclePolicy:
    """What the environment's `oracle()` would reply."""

    def bind(self, env: ToolEnv, episode: int = 0) -> Policy:
        """Return the policy for one episode; see `EnvPolicy.bind`."""
        return _Bound(env)


class _Bound:
    def __init__(self, env: ToolEnv) -> None:
        self._env = env

    async def reply(
        self, request: ChatRequest, trace: TokenTrace | None = None
    ) -> Reply:
        """Return the oracle's reply."""
        return Reply(self._env.oracle())
