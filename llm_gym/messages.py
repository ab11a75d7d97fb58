"""The chat vocabulary: messages, requests, replies and tool calls on the wire.

An observation is a `ChatRequest`, the body of an OpenAI chat-completions call; an
action is the assistant's reply. This module knows the wire form and nothing of
environments; `llm_gym.replies` reads what a model wrote into it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, Required, TypedDict

__all__ = [
    "ChatRequest",
    "Message",
    "Reply",
    "ToolCall",
    "ToolSchema",
    "Usage",
    "WireToolCall",
    "call_text",
    "wire_call",
    "wire_name",
]


class WireFunction(TypedDict):
    """The function part of a tool call on the wire."""

    name: str
    arguments: str


class WireToolCall(TypedDict):
    """A tool call on the wire; `arguments` is JSON text."""

    id: str
    type: Literal["function"]
    function: WireFunction


class Message(TypedDict, total=False):
    """One chat message in OpenAI's form."""

    role: Required[Literal["system", "user", "assistant", "tool"]]
    content: Required[str]
    name: str
    tool_calls: list[WireToolCall]
    tool_call_id: str
    reasoning_content: str


class FunctionSchema(TypedDict):
    """What a model is told of one tool."""

    name: str
    description: str
    parameters: dict[str, Any]


class ToolSchema(TypedDict):
    """A tool in OpenAI's form; `parameters` is a Draft 2020-12 schema."""

    type: Literal["function"]
    function: FunctionSchema


class ChatRequest(TypedDict):
    """The body of a chat-completions request; no `tools` key where there are none."""

    messages: list[Message]
    tools: NotRequired[list[ToolSchema]]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one reply cost.

    Attributes:
        prompt_tokens: Tokens of the prompt that the policy was given.
        completion_tokens: Tokens that it sampled.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A policy's reply with what its engine told of it.

    Attributes:
        message: The assistant's message, or its text.
        finish_reason: Why the engine stopped, in OpenAI's words: "stop", "tool_calls",
            "length" (cut off, which truncates the episode) or "content_filter".
        usage: Token counts, None where the engine gives none.
        prompt_ids: The token ids that the engine read, None where it tells none.
        sampled_ids: The token ids that it sampled, the one that ended the reply
            included; None where it tells none.
        logprobs: The natural log-probability of each sampled id, in the model's own
            distribution: at temperature 1 and with nothing ruled out.
    """

    message: Mapping[str, Any] | str
    finish_reason: str = "stop"
    usage: Usage | None = None
    prompt_ids: Sequence[int] | None = None
    sampled_ids: Sequence[int] | None = None
    logprobs: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A request to run a tool, as read from a reply.

    Attributes:
        id: Unique within its reply.
        name: The tool's name as the model wrote it, "" where it wrote none.
        arguments: The parsed arguments, None where they could not be read.
        error: Why the call cannot be run, for the model to read; None if it can.
        raw: The arguments as they came, where `arguments` is None.
        text: The arguments as the history shows them: always a JSON object.
    """

    id: str
    name: str
    arguments: dict[str, Any] | None
    error: str | None = None
    raw: str | None = None
    text: str = "{}"


def wire_call(call: ToolCall) -> WireToolCall:
    """Return a call in the wire form that every server reads, whatever was written."""
    function: WireFunction = {"name": wire_name(call.name), "arguments": call.text}
    return {"id": call.id, "type": "function", "function": function}


def wire_name(name: str) -> str:
    """Return a tool's name as servers accept it, whatever the model wrote."""
    return name if _NAME.fullmatch(name) else "invalid_name"


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """Write a call in the canonical text form (Hermes style)."""
    body = dumps({"name": name, "arguments": dict(arguments)})
    return f"<tool_call>{_TAG.sub(_ESCAPED_BRACKET, body)}</tool_call>"


_ENCODER = json.JSONEncoder(ensure_ascii=False)
_TAG = re.compile(r"<(?=/?(?:tool_call|think)>)")  # one in an argument is not a tag
_ESCAPED_BRACKET = r"\\u003c"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def dumps(value: object) -> str:
    """Write JSON for a model to read: spaces, Unicode, the keys in the given order."""
    # Key order is the model's own here, unlike in `jsontext.canonical`.
    return _ENCODER.encode(value)
