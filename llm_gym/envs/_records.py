"""Kinds of records: what facts they have, how a text tells them, what a schema wants.

A fact is drawn once and told twice: in words, and as the value under its schema.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_gym.envs._draws import clock, code, day, email, person, phone, pick, some, town

__all__ = ["CONTACTS", "KINDS", "LEVELS", "Fact", "Field", "Kind"]

LEVELS = 4
"""At the highest of these levels, schemas want codes for words and smaller units."""

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Fact:
    """A value with what the text says of it, and its schema.

    Attributes:
        words: What stands in the text.
        value: What the schema asks for.
        schema: What the schema says of it.
        note: What the description must add.
    """

    words: str
    value: Any
    schema: dict[str, Any]
    note: str = ""


Draw = Callable[[Rng, int], Fact]


def _text(draw: Callable[[Rng], str], **schema: Any) -> Draw:
    """Return what draws a text that stands in the value as in the sentence."""

    def fact(rng: Rng, level: int) -> Fact:
        words = draw(rng)
        return Fact(words, words, {"type": "string", **schema})

    return fact


_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)


def _date(rng: Rng, level: int) -> Fact:
    date = day(rng)
    words = f"{date.day} {_MONTHS[date.month - 1]} {date.year}" if level else f"{date}"
    schema = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
    return Fact(words, date.isoformat(), schema, "as YYYY-MM-DD")


def _flag(rng: Rng, level: int) -> Fact:
    value = bool(rng.integers(2))
    return Fact("is" if value else "is not", value, {"type": "boolean"})


def _count(rng: Rng, level: int) -> Fact:
    value = int(rng.integers(1, 500))
    return Fact(f"{value}", value, {"type": "integer", "minimum": 0, "maximum": 999})


def _decimal(low: int, high: int, places: int) -> Draw:
    """Return what draws a number with a few decimal places, low and high scaled up."""

    def draw(rng: Rng, level: int) -> Fact:
        value = int(rng.integers(low, high)) / 10**places
        schema = {"type": "number", "minimum": min(low, 0), "maximum": high}
        return Fact(f"{value:.{places}f}", value, schema)

    return draw


def _measure(unit: str, part: str, places: int, low: int, high: int) -> Draw:
    """Return what draws a measure; at the top level the schema wants a smaller unit."""

    def draw(rng: Rng, level: int) -> Fact:
        parts = int(rng.integers(low, high))
        value = parts / 10**places
        words = f"{value:.{places}f} {unit}"
        if level == LEVELS - 1:
            return Fact(words, parts, {"type": "integer", "minimum": 0}, f"in {part}")
        return Fact(words, value, {"type": "number", "minimum": 0}, f"in {unit}")

    return draw


def _choice(words: Sequence[str]) -> Draw:
    """Return what draws a word; at the top level the schema wants a code for it."""

    def draw(rng: Rng, level: int) -> Fact:
        word = pick(rng, words)
        if level < LEVELS - 1:
            return Fact(word, word, {"type": "string", "enum": list(words)})
        codes = dict(zip(words, some(rng, range(1, 100), len(words)), strict=True))
        note = ", ".join(f"{code} for {word}" for word, code in codes.items())
        return Fact(word, codes[word], {"enum": sorted(codes.values())}, note)

    return draw


_DRAWS: dict[str, Draw] = {
    "code": _text(lambda rng: code(rng, 2, 4), pattern="^[A-Z]{2}-[0-9]{4}$"),
    "person": _text(person, minLength=1),
    "phone": _text(phone, pattern="^[0-9]{3}( [0-9]{2}){3}$"),
    "email": _text(email, pattern="^[^@ ]+@[^@ ]+$"),
    "town": _text(town, minLength=1),
    "time": _text(clock, pattern="^[0-9]{2}:[0-9]{2}$"),
    "date": _date,
    "flag": _flag,
    "count": _count,
    "money": _decimal(100, 90_000, 2),
    "degrees": _decimal(-300, 400, 1),
    "kg": _measure("kg", "g", 3, 200, 30_000),
    "km": _measure("km", "m", 3, 900, 30_000),
    "m": _measure("m", "cm", 2, 145, 205),
    "cm": _measure("cm", "mm", 1, 1, 400),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A fact of a record.

    Attributes:
        names: What a schema may call it.
        about: What a schema says of it.
        sentence: What a text says of it, with `{}` for the words.
        draw: Draws it, for a level.
    """

    names: tuple[str, ...]
    about: str
    sentence: str
    draw: Draw


def _table(text: str) -> tuple[Field, ...]:
    """Read fields: names, description, sentence, and what draws the value."""
    fields = []
    for line in text.strip().splitlines():
        names, about, sentence, draw = (part.strip() for part in line.split("|"))
        words = draw.split("/")
        drawn = _DRAWS[draw] if len(words) == 1 else _choice(words)
        fields.append(Field(tuple(names.split()), about, sentence, drawn))
    return tuple(fields)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of record.

    Attributes:
        name: What it is.
        opening: How a text about it begins.
        fields: Its facts; the first two change most with the level.
        list_names: What a schema may call its list.
        item: The facts of each item of the list.
    """

    name: str
    opening: str
    fields: tuple[Field, ...]
    list_names: tuple[str, ...]
    item: tuple[Field, ...]


KINDS = (
    Kind(
        "order",
        "This is an order.",
        _table("""
carrier transport | how it is sent | It goes by {}. | courier/post/bicycle/boat/rail
weight mass | what it weighs | It weighs {}. | kg
order_number order_id | its number | Its number is {}. | code
customer buyer | who placed it | {} placed it. | person
placed_on order_date | when it was placed | It was placed on {}. | date
due_on needed_by | when it is due | It is due on {}. | date
deposit prepaid | the deposit in euros | A deposit of {} euros was paid. | money
gift as_gift | whether it is a gift | It {} a gift. | flag
town destination | where it goes | It goes to {}. | town
"""),
        ("lines", "articles", "positions"),
        _table("""
article sku | the code of the article | article {} | code
quantity pieces | how many pieces | {} pieces | count
unit_price price_each | the price of one in euros | {} euros each | money
"""),
    ),
    Kind(
        "walk",
        "This is about a guided walk.",
        _table("""
language spoken | the guide's language | It is held in {}. | Danish/Welsh/Basque/Malay
distance route_length | how long the route is | The route is {} long. | km
walk_code tour_id | its code | Its code is {}. | code
guide led_by | who leads it | {} leads it. | person
day takes_place_on | when it takes place | It takes place on {}. | date
starts_at start_time | when it starts | It starts at {}. | time
places capacity | how many people can join | {} people can join. | count
fee ticket_price | the price of a ticket in euros | A ticket costs {} euros. | money
dogs dogs_allowed | whether it is open to dogs | It {} open to dogs. | flag
"""),
        ("stops", "breaks", "pauses"),
        _table("""
town location | the town | in {} | town
time arrival | the time of arrival | at {} | time
minutes rest | how many minutes the stop takes | for {} minutes | count
"""),
    ),
    Kind(
        "employee",
        "Somebody new works here.",
        _table("""
department team | the department | The department is {}. | sales/kitchen/archive/garden
height body_height | the body height | The body height is {}. | m
badge staff_id | the code on the badge | The badge reads {}. | code
name full_name | the full name | The name is {}. | person
born_on birthday | the birthday | The birthday is {}. | date
started_on first_day | the first day at work | The first day was {}. | date
hourly_pay wage | the hourly pay in euros | An hour is paid with {} euros. | money
remote home_office | whether work from home is agreed | Home office {} agreed. | flag
home_town lives_in | the home town | The home town is {}. | town
"""),
        ("earlier_jobs", "career", "experience"),
        _table("""
place company_town | the town | in {} | town
months duration | how many months the job lasted | {} months | count
boss supervisor | the boss there | under {} | person
"""),
    ),
    Kind(
        "measurement",
        "This is the log of a weather station.",
        _table("""
sky cloud_cover | what the sky was like | The sky was {}. | clear/cloudy/overcast/foggy
rain rainfall | how much rain fell | The gauge held {} of rain. | cm
station station_id | the station's code | The station is {}. | code
observer logged_by | who kept the log | {} kept the log. | person
day logged_on | the day of the log | The day is {}. | date
sunrise sun_up | when the sun rose | The sun rose at {}. | time
water lake | the temperature of the lake | The lake had {} degrees. | degrees
gusts gust_count | how many gusts there were | {} gusts were counted. | count
calibrated checked | whether the station is calibrated | It {} calibrated. | flag
"""),
        ("readings", "samples", "observations"),
        _table("""
time read_at | the time of the reading | at {} | time
air temperature | the temperature of the air | {} degrees | degrees
visitors people | how many people were there | {} people there | count
"""),
    ),
)
"""Every kind of record."""

CONTACTS = _table("""
phone number | the number | Questions go to the number {}. | phone
email address | the address | Questions go to the mailbox {}. | email
""")
"""The ways to reach somebody; the names are those of the way and of its property."""
