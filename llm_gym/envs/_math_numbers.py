"""Problems of number theory: divisors, remainders, bases, digits."""

from __future__ import annotations

import math

from llm_gym.envs._draws import pick, some
from llm_gym.envs._math_latex import Family, Problem, Rng, draw

__all__ = ["FAMILIES"]


def gcd_or_lcm(rng: Rng, level: int) -> Problem:
    """The greatest common divisor or the least common multiple."""
    shared = draw(rng, 2, 30 + 20 * level)
    a, b = (shared * n for n in some(rng, range(2, 20 + 10 * level), 2))
    least = bool(rng.integers(2))
    name = "least common multiple" if least else "greatest common divisor"
    story = (
        f"Two lamps flash every {a} and every {b} seconds. They have just flashed "
        "together. After how many seconds do they next do so?"
        if least
        else f"Ribbons of {a} cm and {b} cm are cut, without waste, into equal pieces "
        "that are as long as can be. How many cm long is a piece?"
    )
    text = pick(rng, (f"What is the {name} of {a} and {b}?", story))
    value = math.lcm(a, b) if least else math.gcd(a, b)
    return Problem(text, str(value), {"a": a, "b": b, "least": least})


def power_remainder(rng: Rng, level: int) -> Problem:
    """The remainder of a power."""
    modulus = draw(rng, 11, 60 + 40 * level)
    base, power = draw(rng, 2, modulus - 1), draw(rng, 20, 300 * level)
    text = pick(
        rng,
        (
            f"What is the remainder when ${base}^{{{power}}}$ is divided by {modulus}?",
            f"Find the integer $r$ with $0 \\le r < {modulus}$ and "
            f"${base}^{{{power}}} \\equiv r \\pmod{{{modulus}}}$.",
        ),
    )
    facts = {"base": base, "power": power, "modulus": modulus}
    return Problem(text, str(pow(base, power, modulus)), facts)


def divisors(rng: Rng, level: int) -> Problem:
    """The number or the sum of a number's divisors."""
    exponents = {p: draw(rng, 0, 3) for p in (2, 3, 5, 7)} | {11: level // 4}
    number = math.prod(p**k for p, k in exponents.items())
    if number < 12:
        return divisors(rng, level)
    count = bool(rng.integers(2))
    parts = [
        k + 1 if count else (p ** (k + 1) - 1) // (p - 1) for p, k in exponents.items()
    ]
    asked = "How many positive divisors does" if count else "What do the divisors of"
    text = (
        pick(
            rng,
            (
                f"{asked} {number} have?",
                f"Count the positive integers that divide {number}.",
            ),
        )
        if count
        else pick(
            rng,
            (
                f"{asked} {number} sum to, 1 and {number} included?",
                f"Find the sum of all positive divisors of {number}.",
            ),
        )
    )
    return Problem(text, str(math.prod(parts)), {"number": number, "count": count})


def trailing_zeros(rng: Rng, level: int) -> Problem:
    """The zeros at the end of a factorial, or the power of a prime in it."""
    number = draw(rng, 30, 300 * level)
    prime = pick(rng, (3, 5, 7, 11))
    value, rest = 0, number
    while rest:
        rest //= prime
        value += rest
    text = (
        pick(
            rng,
            (
                f"With how many zeros does ${number}!$ end?",
                f"How many zeros stand at the end of ${number}!$ in decimal notation?",
            ),
        )
        if prime == 5
        else pick(
            rng,
            (
                f"What is the largest integer $k$ such that ${prime}^k$ divides "
                f"${number}!$?",
                f"How often does the prime {prime} occur in the factorization of "
                f"${number}!$?",
            ),
        )
    )
    return Problem(text, str(value), {"number": number, "prime": prime})


def remainders(rng: Rng, level: int) -> Problem:
    """The least number with given remainders."""
    moduli = sorted(some(rng, (5, 7, 8, 9, 11, 13, 17), 2 + level // 4))
    wanted = [draw(rng, 1, modulus - 1) for modulus in moduli]
    value = next(
        n
        for n in range(1, math.prod(moduli) + 1)
        if all(n % m == r for m, r in zip(moduli, wanted, strict=True))
    )
    told = [f"{r} when divided by {m}" for m, r in zip(moduli, wanted, strict=True)]
    listed = ", ".join(told[:-1]) + " and " + told[-1]
    text = pick(
        rng,
        (
            f"Find the smallest positive integer that leaves the remainder {listed}.",
            f"A basket holds as few eggs as is possible if their number leaves "
            f"remainder {listed}. How many eggs are there, if there is at least one?",
        ),
    )
    return Problem(text, str(value), {"moduli": moduli, "remainders": wanted})


def other_base(rng: Rng, level: int) -> Problem:
    """A sum of two numbers that are written in another base."""
    base = draw(rng, 3, 9)
    numbers = [draw(rng, base**2, base ** (3 + level // 2)) for _ in range(2)]
    first, second = (_digits(number, base) for number in numbers)
    text = pick(
        rng,
        (
            f"Write ${first}_{{{base}}} + {second}_{{{base}}}$ in base 10.",
            f"The numbers {first} and {second} are written in base {base}. What is "
            "their sum, in base 10?",
        ),
    )
    facts = {"base": base, "first": first, "second": second}
    return Problem(text, str(sum(numbers)), facts)


def _digits(number: int, base: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, base)
        digits = str(digit) + digits
    return digits


def coprime_count(rng: Rng, level: int) -> Problem:
    """How many numbers have no divisor in common with one."""
    number = draw(rng, 30, 200 * level)
    value = sum(math.gcd(number, k) == 1 for k in range(1, number + 1))
    text = pick(
        rng,
        (
            f"How many of the integers from 1 to {number} are coprime to {number}?",
            f"Count the fractions $\\frac{{k}}{{{number}}}$ with $1 \\le k \\le "
            f"{number}$ that are in lowest terms.",
        ),
    )
    return Problem(text, str(value), {"number": number})


def lattice_pairs(rng: Rng, level: int) -> Problem:
    """Pairs of integers whose squares differ by a number."""
    number = draw(rng, 3, 30) * draw(rng, 2, 12) * draw(rng, 1, 2 * level)
    # x^2 - y^2 = (x - y)(x + y): factors of one parity.
    count = sum(
        number % d == 0 and (d - number // d) % 2 == 0 for d in range(1, number + 1)
    )
    if not count:
        return lattice_pairs(rng, level)
    text = pick(
        rng,
        (
            f"How many ordered pairs $(x, y)$ of integers satisfy $x^2 - y^2 = "
            f"{number}$?",
            f"Count the integer points $(x, y)$ on the hyperbola $x^2 - y^2 = "
            f"{number}$.",
        ),
    )
    return Problem(text, str(2 * count), {"number": number})


FAMILIES = (
    Family("number theory", (1, 2), gcd_or_lcm),
    Family("number theory", (3, 4, 5), power_remainder),
    Family("number theory", (3, 4), divisors),
    Family("number theory", (3, 4), trailing_zeros),
    Family("number theory", (3, 4), remainders),
    Family("number theory", (2, 3), other_base),
    Family("number theory", (3, 4), coprime_count),
    Family("number theory", (4, 5), lattice_pairs),
)
