"""What the oracle hands in on a task, and where the answer stands in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_gym.checks.episodes import MAX_TURNS, Reply, plain_reply
from llm_gym.env import ToolEnv
from llm_gym.messages import call_text
from llm_gym.replies import read_reply

__all__ = [
    "JUNK",
    "Gold",
    "answer_texts",
    "common_form",
    "gold_of",
    "number_of",
    "same_value",
    "solve",
]

JUNK = "asdf qwer zxcv"
"""A text that is no answer to anything."""


@dataclass(frozen=True, slots=True)
class Gold:
    """What the oracle hands in.

    Attributes:
        work: Its replies before the last one.
        last: The last one.
        tool: The tool by whose only argument, a text, it answers; "" if by a text.
        argument: The name of that argument.
        before: What stands before the answer in the text that is handed in.
        core: The answer.
        after: What stands after it.
    """

    work: tuple[Reply, ...]
    last: Reply
    tool: str
    argument: str
    before: str
    core: str
    after: str

    @property
    def text(self) -> str:
        """The text that is handed in."""
        return f"{self.before}{self.core}{self.after}"

    def reply(self, text: str) -> str:
        """Return the reply that hands a text in."""
        return call_text(self.tool, {self.argument: text}) if self.tool else text

    def form(self, core: str) -> str:
        """Return the text to be handed in with another answer in it."""
        return f"{self.before}{core}{self.after}"


def solve(env: ToolEnv, reset: Mapping[str, Any]) -> list[Reply] | None:
    """Play the oracle's episode; return its replies, None if it cannot or fails.

    Args:
        env: The environment, which then stands at the end of that episode.
        reset: The arguments of `reset`.
    """
    env.reset(**reset)
    replies: list[Reply] = []
    for _ in range(min(MAX_TURNS, env.max_turns)):
        try:
            replies.append(plain_reply(env.oracle()))
        except Exception:  # noqa: BLE001  # the boundary: an oracle may raise anything
            return None
        _, _, terminated, truncated, _ = env.step(replies[-1])
        if terminated or truncated:
            score = env.episode.score
            return replies if score is not None and score.value > 0 else None
    return None


def gold_of(replies: Sequence[Reply], answer: object) -> Gold | None:
    """Find the answer in the oracle's last reply, None if it is in no one text."""
    *work, last = replies
    read = read_reply(last)
    tool = argument = ""
    text = read.text
    if read.calls:
        given = read.calls[-1].arguments or {}
        if len(read.calls) > 1 or len(given) != 1:
            return None
        tool, ((argument, value),) = read.calls[-1].name, given.items()
        if not isinstance(value, str):
            return None
        text = value
    if not text:
        return None
    start, end = _place(text, answer)
    whole = text[:start], text[start:end], text[end:]
    return Gold(tuple(work), last, tool, argument, *whole)


def answer_texts(value: object) -> Iterator[str]:
    """Return the texts and numbers in an answer, as texts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)):
        yield str(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from answer_texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from answer_texts(item)


def common_form(golds: Sequence[Gold]) -> tuple[str, str] | None:
    """Return what stands before and after the answer on every task, if anything."""
    forms = {(gold.before, gold.after) for gold in golds}
    if len(golds) < 2 or len(forms) != 1 or forms == {("", "")}:
        return None
    return forms.pop()


def number_of(text: str) -> float | None:
    """Return the number that a text is, None if it is none."""
    try:
        return float(text.strip().replace(",", ""))
    except (ValueError, OverflowError):
        return None


def same_value(one: str, other: str) -> bool:
    """Say whether two texts may be the same answer to somebody lenient.

    Case, spaces and punctuation do not count, and numbers are compared by value.
    """
    if _bare(one) == _bare(other):
        return True
    first, second = number_of(one), number_of(other)
    if first is None or second is None:
        return False
    return first == second or abs(first - second) <= 0.1 * abs(second)


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def _place(text: str, answer: object) -> tuple[int, int]:
    """Return where the answer begins and ends in a text; all of it, if unknown."""
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        try:
            json.loads(stripped)
        except ValueError:
            pass
        else:
            return 0, len(text)
    found = [part for part in answer_texts(answer) if part and part in text]
    if not found:
        return 0, len(text)
    core = max(found, key=len)
    start = text.rindex(core)
    return start, start + len(core)
