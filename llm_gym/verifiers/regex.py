"""The answer matches a regular expression as a whole.

Python's `re` can take exponential time on a text that a model chose, and holds the
interpreter's lock meanwhile, so it matches in a process that can be killed. `re2` takes
linear time and matches in this one; it knows no backreferences and no look-around.
Which of the two is used is the author's choice and never depends on what is installed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol, cast

from llm_gym import jsontext
from llm_gym.errors import DefinitionError, require
from llm_gym.trajectory import Score
from llm_gym.verifiers.answers import MAX_REPLY_CHARS, TextVerifier, verdict
from llm_gym.workers import KillableWorker, WorkerError, WorkerTimeout

__all__ = ["RegexMatch"]

MAX_PATTERN_CHARS = 10_000
_MEMORY_BYTES = 2**28


class _Pattern(Protocol):
    def fullmatch(self, text: str) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RegexMatch(TextVerifier):
    r"""Score 1 if the whole answer matches a pattern.

    A match that is not finished in time scores 0 with that reason: it was the reply
    that made the pattern run over, and a fault would let a model throw away episodes
    that it does not like. Time is given generously (a match takes microseconds) and
    does not pass while the machine is busy with other things.

    Example:
        >>> RegexMatch(pattern="[0-9]{4}-[0-9]{2}", engine="re2").score("2024-02").value
        1.0

    Args:
        extract: Where the answer stands in the reply; see `answers.Rule`.
        pattern: The pattern, with inline flags such as `(?i)`; None to take the text
            of `task.answer`. Write `[0-9]` for digits: `\d` is any script's in `re`.
        engine: `re` is the standard library's, in a process of its own; `re2` is
            google-re2 (extra `regex`).
        seconds: How long a match of `re` may take.

    Raises:
        DefinitionError: The pattern is none that this engine knows, or too long.
        MissingDependencyError: google-re2 is asked for and not installed.
        ValueError: The engine is not known, or the seconds are not above 0.
    """

    pattern: str | None = None
    engine: Literal["re", "re2"] = "re"
    seconds: float = 2.0

    max_chars = MAX_REPLY_CHARS

    def __post_init__(self) -> None:
        TextVerifier.__post_init__(self)
        if self.engine not in ("re", "re2"):
            raise ValueError(f"`engine` must be 're' or 're2', not {self.engine!r}")
        _worker(self.seconds)  # which checks the limit
        if self.pattern is not None:
            self._checked(self.pattern)

    @property
    def blocking(self) -> bool:
        """Whether a verdict waits for another process."""
        return self.engine == "re"

    def score(self, text: str | None, answer: Any = None) -> Score:
        """Judge a reply's text.

        Args:
            text: The reply, None for none.
            answer: The pattern, where the verifier has none of its own.

        Raises:
            DefinitionError: There is no pattern, or none that the engine knows.
            TypeError: The text is no str.
            EnvironmentFault: The process that matches cannot be started, or died.
        """
        return TextVerifier.score(self, text, answer)

    def _gold(self, answer: Any) -> str:
        return self._checked(answer) if self.pattern is None else self.pattern

    def _checked(self, pattern: Any) -> str:
        if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN_CHARS:
            raise DefinitionError(
                f"`RegexMatch` needs a pattern of at most {MAX_PATTERN_CHARS} "
                f"characters, its own or in `task.answer`, not {pattern!r}"[:300]
            )
        _compiled(pattern, self.engine)
        return pattern

    def _compare(self, text: str, gold: str) -> Score:
        try:
            matches = self._matches(gold, jsontext.clean_text(text))
        except WorkerTimeout:
            why = f"matching took more than {self.seconds:g} seconds"
            return verdict(True, 0.0, why)
        except WorkerError as err:
            if err.kind != "MemoryError":
                raise
            return verdict(True, 0.0, "matching took too much memory")
        if matches:
            return verdict(True, 1.0, "the answer matches")
        return verdict(True, 0.0, "the answer does not match")

    def _matches(self, pattern: str, text: str) -> bool:
        if self.engine == "re2":
            return _compiled(pattern, "re2").fullmatch(text) is not None
        return bool(_worker(self.seconds).call(pattern, text))


def matches(pattern: str, text: str) -> bool:
    """Say whether a whole text matches; what the killable process calls."""
    return re.fullmatch(pattern, text) is not None


@lru_cache(maxsize=64)
def _worker(seconds: float) -> KillableWorker:
    return KillableWorker(
        f"{__name__}:matches", seconds=seconds, memory_bytes=_MEMORY_BYTES
    )


@lru_cache(maxsize=1024)
def _compiled(pattern: str, engine: str) -> _Pattern:
    try:
        if engine == "re":
            return re.compile(pattern)
        module = require("re2", extra="regex")
        options = module.Options()
        options.log_errors = False
        return cast("_Pattern", module.compile(pattern, options))
    except ImportError:
        raise
    except Exception as err:  # re2 has an error class of its own
        raise DefinitionError(
            f"`{engine}` does not know the pattern {pattern[:80]!r}: {err}"
        ) from err
