"""Mutants of an episode: what the oracle did, with one thing wrong."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_gym.checks.leaks import other_answer
from llm_gym.checks.odd import valid_call
from llm_gym.messages import dumps
from llm_gym.tools import ToolSpec
from llm_gym.trajectory import Trajectory

__all__ = [
    "Call",
    "Move",
    "Mutant",
    "Pool",
    "Script",
    "last_as_junk",
    "moves_of",
    "mutants",
]


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call: the tool's name and the arguments."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Move:
    """One reply: its text and its calls."""

    text: str
    calls: tuple[Call, ...]

    def message(self) -> dict[str, Any]:
        """Return the reply as a message."""
        if not self.calls:
            return {"role": "assistant", "content": self.text}
        calls = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": call.name, "arguments": dumps(call.arguments)},
            }
            for number, call in enumerate(self.calls)
        ]
        return {"role": "assistant", "content": self.text, "tool_calls": calls}


Script = tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed script.

    Attributes:
        kind: What was done: "drop", "duplicate", "reorder", "wrong argument",
            "foreign gold", "late write", "no work", "no answer".
        name: What a finding calls it.
        script: The replies.
    """

    kind: str
    name: str
    script: Script


def moves_of(trajectory: Trajectory) -> Script:
    """Return the replies of an episode."""
    return tuple(
        Move(
            turn.reply["content"],
            tuple(
                Call(record.name, record.arguments)
                for record in turn.calls
                if record.arguments is not None
            ),
        )
        for turn in trajectory.turns
    )


def last_as_junk(script: Script, junk: str) -> Script:
    """Return a script whose last reply says nothing."""
    *before, last = script
    if not last.calls:
        return (*before, Move(junk, ()))
    *others, call = last.calls
    arguments = {
        key: junk if isinstance(value, str) else value
        for key, value in call.arguments.items()
    }
    return (*before, replace(last, calls=(*others, Call(call.name, arguments))))


class Pool:
    """Values that arguments may plausibly have.

    Args:
        data: The task's data.
        scripts: Scripts of the oracle, of other tasks too.
    """

    def __init__(self, data: object, scripts: Iterable[Script]) -> None:
        self._by_shape: dict[str, dict[str, None]] = {}
        self._by_name: dict[str, dict[str, None]] = {}
        for text in _texts(data):
            self._by_shape.setdefault(_shape(text), {})[text] = None
        known = {text for texts in self._by_shape.values() for text in texts}
        for script in scripts:
            for call in _calls(script):
                for key, value in call.arguments.items():
                    if isinstance(value, str) and value in known:
                        self._by_name.setdefault(key, {})[value] = None

    def other(self, key: str, value: str) -> str:
        """Return another text than one that an argument has, alike if there is one."""
        alike = [*self._by_shape.get(_shape(value), ()), *self._by_name.get(key, ())]
        different = [text for text in alike if text != value]
        shifted: str = other_answer(value)
        return different[0] if different else shifted

    def some(self, key: str) -> list[str]:
        """Return texts that an argument of a name may have."""
        named = [*self._by_name.get(key, ())][:1]
        alike = self._by_shape.get(_shape(named[0]), {}) if named else {}
        return [*dict.fromkeys([*alike, *named])][:3]


def mutants(
    script: Script,
    foreign: Sequence[Script],
    specs: Mapping[str, ToolSpec],
    pool: Pool,
) -> Iterator[Mutant]:
    """Write the mutants of a script.

    Args:
        script: What the oracle did.
        foreign: What it did on other tasks.
        specs: The environment's tools.
        pool: Values that arguments may have.
    """
    places = [(i, j) for i, move in enumerate(script) for j in range(len(move.calls))]
    for place in places:
        title = _title(script, place)
        yield Mutant("drop", f"without {title}", _without(script, place))
        yield Mutant("duplicate", f"{title} twice", _doubled(script, place))
        for path, changed in _changed(_at(script, place), specs, pool):
            name = f"{title} with {path}"
            wrong = _with_call(script, place, changed)
            yield Mutant("wrong argument", name, wrong)
    yield from _reordered(script, places)
    yield from _dropped_texts(script)
    yield from _foreign(script, foreign)
    yield from _late_writes(script, specs, pool)
    if len(script) > 1:
        yield Mutant("no work", "the last reply alone", script[-1:])
        yield Mutant("no answer", "without the last reply", script[:-1])


def _at(script: Script, place: tuple[int, int]) -> Call:
    return script[place[0]].calls[place[1]]


def _title(script: Script, place: tuple[int, int]) -> str:
    return f"call {place[0]}.{place[1]} (`{_at(script, place).name}`)"


def _without(script: Script, place: tuple[int, int]) -> Script:
    turn, index = place
    move = script[turn]
    calls = move.calls[:index] + move.calls[index + 1 :]
    kept = (replace(move, calls=calls),) if calls else ()
    return (*script[:turn], *kept, *script[turn + 1 :])


def _doubled(script: Script, place: tuple[int, int]) -> Script:
    turn, index = place
    move = script[turn]
    if turn < len(script) - 1:
        again = Move("", (move.calls[index],))
        return (*script[: turn + 1], again, *script[turn + 1 :])
    calls = (*move.calls[: index + 1], *move.calls[index:])
    return (*script[:turn], replace(move, calls=calls))


def _with_call(script: Script, place: tuple[int, int], call: Call) -> Script:
    turn, index = place
    calls = list(script[turn].calls)
    calls[index] = call
    move = replace(script[turn], calls=tuple(calls))
    return (*script[:turn], move, *script[turn + 1 :])


def _reordered(script: Script, places: Sequence[tuple[int, int]]) -> Iterator[Mutant]:
    for one, other in itertools.pairwise(places):
        swapped = _with_call(script, one, _at(script, other))
        swapped = _with_call(swapped, other, _at(script, one))
        name = f"{_title(script, one)} after {_title(script, other)}"
        yield Mutant("reorder", name, swapped)


def _dropped_texts(script: Script) -> Iterator[Mutant]:
    for turn, move in enumerate(script[:-1]):
        if not move.calls:
            less = (*script[:turn], *script[turn + 1 :])
            yield Mutant("drop", f"without the text of reply {turn}", less)


def _foreign(script: Script, foreign: Sequence[Script]) -> Iterator[Mutant]:
    for number, other in enumerate(foreign):
        title = f"of another task ({number})"
        if len(script) > 1:
            last = (*script[:-1], other[-1])
            yield Mutant("foreign gold", f"the last reply {title}", last)
        yield Mutant("foreign gold", f"all replies {title}", other)


def _late_writes(
    script: Script, specs: Mapping[str, ToolSpec], pool: Pool
) -> Iterator[Mutant]:
    """Put one more call before the last reply: one like those made, or of any tool."""
    *before, last = script
    made = [c for c in _calls(tuple(before)) if not _ends(specs, c)]
    late: dict[str, Call] = {}
    for call in made:
        for path, changed in _changed(call, specs, pool):
            late[f"`{call.name}` with {path}"] = changed
    for name, spec in specs.items():
        if not spec.ends_episode:
            for number, arguments in enumerate(_plausible(spec, pool)):
                late[f"`{name}` ({number})"] = Call(name, arguments)
    for title, call in late.items():
        script = (*before, Move("", (call,)), last)
        yield Mutant("late write", f"{title} at the end", script)


def _ends(specs: Mapping[str, ToolSpec], call: Call) -> bool:
    return call.name not in specs or specs[call.name].ends_episode


def _plausible(spec: ToolSpec, pool: Pool) -> Iterator[dict[str, Any]]:
    """Return valid arguments with texts that the task knows, up to three of them."""
    base = valid_call(spec)
    properties = spec.parameters["properties"]
    texts = {
        k: pool.some(k) for k, v in properties.items() if v.get("type") == "string"
    }
    count = max((len(values) for values in texts.values()), default=0)
    for number in range(max(count, 1)):
        known = {
            k: values[number % len(values)] for k, values in texts.items() if values
        }
        arguments = {**base, **known}
        if spec.problem(arguments) is None:
            yield arguments


def _changed(
    call: Call, specs: Mapping[str, ToolSpec], pool: Pool
) -> Iterator[tuple[str, Call]]:
    """Change each leaf of a call's arguments to another plausible value."""
    spec = specs.get(call.name)
    for path, value in _leaves(call.arguments):
        schema = _schema_at(spec.parameters if spec else {}, path)
        new = _other(path, value, schema, pool)
        arguments = copy.deepcopy(call.arguments)
        inner: Any = arguments
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = new
        if new != value and (spec is None or spec.problem(arguments) is None):
            where = ".".join(map(str, path))
            shown = json.dumps(new, ensure_ascii=False)[:60]
            yield f"`{where}` = {shown}", Call(call.name, arguments)


_Path = tuple[str | int, ...]


def _leaves(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


def _schema_at(schema: Mapping[str, Any], path: _Path) -> Mapping[str, Any]:
    """Return the schema of a place in a value, {} where it cannot be told."""
    for key in path:
        branches = [schema, *schema.get("anyOf", ())]
        schema = next((inner for b in branches if (inner := _inner(b, key))), {})
    return schema


def _inner(schema: Mapping[str, Any], key: str | int) -> Mapping[str, Any]:
    name = "properties" if isinstance(key, str) else "items"
    inner = schema.get(name, {})
    found = inner.get(key, {}) if isinstance(key, str) else inner
    return found if isinstance(found, Mapping) else {}


def _other(path: _Path, value: Any, schema: Mapping[str, Any], pool: Pool) -> Any:
    branches = [schema, *schema.get("anyOf", ())]
    choices = [choice for b in branches for choice in b.get("enum", ())]
    different = [choice for choice in choices if choice not in (value, None)]
    if different:
        return different[0]
    if isinstance(value, str):
        key = next((k for k in reversed(path) if isinstance(k, str)), "")
        return pool.other(key, value)
    return other_answer(value)


def _calls(script: Script) -> Iterator[Call]:
    return (call for move in script for call in move.calls)


def _texts(value: object) -> Iterator[str]:
    """Return the short texts in data, the keys of objects among them."""
    if isinstance(value, str):
        if 0 < len(value) <= 100:
            yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _shape(text: str) -> str:
    """Return what texts of one kind share: letters and digits by their kind."""
    text = re.sub(r"[^\W\d_]+", "a", text)
    return re.sub(r"\d+", "0", text)
