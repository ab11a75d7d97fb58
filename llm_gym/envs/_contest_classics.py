"""Problems of `llmgym/CodeContest-v0` that need an algorithm, with drawn parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from llm_gym.envs._contest_problem import Problem

__all__ = ["CLASSICS"]

Rng = np.random.Generator


def _ints(rng: Rng, low: int, high: int, size: int) -> list[int]:
    return [int(x) for x in rng.integers(low, high + 1, size)]


def _word(rng: Rng, letters: str, size: int) -> str:
    return "".join(letters[int(i)] for i in rng.integers(len(letters), size=size))


def _cipher(rng: Rng) -> Problem:
    shift, back = int(rng.integers(2, 24)), int(rng.integers(2, 6))
    return Problem(
        "encode",
        ("text",),
        f"Shift each lower-case letter of a text by {shift} places in the alphabet "
        f"from a to z, going on at a after z. But each letter at a position divisible "
        f"by {back} (counting from 0) is shifted backwards by as many. All else stays.",
        f"""\
def encode(text):
    out = []
    for i, c in enumerate(text):
        if "a" <= c <= "z":
            step = -{shift} if i % {back} == 0 else {shift}
            c = chr((ord(c) - 97 + step) % 26 + 97)
        out.append(c)
    return "".join(out)
""",
        tuple(
            [_word(rng, "abcxyz Q.mn9", size)] for size in (0, 1, 3, 7, 15, 30, 6, 9)
        ),
    )


def _runs(rng: Rng) -> Problem:
    least = int(rng.integers(2, 4))
    return Problem(
        "shorten",
        ("text",),
        f"Replace each run of {least} or more equal characters by the character and "
        f"the length of the run; shorter runs stay. For instance a run of {least + 2} "
        f"times 'x' becomes 'x{least + 2}'.",
        f"""\
def shorten(text):
    out, i = [], 0
    while i < len(text):
        j = i
        while j < len(text) and text[j] == text[i]:
            j += 1
        out.append(text[i:j] if j - i < {least} else text[i] + str(j - i))
        i = j
    return "".join(out)
""",
        tuple([_word(rng, "ab", size)] for size in (0, 1, 2, 5, 11, 24, 13, 9)),
    )


def _brackets(rng: Rng) -> Problem:
    return Problem(
        "first_error",
        ("text",),
        "A text consists of the brackets ()[]{}. Return the position, counting from 0, "
        "of the first closing bracket that does not match the last one that is open "
        "(or where none is open); if there is none, the length of the text if brackets "
        "stay open at its end, and -1 if all is well.",
        """\
def first_error(text):
    pairs, open_ones = {")": "(", "]": "[", "}": "{"}, []
    for i, c in enumerate(text):
        if c in pairs:
            if not open_ones or open_ones.pop() != pairs[c]:
                return i
        else:
            open_ones.append(c)
    return len(text) if open_ones else -1
""",
        tuple(
            [text]
            for text in (
                "",
                "()[]",
                "([]{})" * int(rng.integers(1, 5)),
                "([)]",
                "((",
                _word(rng, "()[]", 9),
                "{" * 3 + _word(rng, "()", 6),
                "]",
                "[" + _word(rng, "{}()", 12) + "]",
                _word(rng, "()[]{}", 14),
            )
        ),
    )


def _coins(rng: Rng) -> Problem:
    most = int(rng.integers(2, 5))
    return Problem(
        "ways",
        ("coins", "amount"),
        f"In how many ways can an amount be paid with coins of the given values (all "
        f"different), using each value at most {most} times? The order of coins does "
        f"not matter; there is one way to pay 0.",
        f"""\
def ways(coins, amount):
    table = [1] + [0] * amount
    for coin in coins:
        table = [
            sum(table[a - k * coin] for k in range({most} + 1) if a >= k * coin)
            for a in range(amount + 1)
        ]
    return table[amount]
""",
        tuple(
            [sorted(set(_ints(rng, 1, 12, size))), amount]
            for size, amount in (
                (1, 0),
                (1, 7),
                (2, 9),
                (3, 12),
                (4, 25),
                (5, 40),
                (4, 11),
            )
        ),
    )


def _rising(rng: Rng) -> Problem:
    gap = int(rng.integers(1, 5))
    return Problem(
        "longest",
        ("xs",),
        f"Return the length of the longest subsequence (numbers may be left out, the "
        f"order stays) in which each number is greater than the one before it by at "
        f"least {gap}. It is 0 for an empty list.",
        f"""\
def longest(xs):
    best = []
    for i, x in enumerate(xs):
        before = [best[j] for j in range(i) if x - xs[j] >= {gap}]
        best.append(1 + max(before, default=0))
    return max(best, default=0)
""",
        tuple([_ints(rng, -20, 30, size)] for size in (0, 1, 2, 6, 12, 25, 9, 7)),
    )


def _edit(rng: Rng) -> Problem:
    put, change = int(rng.integers(1, 4)), int(rng.integers(2, 6))
    return Problem(
        "cost",
        ("a", "b"),
        f"What does it cost at least to turn the text a into the text b? To insert or "
        f"to delete a character costs {put}, to replace one by another costs {change}.",
        f"""\
def cost(a, b):
    row = [{put} * j for j in range(len(b) + 1)]
    for i, x in enumerate(a, 1):
        new = [{put} * i]
        for j, y in enumerate(b, 1):
            new.append(min(row[j] + {put}, new[-1] + {put},
                           row[j - 1] + (0 if x == y else {change})))
        row = new
    return row[-1]
""",
        tuple(
            [_word(rng, "abc", n), _word(rng, "abc", m)]
            for n, m in (
                (0, 0),
                (0, 3),
                (4, 1),
                (5, 5),
                (9, 7),
                (12, 14),
                (4, 5),
                (3, 4),
            )
        ),
    )


def _grid(rng: Rng, rows: int, columns: int) -> list[str]:
    cells = rng.random((rows, columns)) < 0.3
    cells[0, 0] = cells[-1, -1] = False
    return ["".join("#" if cell else "." for cell in row) for row in cells]


def _maze(rng: Rng) -> Problem:
    jump = bool(rng.integers(2))
    moves = "[(0, 1), (1, 0), (0, -1), (-1, 0)"
    moves += ", (1, 1), (-1, -1), (1, -1), (-1, 1)]" if jump else "]"
    how = "to any of the eight cells around it" if jump else "up, down, left or right"
    return Problem(
        "steps",
        ("grid",),
        f"A grid is a list of rows, texts of the same length; '.' is free, '#' a wall. "
        f"From a free cell one may go {how}, onto free cells only. Return the smallest "
        f"number of steps from the first cell of the first row to the last cell of the "
        f"last row (both are free), -1 if there is no way.",
        f"""\
def steps(grid):
    seen, line, count = {{(0, 0)}}, [(0, 0)], 0
    goal = (len(grid) - 1, len(grid[0]) - 1)
    while line:
        if goal in line:
            return count
        new = []
        for r, c in line:
            for dr, dc in {moves}:
                cell = (r + dr, c + dc)
                if (0 <= cell[0] <= goal[0] and 0 <= cell[1] <= goal[1]
                        and grid[cell[0]][cell[1]] == "." and cell not in seen):
                    seen.add(cell)
                    new.append(cell)
        line, count = new, count + 1
    return -1
""",
        tuple(
            [_grid(rng, r, c)]
            for r, c in ((1, 1), (1, 4), (3, 3), (5, 5), (6, 8), (9, 9), (4, 5), (5, 4))
        ),
    )


def _islands(rng: Rng) -> Problem:
    least = int(rng.integers(1, 4))
    return Problem(
        "groups",
        ("count", "links"),
        f"There are `count` people with the numbers from 0 on; `links` is a list of "
        f"pairs of people who know each other. Two people are in one group if a chain "
        f"of such pairs joins them. Return the sizes of the groups with more than "
        f"{least} members, the greatest first.",
        f"""\
def groups(count, links):
    root = list(range(count))
    def find(x):
        while root[x] != x:
            x = root[x]
        return x
    for a, b in links:
        root[find(a)] = find(b)
    sizes = {{}}
    for x in range(count):
        sizes[find(x)] = sizes.get(find(x), 0) + 1
    return sorted((s for s in sizes.values() if s > {least}), reverse=True)
""",
        tuple(
            [n, [_ints(rng, 0, n - 1, 2) for _ in range(m)]]
            for n, m in (
                (1, 0),
                (3, 1),
                (6, 3),
                (10, 6),
                (20, 12),
                (30, 15),
                (8, 5),
                (9, 5),
            )
        ),
    )


def _meetings(rng: Rng) -> Problem:
    rest = int(rng.integers(0, 4))
    return Problem(
        "rooms",
        ("meetings",),
        f"Each meeting is a pair [start, end] with start < end. A room is free again "
        f"{rest} units of time after a meeting's end: another may then start at that "
        f"very moment. How many rooms are needed at least for all of them?",
        f"""\
def rooms(meetings):
    events = [(s, 1) for s, _ in meetings] + [(e + {rest}, -1) for _, e in meetings]
    events.sort()
    best = now = 0
    for _, change in events:
        now += change
        best = max(best, now)
    return best
""",
        tuple(
            [[[s, s + int(rng.integers(1, 9))] for s in _ints(rng, 0, 30, size)]]
            for size in (0, 1, 2, 5, 9, 16, 6, 4)
        ),
    )


def _robot(rng: Rng) -> Problem:
    size = int(rng.integers(4, 9))
    return Problem(
        "walk",
        ("orders",),
        f"A robot stands in the middle of a field whose cells have coordinates from "
        f"{-size} to {size}, at [0, 0], looking north. Its orders are letters: F one "
        f"step forward, B one step back (looking the same way), L a quarter turn left, "
        f"R a quarter turn right. A step that would leave the field is not taken. "
        f"North is the way in which the second coordinate grows, east that of the "
        f"first. Return where it stands at the end, as [x, y, bumps], where bumps is "
        f"how many steps were not taken.",
        f"""\
def walk(orders):
    x = y = bumps = 0
    dx, dy = 0, 1
    for c in orders:
        if c == "L":
            dx, dy = -dy, dx
        elif c == "R":
            dx, dy = dy, -dx
        else:
            sign = 1 if c == "F" else -1
            nx, ny = x + sign * dx, y + sign * dy
            if max(abs(nx), abs(ny)) > {size}:
                bumps += 1
            else:
                x, y = nx, ny
    return [x, y, bumps]
""",
        tuple([_word(rng, "FFFFBLR", n)] for n in (0, 1, 5, 15, 40, 90, 12, 8)),
    )


CLASSICS: tuple[tuple[Callable[[Rng], Problem], ...], ...] = (
    (_cipher, _runs, _robot),
    (_brackets, _coins, _meetings),
    (_rising, _edit, _maze, _islands),
)
"""The families by difficulty."""
