"""The answer is one of some lettered options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llm_gym.errors import DefinitionError
from llm_gym.trajectory import Score, Trajectory
from llm_gym.verifiers.answers import (
    Rule,
    check_rule,
    filled_lines,
    find_answer,
    lines_that_answer,
    verdict,
    visible,
)

__all__ = ["LETTERS", "ChoiceMatch", "Reading", "read_letter"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The names of the options, in order."""

_Accept = Literal["letter", "text", "both"]
_STRICT = ("letter", "answer_line")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read in a reply: a letter, or why there is none."""

    letter: str | None
    problem: str = ""


def read_letter(text: str, count: int) -> Reading:
    """Read the letter of an option on a reply's last line, `Answer: X`.

    Args:
        text: The reply.
        count: How many options there are.
    """
    lines = filled_lines(text)
    match = _ANSWER.fullmatch(lines[-1]) if lines else None
    if match is None:
        return Reading(None, "the last line of the reply is not `Answer: <letter>`")
    if lines_that_answer(lines) > 1:
        return Reading(None, "more than one line of the reply begins with `Answer:`")
    return _within(match[1].upper(), count)


_ANSWER = re.compile(r"answer:[ \t]*([a-z])\.?", re.IGNORECASE | re.ASCII)
_LETTER = re.compile(r"([a-z])\.?|\(([a-z])\)|([a-z])\)", re.IGNORECASE | re.ASCII)
_PAIR = re.compile(r"(?:\(([a-z])\)|([a-z])[.):])[ \t]+", re.IGNORECASE | re.ASCII)


def _within(letter: str, count: int) -> Reading:
    if letter not in LETTERS[:count]:
        return Reading(None, f"there is no option {letter}")
    return Reading(letter)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceMatch:
    r"""Score 1 for the letter of the right option, and for nothing else.

    `task.answer` is the letter; where texts are accepted it may be the option's text.
    The options are those of `task.data`, or as many letters as are stated. By default
    the reply must end with a line `Answer: X`, and the letter is an ASCII one in either
    case that a full stop may follow. After other rules `(X)` and `X)` are read too.

    Example:
        >>> ChoiceMatch(options=4).score("It is larger.\nAnswer: B", "B").value
        1.0

    Args:
        extract: Where the answer stands in the reply; see `answers.Rule`.
        options: How many options there are, their texts, or the key of `task.data`
            that holds the texts.
        accept: `letter` reads a letter alone; `text` the text of an option, in either
            case and with any blanks; `both` either of them, or the letter and the text
            of one option (`B. Paris`).

    Raises:
        ValueError: The options or the mode cannot be.
    """

    extract: Rule = "answer_line"
    options: int | Sequence[str] | str = "options"
    accept: _Accept = "letter"

    def __post_init__(self) -> None:
        check_rule(self.extract)
        if self.accept not in ("letter", "text", "both"):
            known = "`accept` must be 'letter', 'text' or 'both'"
            raise ValueError(f"{known}, not {self.accept!r}")
        if isinstance(self.options, str):
            return
        options = self.options
        if not isinstance(options, int):
            object.__setattr__(self, "options", tuple(options))
        problem = _problem_of(options, self.accept)
        if problem:
            raise ValueError(f"`options` {problem}, not {options!r}")

    def verify(self, trajectory: Trajectory) -> Score:
        """Judge an episode by its answer, `task.answer` and the options.

        Raises:
            DefinitionError: The options or the answer of the task cannot be used.
        """
        task = trajectory.task
        options = self.options
        if isinstance(options, str):
            options = task.data.get(options)  # type: ignore[assignment]  # checked below
        return self._judge(trajectory.answer, task.answer, options)

    def score(self, text: str | None, answer: Any) -> Score:
        """Judge a reply's text; `options` must not be the key of a task's data.

        Args:
            text: The reply, None for none.
            answer: The letter of the right option, or its text.

        Raises:
            DefinitionError: The options are not known, or the answer is none of them.
            TypeError: The text is no str.
        """
        if isinstance(self.options, str):
            raise DefinitionError(
                "`score` of a `ChoiceMatch` needs `options`, a number or the texts; "
                f"this one reads them in `task.data[{self.options!r}]`"
            )
        shown = None if text is None else visible(text)
        return self._judge(shown, answer, self.options)

    def _judge(self, text: str | None, answer: Any, options: Any) -> Score:
        problem = _problem_of(options, self.accept)
        if problem:
            raise DefinitionError(f"the options {problem}, not {options!r}"[:500])
        count = options if isinstance(options, int) else len(options)
        texts = [] if isinstance(options, int) else [_folded(o) for o in options]
        right = self._right(answer, count, texts)
        reading = self._read(text, count, texts)
        if reading.letter is None:
            return verdict(False, 0.0, reading.problem)
        value = float(reading.letter == right)
        judged = "right" if value else "wrong"
        return verdict(True, value, f"{reading.letter} is {judged}")

    def _right(self, answer: Any, count: int, texts: list[str]) -> str:
        """Return the letter of the right option."""
        if isinstance(answer, str):
            if len(answer) == 1 and answer in LETTERS[:count]:
                return answer
            if self.accept != "letter" and _folded(answer) in texts:
                return LETTERS[texts.index(_folded(answer))]
        raise DefinitionError(
            f"`ChoiceMatch` needs a letter of the {count} options in `task.answer`, "
            f"A to {LETTERS[count - 1]}, not {answer!r}"
        )

    def _read(self, text: str | None, count: int, texts: list[str]) -> Reading:
        if text is not None and (self.accept, self.extract) == _STRICT:
            return read_letter(text, count)
        found = find_answer(text, self.extract)
        if found.text is None:
            return Reading(None, found.problem)
        return self._letter_of(found.text, count, texts)

    def _letter_of(self, text: str, count: int, texts: list[str]) -> Reading:
        named: set[str] = set()
        letter = _LETTER.fullmatch(text)
        if letter and self.accept != "text":
            reading = _within((letter[1] or letter[2] or letter[3]).upper(), count)
            if reading.letter is None and self.accept == "letter":
                return reading
            named |= {reading.letter} if reading.letter else set()
        if self.accept != "letter":
            named |= _by_text(text, texts)
        if self.accept == "both":
            named |= _by_pair(text, texts)
        if len(named) == 1:
            return Reading(named.pop())
        problem = "can be two options" if named else "is no option"
        return Reading(None, f"the answer {problem}")


def _problem_of(options: object, accept: _Accept) -> str:
    """Say what is wrong with some options, "" if nothing is."""
    most = len(LETTERS)
    if isinstance(options, int) and not isinstance(options, bool):
        if accept != "letter":
            return "must be texts where texts are accepted"
        return "" if 2 <= options <= most else f"must be 2 to {most}"
    if not isinstance(options, (list, tuple)) or not 2 <= len(options) <= most:
        return f"must be a number or a list of 2 to {most} texts"
    if not all(isinstance(option, str) and option.strip() for option in options):
        return "must be texts that are not blank"
    if accept != "letter" and len({_folded(o) for o in options}) < len(options):
        return "must differ by more than case and blanks"
    return ""


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def _by_text(text: str, texts: list[str]) -> set[str]:
    folded = _folded(text)
    whole = {folded, folded.removesuffix(".")}
    return {LETTERS[i] for i, option in enumerate(texts) if option in whole}


def _by_pair(text: str, texts: list[str]) -> set[str]:
    """Return the option that both a letter and the text behind it name."""
    pair = _PAIR.match(text)
    if pair is None:
        return set()
    letter = (pair[1] or pair[2]).upper()
    return {letter} & _by_text(text[pair.end() :], texts)
