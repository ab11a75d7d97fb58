"""When two JSON values are the same, and where they differ. Types count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

__all__ = ["Difference", "Kind", "difference", "differences"]

Kind = Literal["missing", "extra", "other"]
"""Nothing where something should be; something where nothing should; another value."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two values differ.

    Attributes:
        place: The path to it, from `$`: `$.guests.0`.
        kind: What is wrong there.
        value: What came, None if it is missing.
    """

    place: str
    kind: Kind
    value: Any = None

    def __str__(self) -> str:
        if self.kind == "missing":
            return f"`{self.place}` is missing"
        shown = repr(self.value)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
        if self.kind == "extra":
            return f"`{self.place}` should not be there: {shown}"
        return f"`{self.place}` is another value: {shown}"


def difference(value: object, right: object, place: str = "$") -> str | None:
    """Return the first place where a JSON value is not the right one, None if it is.

    Types count: `True` is not 1, and a float is not an int; an int may stand for a
    float of the same size.

    Args:
        value: The value to look at.
        right: The right one.
        place: Where both stand, as a path from `$`.
    """
    first = next(_walk(value, right, place), None)
    return None if first is None else first.place


def differences(value: object, right: object, limit: int = 100) -> list[Difference]:
    """Return the places where a JSON value is not the right one, in its order.

    Args:
        value: The value to look at.
        right: The right one.
        limit: How many are returned at most.
    """
    return list(islice(_walk(value, right, "$"), limit))


def _walk(value: object, right: object, place: str) -> Iterator[Difference]:
    if not (isinstance(right, (dict, list)) and type(value) is type(right)):
        kinds = (int, float) if type(right) is float else (type(right),)
        if not (type(value) in kinds and value == right):
            yield Difference(place, "other", value)
        return
    came, wanted = _children(value), _children(right)
    for key in {**wanted, **came}:
        where = f"{place}.{key}"
        if key not in came:
            yield Difference(where, "missing")
        elif key not in wanted:
            yield Difference(where, "extra", came[key])
        else:
            yield from _walk(came[key], wanted[key], where)


def _children(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else dict(enumerate(value))
