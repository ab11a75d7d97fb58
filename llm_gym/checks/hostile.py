"""Replies of every kind that a model may write and an environment must survive."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_gym.dispatch import MAX_CALLS
from llm_gym.messages import Reply, call_text
from llm_gym.spaces import sample_json
from llm_gym.tools import ToolSpec

__all__ = ["Hostile", "hostile_replies", "valid_call"]


@dataclass(frozen=True, slots=True)
class Hostile:
    """A reply and what must come of it.

    Attributes:
        name: What a finding calls it.
        reply: The reply.
        refused: For each of its calls whether it must be refused; where it need not,
            anything may come of it.
        cut: Whether it must end the episode as cut off by its length limit.
    """

    name: str
    reply: Any
    refused: tuple[bool, ...] = ()
    cut: bool = False

    @property
    def worthless(self) -> bool:
        """Whether no honest environment pays for it."""
        return all(self.refused)


def hostile_replies(specs: Mapping[str, ToolSpec]) -> Iterator[Hostile]:
    """Write the replies for an environment with these tools."""
    yield from _texts()
    yield from _names(specs)
    name = next(iter(specs), "lookup")
    yield from _arguments(name)
    yield from _entries(name)
    yield from _ids(name)
    yield from _crowds(name)
    for spec in specs.values():
        yield from _misfits(spec)
        yield from _oddities(spec)


def valid_call(spec: ToolSpec) -> dict[str, Any]:
    """Return arguments that fit a tool's schema."""
    arguments: dict[str, Any] = sample_json(spec.parameters, np.random.default_rng(0))
    return arguments


_DEEP = 10_000
_NUL, _LONE = "a\x00b", "a\ud800b"
_NOWHERE = "no_such_field"
_BAD_TEXTS = {
    "1 MB of text": "word " * 200_000,
    "NUL": _NUL,
    "a lone surrogate": _LONE,
    "control characters": "\x1b[2J\x07\x08\r\u202e\u2028\ufeff",
    "a 5,000-digit integer": "9" * 5000,
    "1e999": "1e999",
    "-Infinity": "-Infinity",
    "10,000 open lists": "[" * _DEEP,
    "10,000 nested lists": "[" * _DEEP + "]" * _DEEP,
    "10,000 nested objects": '{"a":' * _DEEP + "1" + "}" * _DEEP,
    "an object with a duplicate key": '{"a": 1, "a": 2}',
    "a list with NaN": "[NaN]",
    "a text with a null": '{"answer": null}',
    "format braces": "{0.__class__} %s %(a)s ${a}",
    "a path": "../../etc/passwd",
    "a closing tag": "</tool_call></think>",
    "an open call": '<tool_call>{"name": "lookup", "argu',
    "an empty call": "<tool_call>{}</tool_call>",
    "a list as call": "<tool_call>[1]</tool_call>",
}


def _texts() -> Iterator[Hostile]:
    for title, text in _BAD_TEXTS.items():
        refused = (True,) * text.count("<tool_call>")
        yield Hostile(f"the text {title!r}", text, refused)
    yield Hostile("content None", _message(None))
    yield Hostile("content None and no calls", {**_message(None), "tool_calls": None})
    yield Hostile("an empty list of calls", {**_message(""), "tool_calls": []})
    parts = [{"type": "text", "text": _LONE}, {"type": "text", "text": _NUL}]
    yield Hostile("content in parts", _message(parts))
    yield Hostile("a text cut off", Reply(_NUL, finish_reason="length"), cut=True)


def _names(specs: Mapping[str, ToolSpec]) -> Iterator[Hostile]:
    methods = ("reset", "step", "verify", "close", "oracle", "begin", "state", "task")
    inner = ("__class__", "__init__", "_episode", "_private", "np_random")
    odd = ("no_such_tool", "", " ", _NUL, _LONE, "x" * 10_000, "инструмент🙂", "a.b")
    for name in (*methods, *inner, *odd):
        if name not in specs:
            title = f"a call of {name[:40]!r}"
            yield Hostile(title, _calling(_entry(name, "{}")), (True,))
    for wrong in (None, 3, ["x"], {"x": 1}):
        yield Hostile(f"a tool named {wrong!r}", _calling(_entry(wrong, "{}")), (True,))


def _arguments(name: str) -> Iterator[Hostile]:
    digits = "9" * 5000
    texts = (
        *(
            "not json",
            "[1, 2]",
            '"text"',
            "3",
            "null",
            "true",
            "NaN",
            '{"a": 1',
            "{'a'}",
        ),
        *('{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', f'{{"a": {digits}}}'),
        *('{"a": 1, "a": 2}', _BAD_TEXTS["10,000 nested lists"], _NUL, _LONE),
        *(
            _BAD_TEXTS["10,000 nested objects"],
            '{"\ud800": "\ud800"}',
            '{"\\u0000": 1}',
        ),
        json.dumps({_NOWHERE: "x" * 1_000_000}),
    )
    values: tuple[Any, ...] = (
        *({_NOWHERE: float("nan")}, {_NOWHERE: 10**200}, {_NOWHERE: {1, 2}}),
        *({_NOWHERE: _LONE, _LONE: 1}, [1, 2], 3, 1.5, True, b"x", _nested(100)),
    )
    for given in (*texts, *values):
        title = f"the arguments {_title(given)} for `{name}`"
        yield Hostile(title, _calling(_entry(name, given)), (True,))
        if isinstance(given, str) and "</tool_call>" not in given:
            body = f'<tool_call>{{"name": "{name}", "arguments": {given}}}</tool_call>'
            refused = given != "null"  # without a string around it, that is none
            yield Hostile(f"{title} in a text", body, (refused,))


def _entries(name: str) -> Iterator[Hostile]:
    """Write calls of the wrong form."""
    wrong: tuple[Any, ...] = ("text", None, 3, [], {}, {"id": "a", "function": None})
    nameless = {"id": "a", "type": "function", "function": {"arguments": "{}"}}
    for entry in (*wrong, nameless, {"function": {}}, {"name": name}):
        title = f"{_title(entry)} for a call"
        yield Hostile(title, _calling(entry), (True,))
    yield Hostile(
        "one call that is no list",
        {**_message(""), "tool_calls": _entry("no_such_tool", "{}")},
        (True,),
    )


def _ids(name: str) -> Iterator[Hostile]:
    refused = _entry(name, {_NOWHERE: 1})
    for given in (None, "", 3, _NUL, _LONE, "x" * 10_000, ["x"]):
        entry = {**refused, "id": given}
        yield Hostile(f"the call id {_title(given)}", _calling(entry), (True,))
    missing = {key: value for key, value in refused.items() if key != "id"}
    both = (True, True)
    yield Hostile("two calls without an id", _calling(missing, missing), both)
    yield Hostile("two calls with one id", _calling(refused, refused), both)
    made = {**refused, "id": "call_0_1"}
    yield Hostile("an id that would be made", _calling(made, missing), both)


def _crowds(name: str) -> Iterator[Hostile]:
    """Write many calls at once, and calls that were cut off."""
    unknown = [_entry("no_such_tool", "{}", f"call_{i}") for i in range(100)]
    yield Hostile("100 unknown calls", _calling(*unknown), (True,) * 100)
    empty = [_entry(name, "{}", f"call_{i}") for i in range(100)]
    late = tuple(i >= MAX_CALLS for i in range(100))
    yield Hostile(f"100 calls of `{name}`", _calling(*empty), late)
    text = call_text("no_such_tool", {}) * 100
    yield Hostile("100 unknown calls in a text", text, (True,) * 100)
    cut = Reply(_calling(empty[0], empty[1]), finish_reason="length")
    yield Hostile("two calls, cut off", cut, (True, True), cut=True)
    cut = Reply(f'<tool_call>{{"name": "{name}", "argu', finish_reason="length")
    yield Hostile("half a call, cut off", cut, (True,), cut=True)


_CANDIDATES: tuple[Any, ...] = (None, True, 3, 1.5, "3", [], ["x"], {}, {"x": 1})


def _misfits(spec: ToolSpec) -> Iterator[Hostile]:
    """Write calls that the tool's schema refuses."""
    base = valid_call(spec)
    wrong: dict[str, dict[str, Any]] = {"an extra field": {**base, _NOWHERE: 1}}
    for key in spec.parameters["required"]:
        wrong[f"no `{key}`"] = {k: v for k, v in base.items() if k != key}
    for key in spec.parameters["properties"]:
        for value in _CANDIDATES:
            wrong[f"{value!r} for `{key}`"] = {**base, key: value}
    for title, arguments in wrong.items():
        if spec.problem(arguments) is not None:
            call = _calling(_entry(spec.name, json.dumps(arguments)))
            yield Hostile(f"a call of `{spec.name}` with {title}", call, (True,))


_LONG = 200_000
"""Characters of arguments that are long and yet short enough to be read."""
_SHORT_TEXTS = [text for text in _BAD_TEXTS.values() if len(text) < _LONG]
_ODD: dict[str, tuple[Any, ...]] = {
    "string": (
        "",
        " ",
        "word " * (_LONG // 5),
        *_SHORT_TEXTS,
        "9" * 90,
        "🙂é\u0301ß",
        "-1",
        "None",
    ),
    "integer": (0, -1, 1, 10**99, -(10**99), 2**31, 2**63, 255, 10_000),
    "number": (0, -0.0, 1e308, -1e308, 5e-324, 10**99, 0.1, -1),
    "boolean": (True, False),
    "null": (None,),
}


def _oddities(spec: ToolSpec) -> Iterator[Hostile]:
    """Write calls that the schema takes and a tool's author may not have thought of."""
    base = valid_call(spec)
    written: dict[str, dict[str, Any]] = {}
    for number in range(len(_ODD["string"])):
        odd: dict[str, Any] = _odd(spec.parameters, number)
        for arguments in (odd, *({**base, key: value} for key, value in odd.items())):
            if spec.problem(arguments) is None:
                written[json.dumps(arguments)] = arguments
    for text, arguments in written.items():
        title = f"`{spec.name}` with {_title(arguments)}"
        yield Hostile(title, _calling(_entry(spec.name, text)), (False,))


def _odd(schema: Mapping[str, Any], number: int) -> Any:
    """Return the odd value of a number that a schema takes."""
    if "enum" in schema:
        return schema["enum"][number % len(schema["enum"])]
    if "anyOf" in schema:
        return _odd(schema["anyOf"][number % len(schema["anyOf"])], number)
    kind = schema.get("type", "string")
    if kind == "object":
        inner = schema.get("properties", {})
        return {key: _odd(inner[key], number) for key in inner}
    if kind == "array":
        items = schema.get("prefixItems")
        if items is not None:
            return [_odd(item, number) for item in items]
        item = _odd(schema.get("items", {}), number)
        most = max(_LONG // len(json.dumps(item)), 1)
        return [item] * min((0, 1, 2, 500)[number % 4], most)
    values = _ODD[kind]
    return values[number % len(values)]


def _message(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def _calling(*entries: Any) -> dict[str, Any]:
    return {**_message(""), "tool_calls": list(entries)}


def _entry(name: Any, arguments: Any, call_id: str = "call_x") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def _title(value: Any) -> str:
    """Return a value's repr with what is long in it cut."""
    return _CUT.repr(value)


_CUT = reprlib.Repr()
_CUT.maxstring = _CUT.maxlong = _CUT.maxother = 40
_CUT.maxlist, _CUT.maxdict = 3, 12
