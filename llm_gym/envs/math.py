r"""Mathematical problems, from arithmetic to competitions, with one exact answer each.

The problems are generated with their answers, as LaTeX in simplest form; `MathMatch`
judges what stands in the reply's `\boxed{}`.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from llm_gym.env import ToolEnv
from llm_gym.envs import (
    _math_algebra,
    _math_arithmetic,
    _math_counting,
    _math_geometry,
    _math_numbers,
)
from llm_gym.envs._draws import pick
from llm_gym.envs._math_latex import Family, Problem
from llm_gym.tasks import GeneratedTasks, Task
from llm_gym.trajectory import Score, Trajectory
from llm_gym.verifiers.math import MathMatch

__all__ = ["FAMILIES", "LEVELS", "MathEnv", "generate", "make_problem"]

LEVELS = 6
"""How many levels there are."""

FAMILIES: tuple[Family, ...] = (
    *_math_arithmetic.FAMILIES,
    *_math_algebra.FAMILIES,
    *_math_numbers.FAMILIES,
    *_math_counting.FAMILIES,
    *_math_geometry.FAMILIES,
)
"""Every family of problems."""

_BY_LEVEL = tuple(
    tuple(family for family in FAMILIES if level in family.levels)
    for level in range(LEVELS)
)


def make_problem(family: Family, rng: np.random.Generator, level: int) -> Problem:
    """Make a problem of a family, whose answer is no number that the problem tells."""
    while True:
        problem = family.make(rng, level)
        if problem.answer not in _NUMERAL.findall(problem.text):
            return problem


_NUMERAL = re.compile(r"-?\d+")


def generate(rng: np.random.Generator, level: int) -> Task:
    """Make a problem of a level's families, each as likely as the others.

    Args:
        rng: Where the randomness comes from.
        level: From 0, arithmetic, to 5, competitions.
    """
    family = pick(rng, _BY_LEVEL[level])
    problem = make_problem(family, rng, level)
    return Task(
        prompt=f"{problem.text}\n\n{_FORMAT}",
        data={"family": family.name, "area": family.area, "facts": problem.facts},
        answer=problem.answer,
    )


_FORMAT = (
    "Give the answer exactly and in simplest form: fractions in lowest terms, the "
    "least numbers under square roots and none of them in a denominator, sums, powers "
    "and products worked out. End with the answer alone in \\boxed{}, written as LaTeX."
)


@cache
def _verifier() -> MathMatch:
    return MathMatch(extract="boxed", simplified=True)


class MathEnv(ToolEnv):
    r"""Solve a mathematical problem and give the exact answer in `\boxed{}`.

    Task:
        A generated problem of one of more than fifty families: arithmetic (expressions,
        fractions, percentages, rates, averages, ratios), algebra (equations, systems,
        polynomials, inequalities, radicals, sequences and series, complex numbers,
        matrices), number theory (divisors, remainders, bases, pairs of squares),
        counting and probability, geometry (lengths, areas, angles, volumes). The
        answer is a number, a set, a pair, an interval or a union of two, a matrix, a
        polynomial or an equation.

    Tools:
        None.

    Observation:
        One user message: the problem and the form of the answer.

    Reply:
        Text with the answer in `\boxed{...}`; several boxes must hold the same. It is
        read as LaTeX, or as plain text such as `3/4`; a variable's name before it
        (`x = 5`) and a unit after it do not matter.

    Reward:
        At the end 1.0 if the answer is what is right and in simplest form, else 0.0;
        see `MathMatch` with `simplified`: fractions in lowest terms, and the same
        numerals as in the simplest form. Decimals count where they are exact. The
        problem repeated as an expression, an answer without a box, two answers where
        there is one, and one that takes seconds to compare are worth 0. Parts: `format`
        (an answer was found and could be read), `correct`.

    Episode end:
        Terminated by the reply, whatever it is; truncated if it was cut off by its
        length limit or calls a tool.

    Levels:
        0: arithmetic. 1: word problems, an equation. 2 and 3: school algebra, geometry
        and counting. 4 and 5: what competitions ask.

    Floors:
        oracle 1.000, null 0.000, constant 0.000, random 0.000 (1,000 episodes, seed 0)

    Data and licence:
        Generated; Apache-2.0, as the package. Needs the extra `math`.

    Arguments:
        Those of `ToolEnv`.

    Version history:
        v0: first version.
    """

    tasks = GeneratedTasks(generate, levels=LEVELS)
    max_turns = 1
    blocking = True  # a comparison may wait for a worker

    def __init__(self, **kwargs: object) -> None:
        _verifier()  # a missing package is said now, and not after an episode
        super().__init__(**kwargs)  # type: ignore[arg-type]  # handed on as they came

    def verify(self, trajectory: Trajectory) -> Score:
        """Judge the answer in the box."""
        return _verifier().verify(trajectory)

    def oracle(self) -> str:
        """Return the right answer in a box."""
        return f"\\boxed{{{self.task.answer}}}"
