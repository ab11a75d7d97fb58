"""What the exporters know of an episode, wherever it was recorded.

An `Episode` holds the conversation, ready for a chat template; an `Entry` is what
selection needs of it and no more, so that a run of any size can be selected from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from llm_gym import jsontext
from llm_gym.adapters.offline.expressions import Kind
from llm_gym.adapters.offline.schemas import as_shown
from llm_gym.messages import Message, ToolSchema
from llm_gym.tokens.trace import TokenRecord
from llm_gym.trajectory import Trajectory

__all__ = ["FIELDS", "ChatMessage", "Entry", "Episode", "Place", "of_trajectory"]

ChatMessage: TypeAlias = dict[str, Any]
"""A message as chat templates take it: a call's arguments are an object, not text."""

FIELDS: dict[str, tuple[Kind, str]] = {
    "reward": ("number", "the episode's return, the group's judgement included"),
    "score": ("number", "the verifier's score, in [0, 1]"),
    "success": ("truth", "whether the verifier gave full marks"),
    "valid": ("truth", "not truncated, and every call could be read"),
    "terminated": ("truth", "the task was decided"),
    "truncated": ("truth", "a budget ran out, or a reply was cut off"),
    "stop_reason": ("text", "`answer`, `goal`, `tool`, `max_turns`, ..."),
    "turns": ("number", "replies"),
    "calls": ("number", "tool calls"),
    "tool_errors": ("number", "tool calls that did not succeed"),
    "invalid_calls": ("number", "tool calls that could not be read or run"),
    "tokens": ("number", "sampled tokens, where the policy told them"),
    "characters": ("number", "characters of all replies"),
    "level": ("number", "the task's level of difficulty"),
    "split": ("text", "`train`, `validation` or `test`"),
    "env": ("text", "the environment's id"),
    "task": ("text", "the task's id"),
    "seed": ("number", "the episode's seed"),
    "policy": ("text", "the policy's name"),
    "group": ("number", "the number of its group in its run"),
    "episode": ("number", "its number in its run"),
    "attempts": ("number", "how often it was started; above 1 after a fault"),
    "run": ("text", "the name of the file that it is in"),
}
"""What expressions may ask for: each field's kind and what it says."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an episode stands.

    Attributes:
        run: The number of its file among those handed in.
        line: Its line, from 1.
        start: Where the line begins, in bytes.
        name: The file's name.
    """

    run: int
    line: int
    start: int = 0
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name}:{self.line}"


@dataclass(frozen=True, slots=True)
class Episode:
    """An episode as data.

    Attributes:
        prompt: What the model was first shown.
        completion: All that followed: replies and what was added between them.
        tools: The tools that it was told of.
        facts: The fields of `FIELDS` and `parts.NAME`, None where one is not told.
        record: Where it came from: digest, environment, policy and the like.
        problem: Why it can be no data at all (a fault, not finished), else "".
        unlike: Why its text is not to be imitated, else "": a reply was cut off, or
            the history holds other words than the model wrote.
        tokens: Its exact tokens, where they were told.
    """

    prompt: Sequence[ChatMessage]
    completion: Sequence[ChatMessage]
    tools: Sequence[ToolSchema]
    facts: Mapping[str, Any]
    record: Mapping[str, Any]
    problem: str = ""
    unlike: str = ""
    tokens: TokenRecord | None = None

    def entry(self, place: Place) -> Entry:
        """Return what selection needs of it."""
        start = [self.record["env"], self.facts["task"], self.prompt, self.tools]
        return Entry(
            place=place,
            facts=dict(self.facts),
            start=_hash(start),
            content=_hash([start, self.completion]),
            problem=self.problem,
            unlike=self.unlike,
            samples=len(self.tokens.to_samples()) if self.tokens else 0,
            numbers=_numbers(self.completion),
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """What selection needs of an episode.

    Attributes:
        place: Where it stands.
        facts: See `Episode`.
        start: Equal for episodes that began alike: the same task of the same
            environment, the same prompt and tools.
        content: Equal for episodes that began alike and went alike.
        problem: See `Episode`.
        unlike: See `Episode`.
        samples: How many training samples its tokens make, 0 where none were told.
        numbers: Whether the type `Json` of datasets holds the numbers of its calls: it
            is `rounded` where that keeps but ten decimals of one, `lost` where it
            cannot read one again.
    """

    place: Place
    facts: dict[str, Any] = field(default_factory=dict)
    start: str = ""
    content: str = ""
    problem: str = ""
    unlike: str = ""
    samples: int = 0
    numbers: Literal["", "rounded", "lost"] = ""

    @property
    def reward(self) -> float:
        """The episode's return."""
        return float(self.facts["reward"])

    @property
    def task(self) -> str:
        """The task's id, "" where it is not known."""
        return str(self.facts.get("task") or "")


def of_trajectory(trajectory: Trajectory) -> Episode:
    """Return an episode that `llm-gym rollout` wrote."""
    run = trajectory.run
    return Episode(
        prompt=[chat_message(message) for message in trajectory.prompt],
        completion=_completion(trajectory),
        tools=[as_shown(tool) for tool in trajectory.tools],
        facts=_facts(trajectory),
        record={
            "env": trajectory.env_id,
            "env_kwargs": trajectory.env_kwargs,
            "env_hash": trajectory.env_hash,
            "task": trajectory.task.id,
            "task_hash": trajectory.task_hash,
            "seed": trajectory.seed,
            "policy": run.policy if run else "",
            "digest": trajectory.digest,
        },
        problem=_problem(trajectory),
        unlike=_unlike(trajectory),
        tokens=trajectory.tokens,
    )


def chat_message(message: Message) -> ChatMessage:
    """Return a message as chat templates take it."""
    plain: ChatMessage = {"role": message["role"], "content": message["content"]}
    if message.get("reasoning_content"):
        plain["reasoning_content"] = message["reasoning_content"]
    if message.get("tool_calls"):
        plain["tool_calls"] = [
            chat_call(call["id"], call["function"]["name"], arguments)
            for call in message["tool_calls"]
            for arguments in [jsontext.loads(call["function"]["arguments"])]
        ]
    for key in ("name", "tool_call_id"):
        if message.get(key):
            plain[key] = message[key]
    return plain


def chat_call(call_id: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a tool call as chat templates take it."""
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def up_to_last_reply(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Return messages without what follows the last reply: nobody answered it."""
    kept = list(messages)
    while kept and kept[-1]["role"] != "assistant":
        kept.pop()
    return kept


def _completion(trajectory: Trajectory) -> list[ChatMessage]:
    messages = [
        message for turn in trajectory.turns for message in (turn.reply, *turn.added)
    ]
    return up_to_last_reply(chat_message(message) for message in messages)


def _problem(trajectory: Trajectory) -> str:
    if trajectory.fault is not None:
        return f"fault: {trajectory.fault}"
    if trajectory.score is None or trajectory.stop_reason is None:
        return "unfinished: it has no score"
    if not trajectory.turns:
        return "no reply: it ended before the policy said anything"
    return ""


def _unlike(trajectory: Trajectory) -> str:
    if any(turn.finish_reason == "length" for turn in trajectory.turns):
        return "a reply was cut off"
    if any(call.raw is not None for call in trajectory.calls):
        return "a call could not be read, the history shows it in other words"
    return ""


def _facts(trajectory: Trajectory) -> dict[str, Any]:
    stop, score, run = trajectory.stop_reason, trajectory.score, trajectory.run
    calls = list(trajectory.calls)
    invalid = sum(call.status == "invalid" for call in calls)
    cut_off = any(turn.finish_reason == "length" for turn in trajectory.turns)
    truncated = cut_off or not (stop is not None and stop.terminated)
    told = any(turn.usage is not None for turn in trajectory.turns)
    facts = {
        "reward": trajectory.episode_return,
        "score": None if score is None else score.value,
        "success": trajectory.success,
        "valid": not truncated and not invalid,
        "terminated": stop is not None and stop.terminated,
        "truncated": truncated,
        "stop_reason": None if stop is None else stop.value,
        "turns": len(trajectory.turns),
        "calls": len(calls),
        "tool_errors": trajectory.tool_errors,
        "invalid_calls": invalid,
        "tokens": trajectory.sampled_tokens if told else None,
        "characters": sum(len(t.reply["content"]) for t in trajectory.turns),
        "level": trajectory.task.level,
        "split": trajectory.task.split,
        "env": trajectory.env_id,
        "task": trajectory.task.id,
        "seed": trajectory.seed,
        "policy": run.policy if run else None,
        "group": run.group if run else None,
        "episode": run.episode if run else None,
        "attempts": run.attempts if run else None,
    }
    parts = {} if score is None else score.parts
    return {**facts, **{f"parts.{name}": value for name, value in parts.items()}}


def _numbers(messages: Iterable[ChatMessage]) -> Literal["", "rounded", "lost"]:
    """Say what becomes of the numbers of calls; see `Entry`."""
    level: list[Any] = [
        call["function"]["arguments"]
        for message in messages
        for call in message.get("tool_calls", ())
    ]
    rounded = False
    while level:
        if any(type(one) is int and not -(2**63) <= one < 2**64 for one in level):
            return "lost"
        rounded |= any(isinstance(x, float) and round(x, 10) != x for x in level)
        nested = [one for one in level if isinstance(one, (dict, list))]
        level = [
            child
            for one in nested
            for child in (one.values() if isinstance(one, dict) else one)
        ]
    return "rounded" if rounded else ""


def _hash(value: object) -> str:
    return hashlib.sha256(jsontext.canonical(value).encode()).hexdigest()
