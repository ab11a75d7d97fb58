"""Reading a reply: any form that a policy may hand over becomes one canonical form.

What a model can write never raises here: a malformed call is kept with its `error`,
for the model to read. Which tools exist and whether arguments fit their schema is
decided later, by whoever dispatches the calls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_gym import jsontext
from llm_gym.errors import ActionError
from llm_gym.messages import Message, Reply, ToolCall, Usage, dumps, wire_call

__all__ = ["ReadReply", "read_reply", "text_of"]


@dataclass(frozen=True, slots=True)
class ReadReply:
    """A reply in its one canonical form.

    Attributes:
        message: The assistant's message as it goes into the history: valid for any
            chat-completions server, without its reasoning.
        calls: Its tool calls, in order.
        reasoning: The thinking that came with it, None where there was none.
        finish_reason: See `Reply`.
        usage: See `Reply`.
    """

    message: Message
    calls: tuple[ToolCall, ...]
    reasoning: str | None
    finish_reason: str
    usage: Usage | None

    @property
    def text(self) -> str:
        """The message's content, "" where it has none."""
        return self.message["content"]


def read_reply(action: object, *, turn: int = 0, with_tools: bool = True) -> ReadReply:
    """Read an action in any of the forms that a policy may hand over.

    Args:
        action: A `Reply`; an assistant message as a dict; any object with `model_dump`
            (an SDK's message, choice or completion); or a plain `str`, in which
            `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` marks a call.
        turn: The turn's number, from which ids are made for calls that have none.
        with_tools: Whether the environment has tools. Without, a fenced JSON block
            is text.

    Returns:
        The canonical reply. A malformed call is in it, with its `error` set.

    Raises:
        ActionError: The action has none of these forms. What a model can write never
            raises; what only the caller's code can do does.
    """
    finish_reason, usage = "stop", None
    if isinstance(action, Reply):
        finish_reason, usage = action.finish_reason or "stop", action.usage
        action = action.message
    if isinstance(action, str):
        message, calls, reasoning = _read_text(action, turn, with_tools)
        return ReadReply(message, calls, reasoning, finish_reason, usage)
    body = _as_mapping(action)
    if "choices" in body or "message" in body:
        body, finish_reason, usage = _unwrap(body, finish_reason, usage)
    message, calls, reasoning = _read_message(body, turn, with_tools)
    return ReadReply(message, calls, reasoning, finish_reason, usage)


def text_of(content: object) -> str:
    """Return a message's content as text: a str, None, or a list of text parts.

    Raises:
        ActionError: The content is none of these.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return jsontext.clean_text(content)
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) == len(content):
            return jsontext.clean_text("".join(texts))
    raise ActionError(
        "a message's `content` must be a str, None or a list of text parts, "
        f"not {_shorten(_repr(content))}"
    )


_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_THINK_OPEN, _THINK_CLOSE = "<think>", "</think>"
_THINK_TAG = re.compile(f"({_THINK_OPEN}|{_THINK_CLOSE})")
_QUOTE = re.compile(r'\\.|"', re.DOTALL)
_FENCE = re.compile(r"```(?:json|tool_call)?[ \t]*\n([^`]*)```")


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except (RecursionError, ValueError):  # too deep, or an integer of too many digits
        return f"a {type(value).__name__} that cannot be shown"


def _as_mapping(action: object) -> Mapping[str, Any]:
    if type(action) is dict:  # the usual case, and the quick one
        return action
    dump = getattr(action, "model_dump", None)
    body = dump() if callable(dump) and not isinstance(action, type) else action
    if not isinstance(body, Mapping):
        raise ActionError(
            "an action must be a str, an assistant message (a dict or an object with "
            f"`model_dump`) or a `Reply`, not {_shorten(_repr(action))}"
        )
    return body


def _unwrap(
    body: Mapping[str, Any], finish_reason: str, usage: Usage | None
) -> tuple[Mapping[str, Any], str, Usage | None]:
    """Take the message out of a whole completion or one of its choices."""
    if "choices" in body:
        counts = body.get("usage")
        if isinstance(counts, Mapping):
            usage = Usage(
                int(counts.get("prompt_tokens") or 0),
                int(counts.get("completion_tokens") or 0),
            )
        choices = body["choices"]
        if not (isinstance(choices, list) and len(choices) == 1):
            raise ActionError(
                "a completion must have exactly one choice to be an action, "
                f"not {_shorten(_repr(choices))}"
            )
        body = _as_mapping(choices[0])
    message = _as_mapping(body.get("message"))
    return message, body.get("finish_reason") or finish_reason, usage


def _read_message(
    body: Mapping[str, Any], turn: int, with_tools: bool
) -> tuple[Message, tuple[ToolCall, ...], str | None]:
    if body.get("role", "assistant") != "assistant":
        raise ActionError(
            f'an action\'s `role` must be "assistant", not {_repr(body["role"])}'
        )
    if not ("content" in body or "tool_calls" in body or "role" in body):
        raise ActionError(
            "an assistant message needs `content` or `tool_calls`, "
            f"this one has {sorted(map(str, body))}"
        )
    text = text_of(body.get("content"))
    reasoning = _reasoning_of(body)
    entries = body.get("tool_calls")
    if not entries:  # some servers leave the calls in the text
        return _read_text(text, turn, with_tools, reasoning)
    if text:
        thought, text = _split_thinking(text)
        reasoning = reasoning or thought
    listed = entries if isinstance(entries, (list, tuple)) else [entries]
    plain = [_plain(entry) for entry in listed]
    seen: set[str] = set()
    taken = {_id_of(entry) for entry in plain}  # not for calls that have none
    calls = tuple(_read_entry(e, turn, i, seen, taken) for i, e in enumerate(plain))
    message: Message = {"role": "assistant", "content": text}
    message["tool_calls"] = [wire_call(call) for call in calls]
    return message, calls, reasoning


def _reasoning_of(body: Mapping[str, Any]) -> str | None:
    reasoning = body.get("reasoning_content") or body.get("reasoning")
    if isinstance(reasoning, str):
        return jsontext.clean_text(reasoning)
    return None


def _plain(entry: object) -> object:
    if type(entry) is dict:
        return entry
    dump = getattr(entry, "model_dump", None)
    return dump() if callable(dump) else entry


def _id_of(entry: object) -> str:
    given = entry.get("id") if isinstance(entry, Mapping) else None
    return jsontext.clean_text(given) if isinstance(given, str) else ""


def _read_entry(
    entry: object, turn: int, index: int, seen: set[str], taken: set[str]
) -> ToolCall:
    """Read one element of `tool_calls`."""
    call_id = given = _id_of(entry)
    twice = call_id in seen
    if twice or not call_id:
        call_id = _fresh_id(turn, index, taken)
    seen.add(call_id)
    taken.add(call_id)
    function = entry.get("function") if isinstance(entry, Mapping) else None
    if not isinstance(function, Mapping):
        return ToolCall(call_id, "", None, _malformed("a `function` object", entry), "")
    if twice:
        used = _shorten(given)
        error = f"the call id {used!r} was used twice; this call did not run"
        return ToolCall(call_id, _name_of(function), None, error, _raw(function))
    return _read_function(function, call_id)


def _read_function(function: Mapping[str, Any], call_id: str) -> ToolCall:
    name = _name_of(function)
    if not name:
        error = _malformed("a `name`", dict(function))
        return ToolCall(call_id, "", None, error, _raw(function))
    given = function.get("arguments")
    shown = _shorten(name, 80)
    try:
        value, text = _read_arguments(given)
    except ValueError as err:
        error = f"the arguments of `{shown}` are not valid JSON: {err}"
        return ToolCall(call_id, name, None, error, _raw(function))
    if not isinstance(value, dict):
        came = _shorten(text)
        error = f"the arguments of `{shown}` must be a JSON object, not {came}"
        return ToolCall(call_id, name, None, error, _raw(function))
    return ToolCall(call_id, name, value, text=text)


def _read_arguments(given: object) -> tuple[Any, str]:
    """Return the value of arguments and the JSON text that the history shows."""
    if isinstance(given, str):
        if not given.strip():
            return {}, "{}"  # what servers send for a tool without parameters
        value = jsontext.loads(given)
        if given.isascii() and "\\u" not in given:  # no lone surrogate can be in it
            return value, given
    else:
        value = jsontext.normalise({} if given is None else given)
    value = _clean_strings(value)
    return value, dumps(value)


def _clean_strings(value: Any) -> Any:
    """Replace lone surrogates in every string of a JSON value."""
    if isinstance(value, str):
        return jsontext.clean_text(value)
    if isinstance(value, dict):
        return {jsontext.clean_text(k): _clean_strings(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_clean_strings(item) for item in value]
    return value


def _read_text(
    text: str, turn: int, with_tools: bool, reasoning: str | None = None
) -> tuple[Message, tuple[ToolCall, ...], str | None]:
    """Split a plain text into thinking, content and tool calls."""
    thought, text = _split_thinking(jsontext.clean_text(text))
    content, bodies = _split_calls(text, with_tools)
    calls = tuple(_read_body(b, f"call_{turn}_{i}") for i, b in enumerate(bodies))
    message: Message = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [wire_call(call) for call in calls]
    return message, calls, reasoning or thought


def _split_thinking(text: str) -> tuple[str | None, str]:
    """Take every `<think>...</think>` out of a text.

    A closing tag without an opening one ends thinking that the prompt began; an opening
    tag without a closing one begins thinking that was cut off.
    """
    if _THINK_OPEN not in text and _THINK_CLOSE not in text:
        return None, text
    thoughts: list[str] = []
    kept: list[str] = []
    thinking = in_string = False
    for piece in _THINK_TAG.split(text):
        if in_string and not thinking and piece in (_THINK_OPEN, _THINK_CLOSE):
            kept.append(piece)  # an argument that speaks of the tag
        elif piece == _THINK_OPEN:
            thinking = True
        elif piece == _THINK_CLOSE:
            if not thinking:
                thoughts += kept
                kept = []
            thinking = False
        elif thinking:
            thoughts.append(piece)
        else:
            kept.append(piece)
            in_string = _ends_in_string(piece, in_string)
    return "".join(thoughts).strip(), "".join(kept).strip()


def _ends_in_string(piece: str, began_in_string: bool) -> bool:
    """Say whether a text ends within a JSON string of a call that is not closed."""
    _, opened, body = piece.rpartition(_OPEN)
    starts = body.lstrip().startswith("{") if opened else began_in_string
    if _CLOSE in body or not starts:
        return False
    quotes = _QUOTE.findall(body).count('"')
    return (quotes + (not opened)) % 2 == 1


def _split_calls(text: str, with_tools: bool) -> tuple[str, list[str]]:
    """Return the text outside of the calls and the body of each call."""
    if _OPEN not in text:
        fenced = _fenced_calls(text) if with_tools and "```" in text else []
        if not fenced:
            return text, []
        return _FENCE.sub("", text).strip(), fenced
    head, *rest = text.split(_OPEN)
    kept, bodies = [head], []
    for piece in rest:
        body, _, tail = piece.partition(_CLOSE)  # no end: a call cut off, or sloppy
        bodies.append(body)
        kept.append(tail)
    return "".join(kept).strip(), bodies


def _fenced_calls(text: str) -> list[str]:
    """Return the fenced blocks if every one of them is a call, else none."""
    blocks = _FENCE.findall(text)
    return blocks if blocks and all(_is_call(block) for block in blocks) else []


def _is_call(block: str) -> bool:
    try:
        value = jsontext.loads(block)
    except ValueError:
        return False
    return isinstance(value, dict) and value.keys() == {"name", "arguments"}


def _read_body(body: str, call_id: str) -> ToolCall:
    """Read what stood between `<tool_call>` and `</tool_call>`."""
    try:
        value = _clean_strings(jsontext.loads(body))
    except ValueError as err:
        error = f"the tool call is not valid JSON: {err}"
        return ToolCall(call_id, "", None, error, body)
    if not isinstance(value, dict) or not _name_of(value):
        error = _malformed('an object {"name": ..., "arguments": {...}}', value)
        return ToolCall(call_id, "", None, error, body)
    return _read_function(value, call_id)


def _name_of(function: Mapping[str, Any]) -> str:
    name = function.get("name")
    return jsontext.clean_text(name) if isinstance(name, str) else ""


def _raw(function: Mapping[str, Any]) -> str:
    given = function.get("arguments")
    return jsontext.clean_text(given if isinstance(given, str) else _repr(given))


def _malformed(expected: str, came: object) -> str:
    return f"a tool call needs {expected}, this one is {_shorten(_repr(came))}"


def _fresh_id(turn: int, index: int, taken: set[str]) -> str:
    base = f"call_{turn}_{index}"
    if base not in taken:
        return base
    suffixes = (f"_{n}" for n in range(1, len(taken) + 2))
    return next(base + s for s in suffixes if base + s not in taken)
