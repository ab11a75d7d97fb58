"""Every family's answer worked out again, slowly, from what its problem tells."""

from __future__ import annotations

import cmath
import itertools
import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

__all__ = ["WORKED_OUT", "agrees", "number_of"]

Facts = dict[str, Any]


def number_of(latex: str) -> Any:
    """Evaluate a number: exactly where it is rational, else as a float or complex."""
    text = latex
    while "\\frac" in text:
        text = re.sub(r"\\frac\{([^{}]*(?:\{[^{}]*\})?)\}\{(\d+)\}", r"((\1)/\2)", text)
    text = re.sub(r"\\sqrt\{(\d+)\}", r"*math.sqrt(\1)", text)
    text = text.replace("\\pi", "*math.pi")
    text = re.sub(r"(?<=[\d)])i|(?<![a-z])i(?![a-z])", lambda m: "*1j", text)
    text = re.sub(r"(^|[(+\-] ?|/)\*", r"\g<1>1*", text)
    if "math" not in text and "j" not in text:
        text = re.sub(r"(\d+)", r"Fraction(\1)", text)
    return eval(text, {"math": math, "Fraction": Fraction})


def polynomial(latex: str, x: int) -> Fraction:
    """Evaluate a polynomial in x."""
    text = re.sub(r"(?<=[\d)}])x|(?<=\))\(", lambda m: f"*{m[0]}", latex)
    text = re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"Fraction(\1, \2)", text)
    text = text.replace("^", "**").replace("{", "").replace("}", "")
    return Fraction(eval(text, {"x": Fraction(x), "Fraction": Fraction}))


def items(latex: str) -> list[Any]:
    """Evaluate the items of a set or a tuple."""
    inner = latex.removeprefix("\\").removesuffix("\\}")[1:]
    return [number_of(part) for part in inner.rstrip(")").split(", ")]


def holds(latex: str, x: Fraction) -> bool:
    """Say whether a number lies in an interval or a union of them."""
    for part in latex.split(" \\cup "):
        low, high = part[1:-1].split(", ")
        left = -math.inf if "infty" in low else number_of(low)
        right = math.inf if "infty" in high else number_of(high)
        below = left < x or (part[0] == "[" and left == x)
        if below and (x < right or (part[-1] == "]" and x == right)):
            return True
    return False


def near(first: Any, second: Any) -> bool:
    """Compare numbers, exactly where they are rational."""
    if isinstance(first, (int, Fraction)) and isinstance(second, (int, Fraction)):
        return first == second
    return bool(cmath.isclose(first, second, rel_tol=1e-9))


def agrees(name: str, answer: str, facts: Facts) -> bool:
    """Say whether a problem's answer is what is worked out here."""
    return WORKED_OUT[name](answer, facts)


def value(work: Callable[[Facts], Any]) -> Callable[[str, Facts], bool]:
    """Check an answer that is a number."""
    return lambda answer, facts: near(number_of(answer), work(facts))


def count(work: Callable[[Facts], Any]) -> Callable[[str, Facts], bool]:
    """Check an answer that counts what is listed."""
    return lambda answer, facts: int(answer) == sum(1 for _ in work(facts))


def _shares(f: Facts) -> Fraction:
    return Fraction(f["total"] * f["ratio"][f["who"]], sum(f["ratio"]))


def _system(answer: str, f: Facts) -> bool:
    x, y = items(answer)
    return all(a * x + b * y == c for a, b, c in f["rows"])


def _roots(answer: str, f: Facts) -> bool:
    a, b, c = f["coefficients"]
    found = items(answer)
    zero = all(abs(a * x * x + b * x + c) < 1e-6 for x in found)
    return zero and len(set(found)) == 2


def _same_polynomial(answer: str, work: Callable[[int], Any]) -> bool:
    return all(polynomial(answer, x) == work(x) for x in range(-6, 7))


def _at(coefficients: list[int], x: Any) -> Any:
    total: Any = 0
    for c in coefficients:
        total = total * x + c
    return total


def _line(answer: str, f: Facts) -> bool:
    left, right = answer.split(" = ")
    return left == "y" and all(polynomial(right, x) == y for x, y in f["points"])


def _interval(answer: str, inside: Callable[[Fraction], bool]) -> bool:
    """Try whole numbers, and the ends with what lies close to them."""
    told = re.sub(r"\\cup|\\infty|[()\[\]]|-(?=\\infty)", " ", answer).split(",")
    ends = [number_of(end) for part in told for end in part.split() if end != "-"]
    close = [end + Fraction(n, 99) for end in ends for n in (-1, 0, 1)]
    return all(
        holds(answer, x) == inside(x) for x in [*map(Fraction, range(-50, 51)), *close]
    )


def _absolute(answer: str, f: Facts) -> bool:
    a, b, c = f["a"], f["b"], f["c"]
    ends = [Fraction(-c - b, a), Fraction(c - b, a)]
    return _interval(
        answer,
        lambda x: abs(a * x + b) < c or (not f["strict"] and abs(a * x + b) == c),
    ) and all(holds(answer, end) is not f["strict"] for end in ends)


def _quadratic(answer: str, f: Facts) -> bool:
    def inside(x: Fraction) -> bool:
        y = _at(f["coefficients"], x)
        return (not y and not f["strict"]) or (y > 0 if f["above"] else y < 0)

    return _interval(answer, inside)


def _recurrence(f: Facts) -> int:
    def term(n: int) -> int:
        if n < 3:
            return int(f["first"] if n == 1 else f["second"])
        return int(f["p"] * term(n - 1) + f["q"] * term(n - 2))

    return term(f["index"])


def _root_sums(answer: str, f: Facts) -> bool:
    import numpy as np

    found = sum(root ** f["power"] for root in np.roots(f["coefficients"]))
    return bool(abs(found - int(answer)) < 1e-6 * max(1, abs(int(answer))))


def _remainder(answer: str, f: Facts) -> bool:
    n, a, b, p, q = (f[k] for k in ("power", "a", "b", "p", "q"))
    rest = [1, *[0] * (n - 2), a, b]
    for place in range(n - 1):  # long division by x^2 - (p + q) x + pq
        lead = rest[place]
        rest[place + 1] += lead * (p + q)
        rest[place + 2] -= lead * p * q
    return _same_polynomial(answer, lambda x: _at(rest[-2:], x))


def _complex(f: Facts) -> complex:
    return math.prod((complex(a, b) for a, b in f["factors"]), start=complex(1))


def _matrix(answer: str, f: Facts) -> bool:
    body = answer.split("} ")[1].split(" \\end")[0]
    rows = [[int(cell) for cell in row.split(" & ")] for row in body.split(" \\\\ ")]
    left, right = f["left"], f["right"]
    columns = list(zip(*right, strict=True))
    return rows == [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in columns]
        for row in left
    ]


def _least(f: Facts) -> float:
    """Search by thirds."""
    low, high = 1e-6, 1e3
    for _ in range(300):
        one, two = low + (high - low) / 3, high - (high - low) / 3
        if f["a"] * one + f["b"] / one < f["a"] * two + f["b"] / two:
            high = two
        else:
            low = one
    return float(f["a"] * low + f["b"] / low)


def _telescoping(f: Facts) -> Fraction:
    n = [f["start"] + k * f["step"] for k in range(f["count"] + 1)]
    return sum((Fraction(1, a * b) for a, b in itertools.pairwise(n)), Fraction(0))


def _gcd_or_lcm(f: Facts) -> int:
    a, b = f["a"], f["b"]
    if f["least"]:
        return int(next(n for n in range(a, a * b + 1, a) if n % b == 0))
    return int(next(n for n in range(min(a, b), 0, -1) if a % n == b % n == 0))


def _power(f: Facts) -> int:
    rest = 1
    for _ in range(f["power"]):
        rest = rest * f["base"] % f["modulus"]
    return rest


def _divisors(f: Facts) -> int:
    found = [d for d in range(1, f["number"] + 1) if f["number"] % d == 0]
    return len(found) if f["count"] else sum(found)


def _zeros(f: Facts) -> int:
    number, found = math.factorial(f["number"]), 0
    while number % f["prime"] == 0:
        number, found = number // f["prime"], found + 1
    return found


def _remainders(f: Facts) -> int:
    pairs = list(zip(f["moduli"], f["remainders"], strict=True))
    return next(n for n in itertools.count(1) if all(n % m == r for m, r in pairs))


def _pairs(f: Facts) -> int:
    n, found = f["number"], 0
    for y in range(n + 1):
        x = math.isqrt(n + y * y)
        if x * x == n + y * y:
            found += 2 if y == 0 else 4
    return found


def _arrangements(answer: str, f: Facts) -> bool:
    word = f["word"]
    if len(word) > 8:  # too many to list: place letter after letter
        left, total = len(word), 1
        for letter in sorted(set(word)):
            total *= math.comb(left, word.count(letter))
            left -= word.count(letter)
        return int(answer) == total
    return int(answer) == len(set(itertools.permutations(word)))


def _committees(f: Facts) -> Any:
    people = [1] * f["first"] + [0] * f["second"]
    chosen = itertools.combinations(range(len(people)), f["size"])
    return (c for c in chosen if sum(people[i] for i in c) >= f["least"])


def _paths(f: Facts) -> int:
    ways = {(0, 0): 1}
    for x in range(f["width"] + 1):
        for y in range(f["height"] + 1):
            if x or y:
                ways[x, y] = ways.get((x - 1, y), 0) + ways.get((x, y - 1), 0)
            if (x, y) == (f["x"], f["y"]):
                ways[x, y] = 0
    return ways[f["width"], f["height"]]


def _sharing(f: Facts) -> Any:
    amounts = range(f["least"], f["things"] + 1)
    given = itertools.product(amounts, repeat=f["people"] - 1)
    return (g for g in given if f["things"] - sum(g) >= f["least"])


def _dice(f: Facts) -> Fraction:
    rolls = itertools.product(range(1, f["sides"] + 1), repeat=f["dice"])
    hits = sum(sum(roll) == f["sum"] for roll in rolls)
    return Fraction(hits, f["sides"] ** f["dice"])


def _balls(f: Facts) -> Fraction:
    bag = [1] * f["red"] + [0] * f["blue"]
    draws = list(itertools.combinations(range(len(bag)), f["drawn"]))
    hits = sum(sum(bag[i] for i in d) == f["wanted"] for d in draws)
    return Fraction(hits, len(draws))


def _fixed(f: Facts) -> int:
    """Place one after the other; a state is who is placed, and how many rightly."""
    states = {(0, 0): 1}
    for place in range(f["size"]):
        further: dict[tuple[int, int], int] = {}
        for (placed, right), ways in states.items():
            for who in range(f["size"]):
                if not placed >> who & 1:
                    state = (placed | 1 << who, right + (who == place))
                    further[state] = further.get(state, 0) + ways
        states = further
    return sum(ways for (_, right), ways in states.items() if right == f["fixed"])


def _strings(f: Facts) -> int:
    ends = dict.fromkeys(range(1, f["top"] + 1), 1)
    for _ in range(f["length"] - 1):
        ends = {
            digit: sum(n for other, n in ends.items() if other != digit)
            for digit in range(f["top"] + 1)
        }
    return sum(ends.values())


def _hypotenuse(f: Facts) -> float:
    low, high = sorted(f["sides"])
    return math.sqrt(high**2 - low**2) if f["leg"] else math.hypot(low, high)


def _sector(f: Facts) -> float:
    turn = math.radians(f["angle"])
    return float(turn * f["radius"] ** 2 / 2 if f["area"] else turn * f["radius"])


def _volume(f: Facts) -> float:
    """Add thin slices up."""
    r, h, slices = f["radius"], f["height"], 20_000
    if f["solid"] == "cylinder":
        return float(math.pi * r * r * h)
    total = 0.0
    for k in range(slices):
        x = (k + 0.5) / slices
        cone = f["solid"] == "cone"
        square = (r * x) ** 2 if cone else r * r - (r * (2 * x - 1)) ** 2
        total += math.pi * square * (h if cone else 2 * r) / slices
    return total


def _volume_agrees(answer: str, f: Facts) -> bool:
    return math.isclose(number_of(answer), _volume(f), rel_tol=1e-6)


def _polygon(f: Facts) -> Fraction:
    """Cut off the triangles between the first corner and each other side."""
    (x0, y0), *rest = f["corners"]
    double = 0
    for (x1, y1), (x2, y2) in itertools.pairwise(rest):
        double += abs((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0))
    return Fraction(double, 2)


def _heron(f: Facts) -> float:
    a, b, c = f["sides"]
    foot = (a * a + c * c - b * b) / (2 * c)
    return float(c * math.sqrt(a * a - foot * foot) / 2)


def _circle(f: Facts) -> float:
    (p, q), constant = f["linear"], f["constant"]
    return math.sqrt(p * p / 4 + q * q / 4 - constant)


WORKED_OUT: dict[str, Callable[[str, Facts], bool]] = {
    "integer_expression": value(
        lambda f: sum([f["b"] + f["c"]] * f["a"]) - sum([f["d"]] * f["e"])
    ),
    "fraction_sum": value(lambda f: sum(Fraction(a, b) for a, b in f["parts"])),
    "discount": value(
        lambda f: (
            f["price"] * (1 - Fraction(f["off"], 100)) * (1 + Fraction(f["on"], 100))
        )
    ),
    "meeting": value(lambda f: Fraction(f["gap"], f["first"] + f["second"]) * 60),
    "missing_score": value(
        lambda f: Fraction(*f["mean"]) * (len(f["known"]) + 1) - sum(f["known"])
    ),
    "shares": value(_shares),
    "work_rate": value(
        lambda f: Fraction(f["first"] * f["second"], f["first"] + f["second"])
    ),
    "linear_equation": lambda answer, f: (
        f["a"] * number_of(answer) + f["b"] == f["c"] * number_of(answer) + f["d"]
    ),
    "linear_system": _system,
    "quadratic_roots": _roots,
    "irrational_roots": _roots,
    "expand_product": lambda answer, f: (
        "(" not in answer
        and _same_polynomial(answer, lambda x: _at(f["first"], x) * _at(f["second"], x))
    ),
    "factor_quadratic": lambda answer, f: (
        answer.count("(x") == 2
        and _same_polynomial(answer, lambda x: _at(f["coefficients"], x))
    ),
    "line_through": _line,
    "simplify_radical": value(
        lambda f: math.sqrt(f["roots"][0]) + f["factor"] * math.sqrt(f["roots"][1])
    ),
    "absolute_inequality": _absolute,
    "quadratic_inequality": _quadratic,
    "arithmetic_series": value(
        lambda f: sum(f["start"] + k * f["step"] for k in range(f["count"]))
    ),
    "geometric_series": value(
        lambda f: sum(
            f["start"] * (f["ratio"][0] / f["ratio"][1]) ** k for k in range(999)
        )
    ),
    "recurrence": value(_recurrence),
    "root_sums": _root_sums,
    "polynomial_remainder": _remainder,
    "complex_product": value(_complex),
    "matrix_product": _matrix,
    "least_value": value(_least),
    "telescoping": value(_telescoping),
    "gcd_or_lcm": value(_gcd_or_lcm),
    "power_remainder": value(_power),
    "divisors": value(_divisors),
    "trailing_zeros": value(_zeros),
    "remainders": value(_remainders),
    "other_base": value(
        lambda f: int(f["first"], f["base"]) + int(f["second"], f["base"])
    ),
    "coprime_count": count(
        lambda f: (
            k
            for k in range(1, f["number"] + 1)
            if Fraction(k, f["number"]).denominator == f["number"]
        )
    ),
    "lattice_pairs": value(_pairs),
    "word_arrangements": _arrangements,
    "committees": count(_committees),
    "grid_paths": value(_paths),
    "sharing_out": count(_sharing),
    "dice_sum": value(_dice),
    "divisible_numbers": count(
        lambda f: (
            (
                set(range(f["a"], f["top"] + 1, f["a"]))
                | set(range(f["b"], f["top"] + 1, f["b"]))
            )
            - set(range(f["c"], f["top"] + 1, f["c"]))
        )
    ),
    "drawn_balls": value(_balls),
    "fixed_points": value(_fixed),
    "digit_strings": value(_strings),
    "rectangle": value(lambda f: f["side"] * (f["perimeter"] - 2 * f["side"]) // 2),
    "triangle_angle": value(lambda f: Fraction(180 - f["a"] - f["b"], f["parts"])),
    "hypotenuse": value(_hypotenuse),
    "distance": value(lambda f: math.dist(*f["points"])),
    "circle_sector": value(_sector),
    "solid_volume": _volume_agrees,
    "polygon_area": value(_polygon),
    "heron": value(_heron),
    "circle_equation": value(_circle),
}
