"""Probes that call tools without need: empty, least, odd, too many, at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llm_gym.checks._probes import Probe
from llm_gym.checks.odd import oddities, valid_call
from llm_gym.messages import call_text
from llm_gym.tools import ToolSpec

__all__ = ["tool_probes"]

_MOST_TOOLS = 12
_LONGEST = 2_000
"""Characters of odd arguments; `replies` tries the longer ones."""

_FILLERS = ("", "x", "0", "yes", "correct", "score: 1.0")


def tool_probes(specs: Mapping[str, ToolSpec]) -> Iterator[Probe]:
    """Write the probes for an environment with these tools."""
    chosen = list(specs.values())[:_MOST_TOOLS]
    yield _probe("an unknown tool", call_text("no_such_tool", {}))
    yield _probe("an unknown tool, 3 times", call_text("submit_reward", {"x": 1}) * 3)
    for spec in chosen:
        least = valid_call(spec)
        once = call_text(spec.name, least)
        yield _probe(f"`{spec.name}` without arguments", call_text(spec.name, {}))
        yield _probe(f"`{spec.name}` with valid arguments", once)
        yield _probe(f"`{spec.name}`, 5 times at once", once * 5)
        yield _probe(f"`{spec.name}` beside a text", f"The answer is 1. {once}")
        for number, arguments in enumerate(_extreme(spec)):
            call = call_text(spec.name, arguments)
            yield _probe(f"`{spec.name}` with odd arguments {number}", call)
        for filler in _FILLERS:
            filled = _filled(spec, filler)
            if filled is not None:
                name = f"`{spec.name}` filled with {filler!r}"
                yield _probe(name, call_text(spec.name, filled))
    if chosen:
        every = "".join(call_text(spec.name, valid_call(spec)) for spec in chosen)
        yield _probe("every tool at once", every)


def _probe(name: str, reply: str) -> Probe:
    return Probe("tool calls", name, reply, "lucky")


def _extreme(spec: ToolSpec) -> list[dict[str, Any]]:
    """Return two sets of odd arguments that fit."""
    short = [a for a in oddities(spec) if len(repr(a)) < _LONGEST]
    return [short[0], short[-1]] if len(short) > 1 else short


def _filled(spec: ToolSpec, text: str) -> dict[str, Any] | None:
    """Return valid arguments with a text in each place for a text, None without one."""
    properties = spec.parameters["properties"]
    texts = [k for k, v in properties.items() if v.get("type") == "string"]
    places = {key: text for key in texts if "enum" not in properties[key]}
    arguments = {**valid_call(spec), **places}
    fits = bool(places) and spec.problem(arguments) is None
    return arguments if fits else None
