"""Generated questions with lettered options, and an answer that is read strictly.

The options never tell which one is right: for numbers, dates and times the right one
takes any place of a lattice of neighbours with equal chance; elsewhere all options are
made alike before one is drawn to be right. Who looks at the options alone guesses.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from llm_gym.env import ToolEnv
from llm_gym.envs._draws import FIRST_NAMES, pick, some
from llm_gym.tasks import GeneratedTasks, Task
from llm_gym.verifiers.choice import ChoiceMatch, Reading, read_letter

__all__ = ["MultipleChoiceEnv", "Reading", "generate", "read_letter"]

LETTERS = "ABCDEFGHIJ"
OPTIONS = (4, 6, 8, 10)
"""How many options a question has, by level."""


@dataclass(frozen=True, slots=True)
class _Question:
    text: str
    right: str
    wrong: Sequence[str]


def _between(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def _offsets(rng: np.random.Generator, count: int, small: int, large: int) -> list[int]:
    """Return how far the wrong values lie from the right one.

    All values form a lattice of two rows; the right one may be any point of it.
    """
    points = [row * large + i * small for row in (0, 1) for i in range(count // 2)]
    right = pick(rng, points)
    return [point - right for point in points if point != right]


def _arithmetic(rng: np.random.Generator, level: int) -> _Question:
    a, b, c = (_between(rng, 40, 99) for _ in range(3))
    d, e = _between(rng, 3, 9), _between(rng, 100, 999)
    short = (
        (f"{a} * {b} - {c} + {e}", a * b - c + e),
        (f"{a} + {b} * {c} + {e}", a + b * c + e),
        (f"({a} + {b}) * {d} + {e}", (a + b) * d + e),
    )
    long = (
        (f"{a} * {b} - {d} * {c} + {e}", a * b - d * c + e),
        (f"({e} - {c}) * {d} + {a} * {b}", (e - c) * d + a * b),
        (f"{e} * {a} - ({b} + {c}) * {d}", e * a - (b + c) * d),
    )
    text, right = pick(rng, short if level < 2 else long)
    small, large = pick(rng, (1, 2, 3, 5, 9, 10)), pick(rng, (50, 60, 100))
    offsets = _offsets(rng, OPTIONS[level], small, large)
    return _Question(
        f"What is {text}?", str(right), [str(right + offset) for offset in offsets]
    )


def _date(rng: np.random.Generator, level: int) -> _Question:
    start = date(1950, 1, 1) + timedelta(days=_between(rng, 0, 50_000))
    days = _between(rng, 10, 60 + 100 * level)
    word, sign = pick(rng, (("after", 1), ("before", -1)))
    right = start + timedelta(days=sign * days)
    offsets = _offsets(rng, OPTIONS[level], 1, pick(rng, (7, 10, 30)))
    wrong = [(right + timedelta(days=offset)).isoformat() for offset in offsets]
    text = f"Which date is {days} days {word} {start.isoformat()}?"
    return _Question(text, right.isoformat(), wrong)


def _clock(rng: np.random.Generator, level: int) -> _Question:
    start, hours = _between(rng, 0, 1439), _between(rng, 2, 5 + 6 * level)
    minutes = _between(rng, 1, 59)
    vehicle, place = (
        pick(rng, ("train", "ship", "bus", "plane")),
        pick(rng, FIRST_NAMES),
    )
    right = start + 60 * hours + minutes
    offsets = _offsets(rng, OPTIONS[level], pick(rng, (1, 5, 10)), 60)
    text = (
        f"A {vehicle} to {place}ville leaves at {_time(start)}, and arrives {hours} "
        f"hours and {minutes} minutes later. What does the clock show when it arrives?"
    )
    return _Question(text, _time(right), [_time(right + offset) for offset in offsets])


def _time(minutes: int) -> str:
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def _count(rng: np.random.Generator, level: int) -> _Question:
    count = OPTIONS[level]
    divisor, right = _between(rng, 3, 5 + 2 * level), _between(rng, 0, count - 1)
    numbers = [divisor * _between(rng, 10, 200) for _ in range(right)]
    for _ in range(count + 2 - right):
        offset = _between(rng, 1, divisor - 1)
        numbers.append(divisor * _between(rng, 10, 200) + offset)
    listed = ", ".join(str(number) for number in some(rng, numbers, len(numbers)))
    text = f"How many of these numbers can be divided by {divisor}: {listed}?"
    wrong = [str(other) for other in range(count) if other != right]
    return _Question(text, str(right), wrong)


def _alphabet(rng: np.random.Generator, level: int) -> _Question:
    count = OPTIONS[level]
    stem = "".join(some(rng, _CONSONANTS, level))
    words: list[str] = []
    while len(words) < count:
        word = stem + "".join(
            pick(rng, _CONSONANTS) + pick(rng, "aeiou") for _ in "123"
        )
        if word not in words:
            words.append(word)
    place = _between(rng, 1, count)
    right = sorted(words)[place - 1]
    text = f"Which word is the {_ordinal(place)} in alphabetical order?"
    return _Question(text, right, [word for word in words if word != right])


def _rotation(rng: np.random.Generator, level: int) -> _Question:
    count = OPTIONS[level]
    letters = "".join(some(rng, "abcdefghijklmnopqrstuvwxyz", count + 3))
    base = letters[::-1] if level >= 2 else letters
    shifts = some(rng, range(1, len(letters)), count)
    right, *wrong = (base[shift:] + base[:shift] for shift in shifts)
    first = "Write it backwards, then move" if level >= 2 else "Move"
    text = (
        f"Take the text {letters}. {first} its first {shifts[0]} letters to the end, "
        "in their order. What is the result?"
        if shifts[0] > 1
        else f"Take the text {letters}. {first} its first letter to the end. "
        "What is the result?"
    )
    return _Question(text, right, wrong)


def _ranking(rng: np.random.Generator, level: int) -> _Question:
    order = some(rng, FIRST_NAMES, OPTIONS[level])
    more, less, most = pick(rng, _COMPARED)
    clues = [f"{a} is {more} than {b}." for a, b in itertools.pairwise(order)]
    if level >= 1:
        turned = [f"{b} is {less} than {a}." for a, b in itertools.pairwise(order)]
        clues = [pick(rng, pair) for pair in zip(clues, turned, strict=True)]
    place = _between(rng, 1, len(order))
    text = (
        f"{' '.join(some(rng, clues, len(clues)))} "
        f"Who is the {_ordinal(place)} when they line up from the {most}?"
    )
    right = order[place - 1]
    return _Question(text, right, [name for name in order if name != right])


def _lamps(rng: np.random.Generator, level: int) -> _Question:
    said, holds = pick(rng, _PAIR_CLAIMS if level < 2 else _TRIPLE_CLAIMS)
    # A set of states of the lamps is an int, with a bit for each state that is in it.
    lit = dict(zip(some(rng, _COLOURS, _LAMPS), _STATES_WITH_LAMP_LIT, strict=True))
    sets = list(itertools.combinations(lit, 2 if level < 2 else 3))
    while True:
        claims = [some(rng, c, len(c)) for c in some(rng, sets, OPTIONS[level])]
        true = [holds(*(lit[colour] for colour in claim)) for claim in claims]
        alone = [_only_in(i, true) for i in range(len(claims))]
        if all(alone):  # else a claim could be ruled out without knowing the state
            break
    number = int(rng.integers(len(claims)))
    state = pick(rng, [s for s in range(2**_LAMPS) if alone[number] >> s & 1])
    words = {c: "on" if states >> state & 1 else "off" for c, states in lit.items()}
    listed = "; ".join(f"{colour} is {word}" for colour, word in words.items())
    right, *wrong = (said.format(*c) for c in (claims.pop(number), *claims))
    text = f"There are seven lamps: {listed}. Which of these is true?"
    return _Question(text, right, wrong)


def _only_in(index: int, sets: Sequence[int]) -> int:
    """Return what is in one of the sets and in no other."""
    others = (other for i, other in enumerate(sets) if i != index)
    return sets[index] & ~functools.reduce(operator.or_, others)


def _ordinal(number: int) -> str:
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number, 'th') }"


_FAMILIES: dict[str, Callable[[np.random.Generator, int], _Question]] = {
    "arithmetic": _arithmetic,
    "date": _date,
    "clock": _clock,
    "count": _count,
    "alphabet": _alphabet,
    "rotation": _rotation,
    "ranking": _ranking,
    "lamps": _lamps,
}
_CONSONANTS = "bcdfghjklmnpqrstvwxyz"
_COLOURS = (
    *("amber", "black", "blue", "bronze", "cream", "gold", "green", "grey", "ivory"),
    *("lilac", "olive", "orange", "pink", "purple", "red", "silver", "white", "yellow"),
)
_COMPARED = (
    ("taller", "shorter", "tallest"),
    ("older", "younger", "oldest"),
    ("faster", "slower", "fastest"),
    ("richer", "poorer", "richest"),
    ("louder", "quieter", "loudest"),
)
_LAMPS = 7
_STATES_WITH_LAMP_LIT = [
    sum(1 << state for state in range(2**_LAMPS) if state >> lamp & 1)
    for lamp in range(_LAMPS)
]
_ALL_STATES = 2**2**_LAMPS - 1
_PAIR_CLAIMS: tuple[tuple[str, Callable[..., int]], ...] = (
    ("{} is on and {} is off", lambda a, b: a & ~b),
    ("{} and {} are both on", lambda a, b: a & b),
    ("{} and {} are both off", lambda a, b: _ALL_STATES & ~(a | b)),
)
_TRIPLE_CLAIMS: tuple[tuple[str, Callable[..., int]], ...] = (
    ("{} is on, but {} and {} are off", lambda a, b, c: a & ~(b | c)),
    ("{} and {} are on, but {} is off", lambda a, b, c: a & b & ~c),
    (
        "{}, {} and {} are in the same state",
        lambda a, b, c: _ALL_STATES & ~((a ^ b) | (a ^ c)),
    ),
    ("{} is off, and {} and {} differ", lambda a, b, c: (b ^ c) & ~a),
)


def generate(rng: np.random.Generator, level: int) -> Task:
    """Make a question with `OPTIONS[level]` options in random order."""
    family = pick(rng, tuple(_FAMILIES))
    question = _FAMILIES[family](rng, level)
    options = [question.right, *question.wrong]
    options = some(rng, options, len(options))
    lines = [
        f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False)
    ]
    return Task(
        prompt="\n".join((question.text, "", *lines, "", _FORMAT)),
        data={"family": family, "question": question.text, "options": options},
        answer=LETTERS[options.index(question.right)],
    )


_FORMAT = (
    "One option is right. You may think first. The last line of your reply must be "
    "`Answer: X`, with the letter of the right option for X, and nothing else."
)


class MultipleChoiceEnv(ToolEnv):
    """Choose the right one of four to ten lettered options.

    Task:
        A generated question with one right option: a sum, a date, a time of day, how
        many numbers can be divided, an alphabetical order, a rotated text, an order of
        people, the states of lamps. The right option stands at any place with equal
        chance, and the options alone do not tell which it is.

    Tools:
        None.

    Observation:
        One user message: the question, the options, the form of the answer.

    Reply:
        Text whose last line that is not blank is `Answer: <letter>`. The letter is an
        ASCII one in either case, a full stop may follow it, and `**` is ignored
        anywhere. No other line may begin with `Answer:`. Nothing else is read: not the
        option's text, no brackets, no second letter, no letter of another alphabet.

    Reward:
        At the end 1.0 for the right letter, else 0.0. Parts: `format` (a letter of an
        option was read), `correct`.

    Episode end:
        Terminated by the reply, whatever it is; truncated if it was cut off by its
        length limit or calls a tool.

    Levels:
        0 to 3: four, six, eight and ten options, with larger numbers and longer chains.
        A letter chosen blindly scores 0.25, 0.17, 0.13 and 0.10 on average; `Answer: A`
        for ever scores 0.145 over all levels (1,000 episodes, seed 0).

    Floors:
        oracle 1.000, null 0.000, constant 0.165, random 0.000 (1,000 episodes, seed 0)

    Data and licence:
        Generated; Apache-2.0, as the package.

    Arguments:
        Those of `ToolEnv`.

    Version history:
        v0: first version.
    """

    tasks = GeneratedTasks(generate, levels=len(OPTIONS))
    verifier = ChoiceMatch()
    max_turns = 1

    def oracle(self) -> str:
        """Return the right letter in the right form."""
        return f"Answer: {self.task.answer}"
