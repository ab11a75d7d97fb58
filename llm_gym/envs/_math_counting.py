"""Problems of counting and probability."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

from llm_gym.envs._draws import WORDS, pick, some
from llm_gym.envs._math_latex import Family, Problem, Rng, draw, frac

__all__ = ["FAMILIES"]


def word_arrangements(rng: Rng, level: int) -> Problem:
    """The arrangements of a word's letters."""
    kinds = some(rng, "ABDEIKLMNORSTU", 3 + level // 2)
    letters = [letter for letter in kinds for _ in range(draw(rng, 1, 3))]
    word = "".join(some(rng, letters, len(letters)))
    if len(word) < 5:
        return word_arrangements(rng, level)
    value = math.factorial(len(word))
    for count in Counter(word).values():
        value //= math.factorial(count)
    text = pick(
        rng,
        (
            f"How many different strings can be made by rearranging all letters of "
            f"{word}?",
            f"In how many distinguishable orders can the letter tiles of {word} be "
            "laid in a row?",
        ),
    )
    return Problem(text, str(value), {"word": word})


def committees(rng: Rng, level: int) -> Problem:
    """Committees with at least so many of one group."""
    first, second = draw(rng, 4, 5 + level), draw(rng, 4, 5 + level)
    size = draw(rng, 3, 5)
    least = draw(rng, 1, size - 1)
    value = sum(
        math.comb(first, k) * math.comb(second, size - k)
        for k in range(least, size + 1)
    )
    one, two = pick(rng, (("teachers", "parents"), ("cats", "dogs")))
    text = pick(
        rng,
        (
            f"From {first} {one} and {second} {two}, {size} are chosen. In how many "
            f"ways can this be done if at least {least} of the {one} must be among "
            "them?",
            f"How many groups of {size} can be formed from {first} {one} and {second} "
            f"{two} with no fewer than {least} {one} in the group?",
        ),
    )
    facts = {"first": first, "second": second, "size": size, "least": least}
    return Problem(text, str(value), facts)


def grid_paths(rng: Rng, level: int) -> Problem:
    """Shortest paths in a grid that avoid a crossing."""
    width, height = draw(rng, 4, 4 + level), draw(rng, 4, 4 + level)
    x, y = draw(rng, 1, width - 1), draw(rng, 1, height - 1)
    through = math.comb(x + y, x) * math.comb(width - x + height - y, width - x)
    value = math.comb(width + height, width) - through
    text = pick(
        rng,
        (
            f"A path goes from $(0, 0)$ to $({width}, {height})$ in steps of 1 to the "
            f"right or 1 up. How many such paths do not pass through $({x}, {y})$?",
            f"A robot walks from $(0, 0)$ to $({width}, {height})$, each move one unit "
            f"right or one unit up, and must avoid the hole at $({x}, {y})$. How many "
            "routes has it?",
        ),
    )
    facts = {"width": width, "height": height, "x": x, "y": y}
    return Problem(text, str(value), facts)


def sharing_out(rng: Rng, level: int) -> Problem:
    """Equal things for different people, with a least number for each."""
    people, least = draw(rng, 3, 3 + level // 2), draw(rng, 0, 2)
    things = people * least + draw(rng, 5, 10 + 2 * level)
    value = math.comb(things - people * least + people - 1, people - 1)
    thing = pick(rng, ("marbles", "coins", "stickers"))
    given = f"each gets at least {least}" if least else "some may get none"
    held = f"each holds at least {least}" if least else "some may stay empty"
    text = pick(
        rng,
        (
            f"In how many ways can {things} identical {thing} be given to {people} "
            f"children, if {given}?",
            f"How many ways are there to put {things} equal {thing} into {people} "
            f"different boxes, where {held}?",
        ),
    )
    facts = {"people": people, "least": least, "things": things}
    return Problem(text, str(value), facts)


def dice_sum(rng: Rng, level: int) -> Problem:
    """The probability of a sum of dice."""
    dice, sides = 2 + level // 3, pick(rng, (6, 8, 10))
    wanted = draw(rng, dice + 2, dice * sides - 2)
    ways = {0: 1}
    for _ in range(dice):
        ways = _add_die(ways, sides)
    text = pick(
        rng,
        (
            f"{dice} fair dice with {sides} sides, numbered 1 to {sides}, are rolled. "
            f"What is the probability that they sum to {wanted}?",
            f"Roll {dice} fair {sides}-sided dice (faces 1 to {sides}). With what "
            f"probability is the total {wanted}?",
        ),
    )
    value = Fraction(ways[wanted], sides**dice)
    facts = {"dice": dice, "sides": sides, "sum": wanted}
    return Problem(text, frac(value), facts)


def _add_die(ways: dict[int, int], sides: int) -> dict[int, int]:
    more: dict[int, int] = Counter()
    for total, count in ways.items():
        for face in range(1, sides + 1):
            more[total + face] += count
    return more


def divisible_numbers(rng: Rng, level: int) -> Problem:
    """Inclusion and exclusion."""
    top = draw(rng, 200, 1000 * level)
    a, b, c = some(rng, (4, 5, 6, 7, 9, 10, 11, 12, 15), 3)
    value = sum((n % a == 0 or n % b == 0) and n % c != 0 for n in range(1, top + 1))
    text = pick(
        rng,
        (
            f"How many integers from 1 to {top} are divisible by {a} or by {b} but not "
            f"by {c}?",
            f"Count the positive integers up to {top} that are multiples of {a} or "
            f"{b} (or both) and no multiples of {c}.",
        ),
    )
    return Problem(text, str(value), {"top": top, "a": a, "b": b, "c": c})


def drawn_balls(rng: Rng, level: int) -> Problem:
    """The probability of a draw without replacement."""
    red, blue = draw(rng, 3, 5 + level), draw(rng, 3, 5 + level)
    drawn = draw(rng, 3, 3 + level // 3)
    wanted = draw(rng, 1, min(drawn - 1, red))
    ways = math.comb(red, wanted) * math.comb(blue, drawn - wanted)
    if not ways:
        return drawn_balls(rng, level)
    value = Fraction(ways, math.comb(red + blue, drawn))
    text = pick(
        rng,
        (
            f"A bag holds {red} red and {blue} blue balls. {drawn} are drawn at random "
            f"without replacement. What is the probability that exactly {wanted} of "
            "them are red?",
            f"Of {red + blue} tickets, {red} win. Somebody takes {drawn} of them at "
            f"random. How probable is it that exactly {wanted} win?",
        ),
    )
    facts = {"red": red, "blue": blue, "drawn": drawn, "wanted": wanted}
    return Problem(text, frac(value), facts)


def fixed_points(rng: Rng, level: int) -> Problem:
    """Permutations with exactly so many fixed points."""
    size = draw(rng, 5, 4 + level)
    fixed = draw(rng, 0, size - 3)
    left = size - fixed
    moved = sum(
        (-1) ** k * math.factorial(left) // math.factorial(k) for k in range(left + 1)
    )
    thing = pick(rng, ("letters", "hats", "keys"))
    text = pick(
        rng,
        (
            f"{size} people get their {thing} back in random order, one each. In how "
            f"many of the orders does exactly {fixed} of them get the right one?",
            f"How many permutations of {size} elements have exactly {fixed} fixed "
            "points?",
        ),
    )
    value = math.comb(size, fixed) * moved
    return Problem(text, str(value), {"size": size, "fixed": fixed})


def digit_strings(rng: Rng, level: int) -> Problem:
    """Numbers of so many digits without a digit beside itself."""
    length, digits = draw(rng, 3, 3 + level), draw(rng, 4, 9)
    # The first is none of 0; each other differs from the one before it.
    value = digits * digits ** (length - 1)
    word = pick(rng, WORDS)
    text = pick(
        rng,
        (
            f"How many {length}-digit numbers use only digits from 0 to {digits}, do "
            "not begin with 0, and have no two equal digits next to each other?",
            f"The codes of the lock '{word}' have {length} digits, each from 0 to "
            f"{digits}; the first is not 0 and no digit equals its neighbour. How "
            "many codes are there?",
        ),
    )
    return Problem(text, str(value), {"length": length, "top": digits})


FAMILIES = (
    Family("counting", (2, 3), word_arrangements),
    Family("counting", (2, 3), committees),
    Family("counting", (3, 4, 5), grid_paths),
    Family("counting", (3, 4), sharing_out),
    Family("counting", (2, 3, 4), dice_sum),
    Family("counting", (3, 4, 5), divisible_numbers),
    Family("counting", (3, 4), drawn_balls),
    Family("counting", (4, 5), fixed_points),
    Family("counting", (2, 3), digit_strings),
)
