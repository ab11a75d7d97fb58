"""Modules of texts, figures, codes and routes, for `llmgym/CodeRepair-v0`.

What they hold is told in `_repair_module`.
"""

from __future__ import annotations

from typing import Any

from llm_gym.envs._draws import pick, some
from llm_gym.envs._repair_module import Module, Rng, ints, size

__all__ = ["CALC", "CODES", "ROUTES", "STATS", "TEXT"]


def _sentence(rng: Rng) -> str:
    words = ("Blue", "river", "runs", "past", "the", "Old", "mill-house", "twice", "a")
    return pick(rng, (" ", "")) + pick(rng, (" ", "  ", ", ")).join(
        pick(rng, words) for _ in range(size(rng, 8))
    )


TEXT = Module(
    "text",
    '''\
"""Texts for titles and pages."""


def slug(title):
    """Return a title in lower case, with one "-" for each run of other characters."""
    letters = [c if c.isalnum() else " " for c in title.lower()]
    return "-".join("".join(letters).split())


def wrap(text, width=<A> + 6):
    """Break a text into lines of at most `width`, between words where that can be."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return lines + [line] if line else lines


def initials(name):
    """Return the first letters of the words of a name, in upper case, with dots."""
    return "".join(word[0].upper() + "." for word in name.replace("-", " ").split())
''',
    (
        ("slug", lambda rng: [_sentence(rng)]),
        ("wrap", lambda rng: [_sentence(rng)]),
        ("initials", lambda rng: [_sentence(rng).replace(",", "")]),
    ),
    (
        ("title.lower()", "title"),
        ('"".join(letters).split()', '"".join(letters).split(" ")'),
        ("len(line) + 1 + len(word) > width", "len(line) + len(word) > width"),
        ("+ len(word) > width", "+ len(word) >= width"),
        ("lines + [line] if line else lines", "lines"),
        ('.replace("-", " ")', ""),
        ("word[0].upper()", "word[0]"),
    ),
)

STATS = Module(
    "stats",
    '''\
"""Figures of lists of whole numbers."""


def middle(xs):
    """Return the median, of two middle numbers the smaller one; None for no numbers."""
    return sorted(xs)[(len(xs) - 1) // 2] if xs else None


def commonest(xs):
    """Return the number that occurs most often, of several the smallest."""
    return min(set(xs), key=lambda x: (-xs.count(x), x)) if xs else None


def clipped(xs, share=<A>):
    """Return the sorted list without its `share` smallest and as many greatest."""
    return sorted(xs)[share : len(xs) - share] if len(xs) > 2 * share else []


def spread(xs):
    """Return the distance of the smallest and the greatest number, clipped first."""
    kept = clipped(xs)
    return kept[-1] - kept[0] if kept else 0
''',
    tuple(
        (name, lambda rng: [ints(rng, -9, 9, size(rng, 24))])
        for name in ("middle", "commonest", "clipped", "spread")
    ),
    (
        ("(len(xs) - 1) // 2", "len(xs) // 2"),
        ("sorted(xs)[(len", "xs[(len"),
        ("(-xs.count(x), x)", "(-xs.count(x), -x)"),
        ("(-xs.count(x), x)", "(xs.count(x), x)"),
        ("share : len(xs) - share]", "share : len(xs) - share - 1]"),
        ("len(xs) > 2 * share", "len(xs) >= 3 * share"),
        ("kept[-1] - kept[0]", "kept[-1] - xs[0]"),
    ),
)


def _sum(rng: Rng, depth: int = 2) -> str:
    if depth == 0 or rng.random() < 0.2:
        return str(int(rng.integers(0, 30)))
    left, right = _sum(rng, depth - 1), _sum(rng, depth - 1)
    text = f"{left} {pick(rng, '+-*')} {right}"
    return f"({text})" if rng.random() < 0.4 else text


CALC = Module(
    "calc",
    '''\
"""A calculator for whole numbers with + - * and brackets."""


def tokens(text):
    """Return the numbers and signs of a text, in order."""
    found, number = [], ""
    for c in text + " ":
        if c.isdigit():
            number += c
            continue
        if number:
            found.append(int(number))
            number = ""
        if c in "+-*()":
            found.append(c)
    return found


def evaluate(text):
    """Return the value of a text; * binds tighter, the rest goes from left to right."""
    value, rest = _sum(tokens(text))
    return value


def _sum(rest):
    value, rest = _product(rest)
    while rest and rest[0] in ("+", "-"):
        sign, rest = rest[0], rest[1:]
        other, rest = _product(rest)
        value = value + other if sign == "+" else value - other
    return value, rest


def _product(rest):
    value, rest = _atom(rest)
    while rest and rest[0] == "*":
        other, rest = _atom(rest[1:])
        value *= other
    return value, rest


def _atom(rest):
    if rest[0] == "(":
        value, rest = _sum(rest[1:])
        return value, rest[1:]
    return rest[0], rest[1:]
''',
    (
        ("tokens", lambda rng: [_sum(rng)]),
        ("evaluate", lambda rng: [_sum(rng, 3)]),
    ),
    (
        ('text + " "', "text"),
        ("number += c", "number = c"),
        ("value - other", "other - value"),
        ('if c in "+-*()"', 'if c in "+-*("'),
        ("value *= other", "value += other"),
        ("other, rest = _product(rest)", "other, rest = _sum(rest)"),
        ('while rest and rest[0] == "*"', 'if rest and rest[0] == "*"'),
    ),
)

CODES = Module(
    "codes",
    '''\
"""Article codes: digits of which the last one checks the others."""

WEIGHTS = [<A>, 3, <B>, 7]


def check_digit(digits):
    """Return the digit that makes the weighted sum divisible by 10."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        total += int(digit) * WEIGHTS[place % len(WEIGHTS)]
    return (10 - total % 10) % 10


def is_valid(code):
    """Say whether a code has at least two digits, no other characters, and checks."""
    plain = code.replace(" ", "")
    if not plain.isdigit() or len(plain) < 2:
        return False
    return int(plain[-1]) == check_digit(plain[:-1])


def complete(digits, length=8):
    """Return the code of some digits, with zeros before them up to the length."""
    padded = digits.rjust(length - 1, "0")
    return padded + str(check_digit(padded))
''',
    (
        ("check_digit", lambda rng: ["".join(map(str, ints(rng, 0, 9, 6)))]),
        (
            "is_valid",
            lambda rng: [
                pick(rng, ("", "0", "00", "12a4", "1 2"))
                if rng.random() < 0.3
                else pick(rng, ("", " ")).join(map(str, ints(rng, 0, 9, 2)))
            ],
        ),
        (
            "complete",
            lambda rng: ["".join(map(str, ints(rng, 0, 9, int(rng.integers(1, 7)))))],
        ),
    ),
    (
        ("enumerate(reversed(digits))", "enumerate(digits)"),
        ("(10 - total % 10) % 10", "10 - total % 10"),
        ("place % len(WEIGHTS)", "(place + 1) % len(WEIGHTS)"),
        ('.replace(" ", "")', ""),
        ("len(plain) < 2", "len(plain) < 3"),
        ("check_digit(plain[:-1])", "check_digit(plain)"),
        ("digits.rjust(length - 1", "digits.ljust(length - 1"),
    ),
)


def _roads(rng: Rng) -> list[list[Any]]:
    return [
        [*some(rng, "ABCDEF", 2), int(rng.integers(1, 12))]
        for _ in range(int(rng.integers(1, 12)))
    ]


ROUTES = Module(
    "routes",
    '''\
"""Roads between places as [from, to, length], passable in both directions."""


def neighbours(roads):
    """Return for each place the length of the shortest road to each neighbour."""
    near = {}
    for a, b, length in roads:
        for here, there in ((a, b), (b, a)):
            known = near.setdefault(here, {})
            known[there] = min(length, known.get(there, length))
    return near


def distances(roads, start):
    """Return the length of the shortest way to each place that can be reached."""
    near, final, open_ones = neighbours(roads), {}, {start: 0}
    while open_ones:
        place = min(open_ones, key=lambda p: (open_ones[p], p))
        final[place] = open_ones.pop(place)
        for other, length in near.get(place, {}).items():
            way = final[place] + length
            if other not in final and way < open_ones.get(other, way + 1):
                open_ones[other] = way
    return final


def farthest(roads, start):
    """Return the place whose way is the longest, of several the first by name."""
    ways = distances(roads, start)
    return min(ways, key=lambda p: (-ways[p], p))
''',
    (
        ("neighbours", lambda rng: [_roads(rng)]),
        ("distances", lambda rng: [_roads(rng), pick(rng, "ABC")]),
        ("farthest", lambda rng: [_roads(rng), pick(rng, "ABC")]),
    ),
    (
        ("((a, b), (b, a))", "((a, b),)"),
        ("min(length, known.get(there, length))", "length"),
        ("way = final[place] + length", "way = length"),
        ("way < open_ones.get(other, way + 1)", "other not in open_ones"),
        ("(-ways[p], p)", "(ways[p], p)"),
        ("(open_ones[p], p)", "(-open_ones[p], p)"),
    ),
)
