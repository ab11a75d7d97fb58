"""Tools as typed methods: TRL reads signatures and docstrings, not schemas.

transformers turns a method's type hints and Google docstring back into a JSON schema.
What Python's types cannot say of an argument (bounds, patterns, the fields of objects)
goes into its description, as its schema.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from typing import Any, Literal

from llm_gym.messages import dumps
from llm_gym.tools import ToolSpec

__all__ = ["docstring_of", "hint_of", "tool_method"]

_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
_SECTION = re.compile(r"\b(Args|Returns|Raises):")
_UNTYPED = {"description", "default"}


def tool_method(
    spec: ToolSpec, call: Callable[[Any, str, dict[str, Any]], str]
) -> Callable[..., str]:
    """Return a method that calls a tool and looks like one.

    Args:
        spec: The tool.
        call: What runs it, given the instance, the tool's name and the arguments as
            the model wrote them: any of them, so that the environment can judge them.
    """
    name = spec.name

    def method(self: Any, /, **arguments: Any) -> str:
        return call(self, name, arguments)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = docstring_of(spec)
    properties: Mapping[str, Any] = spec.parameters["properties"]
    required = spec.parameters["required"]
    hints = {key: hint_of(schema) for key, schema in properties.items()}
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    shown = [
        inspect.Parameter(
            key,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hint,
            default=inspect.Parameter.empty
            if key in required
            else properties[key].get("default"),
        )
        for key, hint in hints.items()
    ]
    signature = inspect.Signature([own, *shown], return_annotation=str)
    method.__signature__ = signature  # type: ignore[attr-defined]  # inspect reads it
    method.__annotations__ = hints  # no "return", which the schema would show
    return method


def docstring_of(spec: ToolSpec) -> str:
    """Return a tool's Google docstring, from its description and its schema."""
    lines = [_quiet(spec.description)]
    properties: Mapping[str, Any] = spec.parameters["properties"]
    if properties:
        lines += ["", "Args:"]
        lines += [f"    {key}: {_said(key, one)}" for key, one in properties.items()]
    return "\n".join(lines)


def hint_of(schema: Mapping[str, Any]) -> Any:
    """Return the Python type that comes nearest to a JSON schema."""
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    if "const" in schema:
        return Literal[schema["const"]]
    if "anyOf" in schema:
        return reduce(or_, [_type_form(hint_of(one)) for one in schema["anyOf"]])
    kind = schema.get("type")
    if kind == "array" and schema.get("items"):
        return list[hint_of(schema["items"])]  # type: ignore[misc]  # made at run time
    values = schema.get("additionalProperties")
    if kind == "object" and isinstance(values, Mapping) and values:
        return dict[str, hint_of(values)]  # type: ignore[misc]
    return _TYPES.get(kind, Any) if isinstance(kind, str) else Any


def _type_form(hint: Any) -> Any:
    return None if hint is type(None) else hint


def _said(key: str, schema: Mapping[str, Any]) -> str:
    """Return an argument's description, on one line."""
    said = " ".join(str(schema.get("description") or f"The {key}.").split())
    if not _told_by_type(schema):
        exact = {k: v for k, v in schema.items() if k not in _UNTYPED}
        said = f"{said} JSON schema: {dumps(exact)}"
    return _quiet(said)


def _told_by_type(schema: Mapping[str, Any]) -> bool:
    """Whether a type hint says all that the schema says."""
    rest = schema.keys() - _UNTYPED
    if "enum" in schema or "const" in schema:
        return True
    if "anyOf" in schema:
        return rest == {"anyOf"} and all(map(_told_by_type, schema["anyOf"]))
    if schema.get("type") == "array":
        return rest <= {"type", "items"} and _told_by_type(schema.get("items", {}))
    values = schema.get("additionalProperties")
    if schema.get("type") == "object" and isinstance(values, Mapping):
        return rest == {"type", "additionalProperties"} and _told_by_type(values)
    return rest <= {"type"}


def _quiet(text: str) -> str:
    """Take from a text what would begin a section of a docstring."""
    return _SECTION.sub(r"\1 -", text)
