"""Questions over numbers and files, with a Python session as the tool."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from llm_gym.env import ToolEnv
from llm_gym.envs._draws import pick
from llm_gym.envs._python_questions import QUESTIONS, answer_of
from llm_gym.messages import call_text
from llm_gym.sandbox import Result, RunLimits, Sandbox, Session, Status, default_sandbox
from llm_gym.tasks import GeneratedTasks, Task
from llm_gym.tools import tool
from llm_gym.trajectory import Score, Trajectory
from llm_gym.verifiers.numeric import NumericMatch

__all__ = ["PythonToolEnv", "generate"]

LIMITS = RunLimits(wall_seconds=5.0, cpu_seconds=5.0, output_bytes=20_000)
"""What one call of the tool may use."""

_SHOWN = 4_000

Rng = np.random.Generator


def generate(rng: Rng, level: int) -> Task:
    """Make a question and its answer.

    Args:
        rng: Where the randomness comes from.
        level: 0 numbers; 1 loops; 2 a file; 3 two files.
    """
    question = pick(rng, QUESTIONS[level])(rng)
    return Task(
        prompt=question.text,
        data={"files": dict(question.files)},
        answer={"value": answer_of(question), "code": question.code},
    )


class _Live:
    """A session and what was run in it: a cache of what the state says.

    It is never copied or pickled: a copy starts empty, and is filled from the state.
    """

    def __init__(self) -> None:
        self._session: Session | None = None
        self._cells: list[str] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> _Live:
        return _Live()

    def __reduce__(self) -> tuple[type[_Live], tuple[()]]:
        return (_Live, ())

    def run(self, sandbox: Sandbox, state: dict[str, Any], code: str) -> Result:
        """Run code in a session in which the state's cells have been run."""
        if self._session is None or self._cells != state["cells"]:
            self.close()
            self._session = sandbox.session(files=state["files"], limits=LIMITS)
            for cell in state["cells"]:
                self._session.execute(cell)
            self._cells = list(state["cells"])
        result = self._session.execute(code)
        if result.status in (Status.OK, Status.NONZERO) and not result.truncated:
            self._cells.append(code)
        else:
            self.close()
        return result

    def close(self) -> None:
        """End the session."""
        if self._session is not None:
            self._session.close()
        self._session, self._cells = None, []


class PythonToolEnv(ToolEnv):
    """Answer a question by running Python in a session that keeps its names.

    Task:
        A generated question over numbers or over generated data in files, whose answer
        is one number that can hardly be found without a computer.

    Tools:
        `python(code)`: runs code in the episode's own session of the sandbox, like
        cells of a notebook: names and files stay. Five seconds and 20,000 bytes of
        output a call; what is more ends the session, and the next call starts anew.
        Python's standard library; no network, no other processes.

    Observation:
        A system message with the rules, the question as the user's message.

    Reply:
        The last line is `Answer: ` and the number.

    Reward:
        At the end 1.0 if the number is right (within 0.0051, for what is rounded to two
        decimals), else 0.0. `NumericMatch` judges. A part `unsafe_sandbox` says that
        code ran in a sandbox without isolation.

    Episode end:
        Terminated by a reply without a tool call; truncated after 10 turns or if the
        reply was cut off by its length limit.

    Levels:
        0: a sum or a power. 1: loops. 2: a CSV file. 3: a CSV file and a log.

    Floors:
        oracle 1.000, null 0.000, constant 0.000, random 0.000 (1,000 episodes, seed 0)

    Data and licence:
        Generated; Apache-2.0, as the package.

    Arguments:
        sandbox: Where code runs; the process's own sandbox if None.
        Others are those of `ToolEnv`.

    Version history:
        v0: first version.
    """

    tasks = GeneratedTasks(generate, levels=len(QUESTIONS))
    max_turns = 10
    blocking = True
    system_prompt = """\
You answer questions with the help of the tool `python`, a session that keeps names \
and files from call to call. Only Python's standard library is there. The last line of \
your reply must be `Answer: ` and the number alone."""

    def __init__(self, *, sandbox: Sandbox | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._sandbox = sandbox
        self._live = _Live()

    def begin(self, task: Task) -> str:
        """Start without a session; the first call opens one."""
        self._live.close()
        files = dict(task.data["files"])
        self.state = {"files": files, "cells": [], "unsafe": False}
        names = ", ".join(files)
        return f"{task.prompt}\n\nFiles: {names}" if names else str(task.prompt)

    @tool
    def python(self, code: str) -> str:
        """Run Python code; the value of a last expression is shown, as at a prompt.

        Args:
            code: The code, of one or many lines.
        """
        sandbox = self._sandbox or default_sandbox()
        result = self._live.run(sandbox, self.state, code)
        self.state["unsafe"] |= result.isolation == "unsafe"
        if result.status in (Status.OK, Status.NONZERO) and not result.truncated:
            self.state["cells"].append(code)
            if result.status is Status.NONZERO and not result.stderr:
                told = f"The code exited with {result.exit_code}: its names are gone."
                return f"{_shown(result)}\n{told}".strip()
            return _shown(result) or "(no output)"
        self.state["cells"].clear()
        return (
            f"{_shown(result)}\nThe session was ended ({result.status.value}): its "
            f"names are gone, its files as they were at the start."
        ).strip()

    def outcome(self) -> dict[str, bool] | None:
        """Record whether code ran without isolation, where it did."""
        return {"unsafe_sandbox": True} if self.state["unsafe"] else None

    def verify(self, trajectory: Trajectory) -> Score:
        """Compare the answer's number."""
        score = _NUMBER.score(trajectory.answer, trajectory.task.answer["value"])
        if trajectory.outcome is None:
            return score
        return Score(score.value, {**score.parts, "unsafe_sandbox": 1.0}, score.reason)

    def oracle(self) -> str:
        """Run the program that answers the question, then say its answer."""
        if not self.state["cells"]:
            return call_text("python", {"code": self.task.answer["code"]})
        return f"Answer: {self.task.answer['value']}"

    def fork(self) -> Self:
        """Return an independent environment; its session is made when it is needed."""
        other = super().fork()
        other._live = _Live()
        return other

    def close(self) -> None:
        """End the session."""
        self._live.close()
        super().close()


_NUMBER = NumericMatch(extract="answer_line", absolute=0.0051)


def _shown(result: Result) -> str:
    """Return what the model is shown of a run, its middle cut out if it is long."""
    text = result.stdout + result.stderr
    if len(text) <= _SHOWN:
        return text.rstrip("\n")
    text = text.rstrip("\n")
    half = _SHOWN // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n... {left_out} characters left out ...\n{text[-half:]}"
