"""Problems of algebra: equations, systems, polynomials, inequalities, sequences."""

from __future__ import annotations

from fractions import Fraction

from llm_gym.envs._draws import pick, some
from llm_gym.envs._math_latex import (
    Family,
    Problem,
    Rng,
    draw,
    frac,
    in_set,
    in_tuple,
    matrix,
    nonzero,
    poly,
    radical,
    root_parts,
    signed,
)

__all__ = ["FAMILIES"]


def linear_equation(rng: Rng, level: int) -> Problem:
    """One unknown on both sides."""
    top = 12 + 20 * level
    a, c = some(rng, [n for n in range(-top, top) if n], 2)
    b, d = nonzero(rng, 3 * top), nonzero(rng, 3 * top)
    shown = f"{poly([a, b])} = {poly([c, d])}"
    text = pick(
        rng,
        (
            f"Solve ${shown}$ for $x$.",
            f"For which number $x$ does ${shown}$ hold?",
            f"Find the solution of the equation ${shown}$.",
        ),
    )
    value = Fraction(d - b, a - c)
    return Problem(text, frac(value), {"a": a, "b": b, "c": c, "d": d})


def linear_system(rng: Rng, level: int) -> Problem:
    """Two equations with two unknowns."""
    top = 6 + 4 * level
    x, y = nonzero(rng, 2 * top), nonzero(rng, 2 * top)
    a, b = nonzero(rng, top), nonzero(rng, top)
    c, d = nonzero(rng, top), nonzero(rng, top)
    if a * d == b * c:
        d += 1 if d != -1 else 2
    first = f"{poly([a, 0])}{_term(b)} = {a * x + b * y}"
    second = f"{poly([c, 0])}{_term(d)} = {c * x + d * y}"
    text = pick(
        rng,
        (
            f"Solve the system ${first}$, ${second}$. Give the pair $(x, y)$.",
            f"The numbers $x$ and $y$ satisfy ${first}$ and ${second}$. "
            "What is $(x, y)$?",
        ),
    )
    facts = {"rows": [[a, b, a * x + b * y], [c, d, c * x + d * y]]}
    return Problem(text, in_tuple([str(x), str(y)]), facts)


def _term(factor: int) -> str:
    size = "" if abs(factor) == 1 else str(abs(factor))
    return f" {'+' if factor > 0 else '-'} {size}y"


def quadratic_roots(rng: Rng, level: int) -> Problem:
    """A quadratic equation with rational roots."""
    a = draw(rng, 1, 1 + level)
    p, q = some(rng, [n for n in range(-9 - 3 * level, 10 + 3 * level) if n], 2)
    low, high = sorted((Fraction(p, a), Fraction(q)))
    if low == high:
        return quadratic_roots(rng, level)
    coefficients = [a, -p - a * q, p * q]
    shown = f"{poly(coefficients)} = 0"
    text = pick(
        rng,
        (
            f"Find all real solutions of ${shown}$.",
            f"Give the set of the numbers $x$ with ${shown}$.",
            f"Solve ${shown}$; give both roots.",
        ),
    )
    return Problem(
        text, in_set([frac(low), frac(high)]), {"coefficients": coefficients}
    )


def irrational_roots(rng: Rng, level: int) -> Problem:
    """A quadratic equation whose roots hold a square root."""
    middle, square = nonzero(rng, 9 + 3 * level), draw(rng, 2, 60 + 20 * level)
    if root_parts(square)[1] == 1:
        return irrational_roots(rng, level)
    coefficients = [1, -2 * middle, middle * middle - square]
    shown = f"{poly(coefficients)} = 0"
    root = radical(square)
    text = pick(
        rng,
        (
            f"Find all real solutions of ${shown}$, in exact form.",
            f"Which real numbers $x$ satisfy ${shown}$? Give the exact set.",
        ),
    )
    values = [f"{middle} - {root}", f"{middle} + {root}"]
    return Problem(text, in_set(values), {"coefficients": coefficients})


def expand_product(rng: Rng, level: int) -> Problem:
    """A product of two polynomials."""
    first = [nonzero(rng, 5 + level), nonzero(rng, 9)]
    second = [nonzero(rng, 5 + level) for _ in range(min(level, 3))]
    second = [*second, nonzero(rng, 9)] if len(second) > 1 else [1, nonzero(rng, 9)]
    product = [0] * (len(first) + len(second) - 1)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            product[i + j] += a * b
    shown = f"({poly(first)})({poly(second)})"
    text = pick(
        rng,
        (
            f"Expand ${shown}$ and collect like terms.",
            f"Write ${shown}$ as a polynomial in $x$, without parentheses.",
        ),
    )
    return Problem(text, poly(product), {"first": first, "second": second})


def factor_quadratic(rng: Rng, level: int) -> Problem:
    """A quadratic that is a product of two linear factors."""
    p, q = some(rng, [n for n in range(-9 - 3 * level, 10 + 3 * level) if n], 2)
    if p + q == 0:
        return factor_quadratic(rng, level)
    shown = poly([1, p + q, p * q])
    text = pick(
        rng,
        (
            f"Factor ${shown}$ over the integers.",
            f"Write ${shown}$ as a product of two linear factors.",
        ),
    )
    low, high = sorted((p, q))
    answer = f"(x{signed(low)})(x{signed(high)})"
    return Problem(text, answer, {"coefficients": [1, p + q, p * q]})


def line_through(rng: Rng, level: int) -> Problem:
    """The line through two points."""
    top = 5 + 3 * level
    x1, x2 = some(rng, range(-top, top + 1), 2)
    y1, y2 = some(rng, range(-3 * top, 3 * top + 1), 2)
    slope = Fraction(y2 - y1, x2 - x1)
    start = y1 - slope * x1
    points = f"$({x1}, {y1})$ and $({x2}, {y2})$"
    text = pick(
        rng,
        (
            f"Find the equation $y = mx + b$ of the line through {points}.",
            f"A line passes through {points}. Write its equation as $y = mx + b$ with "
            "the numbers put in.",
        ),
    )
    answer = f"y = {poly([slope, start])}"
    return Problem(text, answer, {"points": [[x1, y1], [x2, y2]]})


def simplify_radical(rng: Rng, level: int) -> Problem:
    """A sum of square roots of one kind."""
    inside = pick(rng, (2, 3, 5, 6, 7, 10, 11, 13))
    a, b = some(rng, range(2, 9 + 3 * level), 2)
    c = nonzero(rng, 9)
    if a + c * b == 0:
        c += 1
    roots = [a * a * inside, b * b * inside]
    times = "" if abs(c) == 1 else str(abs(c))
    sign = "+" if c > 0 else "-"
    shown = f"\\sqrt{{{roots[0]}}} {sign} {times}\\sqrt{{{roots[1]}}}"
    text = pick(
        rng,
        (
            f"Simplify ${shown}$.",
            f"Write ${shown}$ with one square root, whose content is as small as can "
            "be.",
        ),
    )
    facts = {"roots": roots, "factor": c}
    return Problem(text, radical(inside, a + c * b), facts)


def absolute_inequality(rng: Rng, level: int) -> Problem:
    """An interval around a point."""
    a, b = draw(rng, 1, 2 + level), nonzero(rng, 15)
    c = draw(rng, 2, 20 + 5 * level)
    strict = bool(rng.integers(2))
    low, high = Fraction(-c - b, a), Fraction(c - b, a)
    shown = f"|{poly([a, b])}| {'<' if strict else chr(92) + 'le'} {c}"
    text = pick(
        rng,
        (
            f"Solve ${shown}$. Give the solution as an interval.",
            f"For which real numbers $x$ is ${shown}$? Answer with an interval.",
        ),
    )
    ends = f"{frac(low)}, {frac(high)}"
    answer = f"({ends})" if strict else f"[{ends}]"
    return Problem(text, answer, {"a": a, "b": b, "c": c, "strict": strict})


def quadratic_inequality(rng: Rng, level: int) -> Problem:
    """Where a parabola is above or below zero."""
    low, high = sorted(some(rng, range(-9 - 2 * level, 10 + 2 * level), 2))
    above, strict = bool(rng.integers(2)), bool(rng.integers(2))
    sign = {(1, 1): ">", (1, 0): "\\ge", (0, 1): "<", (0, 0): "\\le"}[above, strict]
    coefficients = [1, -low - high, low * high]
    shown = f"{poly(coefficients)} {sign} 0"
    text = pick(
        rng,
        (
            f"Solve ${shown}$ over the real numbers, in interval notation.",
            f"Give the set of all real $x$ with ${shown}$, in interval notation.",
        ),
    )
    left, right = ("(", ")") if strict else ("[", "]")
    answer = f"{left}{low}, {high}{right}"
    if above:
        ends = (f"(-\\infty, {low}{right}", f"{left}{high}, \\infty)")
        answer = " \\cup ".join(ends)
    facts = {"coefficients": coefficients, "above": above, "strict": strict}
    return Problem(text, answer, facts)


def arithmetic_series(rng: Rng, level: int) -> Problem:
    """The sum of an arithmetic progression."""
    start, step = nonzero(rng, 40), nonzero(rng, 9 + level, 2)
    count = draw(rng, 15, 40 + 30 * level)
    shown = ", ".join(str(start + k * step) for k in range(4))
    text = pick(
        rng,
        (
            f"What is the sum of the first {count} terms of the arithmetic sequence "
            f"{shown}, ...?",
            f"A sequence begins {shown} and goes on with the same difference. Add its "
            f"first {count} terms.",
        ),
    )
    total = count * (2 * start + (count - 1) * step) // 2
    return Problem(text, str(total), {"start": start, "step": step, "count": count})


def geometric_series(rng: Rng, level: int) -> Problem:
    """The sum of an infinite geometric series."""
    below = draw(rng, 3, 9 + level)
    ratio = Fraction(nonzero(rng, below - 1), below)
    start = draw(rng, 2, 30 + 10 * level)
    shown = " + ".join(frac(start * ratio**k) for k in range(3)).replace("+ -", "- ")
    text = pick(
        rng,
        (
            f"Find the sum of the infinite geometric series ${shown} + \\cdots$ with "
            f"the ratio ${frac(ratio)}$.",
            f"A geometric series starts with {start} and has the ratio "
            f"${frac(ratio)}$. To which value does it converge?",
        ),
    )
    facts = {"start": start, "ratio": [ratio.numerator, ratio.denominator]}
    return Problem(text, frac(start / (1 - ratio)), facts)


def recurrence(rng: Rng, level: int) -> Problem:
    """A term of a sequence that is defined by the two before it."""
    p, q = draw(rng, 1, 3), nonzero(rng, 3)
    first, second = draw(rng, 1, 9), draw(rng, 2, 9)
    index = draw(rng, 7, 9 + level)
    values = [first, second]
    while len(values) < index:
        values.append(p * values[-1] + q * values[-2])
    ahead = "" if p == 1 else str(p)
    behind = "" if abs(q) == 1 else str(abs(q))
    rule = f"a_n = {ahead}a_{{n-1}} {'+' if q > 0 else '-'} {behind}a_{{n-2}}"
    text = pick(
        rng,
        (
            f"A sequence has $a_1 = {first}$, $a_2 = {second}$ and ${rule}$ for "
            f"$n \\ge 3$. What is $a_{{{index}}}$?",
            f"Let $a_1 = {first}$ and $a_2 = {second}$, and ${rule}$ from $n = 3$ on. "
            f"Compute $a_{{{index}}}$.",
        ),
    )
    facts = {"p": p, "q": q, "first": first, "second": second, "index": index}
    return Problem(text, str(values[-1]), facts)


def root_sums(rng: Rng, level: int) -> Problem:
    """A symmetric expression of the roots of a cubic."""
    b, c, d = nonzero(rng, 9 + level), nonzero(rng, 9 + level), nonzero(rng, 9 + level)
    power = draw(rng, 2, 3)
    # Newton's identities, with e1 = -b, e2 = c, e3 = -d.
    sums = {2: b * b - 2 * c, 3: -(b**3) + 3 * b * c - 3 * d}
    shown = " + ".join(f"{name}^{power}" for name in "rst")
    cubic = poly([1, b, c, d])
    text = pick(
        rng,
        (
            f"Let $r$, $s$, $t$ be the complex roots of ${cubic}$. Compute ${shown}$.",
            f"The equation ${cubic} = 0$ has the complex roots $r$, $s$ and $t$, each "
            f"counted as often as it occurs. Find ${shown}$.",
        ),
    )
    facts = {"coefficients": [1, b, c, d], "power": power}
    return Problem(text, str(sums[power]), facts)


def polynomial_remainder(rng: Rng, level: int) -> Problem:
    """The remainder of a high power by a quadratic with two small roots."""
    p, q = some(rng, (-3, -2, -1, 1, 2, 3), 2)
    power, a, b = draw(rng, 4, 5 + level), nonzero(rng, 9), nonzero(rng, 9)
    at_p, at_q = p**power + a * p + b, q**power + a * q + b
    slope = (at_p - at_q) // (p - q)
    dividend = poly([1, *[0] * (power - 2), a, b])
    divisor = poly([1, -p - q, p * q])
    if not slope:
        return polynomial_remainder(rng, level)
    text = pick(
        rng,
        (
            f"Find the remainder when ${dividend}$ is divided by ${divisor}$.",
            f"Dividing ${dividend}$ by ${divisor}$ leaves which remainder (a "
            "polynomial of degree at most 1)?",
        ),
    )
    facts = {"power": power, "a": a, "b": b, "p": p, "q": q}
    return Problem(text, poly([slope, at_p - slope * p]), facts)


def complex_product(rng: Rng, level: int) -> Problem:
    """A product of complex numbers."""
    count = 2 + (level > 3)
    factors = [[nonzero(rng, 9), nonzero(rng, 9)] for _ in range(count)]
    real, imaginary = 1, 0
    for a, b in factors:
        real, imaginary = real * a - imaginary * b, real * b + imaginary * a
    if not real or not imaginary:
        return complex_product(rng, level)
    shown = "".join(f"({_complex(a, b)})" for a, b in factors)
    text = pick(
        rng,
        (
            f"Compute ${shown}$, where $i^2 = -1$. Write it as $a + bi$ with the "
            "numbers put in.",
            f"Let $i$ be the imaginary unit. Multiply out ${shown}$.",
        ),
    )
    return Problem(text, _complex(real, imaginary), {"factors": factors})


def _complex(real: int, imaginary: int) -> str:
    size = "" if abs(imaginary) == 1 else str(abs(imaginary))
    return f"{real} {'+' if imaginary > 0 else '-'} {size}i"


def matrix_product(rng: Rng, level: int) -> Problem:
    """A product of two 2x2 matrices."""
    top = 5 + level
    left, right = (
        [[nonzero(rng, top) for _ in range(2)] for _ in range(2)] for _ in range(2)
    )
    product = [
        [sum(left[i][k] * right[k][j] for k in range(2)) for j in range(2)]
        for i in range(2)
    ]
    shown = f"{matrix(left)} {matrix(right)}"
    text = pick(
        rng,
        (
            f"Compute the matrix product ${shown}$.",
            f"Let $A = {matrix(left)}$ and $B = {matrix(right)}$. What is $AB$?",
        ),
    )
    return Problem(text, matrix(product), {"left": left, "right": right})


def least_value(rng: Rng, level: int) -> Problem:
    """The least value of ax + b/x for positive x."""
    a, b = draw(rng, 1, 12 + level), draw(rng, 2, 40 + 10 * level)
    first = "x" if a == 1 else f"{a}x"
    shown = f"{first} + \\frac{{{b}}}{{x}}"
    text = pick(
        rng,
        (
            f"What is the least value of ${shown}$ for positive real $x$?",
            f"Find the minimum of ${shown}$ over all real numbers $x > 0$, exactly.",
        ),
    )
    return Problem(text, radical(a * b, 2), {"a": a, "b": b})


def telescoping(rng: Rng, level: int) -> Problem:
    """A sum of fractions that telescopes."""
    step, start, count = draw(rng, 1, 4), draw(rng, 1, 9), draw(rng, 8, 30 + 10 * level)
    total = sum(
        Fraction(1, (start + k * step) * (start + (k + 1) * step)) for k in range(count)
    )
    n = [start + k * step for k in range(count + 1)]
    first = f"\\frac{{1}}{{{n[0]} \\cdot {n[1]}}} + \\frac{{1}}{{{n[1]} \\cdot {n[2]}}}"
    last = f"\\frac{{1}}{{{n[-2]} \\cdot {n[-1]}}}"
    text = pick(
        rng,
        (
            f"Compute ${first} + \\cdots + {last}$.",
            f"Write the sum ${first} + \\cdots + {last}$ as a fraction in lowest "
            "terms.",
        ),
    )
    facts = {"step": step, "start": start, "count": count}
    return Problem(text, frac(total), facts)


FAMILIES = (
    Family("algebra", (1, 2), linear_equation),
    Family("algebra", (2, 3), linear_system),
    Family("algebra", (2, 3), quadratic_roots),
    Family("algebra", (3, 4), irrational_roots),
    Family("algebra", (2, 3), expand_product),
    Family("algebra", (2, 3), factor_quadratic),
    Family("algebra", (2, 3), line_through),
    Family("algebra", (2, 3), simplify_radical),
    Family("algebra", (3, 4), absolute_inequality),
    Family("algebra", (3, 4), quadratic_inequality),
    Family("algebra", (2, 3), arithmetic_series),
    Family("algebra", (3, 4), geometric_series),
    Family("algebra", (4, 5), recurrence),
    Family("algebra", (4, 5), root_sums),
    Family("algebra", (4, 5), polynomial_remainder),
    Family("algebra", (3, 4), complex_product),
    Family("algebra", (3, 4), matrix_product),
    Family("algebra", (4, 5), least_value),
    Family("algebra", (4, 5), telescoping),
)
