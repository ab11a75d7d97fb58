"""JSON Schema, Draft 2020-12, without its traps.

`jsonschema` is the reference: it checks schemas, words the errors and has the last
word on what is refused. `jsonschema-rs` says yes on the hot path, a hundred times
faster; the two agree on all of the JSON-Schema-Test-Suite's 1,257 Draft 2020-12 cases
but five with a `$vocabulary` of their own, which is refused here. Neither may fetch a
remote reference, and a schema's size is bounded before it is compiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import jsonschema
import jsonschema_rs
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry

from llm_gym import jsontext
from llm_gym.errors import DefinitionError

__all__ = ["MAX_SCHEMA_CHARS", "MAX_SUBSCHEMAS", "SchemaValidator"]

MAX_SCHEMA_CHARS = 65_536
"""Characters of a schema's canonical JSON."""
MAX_SUBSCHEMAS = 500
"""Objects and booleans in a schema that may be schemas of their own."""

_MOST_NODES = 500
"""Values in an instance whose error the reference words; on more it may hang."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class SchemaValidator:
    """A compiled schema.

    Args:
        schema: A Draft 2020-12 schema, local references only.

    Raises:
        DefinitionError: The schema is not valid, too large, or not of this draft.
    """

    __slots__ = ("_fast", "_may_hang", "_reference", "schema")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = _checked(schema)
        self._may_hang = '"pattern' in jsontext.canonical(self.schema)
        self._reference = jsonschema.Draft202012Validator(
            self.schema, registry=Registry()
        )
        try:
            self._fast = jsonschema_rs.Draft202012Validator(
                self.schema, retriever=_deny
            )
        except (ValueError, jsonschema_rs.ValidationError) as err:
            why = str(err).partition("\n")[0]
            raise DefinitionError(f"the schema cannot be compiled: {why}") from err

    def __reduce__(self) -> tuple[type[SchemaValidator], tuple[dict[str, Any]]]:
        return (SchemaValidator, (self.schema,))

    def is_valid(self, instance: object) -> bool:
        """Say whether a JSON value satisfies the schema."""
        try:
            return self._fast.is_valid(instance)
        except UnicodeEncodeError:  # it takes no lone surrogate
            return self._reference.is_valid(instance)

    def error(self, instance: object) -> str | None:
        """Return why a JSON value does not satisfy the schema, None if it does.

        Returns:
            One sentence with the place, what was expected and what came.
        """
        if self.is_valid(instance):
            return None
        if self._may_hang or _is_large(instance):
            try:  # the reference could take minutes
                self._fast.validate(instance)
            except jsonschema_rs.ValidationError as err:
                return _sentence(err.instance_path, err.message)
            except UnicodeEncodeError:
                pass
        problem = best_match(self._reference.iter_errors(instance))
        if problem is None:
            return None
        return _sentence(problem.absolute_path, problem.message)


def _is_large(value: object) -> bool:
    """Say whether a JSON value holds more than `_MOST_NODES` values."""
    nodes = [value]
    for node in nodes:  # it grows on the way
        if isinstance(node, (dict, list)):
            nodes.extend(node.values() if isinstance(node, dict) else node)
        if len(nodes) > _MOST_NODES:
            return True
    return False


def _sentence(path: Iterable[str | int], message: str) -> str:
    place = "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in path
    ).lstrip(".")
    if len(message) > 400:
        message = f"{message[:200]} ... {message[-150:]}"
    return f"`{place}`: {message}" if place else message


def _checked(schema: Mapping[str, Any]) -> dict[str, Any]:
    try:
        text = jsontext.canonical(schema)
        plain: dict[str, Any] = jsontext.loads(text, max_chars=MAX_SCHEMA_CHARS)
    except (TypeError, ValueError, RecursionError) as err:
        raise DefinitionError(f"a schema must be plain JSON: {err}") from err
    if not isinstance(plain, dict):
        raise DefinitionError(f"a schema must be an object, not {schema!r}")
    dialect = str(plain.get("$schema", _DIALECT)).rstrip("#")
    if dialect != _DIALECT or "$vocabulary" in plain:
        raise DefinitionError(
            f"a schema must be of Draft 2020-12, not {plain.get('$schema')!r}"
        )
    count = text.count("{")
    if count > MAX_SUBSCHEMAS:
        raise DefinitionError(
            f"a schema may hold {MAX_SUBSCHEMAS} objects, this one has {count}"
        )
    if jsonschema_rs.meta.is_valid({**plain, "$schema": _DIALECT}):
        return plain
    try:
        jsonschema.Draft202012Validator.check_schema(plain)
    except SchemaError as err:
        problem = _sentence(err.absolute_path, err.message)
        raise DefinitionError(f"not a valid JSON Schema: {problem}") from err
    return plain


def _deny(uri: str) -> NoReturn:
    raise ValueError(f"remote references are not followed: {uri}")
