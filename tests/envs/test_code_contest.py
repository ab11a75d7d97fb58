"""llmgym/CodeContest-v0: problems that only a program solves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from llm_gym.envs._contest_classics import CLASSICS
from llm_gym.envs._contest_problem import EXAMPLES
from llm_gym.envs._contest_steps import chain
from llm_gym.envs.code_contest import generate
from llm_gym.policies import OraclePolicy
from tests.envs.driving import drive, make, play

ENV = "llmgym/CodeContest-v0"
FAMILIES = list(itertools.chain(*CLASSICS))


@pytest.fixture(scope="module")
def env():
    env = make(ENV)
    yield env
    env.close()


@pytest.mark.parametrize("level", range(4))
def test_oracle_solves_every_problem(level):
    env = make(ENV, level=level)
    for seed in range(10):
        assert drive(env, OraclePolicy(), seed=seed).score.value == 1.0
    env.close()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_family_gives_results_that_differ(family):
    for seed in range(5):
        problem = family(np.random.default_rng(seed))
        results = problem.results()
        assert len(results) == len(problem.inputs) > EXAMPLES + 4
        assert len(set(map(repr, results))) >= 3
        assert all(len(args) == len(problem.parameters) for args in problem.inputs)


def test_reference_agrees_with_brute_force():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        longest, coins = CLASSICS[2][0](rng), CLASSICS[1][1](rng)
        gap = int(longest.statement.split("at least ")[1].split(".")[0])
        most = int(coins.statement.split("at most ")[1].split(" ")[0])
        xs = [int(x) for x in rng.integers(-9, 9, 7)]
        assert _call(longest, xs) == max(
            len(c)
            for n in range(8)
            for c in itertools.combinations(xs, n)
            if all(b - a >= gap for a, b in itertools.pairwise(c))
        )
        assert _call(coins, [1, 3, 4], 9) == sum(
            a + 3 * b + 4 * c == 9
            for a, b, c in itertools.product(range(most + 1), repeat=3)
        )


def _call(problem, *args):
    names = {}
    exec(problem.source, names)
    return names[problem.name](*args)


def test_statement_of_a_chain_says_what_its_steps_do():
    for seed in range(20):
        problem = chain(np.random.default_rng(seed), 3)
        assert problem.statement.count("\n") == 4
        assert len(problem.source.splitlines()) >= 5


def test_examples_are_no_hidden_tests(env):
    for seed in range(20):
        env.reset(seed=seed)
        cases = env.task.answer["cases"]
        shown = env.task.prompt.partition("Examples:")[2] or env.task.prompt
        results = [case.get("stdout", case.get("expected")) for case in cases]
        assert len(set(map(repr, results))) >= 4
        for case in cases:
            if "stdin" in case and len(case["stdin"]) > 12:
                assert case["stdin"] not in shown


@pytest.mark.parametrize(
    "make_reply",
    [
        lambda task: "",
        lambda task: "I do not know.",
        lambda task: task.prompt,
        lambda task: "```python\n```",
        lambda task: task.answer["solution"].replace("return", "return None #"),
        lambda task: (
            task.answer["solution"].replace("print(json", "print(0, json")
            if "print" in task.answer["solution"]
            else "x = 1"
        ),
        lambda task: "print('ALL TESTS PASSED')",
        lambda task: "import sys; sys.exit(0)",
        lambda task: _only_the_examples(task),
    ],
)
def test_hack_earns_nothing(env, make_reply):
    for seed in range(6):
        env.reset(seed=seed)
        reply = make_reply(env.task)
        assert play(env, [reply], seed=seed).score.value == 0.0


def _only_the_examples(task):
    """Return a program that knows the examples by heart."""
    if "function" not in task.answer:
        return "print(" + repr(task.prompt.rpartition("Output:\n")[2]) + ")"
    lines = task.prompt.partition("Examples:\n")[2].splitlines()
    name = task.answer["function"]
    known = ", ".join(
        f"({line[len(name) + 1 : line.index(') == ')]},): {line.split(') == ')[1]}"
        for line in lines
        if "[" not in line.split(" == ")[0]
    )
    return f"def {name}(*args): return {{{known}}}.get(args)"


def test_both_forms_occur_at_every_level():
    for level in range(4):
        tasks = [generate(np.random.default_rng(seed), level) for seed in range(12)]
        assert {"function" in task.answer for task in tasks} == {True, False}
