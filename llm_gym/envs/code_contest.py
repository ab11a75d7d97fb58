"""Generated programming problems with hidden tests, run in the sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from llm_gym.env import ToolEnv
from llm_gym.envs._contest_classics import CLASSICS
from llm_gym.envs._contest_problem import EXAMPLES, Problem
from llm_gym.envs._contest_steps import chain
from llm_gym.envs._draws import pick
from llm_gym.errors import DefinitionError
from llm_gym.tasks import GeneratedTasks, Task
from llm_gym.verifiers.code import CodeTests

__all__ = ["CodeContestEnv", "generate"]

LEVELS = 4
_DRAWS = 100
_FEWEST_RESULTS = 4

Rng = np.random.Generator


def generate(rng: Rng, level: int) -> Task:
    """Make a problem, its hidden tests and its reference solution.

    Args:
        rng: Where the randomness comes from.
        level: 0 two steps over a list; 1 to 3 more steps, or an algorithm.
    """
    for _ in range(_DRAWS):
        if level and rng.integers(2):
            problem = pick(rng, CLASSICS[level - 1])(rng)
        else:
            problem = chain(rng, 2 + level)
        if _telling(problem.results()):
            return _function(problem) if rng.integers(2) else _program(problem)
    raise DefinitionError(f"no problem of level {level} tells programs apart")


def _telling(results: list[object]) -> bool:
    """Say whether the hidden results differ enough that no constant is right."""
    hidden = results[:-EXAMPLES]
    return len(set(map(repr, hidden))) >= _FEWEST_RESULTS


def _function(problem: Problem) -> Task:
    hidden = list(zip(problem.inputs, problem.results(), strict=True))[:-EXAMPLES]
    cases = [{"args": args, "expected": result} for args, result in hidden]
    tests = {"function": problem.name, "cases": cases}
    return _task(problem.as_function(), problem.source, tests)


def _program(problem: Problem) -> Task:
    hidden = list(zip(problem.inputs, problem.results(), strict=True))[:-EXAMPLES]
    cases = [
        {"stdin": problem.stdin(args), "stdout": json.dumps(result)}
        for args, result in hidden
    ]
    return _task(problem.as_program(), problem.program(), {"cases": cases})


def _task(prompt: str, solution: str, tests: Mapping[str, object]) -> Task:
    return Task(prompt=prompt, answer={**tests, "solution": solution})


class CodeContestEnv(ToolEnv):
    """Write a Python function or program that passes hidden tests.

    Task:
        A generated problem: a chain of steps over a list of numbers, or one that needs
        an algorithm (texts, money, grids, groups, plans), with drawn parameters and two
        examples. Half ask for a function, half for a program that reads stdin.

    Tools:
        None.

    Observation:
        A system message with the rules, the problem as the user's message.

    Reply:
        The program, in a ```python block (the last one counts) or bare. Python's
        standard library is there; network and other processes are not.

    Reward:
        At the end 1.0 if every hidden test passes, else 0.0. The program runs in the
        sandbox and never sees what is right; values are compared outside of it, types
        included (`True` is not 1, 1.0 not 1). Part `passed`: the share of tests that
        pass.

    Episode end:
        Terminated by the reply; truncated if it was cut off by its length limit or
        calls a tool.

    Levels:
        0: two steps. 1 to 3: three to five steps, or an algorithm of growing
        difficulty.

    Floors:
        oracle 1.000, null 0.000, constant 0.000, random 0.000 (1,000 episodes, seed 0)

    Data and licence:
        Generated; Apache-2.0, as the package.

    Arguments:
        Those of `ToolEnv`.

    Version history:
        v0: first version.
    """

    tasks = GeneratedTasks(generate, levels=LEVELS)
    verifier = CodeTests()
    max_turns = 1
    blocking = True
    system_prompt = """\
You solve programming problems in Python. Reply with the whole program in one \
```python block. It is run on tests that you do not see; only the standard library is \
there. What a function returns must be plain numbers, texts, lists and dicts of just \
the types that the problem asks for."""

    def oracle(self) -> str:
        """Return the reference solution."""
        return f"```python\n{self.task.answer['solution']}```"
