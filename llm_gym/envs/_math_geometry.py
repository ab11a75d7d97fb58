"""Problems of geometry: lengths, areas, angles, volumes."""

from __future__ import annotations

from fractions import Fraction

from llm_gym.envs._draws import pick
from llm_gym.envs._math_latex import (
    Family,
    Problem,
    Rng,
    draw,
    frac,
    in_tuple,
    nonzero,
    pi_times,
    radical,
)

__all__ = ["FAMILIES"]


def rectangle(rng: Rng, level: int) -> Problem:
    """A rectangle's area from its perimeter and a side."""
    width, height = draw(rng, 3, 30 + 30 * level), draw(rng, 3, 30 + 30 * level)
    around = 2 * (width + height)
    text = pick(
        rng,
        (
            f"A rectangle has the perimeter {around} cm, and one side is {width} cm "
            "long. What is its area in square cm?",
            f"A fence of {around} m goes all round a rectangular garden. One side of "
            f"it is {width} m. How many square metres is the garden?",
        ),
    )
    facts = {"perimeter": around, "side": width}
    return Problem(text, str(width * height), facts)


def triangle_angle(rng: Rng, level: int) -> Problem:
    """The angle at the apex, or outside of a triangle."""
    a, b = draw(rng, 11, 89), draw(rng, 11, 89)
    part = Fraction(draw(rng, 2, 3 + level))
    value = (180 - a - b) / part
    text = pick(
        rng,
        (
            f"Two angles of a triangle are {a} and {b} degrees. The third is divided "
            f"into {part} equal parts. How many degrees has each part?",
            f"In a triangle $ABC$ the angles at $A$ and $B$ measure ${a}^\\circ$ and "
            f"${b}^\\circ$. What is one {part}th of the angle at $C$, in degrees?"
            if part > 3
            else f"In a triangle $ABC$ the angles at $A$ and $B$ measure ${a}^\\circ$ "
            f"and ${b}^\\circ$. Divide the angle at $C$ by {part}. How many degrees "
            "result?",
        ),
    )
    return Problem(text, frac(value), {"a": a, "b": b, "parts": int(part)})


def hypotenuse(rng: Rng, level: int) -> Problem:
    """The third side of a right triangle."""
    a, b = draw(rng, 2, 9 + 4 * level), draw(rng, 2, 9 + 4 * level)
    leg = bool(rng.integers(2)) and a != b
    short, long = sorted((a, b))
    square = long * long - short * short if leg else a * a + b * b
    told = (
        f"a leg of {short} and a hypotenuse of {long}"
        if leg
        else f"legs of {a} and {b}"
    )
    third = "other leg" if leg else "hypotenuse"
    text = pick(
        rng,
        (
            f"A right triangle has {told}. Find the exact length of the {third}.",
            f"How long is the {third} of a right triangle with {told}? Give the exact "
            "value.",
        ),
    )
    return Problem(text, radical(square), {"sides": [a, b], "leg": leg})


def distance(rng: Rng, level: int) -> Problem:
    """The distance of two points."""
    size = 2 + (level > 2)
    top = 6 + 3 * level
    first, second = ([draw(rng, -top, top) for _ in range(size)] for _ in range(2))
    square = sum((a - b) ** 2 for a, b in zip(first, second, strict=True))
    if square < 2:
        return distance(rng, level)
    one, two = in_tuple([*map(str, first)]), in_tuple([*map(str, second)])
    text = pick(
        rng,
        (
            f"What is the distance between ${one}$ and ${two}$, exactly?",
            f"Find the exact length of the segment from ${one}$ to ${two}$.",
        ),
    )
    return Problem(text, radical(square), {"points": [first, second]})


def circle_sector(rng: Rng, level: int) -> Problem:
    """The area of a sector, or the length of its arc."""
    radius, angle = draw(rng, 2, 10 + 4 * level), 15 * draw(rng, 1, 23)
    area = bool(rng.integers(2))
    part = Fraction(angle, 360)
    value = part * radius * radius if area else part * 2 * radius
    asked = "area of the sector" if area else "length of the arc"
    text = pick(
        rng,
        (
            f"A sector of a circle of radius {radius} has the angle "
            f"${angle}^\\circ$. Find the exact {asked}.",
            f"In a circle of radius {radius}, what is the exact {asked} with a central "
            f"angle of {angle} degrees? Use $\\pi$.",
        ),
    )
    facts = {"radius": radius, "angle": angle, "area": area}
    return Problem(text, pi_times(value), facts)


def solid_volume(rng: Rng, level: int) -> Problem:
    """The volume of a cone, a cylinder or a ball."""
    radius, height = draw(rng, 2, 9 + 2 * level), draw(rng, 2, 12 + 4 * level)
    solid = pick(rng, ("cone", "cylinder", "ball"))
    factor = {
        "cone": Fraction(radius**2 * height, 3),
        "cylinder": Fraction(radius**2 * height),
        "ball": Fraction(4 * radius**3, 3),
    }[solid]
    told = f"radius {radius}" + ("" if solid == "ball" else f" and height {height}")
    text = pick(
        rng,
        (
            f"Find the exact volume of a {solid} with {told}.",
            f"A {solid} has {told}. What is its volume, as a multiple of $\\pi$?",
        ),
    )
    facts = {"radius": radius, "height": height, "solid": solid}
    return Problem(text, pi_times(factor), facts)


def polygon_area(rng: Rng, level: int) -> Problem:
    """The area of a triangle or a quadrilateral with whole corners."""
    top = 6 + 2 * level
    a, c = [-draw(rng, 1, top), draw(rng, -3, 3)], [draw(rng, 1, top), draw(rng, -3, 3)]
    # One corner well above, one well below the line from a to c: no sides cross.
    b, d = [draw(rng, -3, 3), -draw(rng, 5, top)], [draw(rng, -3, 3), draw(rng, 5, top)]
    corners = [a, b, c, d] if level > 3 else [a, b, c]
    turned = corners[1:] + corners[:1]
    double = sum(
        p[0] * q[1] - q[0] * p[1] for p, q in zip(corners, turned, strict=True)
    )
    if not _convex(corners):
        return polygon_area(rng, level)
    shown = ", ".join(f"$({x}, {y})$" for x, y in corners)
    name = "quadrilateral" if len(corners) == 4 else "triangle"
    text = pick(
        rng,
        (
            f"Find the area of the {name} with the corners {shown}, in this order.",
            f"A {name} has its vertices at {shown}, one after the other. What is its "
            "area?",
        ),
    )
    return Problem(text, frac(Fraction(abs(double), 2)), {"corners": corners})


def _convex(corners: list[list[int]]) -> bool:
    """Say whether one turns left at every corner."""
    count = len(corners)
    for i in range(count):
        (ax, ay), (bx, by), (cx, cy) = (corners[(i + k) % count] for k in range(3))
        if (bx - ax) * (cy - by) - (by - ay) * (cx - bx) <= 0:
            return False
    return True


def heron(rng: Rng, level: int) -> Problem:
    """The area of a triangle of three sides."""
    a, b = draw(rng, 4, 10 + 2 * level), draw(rng, 4, 10 + 2 * level)
    c = draw(rng, abs(a - b) + 1, a + b - 1)
    square = (a + b + c) * (-a + b + c) * (a - b + c) * (a + b - c)
    text = pick(
        rng,
        (
            f"A triangle has sides of {a}, {b} and {c}. Find its exact area.",
            f"What is the exact area of a triangle whose sides are {a}, {b} and {c} "
            "long?",
        ),
    )
    return Problem(text, radical(square, Fraction(1, 4)), {"sides": [a, b, c]})


def circle_equation(rng: Rng, level: int) -> Problem:
    """The centre of a circle and its radius, from its equation."""
    h, k = nonzero(rng, 9), nonzero(rng, 9)
    square = draw(rng, 2, 60 + 20 * level)
    constant = h * h + k * k - square
    shown = f"x^2 + y^2{_times(-2 * h, 'x')}{_times(-2 * k, 'y')}"
    if constant:
        shown += f" {'+' if constant > 0 else '-'} {abs(constant)}"
    text = pick(
        rng,
        (
            f"What is the exact radius of the circle ${shown} = 0$?",
            f"The equation ${shown} = 0$ describes a circle. Find its radius exactly.",
        ),
    )
    facts = {"linear": [-2 * h, -2 * k], "constant": constant}
    return Problem(text, radical(square), facts)


def _times(factor: int, name: str) -> str:
    return f" {'+' if factor > 0 else '-'} {abs(factor)}{name}"


FAMILIES = (
    Family("geometry", (0, 1), rectangle),
    Family("geometry", (0, 1), triangle_angle),
    Family("geometry", (2, 3), hypotenuse),
    Family("geometry", (2, 3), distance),
    Family("geometry", (2, 3), circle_sector),
    Family("geometry", (2, 3), solid_volume),
    Family("geometry", (3, 4, 5), polygon_area),
    Family("geometry", (4, 5), heron),
    Family("geometry", (4, 5), circle_equation),
)
