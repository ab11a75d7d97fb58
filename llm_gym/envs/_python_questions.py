"""The questions of `llmgym/PythonTool-v0`: numbers, and files of generated data.

Each is a text, the files that it is about and the program that answers it; the program
is our own and is run here to know what is right.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np

from llm_gym.envs._draws import pick, some

__all__ = ["QUESTIONS", "Question", "answer_of"]

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Question:
    """A question.

    Attributes:
        text: What is asked.
        code: The program that prints the answer.
        files: What stands in the session's directory, by name.
    """

    text: str
    code: str
    files: Mapping[str, str] = field(default_factory=dict)


def answer_of(question: Question) -> str:
    """Run a question's own program and return what it prints."""
    printed: list[Any] = []
    names = {
        "print": printed.append,
        "open": lambda name: io.StringIO(question.files[name]),
    }
    exec(question.code, names)  # noqa: S102  # our own program, not a model's
    return str(printed[0])


_PRIMES = """\
def is_prime(n):
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))
"""


def _primes(rng: Rng) -> Question:
    low = int(rng.integers(200, 3000))
    high = low + int(rng.integers(100, 900))
    digit = int(pick(rng, (1, 3, 7, 9)))
    return Question(
        f"What is the sum of all prime numbers from {low} to {high} (both included) "
        f"whose last digit is {digit}?",
        f"{_PRIMES}print(sum(n for n in range({low}, {high + 1}) "
        f"if n % 10 == {digit} and is_prime(n)))",
    )


def _digits(rng: Rng) -> Question:
    base, power = int(rng.integers(3, 30)), int(rng.integers(40, 150))
    return Question(
        f"What is the sum of the decimal digits of {base} to the power of {power}?",
        f"print(sum(map(int, str({base} ** {power}))))",
    )


def _multiples(rng: Rng) -> Question:
    a, b = some(rng, (3, 4, 5, 6, 7, 8, 9, 11), 2)
    most = int(rng.integers(500, 9000))
    return Question(
        f"What is the sum of all whole numbers from 1 to {most} that are divisible by "
        f"{a} or by {b}, but not by both?",
        f"print(sum(n for n in range(1, {most + 1}) "
        f"if (n % {a} == 0) != (n % {b} == 0)))",
    )


def _remainder(rng: Rng) -> Question:
    base, power = int(rng.integers(11, 99)), int(rng.integers(1000, 99999))
    modulus = int(rng.integers(1000, 9999))
    return Question(
        f"What is the remainder when {base} to the power of {power} is divided by "
        f"{modulus}?",
        f"print(pow({base}, {power}, {modulus}))",
    )


def _collatz(rng: Rng) -> Question:
    low = int(rng.integers(100, 900))
    high = low + int(rng.integers(50, 150))
    return Question(
        "A sequence goes from n to n / 2 if n is even and to 3n + 1 if it is odd, "
        f"until it reaches 1. How many steps do the starts from {low} to {high} (both "
        "included) take all together?",
        "def steps(n):\n    count = 0\n    while n != 1:\n"
        "        n = n // 2 if n % 2 == 0 else 3 * n + 1\n        count += 1\n"
        f"    return count\nprint(sum(map(steps, range({low}, {high + 1}))))",
    )


def _recurrence(rng: Rng) -> Question:
    a, b, c = (int(x) for x in rng.integers(2, 12, 3))
    modulus, steps = int(rng.integers(500, 5000)), int(rng.integers(200, 2000))
    return Question(
        f"Let x(0) = {a}, x(1) = {b} and x(n) = ({c} * x(n-1) + x(n-2) + n) mod "
        f"{modulus}. What is x({steps})?",
        f"x, y = {a}, {b}\nfor n in range(2, {steps + 1}):\n"
        f"    x, y = y, ({c} * y + x + n) % {modulus}\nprint(y)",
    )


def _pairs(rng: Rng) -> Question:
    most, total = int(rng.integers(30, 90)), int(rng.integers(300, 3000))
    return Question(
        f"In how many ways can two different whole numbers from 1 to {most}, a less "
        f"than b, be chosen so that a * a + b * b is greater than {total} and a + b is "
        f"divisible by 3?",
        f"print(sum(a * a + b * b > {total} and (a + b) % 3 == 0 "
        f"for b in range(1, {most + 1}) for a in range(1, b)))",
    )


def _paths(rng: Rng) -> Question:
    size = int(rng.integers(5, 9))
    x, y = (int(v) for v in rng.integers(1, size, 2))
    u, v = y, x
    return Question(
        f"One walks on a grid from (0, 0) to ({size}, {size}), each step one to the "
        f"right or one up, and may not step on ({x}, {y}) nor on ({u}, {v}). How many "
        f"ways are there?",
        f"ways = {{}}\nfor i in range({size + 1}):\n    for j in range({size + 1}):\n"
        f"        if (i, j) in (({x}, {y}), ({u}, {v})):\n            continue\n"
        "        ways[i, j] = 1 if i == j == 0 else "
        "ways.get((i - 1, j), 0) + ways.get((i, j - 1), 0)\n"
        f"print(ways[{size}, {size}])",
    )


_CITIES = ("Arden", "Belmar", "Corvo", "Dalby", "Esker")
_ITEMS = ("lamp", "chair", "desk", "shelf", "rug", "clock")


def _orders(rng: Rng, count: int) -> list[dict[str, Any]]:
    """Return orders with a date, a city, an item, units and a price in cents."""
    rows = []
    for number in range(count):
        day = date(2023, 1, 1) + timedelta(int(rng.integers(365)))
        rows.append(
            {
                "order": 1000 + number,
                "day": str(day),
                "city": pick(rng, _CITIES),
                "item": pick(rng, _ITEMS),
                "units": int(rng.integers(1, 20)),
                "cents": int(rng.integers(199, 9999)),
            }
        )
    return rows


def _csv(rows: list[dict[str, Any]]) -> str:
    lines = [",".join(rows[0])]
    lines += [",".join(str(value) for value in row.values()) for row in rows]
    return "\n".join(lines) + "\n"


def _table(rng: Rng) -> dict[str, str]:
    return {"orders.csv": _csv(_orders(rng, int(rng.integers(60, 140))))}


_READ = "import csv\nrows = list(csv.DictReader(open('orders.csv')))\n"
_ABOUT = (
    "The file orders.csv has a line for each order: order (its number), day "
    "(YYYY-MM-DD), city, item, units, and cents (the price of one unit). "
)


def _revenue(rng: Rng) -> Question:
    city, month = pick(rng, _CITIES), int(rng.integers(1, 13))
    return Question(
        f"{_ABOUT}What do the orders of {city} come to, in cents, leaving out those of "
        f"month {month}?",
        f"{_READ}print(sum(int(r['units']) * int(r['cents']) for r in rows "
        f"if r['city'] == {city!r} and r['day'][5:7] != '{month:02}'))",
        _table(rng),
    )


def _mean(rng: Rng) -> Question:
    item, least = pick(rng, _ITEMS), int(rng.integers(2, 8))
    return Question(
        f"{_ABOUT}What is the mean of `cents` over the orders of the item {item} with "
        f"at least {least} units, rounded to two decimals?",
        f"{_READ}found = [int(r['cents']) for r in rows if r['item'] == {item!r} "
        f"and int(r['units']) >= {least}]\n"
        "print(round(sum(found) / len(found), 2) if found else 0)",
        _table(rng),
    )


def _biggest_day(rng: Rng) -> Question:
    item = pick(rng, _ITEMS)
    return Question(
        f"{_ABOUT}Leave the item {item} out. How many units were ordered in the month "
        "in which the most units were ordered?",
        f"{_READ}months = {{}}\nfor r in rows:\n    if r['item'] != {item!r}:\n"
        "        m = r['day'][:7]\n"
        "        months[m] = months.get(m, 0) + int(r['units'])\n"
        "print(max(months.values()))",
        _table(rng),
    )


def _median(rng: Rng) -> Question:
    city = pick(rng, _CITIES)
    return Question(
        f"{_ABOUT}What is the median of units times cents over the orders that are not "
        f"from {city}, rounded to two decimals?",
        f"{_READ}import statistics\nprint(round(statistics.median(int(r['units']) * "
        f"int(r['cents']) for r in rows if r['city'] != {city!r}), 2))",
        _table(rng),
    )


def _two_files(rng: Rng) -> dict[str, str]:
    orders = _orders(rng, int(rng.integers(60, 120)))
    returned = some(rng, orders, len(orders) // 4)
    lines = [
        json.dumps({"order": row["order"], "units": int(rng.integers(1, 4))})
        for row in returned
    ]
    lines.insert(len(lines) // 2, "")  # a blank line, as logs have them
    return {"orders.csv": _csv(orders), "returns.jsonl": "\n".join(lines) + "\n"}


_READ_BOTH = (
    _READ + "import json\nback = {}\nfor line in open('returns.jsonl'):\n"
    "    if line.strip():\n        r = json.loads(line)\n"
    "        back[str(r['order'])] = r['units']\n"
)
_ABOUT_BOTH = (
    _ABOUT + "The file returns.jsonl has a JSON object for each return: the order's "
    "number and how many units came back, at most as many as were ordered: if it says "
    "more, all units of the order came back; some lines are blank. "
)
_KEPT = "max(0, int(r['units']) - back.get(r['order'], 0))"


def _net(rng: Rng) -> Question:
    item = pick(rng, _ITEMS)
    return Question(
        f"{_ABOUT_BOTH}What do the units of the item {item} that were kept come to, in "
        "cents?",
        f"{_READ_BOTH}print(sum({_KEPT} * int(r['cents']) for r in rows "
        f"if r['item'] == {item!r}))",
        _two_files(rng),
    )


def _return_days(rng: Rng) -> Question:
    city = pick(rng, _CITIES)
    return Question(
        f"{_ABOUT_BOTH}Of the orders from {city} that nothing came back of: how many "
        "days lie between the first and the last of them?",
        f"{_READ_BOTH}from datetime import date\n"
        "days = sorted(date.fromisoformat(r['day']) for r in rows "
        f"if r['city'] == {city!r} and r['order'] not in back)\n"
        "print((days[-1] - days[0]).days)",
        _two_files(rng),
    )


def _best_city(rng: Rng) -> Question:
    item = pick(rng, _ITEMS)
    return Question(
        f"{_ABOUT_BOTH}Leave the item {item} out. Take for each city the units that "
        "were kept. What is the greatest of these numbers minus the smallest?",
        f"{_READ_BOTH}kept = {{}}\nfor r in rows:\n    if r['item'] != {item!r}:\n"
        f"        kept[r['city']] = kept.get(r['city'], 0) + {_KEPT}\n"
        "print(max(kept.values()) - min(kept.values()))",
        _two_files(rng),
    )


QUESTIONS: tuple[tuple[Callable[[Rng], Question], ...], ...] = (
    (_primes, _digits, _multiples, _remainder),
    (_collatz, _recurrence, _pairs, _paths),
    (_revenue, _mean, _biggest_day, _median),
    (_net, _return_days, _best_city),
)
"""The forms of question by level: numbers; loops; a file; two files."""
