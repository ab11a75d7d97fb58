"""Tools, calls and results as plain text, for models whose template knows none of them.

The form is the one that Hermes models made common: tools as JSON lines in `<tools>`,
calls in `<tool_call>`, results in `<tool_response>`; `llm_gym.replies` reads the calls.
This module changes messages, never the ones it is given; it knows no tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from llm_gym.messages import Message, ToolSchema, WireToolCall, call_text, dumps
from llm_gym.replies import text_of

__all__ = [
    "ChatMessage",
    "fold_system",
    "merge_repeats",
    "native_messages",
    "text_messages",
    "tools_text",
]

ChatMessage: TypeAlias = dict[str, Any]
"""A message as chat templates take it: arguments as objects, content as text."""

_TOOLS = """\
You can use tools. Each line between the tags describes one of them as JSON:
<tools>
{tools}
</tools>
To use a tool, write its name and its arguments as JSON between these tags:
<tool_call>{{"name": "tool name", "arguments": {{"argument": "value"}}}}</tool_call>
You may use several tools in one reply, each in tags of its own. What a tool returns \
is given to you between <tool_response> and </tool_response>. When you need no tool, \
just answer."""


def tools_text(tools: Sequence[ToolSchema]) -> str:
    """Describe tools, and how to call them, for a system prompt."""
    return _TOOLS.format(tools="\n".join(dumps(tool) for tool in tools))


def text_messages(
    messages: Iterable[Message], tools: Sequence[ToolSchema], *, tool_role: bool = False
) -> list[ChatMessage]:
    """Write tools, tool calls and tool results into the text of plain messages.

    Args:
        messages: The conversation.
        tools: The tools, described in the system message, which is added if needed.
        tool_role: Whether results stay in messages of the role "tool". Else those of
            one turn become one message of the user.

    Returns:
        Messages that have a role and a content, and thinking where they had any.
    """
    written: list[ChatMessage] = []
    results = False  # whether the last message holds tool results
    for message in messages:
        role, content = message["role"], text_of(message.get("content"))
        if role == "tool" and not tool_role:
            content = f"<tool_response>\n{content}\n</tool_response>"
            if results:
                written[-1]["content"] += f"\n{content}"
            else:
                written.append({"role": "user", "content": content})
            results = True
            continue
        results = False
        calls = [_written_call(call) for call in message.get("tool_calls") or ()]
        content = "\n".join([content, *calls] if content else calls) or content
        one: ChatMessage = {"role": role, "content": content}
        if "reasoning_content" in message:
            one["reasoning_content"] = message["reasoning_content"]
        written.append(one)
    return _with_system(written, tools_text(tools)) if tools else written


def native_messages(messages: Iterable[Message]) -> list[ChatMessage]:
    """Give messages the form that chat templates with tools expect.

    Arguments become objects, contents text, and each result gets its tool's name.
    """
    written: list[ChatMessage] = []
    names: dict[str, str] = {}
    for message in messages:
        one: ChatMessage = {**message, "content": text_of(message.get("content"))}
        calls = message.get("tool_calls") or ()
        names.update((call["id"], call["function"]["name"]) for call in calls)
        if calls:
            one["tool_calls"] = [_opened_call(call) for call in calls]
        if message["role"] == "tool" and message.get("tool_call_id") in names:
            one.setdefault("name", names[message["tool_call_id"]])
        written.append(one)
    return written


def fold_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Move what system messages say to the start of the first user message."""
    texts = [m["content"] for m in messages if m["role"] == "system"]
    others = [m for m in messages if m["role"] != "system"]
    first = next((i for i, m in enumerate(others) if m["role"] == "user"), None)
    if not texts:
        return others
    if first is None:
        return [{"role": "user", "content": "\n\n".join(texts)}, *others]
    user = others[first]
    content = "\n\n".join([*texts, user["content"]])
    return [*others[:first], {**user, "content": content}, *others[first + 1 :]]


def merge_repeats(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Join neighbours of one role, but for tool results and native calls."""
    merged: list[ChatMessage] = []
    for message in messages:
        last = merged[-1] if merged else {"role": None}
        plain = message["role"] != "tool" and "tool_calls" not in {**last, **message}
        if plain and last["role"] == message["role"]:
            content = f"{last['content']}\n\n{message['content']}"
            merged[-1] = {**last, "content": content}
        else:
            merged.append(message)
    return merged


def _with_system(messages: list[ChatMessage], text: str) -> list[ChatMessage]:
    """Add a text to the first system message, or one that says it."""
    if messages and messages[0]["role"] == "system":
        content = messages[0]["content"]
        joined = f"{content}\n\n{text}" if content else text
        return [{"role": "system", "content": joined}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


def _written_call(call: WireToolCall) -> str:
    function = _opened_call(call)["function"]
    return call_text(function["name"], function["arguments"])


def _opened_call(call: WireToolCall) -> dict[str, Any]:
    """Turn a call's arguments from JSON text into an object."""
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):  # only in a history that we did not write
        arguments = {}
    return {**call, "function": {**function, "arguments": arguments}}
