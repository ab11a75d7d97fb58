"""Odd texts, and odd arguments drawn from a tool's schema."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from llm_gym.spaces import sample_json
from llm_gym.tools import ToolSpec

__all__ = [
    "BAD_TEXTS",
    "LONE",
    "NOWHERE",
    "NUL",
    "misfits",
    "oddities",
    "shown",
    "valid_call",
]

_DEEP = 10_000
NUL, LONE = "a\x00b", "a\ud800b"
NOWHERE = "no_such_field"
BAD_TEXTS = {
    "1 MB of text": "word " * 200_000,
    "NUL": NUL,
    "a lone surrogate": LONE,
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


def valid_call(spec: ToolSpec) -> dict[str, Any]:
    """Return arguments that fit a tool's schema."""
    arguments: dict[str, Any] = sample_json(spec.parameters, np.random.default_rng(0))
    return arguments


def misfits(spec: ToolSpec) -> Iterator[tuple[str, dict[str, Any]]]:
    """Write arguments that a tool's schema refuses, and say what is wrong with them."""
    base = valid_call(spec)
    wrong: dict[str, dict[str, Any]] = {"an extra field": {**base, NOWHERE: 1}}
    for key in spec.parameters["required"]:
        wrong[f"no `{key}`"] = {k: v for k, v in base.items() if k != key}
    for key in spec.parameters["properties"]:
        for value in _CANDIDATES:
            wrong[f"{value!r} for `{key}`"] = {**base, key: value}
    for title, arguments in wrong.items():
        if spec.problem(arguments) is not None:
            yield title, arguments


def oddities(spec: ToolSpec) -> Iterator[dict[str, Any]]:
    """Write arguments that fit, and that a tool's author may not have thought of."""
    base = valid_call(spec)
    written: dict[str, dict[str, Any]] = {}
    for number in range(len(_ODD["string"])):
        odd: dict[str, Any] = _odd(spec.parameters, number)
        for arguments in (odd, *({**base, key: value} for key, value in odd.items())):
            if spec.problem(arguments) is None:
                written[json.dumps(arguments)] = arguments
    yield from written.values()


def shown(value: Any) -> str:
    """Return a value's repr with what is long in it cut."""
    try:
        return _CUT.repr(value)
    except ValueError:  # an integer of too many digits
        return f"a {type(value).__name__} that cannot be shown"


_CUT = reprlib.Repr()
_CUT.maxstring = _CUT.maxlong = _CUT.maxother = 40
_CUT.maxlist, _CUT.maxdict = 3, 12

_CANDIDATES: tuple[Any, ...] = (None, True, 3, 1.5, "3", [], ["x"], {}, {"x": 1})
_LONG = 200_000
"""Characters of arguments that are long and yet short enough to be read."""
_SHORT_TEXTS = [text for text in BAD_TEXTS.values() if len(text) < _LONG]
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


def _odd(schema: Mapping[str, Any], number: int) -> Any:
    """Return the odd value of a number that a schema takes."""
    if "enum" in schema:
        return schema["enum"][number % len(schema["enum"])]
    if "anyOf" in schema:
        return _odd(schema["anyOf"][number % len(schema["anyOf"])], number)
    kind = schema.get("type", "string")
    if kind == "object":
        inner = dict(schema.get("properties", {}))
        if isinstance(schema.get("additionalProperties"), Mapping):
            inner[_odd({}, number)] = schema["additionalProperties"]
        return {key: _odd(value, number) for key, value in inner.items()}
    if kind == "array":
        items = schema.get("prefixItems")
        if items is not None:
            return [_odd(item, number) for item in items]
        item = _odd(schema.get("items", {}), number)
        most = max(_LONG // len(json.dumps(item)), 1)
        return [item] * min((0, 1, 2, 500)[number % 4], most)
    values = _ODD[kind]
    return values[number % len(values)]
