"""Puts a stored tool schema back into the order in which it was shown.

A stored trajectory has its keys sorted, and a chat template prints a schema as it
comes: sorted, it would be another prompt than the one that the model was given.
"""

from __future__ import annotations

from typing import Any

from llm_gym.messages import ToolSchema

__all__ = ["as_shown"]

_FIRST = (
    *("type", "enum", "const", "anyOf", "items", "minItems", "maxItems", "prefixItems"),
    *("properties", "required", "additionalProperties", "description", "default"),
)
"""The order in which `llm_gym.shapes` writes keywords; any other comes after them."""


def as_shown(tool: ToolSchema) -> ToolSchema:
    """Return a tool with its keys in the order of `ToolSpec.schema`.

    Where a tool has several optional parameters, their own order is lost: they come in
    that of their names, after the required ones.
    """
    function = tool["function"]
    return {
        "type": tool["type"],
        "function": {
            "name": function["name"],
            "description": function["description"],
            "parameters": _schema(function["parameters"]),
        },
    }


def _schema(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    names = [name for name in _FIRST if name in schema]
    names += [name for name in schema if name not in _FIRST]
    ordered = {}
    for name in names:
        value = schema[name]
        if name == "properties" and isinstance(value, dict):
            ordered[name] = _properties(value, schema.get("required") or [])
        elif name in ("enum", "const", "default", "required"):
            ordered[name] = value
        else:
            ordered[name] = _schema(value)
    return ordered


def _properties(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    names = [name for name in required if name in properties]
    names += [name for name in properties if name not in required]
    return {name: _schema(properties[name]) for name in names}
