"""Exact values as LaTeX in simplest form, and what the problems' generators share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "Family",
    "Problem",
    "Rng",
    "draw",
    "frac",
    "in_set",
    "in_tuple",
    "matrix",
    "nonzero",
    "pi_times",
    "poly",
    "radical",
    "root_parts",
    "signed",
]

Rng = np.random.Generator


class Problem(NamedTuple):
    """A problem.

    Attributes:
        text: The question.
        answer: What is right, as LaTeX in simplest form.
        facts: The numbers that the question tells, by name.
    """

    text: str
    answer: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of problem.

    Attributes:
        area: arithmetic, algebra, number theory, counting or geometry.
        levels: The levels that it belongs to.
        make: Makes a problem; it is handed a generator and the level.
    """

    area: str
    levels: tuple[int, ...]
    make: Callable[[Rng, int], Problem]

    @property
    def name(self) -> str:
        """The family's name."""
        return self.make.__name__


def draw(rng: Rng, low: int, high: int) -> int:
    """Return an integer from `low` to `high`, both included."""
    return int(rng.integers(low, high + 1))


def nonzero(rng: Rng, high: int, low: int = 1) -> int:
    """Return an integer of a size from `low` to `high`, of either sign."""
    return draw(rng, low, high) * (1 if rng.integers(2) else -1)


def frac(value: Fraction | int) -> str:
    """Return a rational number in lowest terms."""
    value = Fraction(value)
    if value.denominator == 1:
        return str(value.numerator)
    sign = "-" if value < 0 else ""
    return f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def root_parts(number: int) -> tuple[int, int]:
    """Return (a, b) with sqrt(number) = a sqrt(b) and no square factor in b."""
    outside, inside, factor = 1, number, 2
    while factor * factor <= inside:
        while inside % (factor * factor) == 0:
            inside //= factor * factor
            outside *= factor
        factor += 1
    return outside, inside


def radical(number: int, factor: Fraction | int = 1) -> str:
    """Return `factor` times the square root of a positive integer."""
    outside, inside = root_parts(number)
    value = Fraction(factor) * outside
    return _with(value, "" if inside == 1 else f"\\sqrt{{{inside}}}")


def pi_times(factor: Fraction | int) -> str:
    """Return a multiple of pi."""
    return _with(Fraction(factor), "\\pi")


def _with(value: Fraction, symbol: str) -> str:
    if not symbol or not value:
        return frac(value)
    size, sign = abs(value.numerator), "-" if value < 0 else ""
    above = symbol if size == 1 else f"{size}{symbol}"
    if value.denominator == 1:
        return sign + above
    return f"{sign}\\frac{{{above}}}{{{value.denominator}}}"


def signed(value: Fraction | int) -> str:
    """Return ` + 3` or ` - 3`, and nothing for 0."""
    if not value:
        return ""
    return f" {'+' if value > 0 else '-'} {frac(abs(Fraction(value)))}"


def poly(coefficients: Sequence[Fraction | int], variable: str = "x") -> str:
    """Return a polynomial.

    Args:
        coefficients: From the highest power to the constant.
        variable: Its letter.
    """
    text = ""
    for place, value in enumerate(coefficients):
        power = len(coefficients) - 1 - place
        if not value:
            continue
        name = {0: "", 1: variable}.get(power, f"{variable}^{{{power}}}")
        if 1 < power < 10:
            name = f"{variable}^{power}"
        size = "" if abs(value) == 1 and power else frac(abs(Fraction(value)))
        sign = "-" if value < 0 else "+"
        lead = ("-" if value < 0 else "") if not text else f" {sign} "
        text += lead + size + name
    return text or "0"


def in_set(values: Sequence[str]) -> str:
    """Return a set."""
    return "\\{" + ", ".join(values) + "\\}"


def in_tuple(values: Sequence[str]) -> str:
    """Return a tuple."""
    return "(" + ", ".join(values) + ")"


def matrix(rows: Sequence[Sequence[int]]) -> str:
    """Return a matrix."""
    body = " \\\\ ".join(" & ".join(map(str, row)) for row in rows)
    return f"\\begin{{pmatrix}} {body} \\end{{pmatrix}}"
