"""What changes during an episode, and the messages that an environment writes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llm_gym import jsontext
from llm_gym.errors import DefinitionError
from llm_gym.messages import Message, wire_name
from llm_gym.replies import ReadReply, text_of
from llm_gym.tasks import Task
from llm_gym.trajectory import CallRecord, Score, StopReason, Turn

__all__ = [
    "Episode",
    "start_messages",
    "tool_message",
    "user_message",
    "with_reasoning",
]


@dataclass(slots=True)
class Episode:
    """All that changes during an episode.

    Attributes:
        task: The task.
        seed: What `reset` was given, or drew.
        state: The environment's own.
        prompt: The messages of the first observation.
        messages: The conversation so far.
        turns: The turns so far.
        tool_errors: Calls so far that did not succeed.
        tokens: Tokens sampled so far, as far as replies told.
        seconds: Wall clock spent in `step` so far.
        stop: Why it ended, None while it runs.
        outcome: What the environment told of its final state.
        score: The verifier's judgement, None before the end.
        fault: What broke, None where nothing did.
    """

    task: Task
    seed: int
    state: Any = None
    prompt: tuple[Message, ...] = ()
    messages: list[Message] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    tool_errors: int = 0
    tokens: int = 0
    seconds: float = 0.0
    stop: StopReason | None = None
    outcome: Any = None
    score: Score | None = None
    fault: str | None = None

    def copy(self) -> Episode:
        """Copy what changes; messages, turns and the task never change in place."""
        return replace(
            self,
            state=copy.deepcopy(self.state),
            messages=list(self.messages),
            turns=list(self.turns),
        )

    def info(self, records: Iterable[CallRecord]) -> dict[str, Any]:
        """Return `info` after a turn with these calls; see `ToolEnv.step`."""
        info: dict[str, Any] = {
            "task_id": self.task.id,
            "seed": self.seed,
            "turn": len(self.turns),
            "tool_errors": self.tool_errors,
            "calls": [
                {"id": r.id, "name": r.name, "status": r.status} for r in records
            ],
        }
        if self.stop is not None and self.score is not None:
            info["stop_reason"] = self.stop.value
            info["score"] = {
                "value": self.score.value,
                "parts": dict(self.score.parts),
                "reason": self.score.reason,
            }
        return info


def start_messages(
    system_prompt: str, start: str | Sequence[Mapping[str, Any]]
) -> list[Message]:
    """Return an episode's first messages.

    Args:
        system_prompt: Put first unless it is "".
        start: A user's text, or messages.

    Raises:
        DefinitionError: There is no message at all, or one of another role.
    """
    messages: list[Message] = []
    if system_prompt:
        messages.append({"role": "system", "content": system_prompt})
    if isinstance(start, str):
        return [*messages, user_message(start)]
    for message in start:
        role = message["role"]
        if role not in ("system", "user", "assistant"):
            raise DefinitionError(f"`begin` returned a message with the role {role!r}")
        messages.append({"role": role, "content": text_of(message["content"])})
    if not messages:
        raise DefinitionError("`begin` must return a text or at least one message")
    return messages


def user_message(text: str) -> Message:
    """Return a user's message."""
    return {"role": "user", "content": jsontext.clean_text(text)}


def tool_message(record: CallRecord) -> Message:
    """Return the message that shows the model what came of a call."""
    return {
        "role": "tool",
        "tool_call_id": record.id,
        "name": wire_name(record.name),
        "content": record.result,
    }


def with_reasoning(reply: ReadReply) -> Message:
    """Return a reply's message for the record, with its thinking."""
    if reply.reasoning is None:
        return reply.message
    return {**reply.message, "reasoning_content": reply.reasoning}
