"""The answer is a list of items in any order: all of them, or as many as possible.

How items are written is stated, not guessed:

* `json`: a list of JSON values. Numbers count by their value (1.0 is 1); `true` is no
  number, and "1" is none.
* `lines`: one item a line; blank lines and a leading `- `, `* `, `1. ` or `1) ` are
  left out.
* `commas`: items between commas. Nothing between two commas is an item that is wrong.

In texts, runs of blanks are one space. An item that is written twice is wrong the
second time, so that no list is better for being longer than what is right.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from llm_gym import jsontext
from llm_gym.errors import DefinitionError
from llm_gym.trajectory import Score
from llm_gym.verifiers.answers import MAX_REPLY_CHARS, TextVerifier, nfc, verdict

__all__ = ["F1Match", "SetMatch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ItemVerifier(TextVerifier):
    items: Literal["json", "lines", "commas"] = "json"
    ignore_case: bool = False

    max_chars = MAX_REPLY_CHARS

    def __post_init__(self) -> None:
        TextVerifier.__post_init__(self)
        if self.items not in ("json", "lines", "commas"):
            known = "`items` must be 'json', 'lines' or 'commas'"
            raise ValueError(f"{known}, not {self.items!r}")

    def _gold(self, answer: Any) -> frozenset[str]:
        problem = self._problem_of(answer)
        if problem:
            name = type(self).__name__
            raise DefinitionError(
                f"`{name}` needs a list of items in `task.answer`; {problem}"
            )
        keys = [self._key(item) for item in answer]
        twice = [item for key, item in zip(keys, answer, strict=True) if not key]
        twice += [answer[keys.index(k)] for k, n in Counter(keys).items() if n > 1]
        if twice:
            raise DefinitionError(
                "an item of `task.answer` must stand in it once and hold something, "
                f"not {twice[0]!r}"
            )
        return frozenset(keys)

    def _problem_of(self, answer: Any) -> str:
        if not isinstance(answer, list):
            return f"not {answer!r}"
        if self.items == "json":
            try:
                jsontext.normalise(answer)
            except ValueError as err:
                return str(err)
            return ""
        if not answer:
            return f"an empty one cannot be written as {self.items}"
        other = next((item for item in answer if not isinstance(item, str)), None)
        return "" if other is None else f"as {self.items} each is a str, not {other!r}"

    def _read(self, text: str) -> list[str]:
        """Return the keys of the items that a text lists.

        Raises:
            ValueError: It is no list.
        """
        if self.items == "json":
            value = jsontext.loads(text)
            if not isinstance(value, list):
                raise ValueError("it is no JSON list")
            return [self._key(item) for item in value]
        if self.items == "commas":
            return [self._key(item) for item in text.split(",")]
        lines = (line.strip() for line in text.splitlines())
        return [self._key(_BULLET.sub("", line)) for line in lines if line]

    def _key(self, item: Any) -> str:
        """Return what two items have in common if they are the same."""
        if self.items == "json":
            return jsontext.canonical(self._folded(item))
        text = " ".join(nfc(item).split())
        return text.lower() if self.ignore_case else text

    def _folded(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._folded(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._folded(item) for item in value]
        if isinstance(value, str):
            text = nfc(value)
            return text.lower() if self.ignore_case else text
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    def _compare(self, text: str, gold: frozenset[str]) -> Score:
        try:
            listed = self._read(text)
        except ValueError as err:
            return verdict(False, 0.0, f"the answer is no list of items: {err}")
        right = len(gold.intersection(listed))
        spare = len(listed) - right
        missing = len(gold) - right
        everything = 2 * right + spare + missing
        parts = {
            "format": 1.0,
            "precision": right / len(listed) if listed else float(not gold),
            "recall": right / len(gold) if gold else 1.0,
            "f1": 2 * right / everything if everything else 1.0,
        }
        reason = f"{right} right, {missing} missing, {spare} wrong or twice"
        return Score(self._value(parts["f1"]), parts, reason)

    def _value(self, f1: float) -> float:
        raise NotImplementedError


_BULLET = re.compile(r"(?:[-*]|[0-9]{1,3}[.)])[ \t]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMatch(_ItemVerifier):
    """Score 1 for exactly the items of `task.answer`, in any order, each once.

    Example:
        >>> SetMatch(items="commas").score("blue, red", ["red", "blue"]).value
        1.0

    Args:
        extract: Where the answer stands in the reply; see `answers.Rule`.
        items: How they are written: `json`, `lines` or `commas`; see the module.
        ignore_case: Whether upper and lower case are the same.

    Raises:
        ValueError: A mode is not known.
    """

    def _value(self, f1: float) -> float:
        return float(f1 == 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class F1Match(_ItemVerifier):
    """Score the F1 measure of the items listed against those of `task.answer`.

    With k right items, a list of n items of which all k are right scores 2k / (n + k):
    listing everything that there is never pays in full, and pays less the more there
    is. Set `at_least` above what that is for your tasks, so that it pays nothing.

    Example:
        >>> F1Match().score('["red", "green"]', ["red", "blue"]).value
        0.5

    Args:
        extract: Where the answer stands in the reply; see `answers.Rule`.
        items: How they are written: `json`, `lines` or `commas`; see the module.
        ignore_case: Whether upper and lower case are the same.
        at_least: The measure below which the score is 0, in [0, 1].

    Raises:
        ValueError: A mode is not known, or `at_least` is out of range.
    """

    at_least: float = 0.0

    def __post_init__(self) -> None:
        _ItemVerifier.__post_init__(self)
        if not 0 <= self.at_least <= 1:
            raise ValueError(f"`at_least` must be in [0, 1], not {self.at_least!r}")

    def _value(self, f1: float) -> float:
        return f1 if f1 >= self.at_least else 0.0
