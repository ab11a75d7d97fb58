"""Programs judged by hidden tests: run in the sandbox, compared outside of it.

Nothing that tells right from wrong enters the sandbox: only inputs do. What comes back
is plain JSON or plain text, and is compared here, types included. So there is nothing
in there to be found, patched or forged: a wrong value can only be replaced by the right
one, which is to solve the task.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from llm_gym import jsontext
from llm_gym.errors import DefinitionError
from llm_gym.sandbox import Files, Result, RunLimits, Sandbox, Status, default_sandbox
from llm_gym.trajectory import Score, Trajectory
from llm_gym.verifiers.answers import visible

__all__ = ["CodeTests", "code_of", "same_text", "same_value"]

Check = Callable[[Any, Any], bool]

_LIMITS = RunLimits(wall_seconds=10.0, cpu_seconds=10.0, output_bytes=2**20)
_MOST_CODE = 100_000


def code_of(text: str) -> str | None:
    """Return the program of a reply: its last ```python block, or all of it.

    Returns:
        The source; None if there is none, or a fence that is not closed.
    """
    blocks = _BLOCK.findall(text)
    if blocks:
        source: str = blocks[-1]
        return source if source.strip() else None
    return text if text.strip() and "```" not in text else None


_BLOCK = re.compile(
    r"^```(?:python|python3|py)?[ \t]*\r?\n(.*?)^```[ \t]*$", re.M | re.S
)


def same_value(came: Any, right: Any, tolerance: float = 0.0) -> bool:
    """Say whether two JSON values are the same, types included.

    `True` is not 1 and 1.0 not 1. Where a float is right, a number within the tolerance
    is right too, whole or not.

    Args:
        came: What came.
        right: What is right.
        tolerance: Relative and absolute, for floats.
    """
    if type(right) is float and type(came) in (int, float):
        return math.isclose(came, right, rel_tol=tolerance, abs_tol=tolerance)
    if type(came) is not type(right):
        return False
    if isinstance(right, list):
        return len(came) == len(right) and all(
            same_value(a, b, tolerance) for a, b in zip(came, right, strict=True)
        )
    if isinstance(right, dict):
        return came.keys() == right.keys() and all(
            same_value(came[key], right[key], tolerance) for key in right
        )
    return bool(came == right)


def same_text(came: str, right: str) -> bool:
    """Say whether two outputs are the same but for blanks at the ends of lines."""
    return _lines(came) == _lines(right)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


@dataclass(frozen=True, slots=True)
class _Tests:
    """What `task.answer` holds, read."""

    function: str | None
    inputs: tuple[Any, ...]
    rights: tuple[Any, ...]


class CodeTests:
    """Runs a program on hidden inputs and compares what it returns or prints.

    `task.answer` is one of

    * `{"function": "name", "cases": [{"args": [...], "expected": value}, ...]}`: the
      function, or a method as "Class.method", is called with each list of arguments;
      all calls are made in one run. It must return plain JSON (a tuple counts as a
      list).
    * `{"cases": [{"stdin": text, "stdout": text}, ...]}`: the program is run once for
      each; blanks at the ends of lines do not count.

    Every case must be right, the program must exit with 0, and nothing of its output
    may be cut off. In parts, `passed` is the share of cases that are right.

    Example:
        >>> tests = {"function": "f", "cases": [{"args": [2], "expected": 4}]}
        >>> CodeTests().score("def f(x): return x * x", tests).value
        1.0

    Args:
        partial: Whether the share of right cases is the score, instead of all or
            nothing.
        tolerance: Relative and absolute difference that floats may have.
        check: Decides instead of equality, for problems with several right answers: a
            function of a case (`{"args": ..., "expected": ...}` or with `stdin` and
            `stdout`) and of the value or text that came. It runs outside of the
            sandbox on plain data.
        limits: What one run may use.
        sandbox: Where programs run; the process's own if None.

    Raises:
        ValueError: The tolerance is below zero or not finite.
    """

    blocking: ClassVar[bool] = True

    def __init__(
        self,
        *,
        partial: bool = False,
        tolerance: float = 1e-9,
        check: Check | None = None,
        limits: RunLimits = _LIMITS,
        sandbox: Sandbox | None = None,
    ) -> None:
        if not (math.isfinite(tolerance) and tolerance >= 0):
            raise ValueError(f"`tolerance` must be 0 or more, not {tolerance!r}")
        self.partial = partial
        self.tolerance = tolerance
        self.check = check
        self.limits = limits
        self.sandbox = sandbox

    def verify(self, trajectory: Trajectory) -> Score:
        """Judge the program of the episode's answer; see `code_of`."""
        if trajectory.answer is None:
            return _unread("the episode ended without an answer")
        return self.score(trajectory.answer, trajectory.task.answer)

    def score(self, text: str, answer: Mapping[str, Any]) -> Score:
        """Judge a reply.

        Args:
            text: The reply, with the program in it.
            answer: The tests, as `task.answer` has them.

        Raises:
            DefinitionError: The tests have another form.
            SandboxFault: The sandbox failed: the program is not to blame.
        """
        tests = _read_tests(answer, checked=self.check is not None)
        source = code_of(visible(text))
        if source is None:
            return _unread("the reply holds no program")
        if len(source) > _MOST_CODE:
            return _unread(f"the program is longer than {_MOST_CODE} characters")
        if "\0" in source or not _encodable(source):
            return _unread("the program is no text that Python reads")
        if tests.function is None:
            return self._judge_program(source, answer["cases"], tests)
        cases = answer["cases"]
        calls = [f"solution:{tests.function}"] * len(cases)
        return self._judge_calls({"solution.py": source}, calls, cases, tests)

    def score_files(self, files: Files, answer: Mapping[str, Any]) -> Score:
        """Judge the files of a repository by calls of its functions.

        Args:
            files: What a program may import, by path.
            answer: `{"cases": [{"call": "package.module:function", "args": [...],
                "expected": value}, ...]}`.

        Raises:
            DefinitionError: The tests have another form.
            SandboxFault: The sandbox failed: the program is not to blame.
        """
        checked = self.check is not None
        tests = _read_tests(answer, with_calls=True, checked=checked)
        calls = _column(answer["cases"], "call", str)
        return self._judge_calls(files, calls, answer["cases"], tests)

    def _judge_calls(
        self,
        files: Files,
        calls: Sequence[str],
        cases: Sequence[Any],
        tests: _Tests,
    ) -> Score:
        lines = [
            jsontext.canonical([call, args])
            for call, args in zip(calls, tests.inputs, strict=True)
        ]
        result = self._box().run(
            _harness(), files=files, stdin="\n".join(lines), limits=self.limits
        )
        problem = _problem(result)
        values = _read_values(result.stdout, len(cases))
        if isinstance(values, str):
            return self._result(0, cases, problem or values, result)
        right = [
            found is not None and self._is_right(case, found[0], wanted)
            for case, found, wanted in zip(cases, values, tests.rights, strict=True)
        ]
        if not problem and not all(right):
            problem = f"case {right.index(False) + 1} of {len(right)} is wrong"
        return self._result(sum(right), cases, problem, result)

    def _judge_program(self, source: str, cases: Sequence[Any], tests: _Tests) -> Score:
        passed, problem = 0, ""
        for number, stdin in enumerate(tests.inputs):
            result = self._box().run(source, stdin=stdin, limits=self.limits)
            wrong = _problem(result)
            right = tests.rights[number]
            if not wrong and not self._is_right(cases[number], result.stdout, right):
                wrong = "the output is wrong"
            passed += not wrong
            if wrong:
                problem = problem or f"case {number + 1} of {len(cases)}: {wrong}"
                if not self.partial:
                    break
        return self._result(passed, cases, problem, result)

    def _is_right(self, case: Any, came: Any, right: Any) -> bool:
        if self.check is not None:
            return bool(self.check(case, came))
        if isinstance(right, str) and "stdout" in case:
            return same_text(came, right)
        return same_value(came, right, self.tolerance)

    def _result(
        self, passed: int, cases: Sequence[Any], problem: str, result: Result
    ) -> Score:
        share = passed / len(cases)
        parts = {"passed": share}
        if result.isolation == "unsafe":
            parts["unsafe_sandbox"] = 1.0
        if not problem:
            return Score(1.0, parts, f"all {len(cases)} cases are right")
        # A run that broke off has answered some cases, but no program may fail halfway.
        broken = not result.ok and "case" not in problem
        value = share if self.partial and not broken else 0.0
        return Score(value, parts, problem)

    def _box(self) -> Sandbox:
        return self.sandbox or default_sandbox()


def _unread(reason: str) -> Score:
    """Score a reply with nothing to run; its parts are those of one that was."""
    return Score(0.0, {"passed": 0.0}, reason)


@cache
def _harness() -> str:
    return (Path(__file__).parent / "_code_harness.py").read_text()


def _encodable(source: str) -> bool:
    try:
        source.encode()
    except UnicodeEncodeError:
        return False
    return True


def _problem(result: Result) -> str:
    """Say what is wrong with how a run ended, "" if nothing is."""
    if result.ok:
        return ""
    told = result.reason or f"exit code {result.exit_code}"
    if result.status is Status.OK:
        told = "its output was cut off"
    last = result.stderr.strip().splitlines()[-1:] or [""]
    return f"the program ended with {result.status.value}: {told} {last[0]}"[
        :300
    ].strip()


def _read_values(stdout: str, count: int) -> list[tuple[Any] | None] | str:
    """Read the lines of the harness: exactly one a case, in order.

    Returns:
        For each case its value in a tuple, None where it raised; or what is wrong.
    """
    lines = stdout.splitlines()
    if len(lines) != count:
        return f"{len(lines)} of {count} cases were answered"
    values: list[tuple[Any] | None] = []
    for number, line in enumerate(lines):
        try:
            answer = jsontext.loads(line, max_chars=None)
        except ValueError as err:
            return f"case {number + 1}: the result is no JSON: {err}"
        if not isinstance(answer, dict) or answer.get("i") != number:
            return f"case {number + 1}: the result has another form"
        values.append((answer["v"],) if answer.keys() == {"i", "v"} else None)
    return values


_FORM = (
    '`task.answer` must be {"function": name, "cases": [{"args": list, "expected": '
    'value}, ...]} or {"cases": [{"stdin": str, "stdout": str}, ...]}'
)


def _read_tests(answer: Any, *, with_calls: bool = False, checked: bool) -> _Tests:
    """Read `task.answer`; where a check decides, what is expected is its own affair."""
    if not isinstance(answer, Mapping):
        raise DefinitionError(f"{_FORM}, not {answer!r:.200}")
    cases, function = answer.get("cases"), answer.get("function")
    keys = {"args", "expected", *(("call",) if with_calls else ())}
    if function is None and not with_calls:
        keys = {"stdin", "stdout"}
    if not (
        isinstance(cases, list)
        and cases
        and all(isinstance(case, Mapping) and keys <= case.keys() for case in cases)
        and isinstance(function, str | None)
    ):
        raise DefinitionError(f"{_FORM}, not {answer!r:.200}")
    if "stdin" in keys:
        inputs, rights = _column(cases, "stdin", str), _column(cases, "stdout", str)
    else:
        inputs = _plain_column(cases, "args", list)
        read = _column if checked else _plain_column
        rights = read(cases, "expected", object)
    return _Tests(function, inputs, rights)


def _plain_column(cases: Sequence[Any], key: str, kind: type) -> tuple[Any, ...]:
    """Return what the cases hold as a program's results are read.

    Raises:
        DefinitionError: No result could be equal to it: it is no strict JSON.
    """
    plain = []
    for number, value in enumerate(_column(cases, key, kind)):
        try:
            plain.append(_plain(value))
        except ValueError as err:
            raise DefinitionError(
                f"`cases[{number}].{key}` must be plain JSON: {err}"
            ) from err
    return tuple(plain)


def _plain(value: Any) -> Any:
    """Return a value as it would come back from a program; a tuple is a list.

    Raises:
        ValueError: No program could return it.
    """
    read = jsontext.normalise({"v": value}, max_chars=None)["v"]
    if not _has_text_keys(value):  # JSON would write 1 as "1"
        raise ValueError("a key of a dict is no str")
    return read


def _has_text_keys(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _has_text_keys(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_has_text_keys, value))
    return True


def _column(cases: Sequence[Any], key: str, kind: type) -> tuple[Any, ...]:
    for number, case in enumerate(cases):
        if not isinstance(case[key], kind):
            raise DefinitionError(
                f"`cases[{number}].{key}` must be a {kind.__name__}, not {case[key]!r}"
            )
    return tuple(case[key] for case in cases)
