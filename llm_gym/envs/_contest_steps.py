"""Problems of `llmgym/CodeContest-v0` that are put together from steps over a list.

A problem is a chain of steps, each a sentence and a line of Python, and an end that
makes the result. The chains are many more than anybody could learn by heart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from llm_gym.envs._contest_problem import Problem
from llm_gym.envs._draws import pick, some

__all__ = ["chain"]

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class _Step:
    """A step: what the problem says, and the line that does it to `xs`."""

    words: str
    line: str


def _keep(rng: Rng) -> _Step:
    n, r = int(rng.integers(2, 6)), 0
    r = int(rng.integers(n))
    return pick(
        rng,
        (
            _Step(
                f"Keep only the numbers that leave the remainder {r} when divided by "
                f"{n} (remainders are never negative).",
                f"xs = [x for x in xs if x % {n} == {r}]",
            ),
            _Step(
                f"Remove the numbers whose absolute value is less than {n * 3}.",
                f"xs = [x for x in xs if abs(x) >= {n * 3}]",
            ),
            _Step(
                "Keep only the numbers at the positions 1, 3, 5 and so on, counting "
                "from 0.",
                "xs = xs[1::2]",
            ),
            _Step(
                "Remove each number that is equal to the one right before it.",
                "xs = [x for i, x in enumerate(xs) if i == 0 or x != xs[i - 1]]",
            ),
            _Step(
                "Keep only the first occurrence of each number.",
                "xs = list(dict.fromkeys(xs))",
            ),
        ),
    )


def _change(rng: Rng) -> _Step:
    a, b = int(rng.integers(2, 6)), int(rng.integers(1, 10))
    return pick(
        rng,
        (
            _Step(
                f"Replace each number x by {a} * x - {b}.",
                f"xs = [{a} * x - {b} for x in xs]",
            ),
            _Step(
                "Replace each number by the sum of the digits of its absolute value.",
                "xs = [sum(map(int, str(abs(x)))) for x in xs]",
            ),
            _Step(
                f"Add to each number {b} times its position, counting from 0.",
                f"xs = [x + {b} * i for i, x in enumerate(xs)]",
            ),
            _Step(
                "Replace each number by the sum of all numbers up to and with it.",
                "total = 0\nsums = []\nfor x in xs:\n    total += x\n"
                "    sums.append(total)\nxs = sums",
            ),
            _Step(
                "Replace each number by the greatest of all numbers up to and with it.",
                "xs = [max(xs[: i + 1]) for i in range(len(xs))]",
            ),
            _Step(
                f"Replace each number that is greater than {b * 5} by {b * 5}, and "
                f"each that is less than {-b * 4} by {-b * 4}.",
                f"xs = [min({b * 5}, max({-b * 4}, x)) for x in xs]",
            ),
        ),
    )


def _reshape(rng: Rng) -> _Step:
    n = int(rng.integers(2, 5))
    return pick(
        rng,
        (
            _Step(
                "Replace the list by the differences of neighbours: the second number "
                "minus the first, and so on. Of less than two numbers nothing is left.",
                "xs = [b - a for a, b in zip(xs, xs[1:])]",
            ),
            _Step(
                f"Move the first {n} numbers to the end, in their order; of {n} "
                f"numbers or less the list stays as it is.",
                f"xs = xs[{n}:] + xs[:{n}]",
            ),
            _Step(
                f"Replace the list by the sums of each {n} neighbours (a window that "
                "moves by one). Of fewer numbers nothing is left.",
                f"xs = [sum(xs[i : i + {n}]) for i in range(len(xs) - {n} + 1)]",
            ),
            _Step(
                f"Cut the list into pieces of {n} numbers, of which the last may be "
                "shorter, and reverse each piece.",
                f"xs = [x for i in range(0, len(xs), {n}) "
                f"for x in reversed(xs[i : i + {n}])]",
            ),
            _Step(
                "Sort by absolute value; of two with the same, the negative goes "
                "first.",
                "xs = sorted(xs, key=lambda x: (abs(x), x))",
            ),
            _Step(
                "Sort by how often a number occurs, the rarest first; ties go by size, "
                "the smallest first.",
                "counts = {x: xs.count(x) for x in xs}\n"
                "xs = sorted(xs, key=lambda x: (counts[x], x))",
            ),
            _Step("Reverse the list.", "xs = xs[::-1]"),
        ),
    )


def _end(rng: Rng) -> _Step:
    n = int(rng.integers(2, 6))
    return pick(
        rng,
        (
            _Step("the list that is left", "return xs"),
            _Step("the sum of what is left, 0 for nothing", "return sum(xs)"),
            _Step(
                "the greatest number that is left minus the smallest, 0 for nothing",
                "return max(xs) - min(xs) if xs else 0",
            ),
            _Step(
                f"how many of the numbers that are left are divisible by {n}",
                f"return sum(x % {n} == 0 for x in xs)",
            ),
            _Step(
                "the position, counting from 0, of the first greatest number that is "
                "left, -1 for nothing",
                "return xs.index(max(xs)) if xs else -1",
            ),
            _Step(
                "the length of the longest run of numbers that grow strictly from one "
                "to the next, 0 for nothing",
                "best = run = 0\nfor i, x in enumerate(xs):\n"
                "    run = run + 1 if i and x > xs[i - 1] else 1\n"
                "    best = max(best, run)\nreturn best",
            ),
        ),
    )


_MAKERS: tuple[Callable[[Rng], _Step], ...] = (_keep, _change, _reshape)


def chain(rng: Rng, steps: int) -> Problem:
    """Make a problem of some steps over a list of whole numbers.

    Args:
        rng: Where the randomness comes from.
        steps: How many steps come before the end.
    """
    makers = [pick(rng, _MAKERS) for _ in range(steps)]
    chosen = [make(rng) for make in makers]
    end = _end(rng)
    told = [f"{number}. {step.words}" for number, step in enumerate(chosen, 1)]
    lines = "\n".join([*(step.line for step in chosen), end.line])
    body = "\n".join(f"    {line}" for line in lines.split("\n"))
    name = pick(rng, ("process", "transform", "work_through", "crunch"))
    statement = (
        "Given a list of whole numbers (it may be empty), do this to it, one step "
        "after the other:\n" + "\n".join(told) + f"\nThe result is {end.words}."
    )
    return Problem(
        name,
        ("xs",),
        statement,
        f"def {name}(xs):\n{body}\n",
        tuple([_numbers(rng, size)] for size in (0, 1, 2, 8, 12, 20, 30, 4, 6)),
    )


def _numbers(rng: Rng, size: int) -> list[int]:
    low = pick(rng, (-60, -20, 0))
    numbers = [int(x) for x in rng.integers(low, 61, size)]
    if size > 4:  # equal neighbours, and equal numbers further apart
        first, second = some(rng, range(size - 1), 2)
        numbers[first + 1] = numbers[first]
        numbers[second] = numbers[0]
    return numbers
