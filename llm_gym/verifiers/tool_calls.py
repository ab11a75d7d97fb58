"""The tool calls of an episode are the expected ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from llm_gym import jsontext
from llm_gym.errors import DefinitionError
from llm_gym.trajectory import CallRecord, Score, Trajectory
from llm_gym.validation import SchemaValidator
from llm_gym.verifiers.equality import difference

__all__ = ["MAX_CALLS", "ToolCallMatch"]

MAX_CALLS = 256
"""Calls that are compared; an episode with more of them scores 0."""

_KEYS = {"name", "arguments", "schema"}


@dataclass(frozen=True, slots=True)
class _Expected:
    """A call that should be made: its arguments, or a schema of them."""

    name: str
    arguments: Any = None
    schema: str | None = None

    def is_met_by(self, call: CallRecord) -> bool:
        """Say whether a call is this one."""
        if call.status != "ok" or call.name != self.name:
            return False
        if self.schema is None:
            return difference(call.arguments, self.arguments) is None
        return _compiled(self.schema).is_valid(call.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallMatch:
    """Score an episode's tool calls against a list of expected ones.

    An expected call is `{"name": ..., "arguments": {...}}`, the arguments to be equal
    as JSON with their types (`true` is not 1, 1.0 is not 1, what is left out is not its
    default), or `{"name": ..., "schema": {...}}`, a JSON Schema of the arguments, for
    ranges and alternatives. The list is `task.answer`, or the verifier's own.

    A call meets an expected one if it ran (its status is `ok`). Every call that meets
    none counts against: made too often, refused by the tool, invalid, not run.

    Example:
        >>> ToolCallMatch(mode="any_order", tools=("book", "cancel")).verify(trajectory)

    Args:
        mode: `exact` wants the expected calls and no other, in their order;
            `any_order` the same in any order; `f1` scores 2k / (made + expected) for k
            calls that meet as many expected ones, in any order.
        tools: The names of tools whose calls count, None for all. Calls of others,
            such as looking something up, are free.
        expected: The expected calls, None to take those of `task.answer`.

    Raises:
        DefinitionError: An expected call has another form, or `tools` is no list.
        ValueError: The mode is not known.
    """

    mode: Literal["exact", "any_order", "f1"] = "exact"
    tools: Sequence[str] | None = None
    expected: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("exact", "any_order", "f1"):
            known = "`mode` must be 'exact', 'any_order' or 'f1'"
            raise ValueError(f"{known}, not {self.mode!r}")
        if self.tools is not None:
            if isinstance(self.tools, str) or not all(
                isinstance(name, str) for name in self.tools
            ):
                raise DefinitionError(
                    f"`tools` must be a list of names, not {self.tools!r}"
                )
            object.__setattr__(self, "tools", tuple(self.tools))
        if self.expected is not None:
            object.__setattr__(self, "expected", list(self.expected))
            self._read(self.expected)

    def verify(self, trajectory: Trajectory) -> Score:
        """Judge an episode by its tool calls.

        Returns:
            Its score; the reason names the first call that counts against it. Parts:
            `precision`, `recall`, `f1`, `order` (1.0 if the calls that count are the
            expected ones in their order).

        Raises:
            DefinitionError: The expected calls have another form.
        """
        answer = trajectory.task.answer
        expected = self._read(answer if self.expected is None else self.expected)
        made = [call for call in trajectory.calls if self._counts(call.name)]
        if len(made) > MAX_CALLS:
            why = f"{len(made)} calls, at most {MAX_CALLS} are compared"
            parts = dict.fromkeys(("precision", "recall", "f1", "order"), 0.0)
            return Score(0.0, parts, why)
        met = _matching(made, expected)
        in_order = len(made) == len(expected) and all(
            want.is_met_by(call) for want, call in zip(expected, made, strict=True)
        )
        total = len(made) + len(expected)
        parts = {
            "precision": len(met) / len(made) if made else float(not expected),
            "recall": len(met) / len(expected) if expected else 1.0,
            "f1": 2 * len(met) / total if total else 1.0,
            "order": float(in_order),
        }
        values = {
            "exact": parts["order"],
            "any_order": float(parts["f1"] == 1.0),
            "f1": parts["f1"],
        }
        return Score(values[self.mode], parts, _reason(made, met, expected, in_order))

    def _counts(self, name: str) -> bool:
        return self.tools is None or name in self.tools

    def _read(self, expected: Any) -> list[_Expected]:
        if not isinstance(expected, (list, tuple)) or len(expected) > MAX_CALLS:
            raise DefinitionError(
                f"`ToolCallMatch` needs a list of at most {MAX_CALLS} expected calls, "
                f"its own or in `task.answer`, not {expected!r}"[:300]
            )
        calls = [_read_call(call) for call in expected]
        for call in calls:
            if not self._counts(call.name):
                raise DefinitionError(
                    f"`{call.name}` is expected and not one of `tools`, {self.tools!r}"
                )
        return calls


def _read_call(call: Any) -> _Expected:
    form = isinstance(call, dict) and isinstance(call.get("name"), str)
    keys = set(call) if form else set()
    if not form or not keys <= _KEYS or len(keys) != 2:
        raise DefinitionError(
            'an expected call must be {"name": str, "arguments": dict} or '
            f'{{"name": str, "schema": dict}}, not {call!r}'[:400]
        )
    content = call.get("arguments", call.get("schema"))
    if not isinstance(content, dict):
        raise DefinitionError(
            f"the arguments of the expected call `{call['name']}`, or their schema, "
            f"must be an object, not {content!r}"[:400]
        )
    try:
        plain = jsontext.normalise(content, max_chars=None)
    except ValueError as err:
        raise DefinitionError(
            f"the expected call `{call['name']}` must be plain JSON: {err}"
        ) from err
    if "arguments" in call:
        return _Expected(call["name"], plain)
    schema = jsontext.canonical(plain)
    _compiled(schema)
    return _Expected(call["name"], schema=schema)


@lru_cache(maxsize=1024)
def _compiled(schema: str) -> SchemaValidator:
    return SchemaValidator(jsontext.loads(schema, max_chars=None))


def _matching(
    made: Sequence[CallRecord], expected: Sequence[_Expected]
) -> dict[int, int]:
    """Pair calls with expected ones, each once, as many as can be.

    With schemas a call may meet several, so this is a maximum matching of a bipartite
    graph, found by augmenting paths (Kuhn's algorithm).

    Returns:
        For the number of a call that of the expected one that it meets.
    """
    options = [
        [number for number, want in enumerate(expected) if want.is_met_by(call)]
        for call in made
    ]
    taken: dict[int, int] = {}

    def place(call: int, tried: set[int]) -> bool:
        for number in options[call]:
            if number in tried:
                continue
            tried.add(number)
            if number not in taken or place(taken[number], tried):
                taken[number] = call
                return True
        return False

    for call in range(len(made)):
        place(call, set())
    return {call: number for number, call in taken.items()}


def _reason(
    made: Sequence[CallRecord],
    met: dict[int, int],
    expected: Sequence[_Expected],
    in_order: bool,
) -> str:
    if in_order:
        return "the calls are the expected ones"
    spare = [call for number, call in enumerate(made) if number not in met]
    if spare:
        first = spare[0]
        why = "not expected" if first.status == "ok" else f"of status {first.status}"
        name = first.name[:80]
        return f"calls too many or wrong: {len(spare)}, the first, `{name}`, is {why}"
    missing = len(expected) - len(met)
    if missing:
        return f"expected calls missing: {missing}"
    return "the calls are the expected ones in another order"
