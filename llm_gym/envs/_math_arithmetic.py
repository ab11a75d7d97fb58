"""Problems of arithmetic: expressions, fractions, percentages, rates, averages."""

from __future__ import annotations

from fractions import Fraction

from llm_gym.envs._draws import FIRST_NAMES, pick, some
from llm_gym.envs._math_latex import Family, Problem, Rng, draw, frac, nonzero

__all__ = ["FAMILIES"]


def integer_expression(rng: Rng, level: int) -> Problem:
    """A product, a sum and a difference."""
    top = (12, 40, 99)[min(level, 2)]
    a, b, c, d, e = (draw(rng, 2, top) for _ in range(5))
    value = a * (b + c) - d * e
    shown = f"{a} \\cdot ({b} + {c}) - {d} \\cdot {e}"
    text = pick(
        rng,
        (
            f"Compute ${shown}$.",
            f"What is the value of ${shown}$?",
            f"Add {b} and {c}, multiply the sum by {a}, then take away the product of "
            f"{d} and {e}. Which number results?",
        ),
    )
    return Problem(text, str(value), {"a": a, "b": b, "c": c, "d": d, "e": e})


def fraction_sum(rng: Rng, level: int) -> Problem:
    """Two or three fractions with different denominators."""
    top = (9, 15, 30)[min(level, 2)]
    parts = [Fraction(nonzero(rng, top), draw(rng, 2, top)) for _ in range(2 + level)]
    parts[0] = abs(parts[0])
    shown = frac(parts[0])
    for part in parts[1:]:
        shown += f" {'-' if part < 0 else '+'} {frac(abs(part))}"
    text = pick(
        rng,
        (
            f"Compute ${shown}$ and write it in lowest terms.",
            f"Write ${shown}$ as one fraction in lowest terms, or as an integer.",
            f"Evaluate ${shown}$.",
        ),
    )
    facts = {"parts": [[part.numerator, part.denominator] for part in parts]}
    return Problem(text, frac(sum(parts, Fraction(0))), facts)


def discount(rng: Rng, level: int) -> Problem:
    """A price after percentages off and on."""
    price = 20 * draw(rng, 3, 60 + 200 * level)
    off, on = 5 * draw(rng, 1, 12), 5 * draw(rng, 1, 8)
    value = Fraction(price * (100 - off) * (100 + on), 10_000)
    name = pick(rng, FIRST_NAMES)
    text = pick(
        rng,
        (
            f"A coat costs {price} dollars. Its price falls by {off}%, and the new "
            f"price then rises by {on}%. What does it cost in the end, in dollars?",
            f"{name} sells a boat that was worth {price} euros at {off}% below that. "
            f"The buyer sells it on at {on}% more than was paid. For how many euros?",
            f"Decrease {price} by {off}% and increase the result by {on}%. "
            "Which number results?",
        ),
    )
    return Problem(text, frac(value), {"price": price, "off": off, "on": on})


def meeting(rng: Rng, level: int) -> Problem:
    """Two travellers who move towards each other."""
    first, second = draw(rng, 3, 30 + 30 * level), draw(rng, 3, 30 + 30 * level)
    gap = draw(rng, 2, 60 + 100 * level) * 5
    minutes = Fraction(60 * gap, first + second)
    one, two = some(rng, FIRST_NAMES, 2)
    text = pick(
        rng,
        (
            f"{one} and {two} are {gap} km apart and ride towards each other at "
            f"{first} km/h and {second} km/h. After how many minutes do they meet?",
            f"Two boats that are {gap} km apart head for each other, one at {first} "
            f"km/h, the other at {second} km/h. How many minutes pass until they meet?",
        ),
    )
    facts = {"first": first, "second": second, "gap": gap}
    return Problem(text, frac(minutes), facts)


def missing_score(rng: Rng, level: int) -> Problem:
    """The value that brings an average to a wanted one."""
    count = draw(rng, 4, 6 + 2 * level)
    known = [draw(rng, 20, 99) for _ in range(count - 1)]
    # The last value is drawn around the others, so that the mean need not be whole.
    wanted = Fraction(sum(known) + draw(rng, 10, 140), count)
    value = wanted * count - sum(known)
    told = ", ".join(map(str, known))
    text = pick(
        rng,
        (
            f"The numbers {told} and one more have the mean ${frac(wanted)}$. "
            "Which is the missing number?",
            f"After the results {told}, which next result makes the average of all "
            f"{count} equal to ${frac(wanted)}$?",
        ),
    )
    facts = {"known": known, "mean": [wanted.numerator, wanted.denominator]}
    return Problem(text, frac(value), facts)


def shares(rng: Rng, level: int) -> Problem:
    """A sum that is divided in a ratio."""
    ratio = some(rng, range(1, 10 + 6 * level), 3)
    unit = draw(rng, 7, 90 + 200 * level)
    total = unit * sum(ratio)
    names = some(rng, FIRST_NAMES, 3)
    who = draw(rng, 0, 2)
    told = ":".join(map(str, ratio))
    people = f"{names[0]}, {names[1]} and {names[2]}"
    text = pick(
        rng,
        (
            f"{people} share {total} coins in the ratio {told}, in this order. "
            f"How many coins does {names[who]} get?",
            f"An inheritance of {total} dollars goes to {people} in the ratio {told}. "
            f"How many dollars does {names[who]} receive?",
        ),
    )
    facts = {"ratio": ratio, "total": total, "who": who}
    return Problem(text, str(unit * ratio[who]), facts)


def work_rate(rng: Rng, level: int) -> Problem:
    """Two who work together, and how long they take."""
    first, second = (draw(rng, 3, 24 + 12 * level) for _ in range(2))
    together = 1 / (Fraction(1, first) + Fraction(1, second))
    one, two = some(rng, FIRST_NAMES, 2)
    text = pick(
        rng,
        (
            f"{one} paints a fence in {first} hours, {two} in {second} hours. How many "
            "hours do they need together?",
            f"One pump empties a tank in {first} hours and another in {second} hours. "
            "In how many hours do both together empty it?",
        ),
    )
    return Problem(text, frac(together), {"first": first, "second": second})


FAMILIES = (
    Family("arithmetic", (0, 1), integer_expression),
    Family("arithmetic", (0, 1), fraction_sum),
    Family("arithmetic", (0, 1), discount),
    Family("arithmetic", (0, 1), meeting),
    Family("arithmetic", (0, 1), missing_score),
    Family("arithmetic", (0, 1), shares),
    Family("arithmetic", (1,), work_rate),
)
