"""Hypothesis strategies: random type hints, each with a strategy of its values."""

from __future__ import annotations

from dataclasses import make_dataclass
from enum import Enum, IntEnum, StrEnum
from typing import Any, Literal, NamedTuple, Optional, TypedDict

from hypothesis import strategies as st

from tests.json_values import any_text
from tests.sample_envs import Colour, Point

__all__ = ["Hinted", "hinted"]


class Number(Enum):
    """Values of several types."""

    ONE = 1
    HALF = 0.5
    WORD = "word"
    YES = False


class Level(IntEnum):
    """Members that are ints."""

    LOW = 1
    HIGH = 2


class Word(StrEnum):
    """Members that are strs."""

    A = "a"
    B = "b"


class Hinted(NamedTuple):
    """A hint and the strategy of its values."""

    hint: Any
    values: st.SearchStrategy[Any]


points = st.builds(
    Point, st.integers(-9, 9), st.integers(-9, 9), st.sampled_from(Colour)
)
literals = ("a", "b", 3, True, None)
HASHABLE = [
    Hinted(str, any_text.filter(str.isprintable)),
    Hinted(int, st.integers(-(10**90), 10**90)),
    Hinted(float, st.floats(allow_nan=False, allow_infinity=False)),
    Hinted(bool, st.booleans()),
    Hinted(None, st.none()),
    Hinted(Literal["a", "b", 3, True, None], st.sampled_from(literals)),
    Hinted(Colour, st.sampled_from(Colour)),
    Hinted(Number, st.sampled_from(Number)),
    Hinted(Level, st.sampled_from(Level)),
    Hinted(Word, st.sampled_from(Word)),
    Hinted(Point, points),
]
OPEN = [
    Hinted(Any, st.none() | st.booleans() | st.lists(st.integers(), max_size=2)),
    Hinted(list, st.lists(st.booleans(), max_size=2)),
    Hinted(dict, st.dictionaries(st.sampled_from("ab"), st.none(), max_size=2)),
]


def _lists(inner: Hinted) -> Hinted:
    return Hinted(list[inner.hint], st.lists(inner.values, max_size=3))  # type: ignore[name-defined]


def _tuples(inner: Hinted) -> Hinted:
    values = st.lists(inner.values, max_size=3).map(tuple)
    return Hinted(tuple[inner.hint, ...], values)  # type: ignore[name-defined]


def _pairs(inner: Hinted) -> Hinted:
    return Hinted(tuple[int, inner.hint], st.tuples(st.integers(-9, 9), inner.values))  # type: ignore[name-defined]


def _dicts(inner: Hinted) -> Hinted:
    values = st.dictionaries(st.sampled_from("abc"), inner.values, max_size=3)
    return Hinted(dict[str, inner.hint], values)  # type: ignore[name-defined]


def _optionals(inner: Hinted) -> Hinted:
    return Hinted(Optional[inner.hint], st.none() | inner.values)  # noqa: UP045


def _dataclasses(inner: Hinted) -> Hinted:
    kind = make_dataclass("Made", [("first", inner.hint), ("second", int, 2)])
    return Hinted(kind, st.builds(kind, inner.values, st.integers(-9, 9)))


def _typeddicts(inner: Hinted) -> Hinted:
    kind = TypedDict("Made", {"first": inner.hint}, total=False)  # type: ignore[misc]  # noqa: UP013
    return Hinted(kind, st.fixed_dictionaries({}, optional={"first": inner.values}))


def _sets(inner: Hinted) -> Hinted:
    return Hinted(set[inner.hint], st.sets(inner.values, max_size=3))  # type: ignore[name-defined]


_WRAPPERS = [_lists, _tuples, _pairs, _dicts, _optionals, _dataclasses, _typeddicts]
_sets_of_scalars = st.sampled_from(HASHABLE[:4] + HASHABLE[6:]).map(_sets)
hinted = st.recursive(
    st.sampled_from(HASHABLE + OPEN) | _sets_of_scalars,
    lambda inner: st.builds(
        lambda wrap, of: wrap(of), st.sampled_from(_WRAPPERS), inner
    ),
    max_leaves=4,
)
"""Hints nested in one another. Unions are of kinds that JSON tells apart."""
