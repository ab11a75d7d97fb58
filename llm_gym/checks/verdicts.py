"""How a check ends: it returns a note, or raises that it failed or was not made."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Failed", "Note", "Skipped", "demand", "difference", "shorten"]


@dataclass(frozen=True, slots=True)
class Note:
    """What a check looked at, with figures.

    Attributes:
        message: In words.
        data: The figures, plain JSON data.
    """

    message: str
    data: dict[str, Any] = field(default_factory=dict)


class Failed(Exception):  # a verdict, caught by the runner
    """A check found a counter-example; its message is the finding.

    Args:
        message: The finding.
        data: The figures that it stands on, plain JSON data.
    """

    def __init__(self, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.data = data or {}


class Skipped(Exception):  # a verdict, caught by the runner
    """A check, or a part of it, could not be made; its message says why."""


def demand(condition: object, problem: str) -> None:
    """Raise `Failed` unless a condition holds."""
    if not condition:
        raise Failed(problem)


def shorten(value: object, limit: int = 120) -> str:
    """Return a value's repr, cut in the middle."""
    text = repr(value)
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} ... {text[-half:]}"


def difference(expected: object, came: object, path: str = "") -> str | None:
    """Return where two JSON values differ and how, None if they are the same.

    Args:
        expected: A JSON value.
        came: The other one.
        path: How the place is called.
    """
    if isinstance(expected, dict) and isinstance(came, dict):
        return _in_objects(expected, came, path)
    if isinstance(expected, list) and isinstance(came, list):
        for index, (one, other) in enumerate(zip(expected, came, strict=False)):
            if found := difference(one, other, f"{path}[{index}]"):
                return found
        if len(expected) != len(came):
            return f"`{path}`: expected {len(expected)} items, came {len(came)}"
        return None
    if json.dumps(expected) == json.dumps(came):  # 1, 1.0 and True are not the same
        return None
    if isinstance(expected, str) and isinstance(came, str):
        expected, came = _around(expected, came)
    return f"`{path}`: expected {shorten(expected)}, came {shorten(came)}"


def _in_objects(
    expected: dict[str, Any], came: dict[str, Any], path: str
) -> str | None:
    if expected.keys() != came.keys():
        return f"`{path}`: expected the keys {sorted(expected)}, came {sorted(came)}"
    for key, value in expected.items():
        if found := difference(value, came[key], f"{path}.{key}".lstrip(".")):
            return found
    return None


def _around(expected: str, came: str) -> tuple[str, str]:
    """Cut two texts to what stands around their first difference."""
    pairs = enumerate(zip(expected, came, strict=False))
    first = next((i for i, (a, b) in pairs if a != b), min(len(expected), len(came)))
    start = max(first - 30, 0)
    return expected[start : start + 100], came[start : start + 100]
