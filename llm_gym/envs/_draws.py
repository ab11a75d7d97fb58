"""Random picks, and made-up names, codes and dates, for generated tasks.

Everything comes from the generator that is handed in, and is plain Python data.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TypeVar

import numpy as np

__all__ = [
    "FIRST_NAMES",
    "WORDS",
    "clock",
    "code",
    "day",
    "email",
    "person",
    "phone",
    "pick",
    "some",
    "town",
]

T = TypeVar("T")


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Return one of the options."""
    return options[int(rng.integers(len(options)))]


def some(rng: np.random.Generator, options: Sequence[T], count: int) -> list[T]:
    """Return different ones of the options, in random order."""
    chosen = rng.choice(len(options), size=count, replace=False)
    return [options[int(i)] for i in chosen]


def person(rng: np.random.Generator) -> str:
    """Return a first and a last name, one of 1,360."""
    return f"{pick(rng, FIRST_NAMES)} {pick(rng, _LAST_NAMES)}"


def town(rng: np.random.Generator) -> str:
    """Return a town's name."""
    return pick(rng, WORDS).capitalize() + pick(rng, _TOWN_ENDINGS)


def email(rng: np.random.Generator) -> str:
    """Return an address that reaches nobody."""
    number = int(rng.integers(10, 10_000))
    return f"{pick(rng, FIRST_NAMES).lower()}{number}@{pick(rng, WORDS)}.example"


def phone(rng: np.random.Generator) -> str:
    """Return a number like 555 01 23 45."""
    return " ".join(
        ["555", *(f"{int(pair):02d}" for pair in rng.integers(100, size=3))]
    )


def code(rng: np.random.Generator, letters: int, digits: int) -> str:
    """Return letters, a hyphen and digits."""
    head = "".join(pick(rng, "ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(letters))
    return f"{head}-{int(rng.integers(10**digits)):0{digits}d}"


def day(rng: np.random.Generator) -> date:
    """Return a day from 2031 to 2039."""
    return date(2031, 1, 1) + timedelta(days=int(rng.integers(3287)))


def clock(rng: np.random.Generator) -> str:
    """Return a time of day, HH:MM."""
    return f"{int(rng.integers(24)):02d}:{int(rng.integers(60)):02d}"


FIRST_NAMES = (
    *("Ada", "Bela", "Ciro", "Dagny", "Edda", "Farid", "Greta", "Hugo", "Ines"),
    *("Jonas", "Kaja", "Leto", "Mina", "Nils", "Oda", "Pavel", "Quirin", "Rosa"),
    *("Sven", "Tilda", "Ugo", "Vera", "Wim", "Xenia", "Yara", "Zoran", "Anouk"),
    *("Bruno", "Carla", "Dario", "Enno", "Frida", "Gustav", "Hanna", "Ilja", "Juri"),
    *("Katja", "Ludo", "Marta", "Nico"),
)
_LAST_NAMES = (
    *("Abel", "Brandt", "Costa", "Dreyer", "Egger", "Falk", "Grimm", "Holm", "Ibsen"),
    *("Jansen", "Kolar", "Lund", "Moreau", "Novak", "Olsen", "Petri", "Quist", "Rossi"),
    *("Sorel", "Thorn", "Ullman", "Vogel", "Weiss", "Young", "Zander", "Arden"),
    *("Bloom", "Carver", "Dahl", "Ellis", "Frost", "Gable", "Hale", "Irving"),
)
WORDS = (
    *("acorn", "basil", "cedar", "delta", "elder", "fern", "ginger", "hazel", "iris"),
    *("juniper", "kelp", "laurel", "maple", "nettle", "olive", "poplar", "quartz"),
    *("rowan", "sage", "tulip", "umber", "violet", "willow", "yarrow", "zinnia"),
    *("badger", "crane", "dolphin", "egret", "falcon", "gecko", "heron", "ibis", "jay"),
)
_TOWN_ENDINGS = ("bridge", "bury", "dale", "field", "ford", "ham", "mouth", "port")
