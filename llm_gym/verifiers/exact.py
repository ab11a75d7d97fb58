"""The answer is one text, letter for letter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_gym.errors import DefinitionError
from llm_gym.trajectory import Score
from llm_gym.verifiers.answers import TextVerifier, nfc, verdict

__all__ = ["ExactMatch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactMatch(TextVerifier):
    """Score 1 for exactly the text of `task.answer`, or for one of a list of texts.

    Blanks around the answer do not matter, and a letter with its accent is the same in
    one character or in two (Unicode's NFC). Nothing else is forgiven unless it is asked
    for: a letter of another alphabet that looks alike is another letter.

    Example:
        >>> ExactMatch(ignore_case=True).score("paris", "Paris").value
        1.0

    Args:
        extract: Where the answer stands in the reply; see `answers.Rule`.
        ignore_case: Whether upper and lower case are the same.
        collapse_blanks: Whether any run of blanks and line ends is one space.
        ignore_ends: Characters that are taken off both ends, such as ".!".

    Raises:
        ValueError: There is no such rule of extraction.
    """

    ignore_case: bool = False
    collapse_blanks: bool = False
    ignore_ends: str = ""

    def _gold(self, answer: Any) -> list[str]:
        texts = answer if isinstance(answer, list) and answer else [answer]
        for text in texts:
            if not isinstance(text, str):
                raise DefinitionError(
                    "`ExactMatch` needs a str or a list of str in `task.answer`, "
                    f"not {answer!r}"
                )
            if not self._plain(text) or len(text) > self.max_chars:
                raise DefinitionError(
                    "a text in `task.answer` must have 1 to "
                    f"{self.max_chars} characters that count, not {text[:80]!r}"
                )
        return [self._plain(text) for text in texts]

    def _compare(self, text: str, gold: list[str]) -> Score:
        if self._plain(text) in gold:
            return verdict(True, 1.0, "the text is right")
        return verdict(True, 0.0, "the text is another one")

    def _plain(self, text: str) -> str:
        text = nfc(text)
        if self.ignore_case:
            text = text.lower()  # not casefold, to which a long s is an s
        if self.collapse_blanks:
            text = " ".join(text.split())
        return text.strip(" \t\r\n" + self.ignore_ends)
