"""Comparing two mathematical values with math-verify: for the worker's process alone.

Nothing here has a time limit: whoever calls it kills the process. A shape is read by
`_math_shape`; what comes to sympy is one value at a time.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any

from llm_gym.errors import require
from llm_gym.verifiers._math_forms import Options, Unsure, compare_numbers, refuse_form
from llm_gym.verifiers._math_shape import matches, read_shape
from llm_gym.verifiers._math_text import Refused, clean

__all__ = ["grade", "warm_up"]

_DIGITS = 60
_NEAR = 10.0**-50
_NOTHING = 10.0**-100
_MAX_RECURSION = 3_000


class _Unreadable(ValueError):
    """The right answer cannot be read."""


def grade(
    gold: str, came: str, options: dict[str, Any], thorough: bool = False
) -> dict[str, Any]:
    """Compare an answer with what is right.

    Args:
        gold: What is right, cleaned.
        came: The answer, cleaned.
        options: The fields of `Options`.
        thorough: Whether every value is read, those too that are the same text.

    Returns:
        `equal` and, where it is not, perhaps a `reason`; `unreadable` is set if the
        right answer cannot be read.
    """
    leaf = _Leaf(Options(**options), thorough)
    try:
        equal = matches(read_shape(gold), read_shape(came), leaf.same, leaf.relation)
    except Refused as err:
        return {"equal": False, "reason": str(err)}
    except _Unreadable as err:
        return {"equal": False, "unreadable": str(err)}
    return {"equal": equal}


def warm_up() -> None:
    """Load the libraries, and hold them to pairs that must and must not be equal.

    math-verify grades weaker, and in silence, where a part of it is missing.

    Raises:
        RuntimeError: It does not grade as it should.
    """
    sys.setrecursionlimit(_MAX_RECURSION)
    logging.disable(logging.CRITICAL)
    for gold, came, equal in _GOLDEN:
        result = grade(clean(gold), clean(came), {"allow_expressions": True})
        if result.get("equal") is not equal:
            told = f"{came!r} beside {gold!r} gave {result}"
            raise RuntimeError(f"math-verify fails its self-test: {told}")


_GOLDEN = (
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}", True),
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{3}}", False),
    (r"\log_2 3", r"\frac{\ln 3}{\ln 2}", True),
    (r"x^2+2x+1", r"(x+1)^2", True),
    (r"x^2+2x+1", r"(x-1)^2", False),
    (r"\sin^2 x", r"1-\cos^2 x", True),
    (r"(0,\frac{\pi}{3}]", r"(0,\pi/3]", True),
    (r"(0,\frac{\pi}{3}]", r"(0,\pi/3)", False),
    (
        r"\begin{pmatrix}a&\sqrt{2}\\3&4\end{pmatrix}",
        r"\begin{bmatrix}a&\frac{2}{\sqrt 2}\\3&4\end{bmatrix}",
        True,
    ),
    (r"x^2+y^2=4", r"2x^2+2y^2=8", True),
    (r"x^2+y^2=4", r"2x^2+2y^2=9", False),
    (r"\{\sqrt{2},-\sqrt{2}\}", r"\pm\sqrt{2}", True),
    (r"2+3i", r"3i+2", True),
    (r"10", r"\sum_{k=1}^{4} k", True),
    (r"\sqrt[3]{2}", r"2^{1/3}", True),
)


class _Leaf:
    """Compares single values and relations."""

    def __init__(self, options: Options, thorough: bool) -> None:
        self._options, self._thorough = options, thorough

    def same(self, gold: str, came: str) -> bool:
        """Compare two values."""
        if not self._thorough:
            with contextlib.suppress(Unsure):
                return compare_numbers(gold, came, self._options)
        right = _parse(gold)
        if right is None:
            raise _Unreadable(gold)
        value = _parse(came)
        if value is None:
            raise Refused("the answer cannot be read as mathematics")
        if right.free_symbols:
            return _equal_expressions(right, value)
        if value.free_symbols:
            return False
        if not self._options.allow_expressions:
            _refuse_sums(value)
        return _equal_constants(right, value, self._options.tolerance)

    def relation(self, gold: str, came: str) -> bool:
        """Compare two relations: the same but for a factor, and for their sides."""
        left, operator, right = _sides(gold)
        came_left, came_operator, came_right = _sides(came)
        refuse_form(f"{left} {right}", f"{came_left} {came_right}", self._options)
        sign = 1
        if operator != came_operator:
            if _FLIPPED.get(operator) != came_operator:
                return False
            sign = -1
        sympy = require("sympy", extra="math")
        whole = [_parse(side) for side in (left, right, came_left, came_right)]
        if whole[0] is None or whole[1] is None:
            raise _Unreadable(gold)
        if whole[2] is None or whole[3] is None:
            raise Refused("the answer cannot be read as mathematics")
        wanted = sympy.expand(whole[0] - whole[1])
        given = sympy.expand(whole[2] - whole[3])
        ratio = sympy.simplify(given / wanted)
        if ratio.free_symbols or not ratio.is_finite or ratio.is_zero:
            return False
        return operator in ("=", "\\ne") or bool(sign * ratio > 0)


_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}


def _sides(relation: str) -> tuple[str, str, str]:
    for operator in (" = ", " < ", " > ", " \\le ", " \\ge ", " \\ne "):
        left, found, right = relation.partition(operator)
        if found:
            return left, operator.strip(), right
    raise Refused("the relation cannot be read")


def _parse(text: str) -> Any:
    """Return a value as sympy has it, not evaluated; None if it cannot be read."""
    if "$" in text:  # it would end the formula that math-verify is handed
        return None
    verify = require("math_verify", extra="math")
    sympy = require("sympy", extra="math")
    config = verify.LatexExtractionConfig(boxed_match_priority=-1)
    found = verify.parse(
        f"${text}$",
        extraction_config=[config],
        fallback_mode="no_fallback",
        parsing_timeout=None,
    )
    value = found[0] if len(found) == 1 else None
    return value if isinstance(value, sympy.Expr) else None


def _exact(value: Any) -> Any:
    """Return a value with its decimals as the fractions that they are."""
    sympy = require("sympy", extra="math")
    floats = {part: sympy.Rational(str(part)) for part in value.atoms(sympy.Float)}
    return value.xreplace(floats) if floats else value


def _equal_constants(right: Any, value: Any, tolerance: float) -> bool:
    """Compare numbers by sixty digits, far beyond what chance could make equal."""
    wanted = _exact(right).doit().evalf(_DIGITS)
    given = _exact(value).doit().evalf(_DIGITS)
    if not (wanted.is_finite and given.is_finite):
        return bool(wanted == given)
    scale = max(abs(wanted), abs(given))
    near = max(_NEAR, tolerance)
    return bool(abs(wanted - given) <= near * scale or scale < _NOTHING)


def _equal_expressions(right: Any, value: Any) -> bool:
    if not value.free_symbols <= right.free_symbols:
        return False
    verify = require("math_verify", extra="math")
    return bool(verify.verify(_exact(right), _exact(value), timeout_seconds=None))


def _refuse_sums(value: Any) -> None:
    r"""Refuse sums whose terms can be added up: `\pi(25-16)`, `\sqrt2+\sqrt8`."""
    sympy = require("sympy", extra="math")
    for part in sympy.preorder_traversal(value):
        if not isinstance(part, sympy.Add):
            continue
        terms = sympy.Add.make_args(part)
        added = sympy.Add(*(_evaluated(term) for term in terms))
        if len(sympy.Add.make_args(added)) < len(terms):
            raise Refused("a sum in the answer is not worked out")


def _evaluated(part: Any) -> Any:
    if not part.args:
        return part
    return part.func(*(_evaluated(arg) for arg in part.args))
