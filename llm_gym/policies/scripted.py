"""A policy that says what it was told to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from llm_gym.env import ToolEnv
from llm_gym.messages import ChatRequest, Message, Reply
from llm_gym.tokens.trace import TokenTrace

__all__ = ["ScriptedPolicy"]

Line = str | Mapping[str, Any] | Reply


class ScriptedPolicy:
    """Replies from a script, the same in every episode.

    It keeps no place of its own: the number of replies that a conversation holds says
    which line is next, so any number of episodes may share it.

    Args:
        script: The replies in their order, of which the last is repeated for ever; or a
            function from the request to the reply.

    Raises:
        ValueError: The script is empty.
    """

    def __init__(self, script: Sequence[Line] | Callable[[ChatRequest], Line]) -> None:
        one_line = isinstance(script, (str, Mapping, Reply))
        if one_line or not (callable(script) or script):
            raise ValueError(
                f"a script must be a function or at least one reply, not {script!r}"
            )
        self._script = script

        self._before = 0

    def bind(self, env: ToolEnv, episode: int = 0) -> ScriptedPolicy:
        """Return the policy for one episode, whose prompt may hold replies already."""
        bound = copy.copy(self)
        bound._before = _replies_in(env.trajectory.prompt)
        return bound

    async def reply(
        self, request: ChatRequest, trace: TokenTrace | None = None
    ) -> Reply:
        """Return the next line of the script."""
        if callable(self._script):
            line = self._script(request)
        else:
            said = _replies_in(request["messages"]) - self._before
            line = self._script[min(max(said, 0), len(self._script) - 1)]
        return line if isinstance(line, Reply) else Reply(line)


def _replies_in(messages: Iterable[Message]) -> int:
    return sum(message["role"] == "assistant" for message in messages)
