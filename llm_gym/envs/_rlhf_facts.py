"""Facts that notes tell in one form and a letter must tell in another.

What is told differs from what stands in the notes, and follows from it by one rule of
`RULES`: a reply that copies the notes tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from llm_gym.envs._draws import day, person

__all__ = ["ITEMS", "RULES", "Item", "Noted", "draw"]

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Noted:
    """A line of the notes.

    Attributes:
        noted: How the notes have it.
        told: How a letter must have it, in one fact or two.
    """

    noted: str
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """What notes may be about.

    Attributes:
        label: What the notes call it.
        kinds: The kinds of facts that it may be, the easy one first.
        sentence: A sentence that tells it, with a place for each fact.
        other: The same for its second kind.
    """

    label: str
    kinds: tuple[str, ...]
    sentence: str
    other: str = ""


_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
_DAYS = (
    *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
)


def _date(rng: Rng) -> Noted:
    when = day(rng)
    told = f"{when.day} {_MONTHS[when.month - 1]} {when.year}"
    return Noted(when.isoformat(), (told,))


def _weekday(rng: Rng) -> Noted:
    when = day(rng)
    name, month = _DAYS[when.weekday()], _MONTHS[when.month - 1]
    return Noted(when.isoformat(), (f"{name} {when.day} {month} {when.year}",))


def _half_day(minutes: int) -> str:
    hour, minute = divmod(minutes, 60)
    return f"{hour % 12 or 12}:{minute:02d} pm"


def _afternoon(rng: Rng, last: int) -> int:
    return 60 * int(rng.integers(13, last)) + 5 * int(rng.integers(12))


def _clock(rng: Rng) -> Noted:
    minutes = _afternoon(rng, 22)
    return Noted(f"{minutes // 60}:{minutes % 60:02d}", (_half_day(minutes),))


def _from_to(rng: Rng) -> Noted:
    begins, takes = _afternoon(rng, 18), 5 * int(rng.integers(14, 47))
    noted = f"{begins // 60}:{begins % 60:02d}, {takes} min"
    return Noted(noted, (_half_day(begins), _half_day(begins + takes)))


def _money(rng: Rng) -> Noted:
    amount = int(rng.integers(1_001, 9_990))
    return Noted(f"EUR {amount}", (f"{amount:,} euros",))


def _product(rng: Rng) -> Noted:
    count, price = int(rng.integers(6, 20)), int(rng.integers(7, 40))
    return Noted(f"{count} at EUR {price} each", (f"{count * price} euros",))


def _span(rng: Rng) -> Noted:
    hours, minutes = int(rng.integers(2, 6)), 5 * int(rng.integers(2, 12))
    return Noted(f"{60 * hours + minutes} min", (f"{hours} hours {minutes} minutes",))


def _thousandths(noted: str, told: str) -> Callable[[Rng], Noted]:
    def draw_one(rng: Rng) -> Noted:
        whole, tenth = int(rng.integers(1, 9)), int(rng.integers(1, 10))
        return Noted(f"{whole}{tenth}00 {noted}", (f"{whole}.{tenth} {told}",))

    return draw_one


def _person(rng: Rng) -> Noted:
    first, last = person(rng).split()
    return Noted(f"{last.upper()}, {first}", (f"{first} {last}",))


def _share(rng: Rng) -> Noted:
    share = int(rng.integers(11, 90))
    return Noted(f"0.{share}", (f"{share} percent",))


def _phone(rng: Rng) -> Noted:
    pairs = [f"{int(pair):02d}" for pair in rng.integers(100, size=3)]
    return Noted(f"555{''.join(pairs)}", (f"555 {' '.join(pairs)}",))


_KINDS: dict[str, Callable[[Rng], Noted]] = {
    "date": _date,
    "weekday": _weekday,
    "clock": _clock,
    "from_to": _from_to,
    "money": _money,
    "product": _product,
    "span": _span,
    "weight": _thousandths("g", "kg"),
    "distance": _thousandths("m", "km"),
    "person": _person,
    "share": _share,
    "phone": _phone,
}
RULES = {
    "date": "a date like 5 April 2033",
    "weekday": "a date with its weekday, like Tuesday 5 April 2033",
    "clock": "a time like 6:30 pm",
    "from_to": "when it begins and when it ends, like 2:10 pm and 4:25 pm",
    "money": "a sum like 1,250 euros",
    "product": "the total alone, like 540 euros",
    "span": "a duration like 2 hours 15 minutes",
    "weight": "a weight like 2.5 kg",
    "distance": "a distance like 3.4 km",
    "person": "a name like Marta Lund",
    "share": "a share like 35 percent",
    "phone": "a number like 555 01 23 45",
}
"""How each kind is told."""

ITEMS = (
    Item(
        "day",
        ("date", "weekday"),
        "We have chosen {} for it and hope that this suits you well.",
        "It will take place on {}, and we hope that this suits you well.",
    ),
    Item(
        "time",
        ("clock", "from_to"),
        "Our doors open at {}, so please leave home early enough.",
        "We begin at {} and close the doors again at {}.",
    ),
    Item(
        "whom to ask", ("person",), "If something is unclear, {} will gladly help you."
    ),
    Item("telephone", ("phone",), "You reach the office on {} during the week."),
    Item(
        "from the station",
        ("distance",),
        "From the station there is a pleasant way of {} along the river.",
    ),
    Item(
        "money",
        ("money", "product"),
        "Thanks to many small gifts we were able to raise {} so far.",
        "All tickets together will bring {} to those who need it most.",
    ),
    Item("cake", ("weight",), "A baker of our street gives us a cake of {} to share."),
    Item("seats left", ("share",), "At the moment {} of the seats are still free."),
    Item("tour", ("span",), "Whoever likes to walk can join a tour of {} as well."),
)
"""What the notes may tell; the first two they always do."""


def draw(rng: Rng, item: Item, *, hard: bool) -> tuple[str, Noted, str]:
    """Draw what the notes say of an item.

    Args:
        rng: Where the randomness comes from.
        item: The item.
        hard: Whether its second kind is taken, where it has one.

    Returns:
        The kind, what is noted, and a sentence that tells it.
    """
    kind = item.kinds[-1] if hard else item.kinds[0]
    sentence = item.other if hard and item.other else item.sentence
    noted = _KINDS[kind](rng)
    return kind, noted, sentence.format(*noted.told)
