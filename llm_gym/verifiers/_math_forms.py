r"""What form an answer's values must have, and comparing those that are plain numbers.

An answer that repeats the question ("compute 2 + 3", `2+3`) is equal to what is right
and answers nothing. So a value must be written as what it comes to: here is what that
means, by the value that is right, and without computing anything.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

from llm_gym.verifiers._math_text import Number, Refused, number, tokens

__all__ = ["Options", "Unsure", "compare_numbers", "refuse_form"]


class Unsure(Exception):  # no error: it asks for the worker
    """Two values are not plain numbers: the worker has to compare them."""


@dataclass(frozen=True, slots=True)
class Options:
    """How values are compared; see `MathMatch`."""

    simplified: bool = False
    allow_expressions: bool = False
    tolerance: float = 0.0


def compare_numbers(gold: str, came: str, options: Options) -> bool:
    """Compare two values as far as reading them will do.

    Raises:
        Refused: The answer's value is in a form that is not judged.
        Unsure: The worker has to compare them.
    """
    if _squeezed(gold) == _squeezed(came):
        return True
    right, value = number(gold), number(came)
    if right is not None and value is not None:
        _refuse_number(right, value, options)
        near = Fraction(options.tolerance) * abs(right.value)
        return abs(right.value - value.value) <= near
    if "\\infty" in gold + came:
        return False
    if right is not None and not options.allow_expressions:
        raise Refused("the answer is not written as a number")
    if value is None:
        refuse_form(gold, came, options)
    raise Unsure


def _squeezed(text: str) -> str:
    return re.sub(r"\s|^\+", "", text)


def _refuse_number(right: Number, value: Number, options: Options) -> None:
    """Refuse a fraction that was not worked out."""
    whole = right.value.denominator == 1 and right.kind != "fraction"
    if value.kind == "fraction" and not options.allow_expressions:
        if whole:
            raise Refused("the answer is a fraction that is not worked out")
        if options.simplified and not value.lowest:
            raise Refused("the fraction is not in lowest terms")


_PLAIN = {"\\frac", "\\sqrt", "\\pi", "\\cdot", "\\times", *"{}()[]+-*/.,"}
_FAMILIES = (
    {"\\ln", "\\log", "_"},
    {f"\\{arc}{name}" for arc in ("", "arc") for name in ("sin", "cos", "tan")}
    | {"\\sec", "\\csc", "\\cot"},
    {"e", "\\exp", "^"},
)
_SUM_LIKE = re.compile(r"\d\s*(?:\\cdot(?![a-zA-Z])|\\times(?![a-zA-Z])|\*)\s*\d")
_FRACTIONAL_POWER = re.compile(r"\^\s*(?:\{-?(?:\d+/\d+|\\frac\{\d+\}\{\d+\})\})")
_VARIABLE = re.compile(r"(?<![a-zA-Z\\])[a-df-hj-zA-Z](?![a-zA-Z])")


def refuse_form(gold: str, came: str, options: Options) -> None:
    """Refuse a value that is not written out, seen beside the value that is right.

    Raises:
        Refused: It uses signs, functions, letters or powers that the right value does
            not, or is much longer, or (`simplified`) has other numerals.
    """
    if options.allow_expressions:
        return
    wanted, signs = tokens(gold), tokens(came)
    allowed = _PLAIN | set(wanted)
    for family in _FAMILIES:
        if family & set(wanted):
            allowed |= family
    constant = not _VARIABLE.search(gold)
    if not constant or "\\sqrt" in wanted:
        allowed.add("^")
    for sign in signs:
        if not sign[0].isdigit() and sign not in allowed:
            raise Refused(f"the answer is not written out: it holds {sign!r}")
    have, numerals = _numerals(wanted), _numerals(signs)
    if constant:
        _refuse_constant(gold, came, signs, wanted)
    if options.simplified and numerals != have:
        raise Refused("the answer is not in its simplest form")
    if len(signs) > 4 * len(wanted) + 40:
        raise Refused("the answer is much longer than it has to be")


def _refuse_constant(gold: str, came: str, signs: list[str], wanted: list[str]) -> None:
    if _SUM_LIKE.search(came) and not _SUM_LIKE.search(gold):
        raise Refused("a product in the answer is not worked out")
    if "^" not in wanted and "^" in _FRACTIONAL_POWER.sub("", came):
        raise Refused("a power in the answer is not worked out")
    if signs.count("\\sqrt") > wanted.count("\\sqrt") + wanted.count("^"):
        raise Refused("the answer has more radicals than it has to")


def _numerals(signs: list[str]) -> Counter[str]:
    """Count the numerals, those that are 0 or 1 left out."""
    return Counter(s for s in signs if s[0].isdigit() and s not in ("0", "1"))
