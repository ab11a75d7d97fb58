"""What changes during an episode, and the messages that an environment writes."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gymnasium.envs.registration import EnvSpec

from llm_gym import jsontext
from llm_gym.errors import DefinitionError
from llm_gym.messages import Message, ToolSchema, wire_name
from llm_gym.replies import ReadReply, text_of
from llm_gym.tasks import Task
from llm_gym.tools import ToolSpec
from llm_gym.trajectory import CallRecord, Score, StopReason, Turn

__all__ = [
    "Episode",
    "Response",
    "Snapshot",
    "plain_kwargs",
    "start_messages",
    "tool_message",
    "tool_name",
    "user_message",
    "with_reasoning",
]


@dataclass(frozen=True, slots=True)
class Response:
    """What an environment answers to a reply without a tool call.

    Attributes:
        message: The user's next message, None for none.
        reward: Added to the reward of this step.
        stop: Why the episode ends here, None if it goes on.
    """

    message: str | None = None
    reward: float = 0.0
    stop: StopReason | None = None

    def is_sound(self) -> bool:
        """Say whether the fields have the types that they should."""
        return (
            isinstance(self.message, str | None)
            and isinstance(self.stop, StopReason | None)
            and hasattr(self.reward, "__float__")
            and math.isfinite(self.reward)
        )


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
        seconds: Wall clock up to `since`.
        since: When the clock was last started, None while it stands still.
        stop: Why it ended, None while it runs.
        outcome: What the environment told of its final state.
        score: The verifier's judgement, None before the end.
        fault: What broke, None where nothing did.
        task_hash: Hash of the task's content.
        tools: What the policy may call, as it is shown.
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
    since: float | None = field(default_factory=time.perf_counter)
    stop: StopReason | None = None
    outcome: Any = None
    score: Score | None = None
    fault: str | None = None
    task_hash: str = ""
    tools: tuple[ToolSchema, ...] = ()

    def elapsed(self) -> float:
        """Return the seconds of wall clock since `reset`, pauses left out."""
        running = 0.0 if self.since is None else time.perf_counter() - self.since
        return self.seconds + running

    def copy(self, *, paused: bool = False) -> Episode:
        """Copy what changes; messages, turns and the task never change in place.

        Args:
            paused: Whether the copy's clock stands still, until it is copied again.
        """
        return replace(
            self,
            seconds=self.elapsed(),
            since=None if paused else time.perf_counter(),
            state=copy.deepcopy(self.state),
            messages=list(self.messages),
            turns=list(self.turns),
        )

    def allowed(self, specs: Mapping[str, ToolSpec]) -> Mapping[str, ToolSpec]:
        """Return those of an environment's tools that the policy may call."""
        if len(self.tools) == len(specs):
            return specs
        return {name: specs[name] for name in map(tool_name, self.tools)}

    def add_turn(
        self,
        message: Message,
        reply: ReadReply,
        records: tuple[CallRecord, ...],
        answer: Response,
    ) -> None:
        """Append what the environment answers to a reply, and the turn.

        Args:
            message: The reply as the history shows it: its last message.
            reply: The reply as it was read.
            records: What came of its calls.
            answer: What the environment says to it.
        """
        added = [tool_message(record) for record in records]
        if answer.message is not None:
            added.append(user_message(answer.message))
        reward = float(answer.reward) + sum(record.reward for record in records)
        self.messages += added
        self.tool_errors += sum(record.status != "ok" for record in records)
        self.tokens += reply.usage.completion_tokens if reply.usage else 0
        self.turns.append(
            Turn(
                message,
                records,
                tuple(added),
                reward,
                reply.finish_reason,
                reply.usage,
            )
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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An episode at one point, opaque; it can be pickled if the state can."""

    _kind: str
    _episode: Episode
    _random: Any


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


def tool_name(schema: ToolSchema) -> str:
    """Return the name that a tool is called by."""
    return schema["function"]["name"]


def with_reasoning(reply: ReadReply) -> Message:
    """Return a reply's message for the record, with its thinking."""
    if reply.reasoning is None:
        return reply.message
    return {**reply.message, "reasoning_content": reply.reasoning}


def plain_kwargs(spec: EnvSpec | None) -> dict[str, Any]:
    """Return what an env was made with as plain data.

    What JSON cannot carry is named by its type; `render_mode` is left out.
    """
    plain = {}
    for name, value in (spec.kwargs if spec else {}).items():
        if name == "render_mode":  # changes nothing that happens
            continue
        try:
            plain[name] = jsontext.normalise(value)
        except ValueError:
            plain[name] = (
                str(value) if isinstance(value, Path) else type(value).__name__
            )
    return plain
