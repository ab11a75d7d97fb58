"""The exact record of an episode's tokens: what the engine read and what it sampled.

Knows ids, masks and log-probabilities; knows no tokenizer, text or engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["Sample", "Segment", "Span", "TokenRecord", "TokenTrace", "ids_hash"]


@dataclass(frozen=True, slots=True)
class Span:
    """The tokens that one reply sampled: `ids[start:end]` of its segment.

    Attributes:
        turn: The turn's number in the episode, from 0.
        start: Where they begin.
        end: Where they end, one past the last.
    """

    turn: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tokens to which each turn only appended.

    Attributes:
        ids: Token ids: the prompt, then replies and what was added between them.
        spans: Where the replies are, in order; all else was read and not sampled.
        logprobs: The natural log-probability of each sampled token when it was drawn,
            one for each id within the spans; None where the engine told none.

    Raises:
        ValueError: Spans overlap or leave the ids, or log-probabilities are missing.
    """

    ids: tuple[int, ...]
    spans: tuple[Span, ...] = ()
    logprobs: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        marks = [mark for span in self.spans for mark in (span.start, span.end)]
        edges = [0, *marks, len(self.ids)]
        if any(low > high for low, high in pairwise(edges)):
            raise ValueError(
                f"spans must follow each other within {len(self.ids)} ids, "
                f"not {[(span.start, span.end) for span in self.spans]}"
            )
        sampled = sum(span.end - span.start for span in self.spans)
        if self.logprobs is not None and len(self.logprobs) != sampled:
            raise ValueError(
                f"expected a log-probability for each of {sampled} sampled tokens, "
                f"came {len(self.logprobs)}"
            )

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """The ids before the first reply."""
        return self.ids[: self.spans[0].start] if self.spans else self.ids

    @property
    def mask(self) -> tuple[int, ...]:
        """For each id 1 if it was sampled, else 0."""
        mask = [0] * len(self.ids)
        for span in self.spans:
            mask[span.start : span.end] = [1] * (span.end - span.start)
        return tuple(mask)

    @property
    def sampled_ids(self) -> tuple[int, ...]:
        """The ids that were sampled, all replies one after the other."""
        return tuple(i for span in self.spans for i in self.ids[span.start : span.end])

    def sample(self) -> Sample:
        """Return the segment as trainers take it."""
        start = len(self.prompt_ids)
        mask = self.mask[start:]
        told = None
        if self.logprobs is not None:
            values = iter(self.logprobs)
            told = tuple(next(values) if one else 0.0 for one in mask)
        turns = tuple(span.turn for span in self.spans)
        return Sample(self.prompt_ids, self.ids[start:], mask, told, turns)


@dataclass(frozen=True, slots=True)
class Sample:
    """One training sample; a trajectory has one for each of its segments.

    Attributes:
        prompt_ids: The prompt, `(P,)`.
        completion_ids: All that follows, `(C,)`: replies and what was added between.
        mask: `(C,)`; 1 where the model sampled, 0 where the environment wrote.
        logprobs: `(C,)`; 0.0 where the mask is 0. None where the engine told none.
        turns: The numbers of the turns whose replies are in it.
    """

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    mask: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    turns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """The tokens of an episode, for its trajectory.

    Attributes:
        segments: What was appended to without a break; more than one where the chat
            template or the environment rewrote what had been said.
        breaks: Why each segment but the first had to begin, in words.
        tokenizer_hash: Hash of the tokenizer, see `llm_gym.tokens.ChatTokens`.
        template_hash: Hash of its chat template.
    """

    segments: tuple[Segment, ...]
    breaks: tuple[str, ...] = ()
    tokenizer_hash: str = ""
    template_hash: str = ""

    def to_samples(self) -> list[Sample]:
        """Return the training samples: one for each segment that has a reply."""
        return [segment.sample() for segment in self.segments if segment.spans]

    @property
    def ids_hash(self) -> str:
        """Hash of all ids, in order, with where segments begin."""
        return ids_hash([segment.ids for segment in self.segments])

    @property
    def mask_hash(self) -> str:
        """Hash of all masks."""
        return ids_hash([segment.mask for segment in self.segments])


def ids_hash(rows: Iterable[Sequence[int]]) -> str:
    """Return the SHA-256 of rows of integers, in hexadecimal; row ends count."""
    digest = hashlib.sha256()
    for row in rows:
        data = np.asarray(row, dtype="<i8").tobytes()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


@dataclass(slots=True)
class _Growing:
    """A segment that may still grow."""

    ids: list[int]
    spans: list[Span] = field(default_factory=list)
    logprobs: list[float] | None = field(default_factory=list)

    def frozen(self) -> Segment:
        told = None if self.logprobs is None else tuple(self.logprobs)
        return Segment(tuple(self.ids), tuple(self.spans), told)


class TokenTrace:
    """The tokens of one episode while it runs; it is only ever appended to.

    An engine hands it to `Policy.reply` with each request; a policy that knows its
    token ids appends what it read and what it sampled, any other leaves it empty.
    `ids`, `mask` and `logprobs` are those of the present segment.

    Attributes:
        cursor: What the policy keeps with it, to know what has been rendered.
        tokenizer_hash: Hash of the tokenizer whose ids these are.
        template_hash: Hash of the chat template.
    """

    def __init__(self) -> None:
        self.cursor: Any = None
        self.tokenizer_hash = ""
        self.template_hash = ""
        self._segments: list[_Growing] = []
        self._breaks: list[str] = []
        self._turns = 0

    def __bool__(self) -> bool:
        """Whether anything has been recorded."""
        return bool(self._segments)

    @property
    def turns(self) -> int:
        """How many replies have been recorded."""
        return self._turns

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments up to now."""
        return tuple(segment.frozen() for segment in self._segments)

    @property
    def prompt_ids(self) -> list[int]:
        """The ids before the present segment's first reply."""
        segment = self._present()
        end = segment.spans[0].start if segment.spans else len(segment.ids)
        return segment.ids[:end]

    @property
    def ids(self) -> list[int]:
        """All ids of the present segment, a copy."""
        return list(self._present().ids)

    @property
    def mask(self) -> list[int]:
        """For each id 1 if it was sampled, else 0."""
        return list(self._present().frozen().mask)

    @property
    def logprobs(self) -> list[float] | None:
        """For each id its log-probability, 0.0 where it was not sampled."""
        segment = self._present().frozen()
        if segment.logprobs is None:
            return None
        values = iter(segment.logprobs)
        return [next(values) if one else 0.0 for one in segment.mask]

    def begin(self, ids: Sequence[int], why: str = "") -> None:
        """Begin a segment with a prompt.

        Args:
            ids: The whole prompt.
            why: Why the segment before could not go on; not used for the first.
        """
        if self._segments:
            self._breaks.append(why)
        self._segments.append(_Growing(list(ids)))

    def read(self, ids: Iterable[int]) -> None:
        """Append ids that the environment added: mask 0."""
        self._present().ids.extend(ids)

    def sampled(
        self, ids: Sequence[int], logprobs: Sequence[float] | None = None
    ) -> None:
        """Append a reply's ids: mask 1.

        Args:
            ids: What was sampled, the token that ended it included. May be empty.
            logprobs: The log-probability of each; None if the engine tells none, and
                then none is kept of this segment.

        Raises:
            ValueError: There are not as many log-probabilities as ids.
        """
        if logprobs is not None and len(logprobs) != len(ids):
            raise ValueError(
                f"expected a log-probability for each of {len(ids)} sampled tokens, "
                f"came {len(logprobs)}"
            )
        segment = self._present()
        start = len(segment.ids)
        segment.ids.extend(ids)
        segment.spans.append(Span(self._turns, start, len(segment.ids)))
        if logprobs is None:
            segment.logprobs = None
        elif segment.logprobs is not None:
            segment.logprobs.extend(map(float, logprobs))
        self._turns += 1

    def record(self) -> TokenRecord:
        """Return what has been recorded."""
        return TokenRecord(
            self.segments,
            tuple(self._breaks),
            self.tokenizer_hash,
            self.template_hash,
        )

    def to_samples(self) -> list[Sample]:
        """Return the training samples up to now; see `TokenRecord.to_samples`."""
        return self.record().to_samples()

    def _present(self) -> _Growing:
        if not self._segments:
            raise ValueError("the trace is empty: `begin` it with a prompt")
        return self._segments[-1]
