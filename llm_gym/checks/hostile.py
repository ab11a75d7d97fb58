"""Replies of every kind that a model may write and an environment must survive."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llm_gym.checks.odd import BAD_TEXTS, LONE, NOWHERE, NUL, misfits, oddities, shown
from llm_gym.dispatch import MAX_CALLS
from llm_gym.messages import Reply, call_text
from llm_gym.tools import ToolSpec

__all__ = ["Hostile", "hostile_replies"]


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
        for title, arguments in misfits(spec):
            call = _calling(_entry(spec.name, json.dumps(arguments)))
            yield Hostile(f"`{spec.name}` with {title}", call, (True,))
        for arguments in oddities(spec):
            call = _calling(_entry(spec.name, json.dumps(arguments)))
            yield Hostile(f"`{spec.name}` with {shown(arguments)}", call, (False,))


def _texts() -> Iterator[Hostile]:
    for title, text in BAD_TEXTS.items():
        refused = (True,) * text.count("<tool_call>")
        yield Hostile(f"the text {title!r}", text, refused)
    yield Hostile("content None", _message(None))
    yield Hostile("content None and no calls", {**_message(None), "tool_calls": None})
    yield Hostile("an empty list of calls", {**_message(""), "tool_calls": []})
    parts = [{"type": "text", "text": LONE}, {"type": "text", "text": NUL}]
    yield Hostile("content in parts", _message(parts))
    yield Hostile("a text cut off", Reply(NUL, finish_reason="length"), cut=True)


def _names(specs: Mapping[str, ToolSpec]) -> Iterator[Hostile]:
    methods = ("reset", "step", "verify", "close", "oracle", "begin", "state", "task")
    inner = ("__class__", "__init__", "_episode", "_private", "np_random")
    odd = ("no_such_tool", "", " ", NUL, LONE, "x" * 10_000, "инструмент🙂", "a.b")
    for name in (*methods, *inner, *odd):
        if name not in specs:
            title = f"a call of {name[:40]!r}"
            yield Hostile(title, _calling(_entry(name, "{}")), (True,))
    for wrong in (None, 3, ["x"], {"x": 1}):
        yield Hostile(f"a tool named {wrong!r}", _calling(_entry(wrong, "{}")), (True,))


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


_WRITTEN: tuple[str, ...] = (
    "not json",
    "[1, 2]",
    '"text"',
    "3",
    "null",
    "true",
    "NaN",
    '{"a": 1',
    "{'a'}",
    '{"a": NaN}',
    '{"a": -Infinity}',
    '{"a": 1e999}',
    f'{{"a": {"9" * 5000}}}',
    '{"a": 1, "a": 2}',
    '{"\ud800": "\ud800"}',
    '{"\\u0000": 1}',
    NUL,
    LONE,
    BAD_TEXTS["10,000 nested lists"],
    BAD_TEXTS["10,000 nested objects"],
    json.dumps({NOWHERE: "x" * 1_000_000}),
)
_PARSED: tuple[Any, ...] = (
    {NOWHERE: float("nan")},
    {NOWHERE: 10**5000},
    {NOWHERE: {1, 2}},
    {NOWHERE: LONE, LONE: 1},
    _nested(100),
    _nested(10_000),
    [1, 2],
    3,
    1.5,
    True,
    b"x",
)


def _arguments(name: str) -> Iterator[Hostile]:
    """Write arguments that no tool takes, as JSON and as a server may have read it."""
    for given in (*_WRITTEN, *_PARSED):
        title = f"the arguments {shown(given)} for `{name}`"
        yield Hostile(title, _calling(_entry(name, given)), (True,))
    for text in _WRITTEN:
        body = f'<tool_call>{{"name": "{name}", "arguments": {text}}}</tool_call>'
        title = f"the arguments {shown(text)} for `{name}` in a text"
        refused = text != "null"  # without quotes around it, that is none
        yield Hostile(title, body, (refused,))


def _entries(name: str) -> Iterator[Hostile]:
    """Write calls of the wrong form."""
    wrong: tuple[Any, ...] = ("text", None, 3, [], {}, {"id": "a", "function": None})
    nameless = {"id": "a", "type": "function", "function": {"arguments": "{}"}}
    for entry in (*wrong, nameless, {"function": {}}, {"name": name}):
        title = f"{shown(entry)} for a call"
        yield Hostile(title, _calling(entry), (True,))
    yield Hostile(
        "one call that is no list",
        {**_message(""), "tool_calls": _entry("no_such_tool", "{}")},
        (True,),
    )


def _ids(name: str) -> Iterator[Hostile]:
    refused = _entry(name, {NOWHERE: 1})
    for given in (None, "", 3, NUL, LONE, "x" * 10_000, ["x"]):
        entry = {**refused, "id": given}
        yield Hostile(f"the call id {shown(given)}", _calling(entry), (True,))
    missing = {key: value for key, value in refused.items() if key != "id"}
    both = (True, True)
    yield Hostile("two calls without an id", _calling(missing, missing), both)
    yield Hostile("two calls with one id", _calling(refused, refused), both)
    plain = _entry(name, "{}")
    yield Hostile("one call twice", _calling(plain, plain), (False, True))
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


def _message(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def _calling(*entries: Any) -> dict[str, Any]:
    return {**_message(""), "tool_calls": list(entries)}


def _entry(name: Any, arguments: Any, call_id: str = "call_x") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}
