"""Which part of a reply is its answer: exactly one, or none.

A rule is chosen by the author and told to the model; a reply that does not follow it
has no answer. Nothing is guessed, and no second rule is tried: a reply that names two
answers has none. What a model thinks is no part of its reply. All rules take time
linear in the reply's length.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from llm_gym.trajectory import Score, Trajectory

__all__ = [
    "MAX_REPLY_CHARS",
    "RULES",
    "Extracted",
    "Rule",
    "TextVerifier",
    "check_rule",
    "filled_lines",
    "find_answer",
    "lines_that_answer",
    "nfc",
    "verdict",
    "visible",
]

Rule = Literal["whole", "last_line", "answer_line", "boxed", "tag"]
r"""Where the answer stands in a reply.

* `whole`: the whole reply, blanks around it left out.
* `last_line`: its last line that is not blank.
* `answer_line`: what follows `Answer:` on its last line that is not blank; no other
  line may begin with `Answer:`. In either case, and `**` is ignored.
* `boxed`: the content of `\boxed{...}`, with the braces nested in it. Several boxes
  must hold the same text, and each must be closed.
* `tag`: the content of `<answer>...</answer>`. Several must hold the same text, each
  must be closed, and none may stand in another.
"""

RULES: tuple[Rule, ...] = ("whole", "last_line", "answer_line", "boxed", "tag")

MAX_REPLY_CHARS = 262_144
"""Characters of a reply, its thinking left out, that are searched for an answer."""

_BLANKS = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Extracted:
    """The answer in a reply, or why there is none.

    Attributes:
        text: The answer, blanks around it left out; None if there is none.
        problem: Why there is none, in words.
    """

    text: str | None
    problem: str = ""


def find_answer(
    text: str | None, rule: Rule = "whole", *, max_chars: int = MAX_REPLY_CHARS
) -> Extracted:
    r"""Find the one answer in a reply.

    Example:
        >>> find_answer(r"So it is \boxed{\frac{1}{2}}.", "boxed").text
        '\\frac{1}{2}'

    Args:
        text: The reply, None where an episode ended without one.
        rule: See `Rule`.
        max_chars: Most characters of an answer.

    Raises:
        TypeError: The text is no str.
        ValueError: There is no such rule.
    """
    check_rule(rule)
    if text is None:
        return Extracted(None, "the episode ended without an answer")
    text = visible(text)
    if len(text) > MAX_REPLY_CHARS:
        size = f"the reply has {len(text)} characters"
        return Extracted(None, f"{size}, at most {MAX_REPLY_CHARS} are read")
    found = _FINDERS[rule](text)
    if found.text is None:
        return found
    answer = found.text.strip(_BLANKS)
    if not answer:
        return Extracted(None, "the answer is empty")
    if len(answer) > max_chars:
        size = f"the answer has {len(answer)} characters"
        return Extracted(None, f"{size}, at most {max_chars} are read")
    return Extracted(answer)


def visible(text: str) -> str:
    """Return a reply without its thinking.

    `<think>...</think>` and `<thinking>...</thinking>` are left out, whatever is in
    them. A closing tag alone ends thinking that the prompt began; an opening tag alone
    begins thinking that was cut off. What `ToolEnv` has recorded has none left.

    Raises:
        TypeError: The text is no str.
    """
    if not isinstance(text, str):
        raise TypeError(f"a reply must be a str or None, not {text!r}")
    if "<" not in text or _THINK.search(text) is None:
        return text
    kept: list[str] = []
    thinking = False
    at = 0
    for tag in _THINK.finditer(text):
        piece, at = text[at : tag.start()], tag.end()
        if not thinking:
            kept.append(piece)
        if tag[1]:
            if not thinking:
                kept.clear()  # all before it was thought
            thinking = False
        else:
            thinking = True
    if not thinking:
        kept.append(text[at:])
    return "".join(kept)


_THINK = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE | re.ASCII)


def _after_answer(lines: list[str]) -> Extracted:
    """Return what follows `Answer:` on the last of some lines, none of them blank."""
    match = _ANSWER.match(lines[-1]) if lines else None
    if match is None:
        return Extracted(None, "the last line of the reply does not begin `Answer:`")
    if lines_that_answer(lines) > 1:
        return Extracted(None, "more than one line of the reply begins with `Answer:`")
    return Extracted(lines[-1][match.end() :])


def lines_that_answer(lines: list[str]) -> int:
    """Count the lines that begin with `Answer:`, blanks before its colon or not."""
    return sum(_BEGINNING.match(line) is not None for line in lines)


def filled_lines(text: str) -> list[str]:
    """Return the lines of a text that are not blank, without `**` and outer blanks."""
    lines = [line.replace("**", "").strip(" \t") for line in text.splitlines()]
    return [line for line in lines if line]


_ANSWER = re.compile(r"answer:", re.IGNORECASE | re.ASCII)
_BEGINNING = re.compile(r"answer[ \t]*:", re.IGNORECASE | re.ASCII)


def _whole(text: str) -> Extracted:
    return Extracted(text)


def _last_line(text: str) -> Extracted:
    lines = [line for line in text.splitlines() if line.strip(_BLANKS)]
    return Extracted(lines[-1] if lines else "")


def _answer_line(text: str) -> Extracted:
    return _after_answer(filled_lines(text))


def _boxed(text: str) -> Extracted:
    boxes = []
    at = text.find(_BOX)
    while at >= 0:
        start = at + len(_BOX)
        end = _closing(text, start)
        if end < 0:
            return Extracted(None, "a \\boxed{ of the reply is not closed")
        boxes.append(text[start:end].strip(_BLANKS))
        at = text.find(_BOX, end)
    return _only(boxes, "\\boxed{...}")


_BOX = "\\boxed{"
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def _closing(text: str, start: int) -> int:
    """Return where the brace closes that is open at a place, -1 if it does not."""
    depth = 1
    for token in _BRACE.finditer(text, start):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if not depth:
                return token.start()
    return -1


def _tag(text: str) -> Extracted:
    parts = _TAG.split(text)  # text, tag, text, tag, ..., text
    tags, inner = parts[1::2], parts[2::2]
    if tags != ["<answer>", "</answer>"] * (len(tags) // 2):
        return Extracted(None, "the <answer> tags of the reply are not in pairs")
    return _only([piece.strip(_BLANKS) for piece in inner[::2]], "<answer>")


_TAG = re.compile(r"(</?answer>)")


def _only(found: list[str], what: str) -> Extracted:
    if not found:
        return Extracted(None, f"the reply has no {what}")
    if len(set(found)) > 1:
        return Extracted(None, f"the reply has {len(found)} {what} that differ")
    return Extracted(found[0])


_FINDERS: dict[Rule, Callable[[str], Extracted]] = {
    "whole": _whole,
    "last_line": _last_line,
    "answer_line": _answer_line,
    "boxed": _boxed,
    "tag": _tag,
}


def check_rule(rule: object) -> None:
    """Raise a ValueError if there is no such rule of extraction."""
    if rule not in RULES:
        raise ValueError(f"`extract` must be one of {', '.join(RULES)}, not {rule!r}")


def nfc(text: str) -> str:
    """Return a text in Unicode's normal form C, in which an accent has one form.

    A text with more than 30 combining marks in a row (the bound of UAX #15's
    stream-safe text) comes back as it is: to sort them takes quadratic time.
    """
    if text.isascii():
        return text
    run = 0
    for char in text:
        run = run + 1 if unicodedata.combining(char) else 0
        if run > _MOST_MARKS:
            return text
    return unicodedata.normalize("NFC", text)


_MOST_MARKS = 30


def verdict(found: bool, right: float, reason: str) -> Score:
    """Return the score of a text: parts `format` (could it be read) and `correct`."""
    return Score(right, {"format": float(found), "correct": right}, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextVerifier(ABC):
    """What verifiers of an answer's text have in common.

    A subclass reads the task's answer in `_gold`, which raises a `DefinitionError` for
    one that it cannot work with, and compares in `_compare`. Reasons may quote what
    the model wrote and never quote the task's answer.

    Args:
        extract: Where the answer stands in the reply; see `Rule`.
    """

    extract: Rule = "whole"

    max_chars: ClassVar[int] = 10_000
    """Most characters of an answer."""

    def __post_init__(self) -> None:
        check_rule(self.extract)

    def verify(self, trajectory: Trajectory) -> Score:
        """Judge an episode by its answer and `task.answer`.

        Raises:
            DefinitionError: The task's answer is none that this verifier can use.
        """
        return self.score(trajectory.answer, trajectory.task.answer)

    def score(self, text: str | None, answer: Any) -> Score:
        """Judge a reply's text.

        Args:
            text: The reply, None for none.
            answer: What is right, in the form that `task.answer` must have.

        Returns:
            1.0 if it is right, else 0.0 with the reason; a subclass may give parts
            of it. Parts: `format` (there is one answer, and it could be read),
            `correct`.

        Raises:
            DefinitionError: The answer is none that this verifier can use.
            TypeError: The text is no str.
        """
        gold = self._gold(answer)
        found = find_answer(text, self.extract, max_chars=self.max_chars)
        if found.text is None:
            return verdict(False, 0.0, found.problem)
        return self._compare(found.text, gold)

    @abstractmethod
    def _gold(self, answer: Any) -> Any:
        """Return the task's answer in the form that `_compare` takes."""

    @abstractmethod
    def _compare(self, text: str, gold: Any) -> Score:
        """Judge the answer's text."""
