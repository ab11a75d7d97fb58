"""Modules of a shop and its calendar, for `llmgym/CodeRepair-v0`.

What they hold is told in `_repair_module`.
"""

from __future__ import annotations

from llm_gym.envs._draws import pick, some
from llm_gym.envs._repair_module import Module, Rng, ints, size

__all__ = ["DAYS", "MONEY", "PRICING", "SPANS", "STOCK"]


def _cents(rng: Rng) -> int:
    return int(pick(rng, (0, 5, -7, -1250, 99, 100, *ints(rng, -99999, 99999, 6))))


def _amount(rng: Rng) -> str:
    sign = pick(rng, ("", "", "-"))
    whole = pick(rng, ("0", "7", "12", "300", "1,250", "20,000"))
    return sign + whole + pick(rng, ("", ".5", ".05", ".50", ".99", ".00"))


MONEY = Module(
    "money",
    '''\
"""Amounts of money as whole cents."""


def to_cents(text):
    """Read an amount such as "1,250.5" or "-0.05" as cents."""
    negative = text.startswith("-")
    whole, _, part = text.lstrip("-").replace(",", "").partition(".")
    cents = int(whole) * 100 + int(part.ljust(2, "0") or 0)
    return -cents if negative else cents


def to_text(cents):
    """Write cents as an amount with two decimals and commas for thousands."""
    sign = "-" if cents < 0 else ""
    whole, part = divmod(abs(cents), 100)
    return f"{sign}{whole:,}.{part:02}"
''',
    (
        ("to_cents", lambda rng: [_amount(rng)]),
        ("to_text", lambda rng: [_cents(rng)]),
    ),
    (
        ('part.ljust(2, "0") or 0', "part or 0"),
        ("divmod(abs(cents), 100)", "divmod(cents, 100)"),
        ("{part:02}", "{part}"),
        ('.replace(",", "")', '.replace(",", "", 1)[:5]'),
        ("-cents if negative else cents", "cents"),
    ),
)

PRICING = Module(
    "pricing",
    '''\
"""What orders cost."""

from <package>.money import to_text

FREE_UNITS = <A>
TIERS = [(<A> * 3, 20), (<A> * 2, 10), (<A>, 5)]  # units from which, per cent


def discount(units):
    """Return the discount in per cent: that of the highest tier that is reached."""
    for least, percent in TIERS:
        if units >= least:
            return percent
    return 0


def total(lines):
    """Return the cents of [units, cents] lines, discounted and rounded down."""
    cents = 0
    for units, price in lines:
        cents += units * price * (100 - discount(units)) // 100
    return cents


def receipt(lines):
    """Return the text of a receipt: a line each, then the total."""
    texts = [f"{units} x {to_text(price)}" for units, price in lines]
    return texts + [to_text(total(lines))]
''',
    (
        ("discount", lambda rng: [int(rng.integers(0, 40))]),
        (
            "total",
            lambda rng: [[ints(rng, 0, 40, 2) for _ in range(size(rng, 4))]],
        ),
        (
            "receipt",
            lambda rng: [
                [[int(rng.integers(1, 40)), int(rng.integers(1, 9999))] for _ in "ab"]
            ],
        ),
    ),
    (
        ("if units >= least", "if units > least"),
        ("(100 - discount(units)) // 100", "(100 - discount(len(lines))) // 100"),
        ("[(<A> * 3, 20), (<A> * 2, 10), (<A>, 5)]", "[(<A>, 5), (<A> * 2, 10)]"),
        ("cents += units", "cents = units"),
    ),
    needs="money",
)


def _levels(rng: Rng) -> dict[str, int]:
    names = some(rng, ("bolt", "nut", "gear", "wire", "tape", "lamp"), size(rng, 5))
    return {name: int(rng.integers(0, 9)) for name in names}


STOCK = Module(
    "stock",
    '''\
"""What is in stock, as units by name."""


def apply(levels, changes):
    """Return the levels after [name, change] pairs; what reaches 0 or less is gone."""
    after = dict(levels)
    for name, change in changes:
        after[name] = after.get(name, 0) + change
        if after[name] <= 0:
            del after[name]
    return after


def missing(levels, wanted):
    """Return what must be bought to have all that is wanted."""
    lacking = {name: units - levels.get(name, 0) for name, units in wanted.items()}
    return {name: units for name, units in lacking.items() if units > 0}


def scarce(levels, least=<A>):
    """Return the names with fewer than `least` units, by units, then by name."""
    names = [name for name, units in levels.items() if units < least]
    return sorted(names, key=lambda name: (levels[name], name))
''',
    (
        (
            "apply",
            lambda rng: [
                _levels(rng),
                [
                    [
                        pick(rng, ("bolt", "nut", "gear", "rope")),
                        ints(rng, -9, 9, 1)[0],
                    ]
                    for _ in range(size(rng, 6))
                ],
            ],
        ),
        ("missing", lambda rng: [_levels(rng), _levels(rng)]),
        ("scarce", lambda rng: [_levels(rng)]),
    ),
    (
        ("after[name] <= 0", "after[name] < 0"),
        ("after = dict(levels)", "after = {}"),
        ("after.get(name, 0) + change", "after.get(name, change)"),
        ("units - levels.get(name, 0)", "units - levels.get(name, units)"),
        ("if units > 0}", "if units >= 0}"),
        ("(levels[name], name)", "(name, levels[name])"),
        ("if units < least", "if units <= least"),
    ),
)


def _day(rng: Rng) -> list[int]:
    year = int(pick(rng, (1900, 1999, 2000, 2023, 2024, 2100)))
    month = int(rng.integers(1, 13))
    return [year, month, int(pick(rng, (1, 2, 15, 27, 28)))]


DAYS = Module(
    "days",
    '''\
"""Days as [year, month, day]."""


def is_leap(year):
    """Say whether a year has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def month_length(year, month):
    """Return how many days a month has."""
    if month == 2:
        return 29 if is_leap(year) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def later(day, count):
    """Return the day that comes `count` days after a day."""
    year, month, number = day
    number += count
    while number > month_length(year, month):
        number -= month_length(year, month)
        month += 1
        if month > 12:
            year, month = year + 1, 1
    return [year, month, number]
''',
    (
        ("is_leap", lambda rng: [int(pick(rng, (1900, 1996, 2000, 2023, 2100, 2400)))]),
        ("month_length", lambda rng: _day(rng)[:2]),
        ("later", lambda rng: [_day(rng), int(pick(rng, (0, 1, 2, 30, 45, 400)))]),
    ),
    (
        ("(year % 100 != 0 or year % 400 == 0)", "year % 100 != 0"),
        ("year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)", "year % 4 == 0"),
        ("(4, 6, 9, 11)", "(4, 6, 8, 11)"),
        ("29 if is_leap(year) else 28", "28 if is_leap(year) else 29"),
        ("month > 12", "month > 11"),
        ("year, month = year + 1, 1", "month = 1"),
        ("while number > month", "if number > month"),
    ),
)


def _spans(rng: Rng) -> list[list[int]]:
    starts = ints(rng, 0, 20, size(rng, 5))
    return [[start, start + int(rng.integers(1, 6))] for start in starts]


SPANS = Module(
    "spans",
    '''\
"""Spans of time as [start, end], the end not included."""


def merge(spans):
    """Join spans that overlap or touch; return them in order."""
    merged = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged


def gaps(spans, start, end):
    """Return the spans from start to end in which nothing is."""
    free, now = [], start
    for first, last in merge(spans):
        if first > now and now < end:
            free.append([now, min(first, end)])
        now = max(now, last)
    if now < end:
        free.append([now, end])
    return free


def busiest(spans):
    """Return how many spans lie over one another at most."""
    events = sorted([(s, 1) for s, _ in spans] + [(e, -1) for _, e in spans])
    best = now = 0
    for _, change in events:
        now += change
        best = max(best, now)
    return best
''',
    (
        ("merge", lambda rng: [_spans(rng)]),
        ("gaps", lambda rng: [_spans(rng), 2, 14]),
        ("busiest", lambda rng: [_spans(rng)]),
    ),
    (
        ("start <= merged[-1][1]", "start < merged[-1][1]"),
        ("max(merged[-1][1], end)", "end"),
        ("sorted(spans)", "spans"),
        ("min(first, end)", "first"),
        ("now = max(now, last)", "now = last"),
        (
            "[(s, 1) for s, _ in spans] + [(e, -1)",
            "[(s, 0) for s, _ in spans] + [(e, -1)",
        ),
    ),
)
