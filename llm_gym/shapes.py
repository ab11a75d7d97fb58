"""From Python type hints to JSON: a schema, and the way from JSON to the Python value.

Tools describe their parameters with it and the records on disk their form, so both are
validated by one mechanism. It knows types only, and nothing of tools or files.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from llm_gym import jsontext
from llm_gym.errors import DefinitionError
from llm_gym.validation import SchemaValidator

__all__ = ["Shape", "dump", "object_shape", "shape_of"]


@dataclass(frozen=True, slots=True)
class Shape:
    """The JSON form of a Python type.

    Attributes:
        schema: A Draft 2020-12 schema.
        build: Turns a JSON value that satisfies the schema into the Python value; None
            where the JSON value is the Python value.
    """

    schema: dict[str, Any]
    build: Callable[[Any], Any] | None = None


def shape_of(hint: Any, where: str) -> Shape:
    """Return the JSON form of a type hint.

    Args:
        hint: A resolved hint: str, int, float, bool, None, Any, Literal, Enum, unions,
            list, tuple, set, frozenset, dict with str keys, TypedDict, dataclass, and
            whatever nests these.
        where: What is being described, for the error message.

    Raises:
        DefinitionError: The hint has no JSON form.
    """
    return _shape(hint, where, ())


def object_shape(
    hints: Mapping[str, Any],
    optional: Mapping[str, Any],
    where: str,
    descriptions: Mapping[str, str] | None = None,
) -> Shape:
    """Return the JSON form of a set of named values: an object, closed to other keys.

    Args:
        hints: The type of each value.
        optional: The values that may be left out, with their default; a default that is
            `dataclasses.MISSING` is not told.
        where: What is being described, for the error message.
        descriptions: What to tell of each value.

    Returns:
        A shape that builds a dict of the values that came.
    """
    return _object(hints, optional, where, (), descriptions or {})


def dump(value: Any) -> Any:
    """Turn a value that `shape_of` describes back into plain JSON data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return {name: dump(getattr(value, name)) for name in names}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: dump(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return [dump(item) for item in sorted(value, key=repr)]
    if isinstance(value, (list, tuple)):
        return [dump(item) for item in value]
    return value


_SCALARS: dict[Any, Shape] = {
    Any: Shape({}),
    str: Shape({"type": "string"}),
    bool: Shape({"type": "boolean"}),
    int: Shape({"type": "integer"}, int),  # JSON's 1.0 is an integer too
    float: Shape({"type": "number"}, float),
    None: Shape({"type": "null"}),
    type(None): Shape({"type": "null"}),
    list: Shape({"type": "array"}),
    dict: Shape({"type": "object"}),
}


def _shape(hint: Any, where: str, outer: tuple[Any, ...]) -> Shape:
    if hint in outer:
        raise DefinitionError(f"{where}: {hint!r} holds itself, which is not supported")
    scalar = _SCALARS.get(hint) if isinstance(hint, types.NoneType | type) else None
    if scalar is not None:
        return Shape(dict(scalar.schema), scalar.build)
    origin = get_origin(hint)
    if origin is not None:
        return _generic_shape(hint, origin, where, outer)
    if isinstance(hint, type):
        return _class_shape(hint, where, outer)
    raise _unsupported(hint, where)


def _generic_shape(hint: Any, origin: Any, where: str, outer: tuple[Any, ...]) -> Shape:
    arguments = get_args(hint)
    if not arguments:  # a bare `typing.List`, or `tuple[()]`
        raise _unsupported(hint, where)
    if origin in (Union, types.UnionType):
        return _union(arguments, where, outer)
    if origin is Literal:
        return _literal(arguments, where)
    if origin in (Annotated, Required, NotRequired):
        return _shape(arguments[0], where, outer)
    if origin in (list, set, frozenset, Sequence):
        return _array(origin, arguments[0], where, outer)
    if origin is tuple:
        return _tuple(arguments, where, outer)
    if origin in (dict, Mapping):
        return _dict(arguments, where, outer)
    raise _unsupported(hint, where)


def _class_shape(hint: type, where: str, outer: tuple[Any, ...]) -> Shape:
    if issubclass(hint, enum.Enum):
        values = [member.value for member in hint]
        if not all(isinstance(value, (str, int, float)) for value in values):
            raise DefinitionError(
                f"{where}: the values of {hint!r} must be str, int, float or bool"
            )
        return Shape({"enum": values}, _enum_builder(hint))
    if is_typeddict(hint):
        hints = _fields(hint, where)
        required: frozenset[str] = getattr(hint, "__required_keys__", frozenset())
        # Annotations that are strings hide these two marks from `__required_keys__`.
        marks = {n: get_origin(h) for n, h in hints.items()}
        left_out = {
            n: dataclasses.MISSING
            for n in hints
            if marks[n] is NotRequired
            or (marks[n] is not Required and n not in required)
        }
        return _object(hints, left_out, where, (*outer, hint), {})
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, where, outer)
    raise _unsupported(hint, where)


def _fields(hint: Any, where: str) -> dict[str, Any]:
    try:
        return get_type_hints(hint, include_extras=is_typeddict(hint))
    except (NameError, TypeError, SyntaxError) as err:
        raise DefinitionError(f"{where}: a hint of {hint!r} is unknown: {err}") from err


def _unsupported(hint: Any, where: str) -> DefinitionError:
    return DefinitionError(
        f"{where}: the hint {hint!r} has no JSON form; use str, int, float, bool, "
        "None, Literal, Enum, unions, list, tuple, set, dict[str, ...], TypedDict or "
        "a dataclass"
    )


def _enum_builder(kind: type[enum.Enum]) -> Callable[[Any], enum.Enum]:
    members = {(type(member.value), member.value): member for member in kind}

    def build(value: Any) -> enum.Enum:
        member = members.get((type(value), value))
        return kind(value) if member is None else member  # 1.0 for 1

    return build


def _literal(values: tuple[Any, ...], where: str) -> Shape:
    if not all(type(value) in (str, int, bool, types.NoneType) for value in values):
        raise DefinitionError(f"{where}: a Literal must hold str, int, bool or None")

    def build(value: Any) -> Any:
        return int(value) if isinstance(value, float) else value  # 3.0 for 3

    numbers = any(type(value) is int for value in values)
    return Shape({"enum": list(values)}, build if numbers else None)


def _union(hints: tuple[Any, ...], where: str, outer: tuple[Any, ...]) -> Shape:
    shapes = [_shape(hint, where, outer) for hint in hints]
    schema = {"anyOf": [shape.schema for shape in shapes]}
    if all(shape.build is None for shape in shapes):
        return Shape(schema)
    tests = [(SchemaValidator(s.schema), s.build) for s in _int_first(shapes)]

    def build(value: Any) -> Any:
        for validator, inner in tests:
            if validator.is_valid(value):
                return value if inner is None else inner(value)
        return value

    return Shape(schema, build)


def _int_first(shapes: list[Shape]) -> list[Shape]:
    """Try integer before number, so that `float | int` keeps 3 an int."""
    return sorted(shapes, key=lambda shape: shape.schema == {"type": "number"})


def _array(origin: Any, item: Any, where: str, outer: tuple[Any, ...]) -> Shape:
    inner = _shape(item, where, outer)
    schema: dict[str, Any] = {"type": "array", "items": inner.schema}
    build = inner.build
    if origin in (set, frozenset):
        if not _hashable(item):
            raise DefinitionError(f"{where}: a set cannot hold {item!r}; use list")
        schema["uniqueItems"] = True
        return Shape(schema, lambda value: origin(_each(build, value)))
    return Shape(schema, None if build is None else lambda value: _each(build, value))


def _hashable(hint: Any) -> bool:
    kind = get_origin(hint) or hint
    if kind in (tuple, Union, types.UnionType):
        return all(_hashable(inner) for inner in get_args(hint))
    return kind not in (Any, Sequence) and getattr(kind, "__hash__", None) is not None


def _each(build: Callable[[Any], Any] | None, values: list[Any]) -> list[Any]:
    return values if build is None else [build(value) for value in values]


def _tuple(items: tuple[Any, ...], where: str, outer: tuple[Any, ...]) -> Shape:
    if len(items) == 2 and items[1] is Ellipsis:
        inner = _array(list, items[0], where, outer)
        build = inner.build or list
        return Shape(inner.schema, lambda value: tuple(build(value)))
    shapes = [_shape(item, where, outer) for item in items]
    schema = {
        "type": "array",
        "prefixItems": [shape.schema for shape in shapes],
        "minItems": len(shapes),
        "maxItems": len(shapes),
    }
    builds = [shape.build or _same for shape in shapes]
    return Shape(
        schema,
        lambda value: tuple(b(v) for b, v in zip(builds, value, strict=True)),
    )


def _same(value: Any) -> Any:
    return value


def _dict(arguments: tuple[Any, ...], where: str, outer: tuple[Any, ...]) -> Shape:
    key, item = arguments
    if key is not str:
        raise DefinitionError(f"{where}: the keys of a dict must be str, not {key!r}")
    inner = _shape(item, where, outer)
    schema = {"type": "object", "additionalProperties": inner.schema}
    build = inner.build
    if build is None:
        return Shape(schema)
    return Shape(schema, lambda value: {k: build(v) for k, v in value.items()})


def _dataclass(hint: Any, where: str, outer: tuple[Any, ...]) -> Shape:
    fields = [field for field in dataclasses.fields(hint) if field.init]
    resolved = _fields(hint, where)
    optional = {
        field.name: field.default
        for field in fields
        if field.default is not dataclasses.MISSING
        or field.default_factory is not dataclasses.MISSING
    }
    hints = {field.name: resolved[field.name] for field in fields}
    if inspect.signature(hint).parameters.keys() != hints.keys():
        raise _unsupported(hint, where)  # an `InitVar`, or an `__init__` of its own
    inner = _object(hints, optional, where, (*outer, hint), {})
    build = inner.build or _same
    return Shape(inner.schema, lambda value: hint(**build(value)))


def _object(
    hints: Mapping[str, Any],
    optional: Mapping[str, Any],
    where: str,
    outer: tuple[Any, ...],
    descriptions: Mapping[str, str],
) -> Shape:
    properties: dict[str, Any] = {}
    builds: dict[str, Callable[[Any], Any]] = {}
    for name, hint in hints.items():
        shape = _shape(hint, f"{where}, `{name}`", outer)
        properties[name] = shape.schema
        if name in descriptions:
            properties[name]["description"] = descriptions[name]
        if name in optional:
            _tell_default(properties[name], optional[name])
        if shape.build is not None:
            builds[name] = shape.build
    schema = {
        "type": "object",
        "properties": properties,
        "required": [name for name in hints if name not in optional],
        "additionalProperties": False,
    }
    return Shape(schema, _object_builder(builds) if builds else None)


def _tell_default(schema: dict[str, Any], default: Any) -> None:
    with suppress(ValueError):  # what JSON cannot carry stays a default, untold
        schema["default"] = jsontext.normalise(dump(default))


def _object_builder(
    builds: Mapping[str, Callable[[Any], Any]],
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def build(value: dict[str, Any]) -> dict[str, Any]:
        return {
            name: builds[name](item) if name in builds else item
            for name, item in value.items()
        }

    return build
