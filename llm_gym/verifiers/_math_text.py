r"""The text of a mathematical answer: bounded, put into one spelling, read as a number.

Nothing here computes what a model wrote: numbers are read digit by digit, so that
`9^{9^9}` is no number but a text that is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

__all__ = [
    "MAX_CHARS",
    "Number",
    "Refused",
    "clean",
    "number",
    "split_unit",
    "tokens",
]

MAX_CHARS = 2_000
"""Characters of an answer."""

_MAX_DEPTH = 200
_MAX_DIGITS = 100
_MAX_EXPONENT_DIGITS = 4
_MAX_TOWER = 3


class Refused(ValueError):
    """An answer is not in a form that is judged; the message says why."""


@dataclass(frozen=True, slots=True)
class Number:
    """A rational number, and how it was written.

    Attributes:
        value: The number.
        kind: How it was written.
        lowest: Whether a fraction was written in lowest terms, with a denominator
            above 1.
    """

    value: Fraction
    kind: str
    lowest: bool = True


def clean(text: str) -> str:
    """Put an answer into one spelling, and hold it to the bounds.

    Raises:
        Refused: It is too long, too deep, or holds what is no mathematics.
    """
    if len(text) > MAX_CHARS:
        raise Refused(f"the answer has more than {MAX_CHARS} characters")
    for pattern, spelling in _SPELLINGS:
        text = pattern.sub(spelling, text)
    text = _stripped(text)
    odd = next((char for char in text if not " " <= char <= "~"), "")
    if odd:
        raise Refused(f"the answer holds {odd!r}, which is no mathematics here")
    for length, what in _BOUNDS:
        if length.search(text):
            raise Refused(f"the answer has {what}")
    if _depth(text) > _MAX_DEPTH:
        raise Refused(f"the answer has more than {_MAX_DEPTH} nested brackets")
    return text


def _stripped(text: str) -> str:
    r"""Take off what stands round an answer: `$`, `\boxed{}`, a full stop."""
    text = " ".join(text.split())
    before = None
    while text != before:
        before = text
        text = text.strip().removesuffix(".").strip()
        for left, right in _ROUND:
            inner = text[len(left) : len(text) - len(right)]
            whole = len(text) >= len(left) + len(right) and text.startswith(left)
            if whole and text.endswith(right) and _alone(inner, left):
                text = inner
    return text


def _alone(inner: str, left: str) -> bool:
    """Say whether what stands inside of a pair is closed in itself."""
    if left.endswith("{"):
        depth = 0
        for token in re.finditer(r"\\.|[{}]", inner):
            depth += {"{": 1, "}": -1}.get(token[0], 0)
            if depth < 0:
                return False
        return depth == 0
    return left not in inner.replace("\\$", "")


_ROUND = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("\\boxed{", "}"))


def _depth(text: str) -> int:
    """Return how deep brackets of any kind are nested, or how many are not closed."""
    depth = most = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        most = max(most, abs(depth))
    return most


_TOWER = rf"(?:\^[\s{{(]*(?:\d+|[a-zA-Z])\s*){{{_MAX_TOWER}}}"
_BOUNDS = (
    (re.compile(rf"\d{{{_MAX_DIGITS + 1}}}"), f"a number of over {_MAX_DIGITS} digits"),
    (
        re.compile(rf"\^[\s{{(+-]*0*[1-9]\d{{{_MAX_EXPONENT_DIGITS}}}"),
        f"an exponent of over {_MAX_EXPONENT_DIGITS} digits",
    ),
    (re.compile(_TOWER), "exponents of exponents"),
)

_Spelling = str | Callable[["re.Match[str]"], str]


def _superscript(match: re.Match[str]) -> str:
    return "^{" + match[0].translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")) + "}"


_SPELLINGS: tuple[tuple[re.Pattern[str], _Spelling], ...] = tuple(
    (re.compile(pattern), spelling)
    for pattern, spelling in (
        ("[\u2212\u2013\u2012\ufe63\uff0d]", "-"),
        ("[\u00a0\u2000-\u200a\u202f\u2060\ufeff\u200b]", " "),
        ("[\u00d7\u2715]", r"\\times "),
        ("[·⋅∙]", r"\\cdot "),
        ("÷", "/"),
        ("π", r"\\pi "),
        ("∞", r"\\infty "),
        ("≤", r"\\le "),
        ("≥", r"\\ge "),
        ("≠", r"\\ne "),
        ("∈", r"\\in "),
        ("\u222a", r"\\cup "),
        ("[∅Ø]", r"\\emptyset "),
        ("±", r"\\pm "),
        ("°|º", r"^{\\circ}"),
        ("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", _superscript),
        ("½", r"\\frac{1}{2}"),
        ("¼", r"\\frac{1}{4}"),
        ("¾", r"\\frac{3}{4}"),
        ("√", "sqrt"),
        (r"\\displaystyle|\\textstyle|\\limits", " "),
        (r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])\.?", ""),
        (r"(?<!\\)\\[,;:! ]|\\q?quad(?![a-zA-Z])|~|\\thinspace", " "),
        (r"\\[dtc]frac(?![a-z])", r"\\frac"),
        (r"\\(?:mathrm|textbf|mathbf|textit|mbox|textrm|rm)\{", r"\\text{"),
        (r"\\leq?(?:slant)?(?![a-zA-Z])|<=", r"\\le "),
        (r"\\geq?(?:slant)?(?![a-zA-Z])|>=", r"\\ge "),
        (r"\\neq(?![a-zA-Z])|!=", r"\\ne "),
        (r"\\lt(?![a-zA-Z])", "<"),
        (r"\\gt(?![a-zA-Z])", ">"),
        (r"\\varnothing(?![a-zA-Z])", r"\\emptyset "),
        (r"\\l?brace(?![a-zA-Z])", r"\\{"),
        (r"\\rbrace(?![a-zA-Z])", r"\\}"),
        (r"\\ast(?![a-zA-Z])", "*"),
        (r"\*\*", "^"),
        (r"\{,\}", ","),
        (r"\^\s*(?:\\circ|\{\s*\\circ\s*\})", r"\\text{ degrees}"),
        (r"(?<![a-zA-Z\\])pi(?![a-zA-Z])", r"\\pi "),
        (r"(?<![a-zA-Z\\])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"(?<![a-zA-Z\\])sqrt\s*(\d+)", r"\\sqrt{\1}"),
        (r"(?<![a-zA-Z\\])sqrt(?=\{)", r"\\sqrt"),
        (r"\\sqrt\s*(\d)", r"\\sqrt{\1}"),
        (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{"),
        (r"\\frac\s*\{(-?\d+)\}\s*(\d)", r"\\frac{\1}{\2}"),
    )
)


_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)"
_FRACTION = r"\\frac\{\s*([+-]?\d+)\s*\}\{\s*([+-]?\d+)\s*\}"
_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("integer", re.compile(rf"({_DIGITS})")),
    ("decimal", re.compile(rf"({_DIGITS}?)\.(\d+)|({_DIGITS})\.")),
    ("fraction", re.compile(rf"{_FRACTION}|(\d+)\s*/\s*(\d+)")),
    ("mixed", re.compile(rf"(\d+)(?:\s*{_FRACTION}| (\d+)/(\d+))")),
    (
        "scientific",
        re.compile(
            r"(\d+(?:\.\d+)?)(?:\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*"
            r"(?:\{\s*([+-]?\d{1,4})\s*\}|(\d))|[eE]([+-]?\d{1,4}))"
        ),
    ),
)


def number(text: str) -> Number | None:
    r"""Read a rational number: 12, 1,200, 0.5, 3/4, \frac{3}{4}, 2\frac{1}{2}, 5\%.

    Args:
        text: A cleaned text.

    Returns:
        None if it is none of these forms: a sum, a power and a product are not.
    """
    text = _bare(text)
    sign = -1 if text.startswith("-") else 1
    text = text[1:].strip() if text[:1] in ("+", "-") else text
    percent = text.endswith("%")
    if percent:
        text = text[:-1].removesuffix("\\").strip()
    for kind, form in _FORMS:
        match = form.fullmatch(text)
        if match is None:
            continue
        read = _READERS[kind]([group for group in match.groups() if group is not None])
        if read is None:
            return None
        value, lowest = read
        if percent:
            return Number(sign * value / 100, "percent")
        return Number(sign * value, kind, lowest)
    return None


def _bare(text: str) -> str:
    """Take off braces and parentheses round the whole."""
    text = text.strip()
    for left, right in ("{}", "()"):
        inner = text[1:-1]
        if text[:1] == left and text[-1:] == right and not set(inner) & set("(){},"):
            return inner.strip()
    return text


_Read = tuple[Fraction, bool] | None


def _plain(groups: list[str]) -> _Read:
    return Fraction(".".join(_joined(group) or "0" for group in groups)), True


def _fraction(groups: list[str]) -> _Read:
    above, below = int(groups[0]), int(groups[1])
    if not below:
        return None
    value = Fraction(above, below)
    return value, abs(below) == value.denominator > 1


def _mixed(groups: list[str]) -> _Read:
    above, below = int(groups[1]), int(groups[2])
    if not 0 < above < below:
        return None
    part = Fraction(above, below)
    return int(groups[0]) + part, below == part.denominator


def _scientific(groups: list[str]) -> _Read:
    return Fraction(groups[0]) * Fraction(10) ** int(groups[1]), True


_READERS: dict[str, Callable[[list[str]], _Read]] = {
    "integer": _plain,
    "decimal": _plain,
    "fraction": _fraction,
    "mixed": _mixed,
    "scientific": _scientific,
}


def _joined(digits: str) -> str:
    return digits.replace(",", "").replace(" ", "")


_UNITS = {
    alias: unit
    for unit, aliases in {
        "degree": "degree degrees deg",
        "dollar": "dollar dollars usd",
        "euro": "euro euros eur",
        "cent": "cent cents",
        "mm": "mm millimeter millimeters millimetre millimetres",
        "cm": "cm centimeter centimeters centimetre centimetres",
        "m": "m meter meters metre metres",
        "km": "km kilometer kilometers kilometre kilometres",
        "inch": "in inch inches",
        "foot": "ft foot feet",
        "mile": "mi mile miles",
        "g": "g gram grams",
        "kg": "kg kilogram kilograms",
        "second": "s sec second seconds",
        "minute": "min minute minutes",
        "hour": "h hr hour hours",
        "day": "day days",
        "year": "year years",
        "litre": "l liter liters litre litres",
        "ml": "ml milliliter milliliters millilitre millilitres",
        "unit": "unit units",
        "km/h": "km/h kmh kph",
        "mph": "mph",
        "m/s": "m/s",
        "way": "way ways",
    }.items()
    for alias in aliases.split()
}

_UNIT = re.compile(
    r"(.*[\d})\]])\s*(?:\\text\{\s*([a-zA-Z/. ]+?)\s*\}|([a-zA-Z/]{2,}(?: [a-zA-Z]+)?))"
    r"\s*(?:\^\s*\{?\s*([23])\s*\}?)?"
)
_MONEY = re.compile(r"(-?)\s*\\?\$\s*(\d.*)")


def split_unit(text: str) -> tuple[str, str]:
    """Return a text without its unit, and the unit, "" if it has none that is known.

    Args:
        text: A cleaned text.
    """
    money = _MONEY.fullmatch(text)
    if money is not None:
        return money[1] + money[2], "dollar"
    match = _UNIT.fullmatch(text)
    if match is None:
        return text, ""
    words = (match[2] or match[3]).lower().replace(".", "").split()
    power = match[4] or ""
    if words[0] in _POWERS and len(words) == 2:
        power, words = _POWERS[words[0]], words[1:]
    unit = _UNITS.get(words[0]) if len(words) == 1 else None
    return (match[1].strip(), unit + power) if unit else (text, "")


_POWERS = {"square": "2", "sq": "2", "cubic": "3", "cu": "3"}


def tokens(text: str) -> list[str]:
    r"""Split a text into commands (`\frac`), letters, numerals and signs."""
    return _TOKEN.findall(text)


_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[a-zA-Z]|\d+(?:\.\d+)?|[^\s]")
