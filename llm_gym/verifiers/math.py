"""`MathMatch`: is the answer the value, the set, the matrix that is wanted?"""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, ClassVar

from llm_gym.errors import DefinitionError, MissingDependencyError
from llm_gym.trajectory import Score
from llm_gym.verifiers._math_forms import Options, Unsure, compare_numbers
from llm_gym.verifiers._math_shape import Shape, matches, read_shape
from llm_gym.verifiers._math_text import MAX_CHARS, Refused, clean
from llm_gym.verifiers.answers import Rule, TextVerifier, verdict
from llm_gym.workers import KillableWorker, WorkerCrash, WorkerError, WorkerTimeout

__all__ = ["MathMatch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MathMatch(TextVerifier):
    r"""Full marks for an answer that is mathematically what is right, written out.

    `task.answer` is an int, or LaTeX: `\frac{3}{4}`, `2\sqrt{3}`, `(0, 5]`,
    `\{1, 2\}`, `x^2+1`, `y = 2x+1`, `x > 3`, `\begin{pmatrix}1\\2\end{pmatrix}`,
    `\text{odd}`. Plain numbers are compared exactly, without any library. All else is
    compared by math-verify, in a process that is killed when an answer makes it hang.

    An answer must have the shape of what is right: one number where one is wanted (a
    variable's name before it, `x = 5`, and a known unit after it may be there), an
    interval where an interval is (or the inequality that it is), a set or a list in
    any order where a set is. Two values where one is wanted are wrong.

    An answer must also be worked out. Where a rational number is right, only a number
    is read: an integer, a decimal that is exact, a fraction (of an integer only where
    it was worked out), a mixed number, a power of ten, a percentage (50\% is 0.5 and
    not 50). Where a number with radicals, pi, e or logarithms is right, sums, powers
    and products that can be worked out are refused; functions, operators and letters
    that what is right does not have are refused everywhere. So a question that is
    repeated as an expression earns nothing.

    Example:
        >>> MathMatch(extract="whole").score("0.75", r"\frac{3}{4}").value
        1.0

    Args:
        extract: Where the answer stands in the reply; see `Rule`.
        simplified: Whether fractions must be in lowest terms, and all else have the
            same numerals as what is right, which refuses `\sqrt{12}` beside
            `2\sqrt{3}`, and `(x+1)^2` beside `x^2+2x+1`.
        allow_expressions: Whether anything equal will do, `2+3` for 5 too: for
            questions whose answer cannot be read off the question.
        tolerance: How far a number may be off, relative to what is right.

    Raises:
        MissingDependencyError: math-verify is not installed.
        ValueError: An argument is out of its range.
    """

    extract: Rule = "boxed"
    simplified: bool = False
    allow_expressions: bool = False
    tolerance: float = 0.0

    max_chars: ClassVar[int] = MAX_CHARS

    def __post_init__(self) -> None:
        super(MathMatch, self).__post_init__()  # slots make a new class
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"`tolerance` must be in [0, 1), not {self.tolerance!r}")
        if importlib.util.find_spec("math_verify") is None:
            raise MissingDependencyError(
                "`math_verify` is not installed: pip install 'llm-gym[math]'"
            )

    def _gold(self, answer: Any) -> str:
        if type(answer) is int:
            return str(answer)
        if not isinstance(answer, str):
            raise DefinitionError(
                f"the task's answer must be an int or LaTeX, not {answer!r}"
            )
        _gold_shape(answer)
        return answer

    def _compare(self, text: str, gold: str) -> Score:
        options = Options(self.simplified, self.allow_expressions, self.tolerance)
        try:
            cleaned = clean(text)
            came = read_shape(cleaned)
        except Refused as err:
            return verdict(False, 0.0, str(err))
        right, shape = _gold_shape(gold)
        try:
            equal = matches(shape, came, _quickly(options), _never)
        except Refused as err:
            return verdict(True, 0.0, str(err))
        except Unsure:
            return _ask_worker(right, cleaned, options)
        return _told(equal)


def _told(equal: bool, reason: str = "") -> Score:
    wrong = reason or "the answer is not what is right"
    return verdict(True, float(equal), "the answer is right" if equal else wrong)


@lru_cache(maxsize=1_024)
def _gold_shape(answer: str) -> tuple[str, Shape]:
    """Return what is right, cleaned and read."""
    try:
        right = clean(answer)
        return right, read_shape(right)
    except Refused as err:
        raise DefinitionError(
            f"the task's answer {answer[:200]!r} cannot be read: {err}"
        ) from err


def _quickly(options: Options) -> Any:
    return lambda gold, came: compare_numbers(gold, came, options)


def _never(gold: str, came: str) -> bool:
    if gold == came:
        return True
    raise Unsure


_WORKER = KillableWorker(
    "llm_gym.verifiers._math_grader:grade", seconds=2.0, memory_bytes=2**29
)


def _ask_worker(right: str, came: str, options: Options) -> Score:
    """Have the worker compare; what only the answer makes fail is a 0.

    Raises:
        DefinitionError: The right answer alone fails too.
    """
    try:
        result = _WORKER.call(right, came, asdict(options))
    except (WorkerTimeout, WorkerCrash, WorkerError) as err:
        _check_gold(right, err)
        what = "takes too long" if isinstance(err, WorkerTimeout) else "cannot be done"
        return verdict(False, 0.0, f"comparing the answer {what}")
    if "unreadable" in result:
        raise DefinitionError(
            f"the task's answer {right[:200]!r} cannot be read as mathematics"
        )
    return _told(result["equal"], result.get("reason", ""))


@lru_cache(maxsize=1_024)
def _gradable(right: str) -> str:
    """Say why what is right cannot be compared with itself, "" if it can."""
    options = asdict(Options(allow_expressions=True))
    try:
        result = _WORKER.call(right, right, options, True)
    except (WorkerTimeout, WorkerCrash, WorkerError) as err:
        return str(err)
    return "it cannot be read" if "unreadable" in result else ""


def _check_gold(right: str, err: Exception) -> None:
    problem = _gradable(right)
    if problem:
        raise DefinitionError(
            f"the task's answer {right[:200]!r} cannot be compared: {problem}"
        ) from err
