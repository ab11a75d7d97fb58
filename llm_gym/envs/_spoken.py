"""Values as people say them: numbers, times, dates and counts in words.

For environments whose requests must be understood before they can be carried out. It
knows English and nothing of tasks or tools.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

__all__ = [
    "WEEKDAYS",
    "Said",
    "Weekday",
    "in_words",
    "listed",
    "said_count",
    "said_date",
    "said_half",
    "said_time",
]

Weekday = Literal[
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"
]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
"""The days of the week, as `datetime.date.weekday` counts them."""


@dataclass(frozen=True, slots=True)
class Said:
    """A value and how it is said.

    Attributes:
        value: The value as a tool takes it, plain JSON.
        literal: Said as it is.
        spoken: Said so that it must be converted.
    """

    value: Any
    literal: str
    spoken: str


def in_words(number: int) -> str:
    """Write a number from 0 to 9,999 in words."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        ones = number % 10
        return _TENS[number // 10 - 2] + (f"-{_ONES[ones]}" if ones else "")
    unit, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    hundreds, rest = divmod(number, unit)
    joint = " and " if rest < 100 else " "
    return f"{in_words(hundreds)} {name}" + (joint + in_words(rest) if rest else "")


def listed(parts: Sequence[str]) -> str:
    """Join parts as `a, b and c`."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def said_half(halves: int, unit: str = "") -> Said:
    """Say a number of halves: 43 is 21.5, "twenty-one and a half"."""
    spoken = in_words(halves // 2) + (" and a half" if halves % 2 else "")
    return Said(halves / 2, f"{halves / 2:g}{unit}", f"{spoken}{unit}")


def said_count(count: int, what: str) -> Said:
    """Say how many of what: "half a dozen lemons"."""
    spoken = _COUNTS.get(count, in_words(count))
    return Said(count, f"{count} {what}", f"{spoken} {what}")


def said_time(hour: int, minute: int) -> Said:
    """Say a time of day, `HH:MM`: "half past seven in the evening".

    Args:
        hour: From 1 to 22: before and after, people speak of the night.
        minute: A multiple of five.
    """
    part = "morning" if hour < 12 else "afternoon" if hour < 18 else "evening"
    this, following = in_words((hour - 1) % 12 + 1), in_words(hour % 12 + 1)
    if minute == 0:
        spoken = f"{this} o'clock"
    elif minute <= 30:
        spoken = f"{_MINUTES.get(minute, in_words(minute))} past {this}"
    else:
        to = 60 - minute
        spoken = f"{_MINUTES.get(to, in_words(to))} to {following}"
    time = f"{hour:02}:{minute:02}"
    return Said(time, time, f"{spoken} in the {part}")


def said_date(today: datetime.date, ahead: int, *, by_weekday: bool = False) -> Said:
    """Say a date, `YYYY-MM-DD`: "the day after tomorrow".

    Args:
        today: The day from which it is told.
        ahead: How many days later it is, at least 1.
        by_weekday: Say "on the coming friday"; for less than 7 days ahead.
    """
    date = today + datetime.timedelta(days=ahead)
    spoken = _DATES.get(ahead, f"in {in_words(ahead)} days")
    if by_weekday and ahead < 7:
        spoken = f"on the coming {WEEKDAYS[date.weekday()]}"
    return Said(date.isoformat(), f"on {date.isoformat()}", spoken)


_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen"),
    *("seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_COUNTS = {2: "a pair of", 6: "half a dozen", 12: "a dozen"}
_MINUTES = {15: "quarter", 30: "half"}
_DATES = {1: "tomorrow", 2: "the day after tomorrow", 7: "a week from today"}
