"""What people say of numbers, times and dates."""

from __future__ import annotations

import datetime

import pytest

from llm_gym.envs._spoken import (
    in_words,
    listed,
    said_count,
    said_date,
    said_half,
    said_time,
)

TODAY = datetime.date(2031, 12, 29)  # a monday


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (20, "twenty"),
        (99, "ninety-nine"),
        (100, "one hundred"),
        (305, "three hundred and five"),
        (1000, "one thousand"),
        (1040, "one thousand and forty"),
        (9999, "nine thousand nine hundred and ninety-nine"),
    ],
)
def test_number_is_written_in_words(number: int, words: str) -> None:
    assert in_words(number) == words


def test_numbers_in_words_are_all_different() -> None:
    assert len({in_words(number) for number in range(10_000)}) == 10_000


@pytest.mark.parametrize(
    ("hour", "minute", "value", "spoken"),
    [
        (7, 0, "07:00", "seven o'clock in the morning"),
        (9, 15, "09:15", "quarter past nine in the morning"),
        (19, 30, "19:30", "half past seven in the evening"),
        (14, 35, "14:35", "twenty-five to three in the afternoon"),
        (17, 45, "17:45", "quarter to six in the afternoon"),
        (21, 55, "21:55", "five to ten in the evening"),
        (12, 55, "12:55", "five to one in the afternoon"),
    ],
)
def test_time_is_said_as_people_do(
    hour: int, minute: int, value: str, spoken: str
) -> None:
    said = said_time(hour, minute)
    assert (said.value, said.literal, said.spoken) == (value, value, spoken)


@pytest.mark.parametrize(
    ("ahead", "by_weekday", "value", "spoken"),
    [
        (1, False, "2031-12-30", "tomorrow"),
        (2, False, "2031-12-31", "the day after tomorrow"),
        (3, False, "2032-01-01", "in three days"),
        (4, True, "2032-01-02", "on the coming friday"),
        (7, True, "2032-01-05", "a week from today"),
        (12, True, "2032-01-10", "in twelve days"),
    ],
)
def test_date_is_told_from_today(
    ahead: int, by_weekday: bool, value: str, spoken: str
) -> None:
    said = said_date(TODAY, ahead, by_weekday=by_weekday)
    assert (said.value, said.literal, said.spoken) == (value, f"on {value}", spoken)


def test_half_is_said_with_its_unit() -> None:
    said = said_half(43, " degrees")
    assert (said.value, said.literal) == (21.5, "21.5 degrees")
    assert said.spoken == "twenty-one and a half degrees"
    assert said_half(42).literal == "21"


def test_dozen_is_said_for_twelve() -> None:
    assert said_count(12, "eggs").spoken == "a dozen eggs"
    assert said_count(11, "eggs").spoken == "eleven eggs"


@pytest.mark.parametrize(
    ("parts", "text"),
    [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_parts_are_joined_as_a_sentence_does(parts: list[str], text: str) -> None:
    assert listed(parts) == text
