"""The answer is one JSON value that follows a schema, and perhaps is the right one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llm_gym import jsontext
from llm_gym.errors import DefinitionError
from llm_gym.trajectory import Score, Trajectory
from llm_gym.validation import SchemaValidator
from llm_gym.verifiers.answers import MAX_REPLY_CHARS, Rule, check_rule, find_answer
from llm_gym.verifiers.equality import difference

__all__ = ["JsonSchemaMatch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonSchemaMatch:
    """Score 1 for one JSON value that follows a schema.

    The value is read strictly (no NaN, no infinity, no key twice, no text beside it,
    at most 64 levels), bare or as the only content of one fenced block marked `json`.
    The schema is of Draft 2020-12 and of bounded size; no remote reference is followed,
    and a pattern that backtracks for too long does not match.

    A schema alone is followed by values that say nothing: `{}` follows most. Where the
    values matter, use `equal=True`.

    Example:
        >>> JsonSchemaMatch(schema={"type": "integer"}).score("42").value
        1.0

    Args:
        extract: Where the answer stands in the reply; see `answers.Rule`.
        schema: The schema, or the key of `task.data` that holds it.
        equal: Whether the value must be that of `task.answer` too: the same keys, lists
            in order, `true` no number, a whole number for a float but not the reverse.

    Raises:
        DefinitionError: The schema is none.
        ValueError: There is no such rule of extraction.
    """

    extract: Rule = "whole"
    schema: Mapping[str, Any] | str = "schema"
    equal: bool = False

    def __post_init__(self) -> None:
        check_rule(self.extract)
        if not isinstance(self.schema, str):
            _compiled_from(self.schema)

    def verify(self, trajectory: Trajectory) -> Score:
        """Judge an episode by its answer, the schema and, if asked, `task.answer`.

        Raises:
            DefinitionError: There is no schema, or the task's answer does not follow
                it where values are compared.
        """
        schema: Any = self.schema
        if isinstance(schema, str):
            schema = trajectory.task.data.get(schema)
        return self._judge(trajectory.answer, trajectory.task.answer, schema)

    def score(self, text: str | None, answer: Any = None) -> Score:
        """Judge a reply's text; `schema` must not be the key of a task's data.

        Args:
            text: The reply, None for none.
            answer: The right value, where values are compared.

        Returns:
            1.0 or 0.0 with the reason. Parts: `json` (it could be read), `schema`,
            and `values` where values are compared.

        Raises:
            DefinitionError: The schema is not known, or the answer does not follow it.
            TypeError: The text is no str.
        """
        if isinstance(self.schema, str):
            raise DefinitionError(
                "`score` of a `JsonSchemaMatch` needs the `schema` itself; this one "
                f"reads it in `task.data[{self.schema!r}]`"
            )
        return self._judge(text, answer, self.schema)

    def _judge(self, text: str | None, answer: Any, schema: Any) -> Score:
        validator = _compiled_from(schema)
        if self.equal:
            _check_gold(answer, validator)
        found = find_answer(text, self.extract, max_chars=MAX_REPLY_CHARS)
        if found.text is None:
            return self._verdict(0, found.problem)
        fenced = _FENCE.fullmatch(found.text)
        try:
            value = jsontext.loads(fenced[1] if fenced else found.text)
        except ValueError as err:
            return self._verdict(0, f"the answer is not one JSON value: {err}")
        if not _is_text(value):  # half of the validators would raise on it
            return self._verdict(0, "the JSON holds half of a surrogate pair")
        problem = validator.error(value)
        if problem is not None:
            return self._verdict(1, f"the JSON does not follow the schema: {problem}")
        place = difference(value, answer) if self.equal else None
        if place is not None:
            return self._verdict(2, f"the value at `{place}` is not the right one")
        return self._verdict(3, "the JSON is right")

    def _verdict(self, passed: int, reason: str) -> Score:
        names = ("json", "schema", "values") if self.equal else ("json", "schema")
        parts = {name: float(passed > i) for i, name in enumerate(names)}
        return Score(float(all(parts.values())), parts, reason)


_FENCE = re.compile(r"```json[ \t]*\r?\n(.*)```", re.DOTALL)


def _compiled_from(schema: Any) -> SchemaValidator:
    if not isinstance(schema, Mapping):
        raise DefinitionError(
            f"`JsonSchemaMatch` needs a JSON Schema as an object, not {schema!r}"[:300]
        )
    try:
        text = jsontext.canonical(schema)
    except (TypeError, ValueError, RecursionError) as err:
        raise DefinitionError(f"a schema must be plain JSON: {err}") from err
    return _compiled(text)


@lru_cache(maxsize=256)
def _compiled(text: str) -> SchemaValidator:
    return SchemaValidator(jsontext.loads(text, max_chars=None))


def _check_gold(answer: Any, validator: SchemaValidator) -> None:
    try:
        problem = validator.error(jsontext.normalise(answer))
    except ValueError as err:
        problem = str(err)
    if problem is not None:
        raise DefinitionError(
            "`task.answer` must be a JSON value that follows the schema where values "
            f"are compared: {problem}"
        )


def _is_text(value: Any) -> bool:
    """Say whether every string of a JSON value is valid Unicode."""
    try:
        _collect(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _collect(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "\n".join(f"{key}\n{_collect(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "\n".join(_collect(item) for item in value)
    return ""
