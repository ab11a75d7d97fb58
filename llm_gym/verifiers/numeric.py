r"""The answer is one number, perhaps with a unit.

What is a number is stated, not guessed. ASCII digits only; `-` or U+2212 for a minus;
`1234.5`, `.5`, `1,234.5` and `1 234.5` (groups of exactly three digits), `1.5e3`,
`1.5 x 10^3`, `3/4`, `1 3/4`, `\frac{3}{4}`. Around it may stand `$...$`, `\(...\)`,
`**...**`, `name =`, `\text{...}` around the unit, and one full stop. Everything else,
`nan` and `inf` and two numbers above all, is not a number and scores 0.

Values are compared as exact fractions: 0.1 is one tenth. At most 100 digits and an
exponent of 308 are read, so that no reply is costly.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, Literal

from llm_gym.errors import DefinitionError
from llm_gym.trajectory import Score
from llm_gym.verifiers.answers import TextVerifier, verdict

__all__ = ["NumericMatch"]

MAX_DIGITS = 100
MAX_EXPONENT = 308

_Fractions = Literal["reduced", "any", "none"]


@dataclass(frozen=True, slots=True)
class _Quantity:
    """A number and its unit, "" for none."""

    value: Fraction
    unit: str = ""


class _Unreadable(ValueError):
    """A text is no number; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericMatch(TextVerifier):
    """Score 1 for one number that is the one of `task.answer`.

    `task.answer` is a number, or a text that is read as replies are: "3/4", "12.5 km",
    "40%". A percentage is neither the bare number nor its hundredth.

    Example:
        >>> speed = NumericMatch(units={"km/h": 1, "m/s": 3.6}, relative=0.01)
        >>> speed.score("10 m/s", "36 km/h").value
        1.0

    Args:
        extract: Where the answer stands in the reply; see `answers.Rule`.
        absolute: How far off the number may be, in the unit of `task.answer`.
        relative: How far off it may be as a share of the right one, below 1. The
            larger of both allowances counts.
        unit: The unit of `task.answer` where that is a bare number.
        units: Units that are read, each with its size; all of one dimension. They stand
            before or behind the number and are told apart by case.
        unit_required: Whether a reply must name a unit where the answer has one. If
            not, a bare number counts in the unit of the answer.
        percent_as_fraction: Whether 40% is 0.4.
        fractions: `reduced` reads a fraction in lowest terms alone, `any` each,
            `none` none. A question that asks for a division is answered by its own
            words where fractions are read.
        decimal: The decimal mark, "." or ","; the other one separates thousands.

    Raises:
        ValueError: A tolerance is negative, not finite or no number, a unit cannot be
            one, or a mode is not known.
    """

    absolute: float = 0.0
    relative: float = 0.0
    unit: str = ""
    units: Mapping[str, float] = field(default_factory=dict)
    unit_required: bool = True
    percent_as_fraction: bool = False
    fractions: _Fractions = "reduced"
    decimal: Literal[".", ","] = "."

    max_chars: ClassVar[int] = 400

    def __post_init__(self) -> None:
        TextVerifier.__post_init__(self)
        _check_tolerance("absolute", self.absolute, math.inf)
        _check_tolerance("relative", self.relative, 1.0)
        if self.fractions not in ("reduced", "any", "none"):
            known = "`fractions` must be 'reduced', 'any' or 'none'"
            raise ValueError(f"{known}, not {self.fractions!r}")
        if self.decimal not in (".", ","):
            raise ValueError(f"`decimal` must be '.' or ',', not {self.decimal!r}")
        units = dict(self.units)
        if self.unit and self.unit != "%":
            units.setdefault(self.unit, 1)
        for name, size in units.items():
            _check_unit(name, size)
        object.__setattr__(self, "units", units)

    def _gold(self, answer: Any) -> _Quantity:
        if isinstance(answer, str):
            if len(answer) > self.max_chars:
                raise _no_gold(answer[:80])
            try:
                return self._read(answer, "any")
            except _Unreadable as err:
                raise _no_gold(answer, f": {err}") from err
        number = (int, float, Fraction, Decimal)
        if isinstance(answer, bool) or not isinstance(answer, number):
            raise _no_gold(answer)
        if isinstance(answer, (float, Decimal)) and not math.isfinite(answer):
            raise _no_gold(answer)
        value = Fraction(repr(answer) if isinstance(answer, float) else answer)
        return self._sized(_Quantity(value, self.unit))

    def _compare(self, text: str, gold: _Quantity) -> Score:
        try:
            came = self._read(text, self.fractions)
        except _Unreadable as err:
            return verdict(False, 0.0, f"the answer is not one number: {err}")
        right, unit = self._scaled(gold), came.unit
        if not unit and gold.unit and not self.unit_required:
            came = _Quantity(came.value, gold.unit)
        if _dimension(came.unit) != _dimension(gold.unit):
            named = f"in `{unit}`" if unit else "a bare number"
            return verdict(True, 0.0, f"the answer is {named}, which is another kind")
        if abs(self._scaled(came) - right) <= self._allowed(right, gold.unit):
            return verdict(True, 1.0, "the number is right")
        return verdict(True, 0.0, "the number is another one")

    def _allowed(self, right: Fraction, unit: str) -> Fraction:
        """Return how far from the right number another may be."""
        allowed = Fraction()
        if self.absolute:
            allowed = Fraction(repr(self.absolute)) * self._size(unit)
        if self.relative:
            allowed = max(allowed, Fraction(repr(self.relative)) * abs(right))
        return allowed

    def _read(self, text: str, fractions: _Fractions) -> _Quantity:
        text = _plain(text)
        if self.decimal == ",":
            text = text.translate(_SWAPPED)
        before, text = self._front_unit(text)
        match = _SIGN.match(text)
        if match:
            text = text[match.end() :]
            if not before:
                before, text = self._front_unit(text)
        if match and _NEGATIVE_TOP.match(text):
            raise _Unreadable("it has two signs")
        value, behind = _value(text, fractions)
        unit = self._unit_of(behind)
        if before and unit:
            raise _Unreadable("it has two units")
        minus = match is not None and match[0][0] == "-"
        return self._sized(_Quantity(-value if minus else value, before or unit))

    def _front_unit(self, text: str) -> tuple[str, str]:
        """Split a unit off that stands before a number."""
        for unit in sorted(self.units, key=len, reverse=True):
            written = unit.translate(_SWAPPED) if self.decimal == "," else unit
            if text.startswith(written):
                rest = text[len(written) :].lstrip(" ")
                if _STARTS.match(rest):
                    return unit, rest
        return "", text

    def _unit_of(self, behind: str) -> str:
        if self.decimal == ",":
            behind = behind.translate(_SWAPPED)
        behind = behind.strip(" ")
        if not behind or behind in self.units:
            return behind
        if behind in ("%", "percent", "per cent"):
            return "%"
        raise _Unreadable(f"{behind[:40]!r} behind the number is no unit that is read")

    def _sized(self, quantity: _Quantity) -> _Quantity:
        if quantity.unit == "%" and self.percent_as_fraction:
            return _Quantity(quantity.value / 100)
        return quantity

    def _size(self, unit: str) -> Fraction:
        size = self.units.get(unit, 1)
        return Fraction(repr(size)) if isinstance(size, float) else Fraction(size)

    def _scaled(self, quantity: _Quantity) -> Fraction:
        if quantity.unit not in self.units:
            return quantity.value
        return quantity.value * self._size(quantity.unit)


def _dimension(unit: str) -> str:
    return unit if unit in ("", "%") else "unit"


def _check_tolerance(name: str, value: object, below: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and 0 <= value < below):  # type: ignore[operator]  # a number
        bound = "" if below == math.inf else f", below {below:g}"
        raise ValueError(
            f"`{name}` must be a finite number from 0 on{bound}, not {value!r}"
        )


def _check_unit(name: object, size: object) -> None:
    if not (isinstance(name, str) and _UNIT.fullmatch(name)):
        raise ValueError(
            "a unit must be a text without digits, signs or blanks at its ends, "
            f"and not '%', which is always read; not {name!r}"
        )
    number = isinstance(size, (int, float, Fraction)) and not isinstance(size, bool)
    if not (number and 0 < size < math.inf):  # type: ignore[operator]  # a number
        raise ValueError(f"the size of `{name}` must be above 0, not {size!r}")


_UNIT = re.compile(r"(?!%$)[^\s0-9.,+\-*/=\\{}]([^\\{}]{0,38}[^\s.,+\-\\{}])?")


def _no_gold(answer: object, why: str = "") -> DefinitionError:
    shown = repr(answer)[:120]
    return DefinitionError(
        "`NumericMatch` needs a finite number or a text that is one in `task.answer`, "
        f"not {shown}{why}"
    )


_SWAPPED = str.maketrans(".,", ",.")
_SIGN = re.compile(r"[-+] ?")
_NEGATIVE_TOP = re.compile(r"[0-9 ]*\\[dt]?frac\{-")
_STARTS = re.compile(r"[-+.0-9\\]")

_SPACES = dict.fromkeys(map(ord, "\u00a0\u202f\u2009"), " ") | {0x2212: "-"}
_WRAPPERS = (("**", "**"), ("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))
_LATEX = (
    (re.compile(r"\\(?:text|textrm|mathrm)\{([^{}\\]*)\}"), r" \1"),
    (re.compile(r"\\[,;:! ]|(?<=[\w}%$])~|\\q?quad\b"), " "),  # ~42 is about 42
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\([%$])"), r"\1"),
    (re.compile(r"\^\{?\\circ\}?"), "\u00b0"),
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,15} *= *")


def _plain(text: str) -> str:
    """Take off what may stand around a number."""
    text = text.translate(_SPACES).strip(" \t\r\n")
    for _ in range(3):
        if not text.endswith(".."):
            text = text.removesuffix(".")
        for left, right in _WRAPPERS:
            inner = text[len(left) : -len(right)]
            if text.startswith(left) and text.endswith(right) and inner:
                text = inner.strip(" ")
    for pattern, plain in _LATEX:
        text = pattern.sub(plain, text)
    named = _NAME.match(text)
    return text[named.end() if named else 0 :].strip(" ")


_MANTISSA = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[1-9][0-9]{0,2}(?: [0-9]{3})+|[0-9]+)"
_DECIMAL = re.compile(
    rf"(?P<mantissa>{_MANTISSA}(?:\.[0-9]+)?|\.[0-9]+)"
    r"(?:[eE](?P<e>[-+]?[0-9]+)"
    r"| ?(?:\u00d7|\u00b7|x|\*|\\times|\\cdot) ?10\^(?:\{(?P<b>[-+]?[0-9]+)\}"
    r"|(?P<c>[-+]?[0-9]+)))?"
)
_FRACTION = re.compile(
    r"(?:(?P<whole>[0-9]+) ?(?=\\)|(?P<whole2>[0-9]+) )?"
    r"(?:(?P<top>[0-9]+) ?/ ?(?P<under>[0-9]+)"
    r"|\\[dt]?frac\{(?P<minus>-?)(?P<top2>[0-9]+)\}\{(?P<under2>[0-9]+)\})"
)


def _value(text: str, fractions: _Fractions) -> tuple[Fraction, str]:
    """Read the number that a text begins with; return it and what stands behind."""
    match = _FRACTION.match(text)
    if match:
        if fractions == "none":
            raise _Unreadable("a fraction is not read here")
        return _fraction(match, fractions == "reduced"), text[match.end() :]
    match = _DECIMAL.match(text)
    if match is None:
        raise _Unreadable(f"{text[:40]!r} does not begin with one")
    digits = re.sub("[ ,]", "", match["mantissa"])
    _check_digits(digits)
    exponent = match["e"] or match["b"] or match["c"] or "0"
    if len(exponent.lstrip("+-0")) > 3 or abs(int(exponent)) > MAX_EXPONENT:
        raise _Unreadable(f"an exponent is read up to {MAX_EXPONENT}")
    return Fraction(f"{digits}e{int(exponent)}"), text[match.end() :]


def _fraction(match: re.Match[str], reduced: bool) -> Fraction:
    whole = match["whole"] or match["whole2"]
    top, under = match["top"] or match["top2"], match["under"] or match["under2"]
    _check_digits((whole or "") + top + under)
    above, below = int(top), int(under)
    if not below:
        raise _Unreadable("it divides by zero")
    if whole is not None and (above >= below or match["minus"]):
        raise _Unreadable("the fraction of a mixed number must be below 1")
    if reduced and (below == 1 or math.gcd(above, below) > 1):
        raise _Unreadable("the fraction is not in lowest terms")
    value = int(whole or 0) + Fraction(above, below)
    return -value if match["minus"] else value


def _check_digits(digits: str) -> None:
    if len(digits) > MAX_DIGITS:
        raise _Unreadable(f"it has more than {MAX_DIGITS} digits")
