"""Type hints to JSON and back: schemas, built values, refusals."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from enum import Enum
from itertools import count
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    Union,
)

import jsonschema
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_gym.errors import DefinitionError
from llm_gym.jsontext import normalise
from llm_gym.shapes import dump, object_shape, shape_of
from llm_gym.spaces import sample_json
from llm_gym.validation import SchemaValidator
from tests.hints import Hinted, Level, Number, hinted
from tests.sample_envs import Colour, Point, Size


@dataclass
class Tree:
    """Holds itself, which has no finite schema."""

    children: list[Tree]


@dataclass
class Counted:
    """Fields that are not all arguments."""

    start: int
    values: list[int] = field(default_factory=list)
    total: int = field(default=0, init=False)
    kind: ClassVar[str] = "counted"


@dataclass
class Seeded:
    """Has an argument that is no field."""

    seed: InitVar[int]


@dataclass
class Unresolved:
    """Has a hint that names nothing."""

    value: Missing  # noqa: F821


class Partial(TypedDict, total=False):
    """Keys that may be left out but one."""

    name: Required[str]
    age: int


class More(Partial):
    """Keys of two classes."""

    extra: NotRequired[Annotated[list[int], "told"]]
    needed: bool


class Empty(Enum):
    """No member."""


class Pair(Enum):
    """A value that JSON cannot name."""

    A = (1, 2)


CLOSED = {"type": "object", "additionalProperties": False}


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (type(None), {"type": "null"}),
        (Any, {}),
        (list, {"type": "array"}),
        (dict, {"type": "object"}),
        (Literal["a", 1, True, None], {"enum": ["a", 1, True, None]}),
        (Colour, {"enum": ["red", "blue"]}),
        (Annotated[int, "told"], {"type": "integer"}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),  # noqa: UP007
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (typing.List[str], {"type": "array", "items": {"type": "string"}}),  # noqa: UP006
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            tuple[int, str],
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (
            frozenset[int],
            {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
        ),
        (
            dict[str, int],
            {"type": "object", "additionalProperties": {"type": "integer"}},
        ),
        (Mapping[str, Any], {"type": "object", "additionalProperties": {}}),
        (
            Size,
            {
                **CLOSED,
                "properties": {
                    "width": {"type": "integer"},
                    "height": {"type": "integer"},
                },
                "required": ["width"],
            },
        ),
        (
            Point,
            {
                **CLOSED,
                "properties": {
                    "x": {"type": "integer"},
                    "y": {"type": "integer", "default": 0},
                    "colour": {"enum": ["red", "blue"], "default": "red"},
                },
                "required": ["x"],
            },
        ),
        (
            Counted,
            {
                **CLOSED,
                "properties": {
                    "start": {"type": "integer"},
                    "values": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["start"],
            },
        ),
    ],
    ids=count(),
)
def test_a_hint_has_its_schema(hint, schema):
    made = shape_of(hint, "x").schema
    assert made == schema
    jsonschema.Draft202012Validator.check_schema(made)


def test_a_typed_dict_knows_which_keys_are_required():
    assert sorted(shape_of(Partial, "x").schema["required"]) == ["name"]
    assert sorted(shape_of(More, "x").schema["required"]) == ["name", "needed"]


def built(hint, value):
    """Validate a JSON value and build it, as a tool's argument is."""
    shape = shape_of(hint, "x")
    assert SchemaValidator(shape.schema).error(value) is None
    return value if shape.build is None else shape.build(value)


@pytest.mark.parametrize(
    ("hint", "value", "result"),
    [
        (Colour, "red", Colour.RED),
        (Level, 1, Level.LOW),
        (Level, 1.0, Level.LOW),
        (Number, 0.5, Number.HALF),
        (Number, False, Number.YES),
        (int, 3.0, 3),
        (float, 3, 3.0),
        (Literal[3, "a"], 3.0, 3),
        (Literal["a", 3], "a", "a"),
        (Literal["a", 3, None], None, None),
        (Literal[1, True], True, True),
        (Literal[1, True], 1, 1),
        (float | int, 3, 3),
        (int | float, 3.5, 3.5),
        (bool | int, True, True),
        (Colour | None, None, None),
        (Colour | None, "red", Colour.RED),
        (Colour | int, 5, 5),
        (list[Colour], ["red", "red"], [Colour.RED, Colour.RED]),
        (set[Colour], ["red"], {Colour.RED}),
        (frozenset[int], [1, 2], frozenset({1, 2})),
        (tuple[int, Colour], [1, "blue"], (1, Colour.BLUE)),
        (tuple[Colour, ...], ["blue"], (Colour.BLUE,)),
        (tuple[str, ...], ["a"], ("a",)),
        (dict[str, Colour], {"a": "red"}, {"a": Colour.RED}),
        (Size, {"width": 1}, {"width": 1}),
        (Size, {"width": 1.0}, {"width": 1}),
        (Point, {"x": 1}, Point(1)),
        (Point, {"x": 1, "colour": "blue"}, Point(1, 0, Colour.BLUE)),
        (list[Point | str], ["a", {"x": 1}], ["a", Point(1)]),
        (Counted, {"start": 1}, Counted(1)),
    ],
    ids=count(),
)
def test_a_value_arrives_as_its_type(hint, value, result):
    made = built(hint, value)
    assert made == result
    assert type(made) is type(result)


@pytest.mark.parametrize(
    "hint",
    [
        object,
        bytes,
        complex,
        np.int64,
        np.ndarray,
        type,
        tuple,
        set,
        frozenset,
        list[bytes],
        dict[int, str],
        dict[Colour, str],
        set[bytes],
        tuple[int, object],
        int | bytes,
        Literal[b"a"],
        Literal[Colour.RED],
        Literal[Level.LOW],
        Pair,
        typing.Callable[[], int],
        typing.TypeVar("T"),
        typing.NewType("UserId", int),
        typing.List,  # noqa: UP006
        typing.Dict,  # noqa: UP006
        typing.Tuple,  # noqa: UP006
        typing.Set,  # noqa: UP006
        typing.Sequence,
        typing.Mapping,
        typing.Optional,
        tuple[()],
        set[list[int]],
        set[dict[str, int]],
        set[Any],
        frozenset[Size],
        set[tuple[int, list[int]]],
        set[int | list[int]],
        set[Counted],
        Tree,
        list[Tree],
        Seeded,
        Unresolved,
        5,
        "int",
        ...,
    ],
    ids=count(),
)
def test_a_hint_without_a_json_form_is_refused_with_its_place(hint):
    with pytest.raises(DefinitionError, match="the place"):
        shape_of(hint, "the place")


def test_a_refusal_inside_a_dataclass_names_the_field():
    bad = dataclasses.make_dataclass("Bad", [("inner", list[bytes])])
    with pytest.raises(
        DefinitionError, match=r"tool `t`, `inner`: the hint <class 'bytes'>"
    ):
        shape_of(bad, "tool `t`")


def test_an_enum_without_members_accepts_nothing():
    assert SchemaValidator(shape_of(Empty, "x").schema).error("a")


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, True),
        (int, 1.5),
        (int, "1"),
        (float, True),
        (str, 1),
        (bool, 1),
        (Literal[1], True),
        (Literal[True], 1),
        (Colour, "Red"),
        (Level, True),
        (set[int], [1, 1]),
        (tuple[int, int], [1]),
        (tuple[int, int], [1, 2, 3]),
        (Size, {}),
        (Size, {"width": 1, "depth": 2}),
        (Point, {"y": 1}),
        (dict[str, int], {"a": "b"}),
        (Counted, {"start": 1, "total": 2}),
    ],
    ids=count(),
)
def test_a_value_of_another_type_is_refused(hint, value):
    assert SchemaValidator(shape_of(hint, "x").schema).error(value)


@pytest.mark.parametrize(
    ("default", "told"),
    [
        (5, {"default": 5}),
        (None, {"default": None}),
        (Colour.RED, {"default": "red"}),
        (Point(1), {"default": {"x": 1, "y": 0, "colour": "red"}}),
        ((1, 2), {"default": [1, 2]}),
        ({2, 1}, {"default": [1, 2]}),
        (dataclasses.MISSING, {}),
        (object(), {}),
        (float("inf"), {}),
        ([object()], {}),
    ],
    ids=count(),
)
def test_a_default_is_told_if_json_can_carry_it(default, told):
    shape = object_shape({"a": Any}, {"a": default}, "x", {"a": "What."})
    assert shape.schema["properties"]["a"] == {"description": "What.", **told}
    assert shape.schema["required"] == []
    assert SchemaValidator(shape.schema).error({}) is None


def test_any_is_any_also_where_its_schema_is_asked_for_twice():
    first = shape_of(Any, "x").schema
    first["description"] = "changed"
    assert shape_of(Any, "x").schema == {}


def test_an_object_builds_only_what_came():
    shape = object_shape({"a": Colour, "b": int, "c": str}, {"b": 1}, "x")
    assert shape.build({"a": "red", "c": "z"}) == {"a": Colour.RED, "c": "z"}
    assert object_shape({"a": str}, {}, "x").build is None


def test_one_schema_is_not_shared_with_another():
    first = shape_of(int, "x").schema
    first["description"] = "changed"
    assert shape_of(int, "x").schema == {"type": "integer"}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Point(1, 2, Colour.BLUE), {"x": 1, "y": 2, "colour": "blue"}),
        ({"a": (Colour.RED, {3, 1})}, {"a": ["red", [1, 3]]}),
        (Counted(1, [2]), {"start": 1, "values": [2]}),
        (Level.HIGH, 2),
        (None, None),
    ],
)
def test_dump_is_the_way_back(value, plain):
    assert dump(value) == plain


@given(hinted, st.data())
@example(Hinted(Counted, st.just(Counted(1, [2]))), None)
def test_every_value_of_every_hint_makes_the_round_trip(hinted, data):
    value = data.draw(hinted.values) if data else Counted(1, [2])
    plain = normalise(dump(value))
    assert built(hinted.hint, plain) == value


@given(hinted, st.integers(0, 2**32))
def test_sampled_json_satisfies_every_schema(hinted, seed):
    schema = shape_of(hinted.hint, "x").schema
    instance = sample_json(schema, np.random.default_rng(seed))
    assert SchemaValidator(schema).error(normalise(instance)) is None


@given(hinted)
def test_every_schema_is_valid_and_plain_json(hinted):
    schema = shape_of(hinted.hint, "x").schema
    assert normalise(schema) == schema
    jsonschema.Draft202012Validator.check_schema(schema)
