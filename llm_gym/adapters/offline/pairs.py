"""Pairs of a better and a worse episode that began alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llm_gym.adapters.offline.episodes import ChatMessage, Entry, Episode
from llm_gym.adapters.offline.expressions import Expression, parse
from llm_gym.adapters.offline.selection import (
    Ledger,
    by_task,
    check_parts,
    field_kinds,
    scored,
)

__all__ = ["Pair", "Pairing", "make_pairs", "parting"]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which pairs to make.

    Attributes:
        by: An expression that says which episode is better.
        margin: By how much at least; what is closer is a near-tie and left out.
        take: `ends` makes one pair of each task, of its best and its worst; `all` makes
            every pair.
        chosen: An expression that must hold for the better one, "" for none.
        per_task: At most so many pairs of a task, those of the greatest margin; None
            for all.
        same_group: Whether to pair only members of one group of one run.

    Raises:
        ValueError: A number is out of range, or an expression cannot be read.
    """

    by: str = "reward"
    margin: float = 0.1
    take: Literal["ends", "all"] = "ends"
    chosen: str = ""
    per_task: int | None = None
    same_group: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.margin < math.inf:
            raise ValueError(f"`margin` must be above 0, not {self.margin!r}")
        if self.take not in ("ends", "all"):
            raise ValueError(f"`take` is ends or all, not {self.take!r}")
        if self.per_task is not None and self.per_task < 1:
            raise ValueError(f"`per_task` must be at least 1, not {self.per_task!r}")
        self.expressions()

    def expressions(self) -> tuple[Expression, Expression | None]:
        """Return what says which is better, and what the better one must fulfil."""
        kinds = field_kinds()
        by = parse(self.by, kinds, "number", "`by`")
        if not self.chosen.strip():
            return by, None
        return by, parse(self.chosen, kinds, "truth", "`chosen`")


@dataclass(frozen=True, slots=True)
class Pair:
    """A better and a worse episode.

    Attributes:
        chosen: The better one.
        rejected: The worse one.
        margin: By how much.
    """

    chosen: Entry
    rejected: Entry
    margin: float


@dataclass(slots=True)
class Pairs:
    """The pairs of a run.

    Attributes:
        pairs: The pairs, by task as tasks came.
        near_ties: How many possible pairs were closer than the margin.
        over_cap: How many were more than `per_task`.
    """

    pairs: list[Pair]
    near_ties: int = 0
    over_cap: int = 0


def make_pairs(entries: Sequence[Entry], pairing: Pairing, ledger: Ledger) -> Pairs:
    """Pair episodes; those that find no partner are dropped with the reason.

    Raises:
        ValueError: An expression asks for a part that no episode's score has.
    """
    by, wanted = pairing.expressions()
    for expression in filter(None, (by, wanted)):
        check_parts(expression, entries)
    values = scored(entries, by, ledger)
    able = _able(entries, values, wanted)
    made = Pairs([])
    for those in _groups(entries, values, same_group=pairing.same_group):
        possible = _possible(those, values, able, pairing.margin)
        pairs = possible[:1] if pairing.take == "ends" else possible
        made.over_cap += max(0, len(pairs) - (pairing.per_task or len(pairs)))
        pairs = pairs[: pairing.per_task]
        made.near_ties += _near_ties([values[e.place] for e in those], pairing.margin)
        made.pairs += pairs
        paired = {e.place for pair in pairs for e in (pair.chosen, pair.rejected)}
        for one in those:
            if one.place not in paired:
                ledger.drop(one, *_why_single(one, those, values, able, possible))
    return made


def parting(
    chosen: Episode, rejected: Episode
) -> tuple[list[ChatMessage], ChatMessage, ChatMessage] | None:
    """Return the first reply in which two episodes differ, and all that came before.

    Returns:
        The conversation up to there, and the reply of each; None where what differs
        first is not two replies: the environment answered differently, or one ended.
    """
    before = list(chosen.prompt)
    for one, other in zip(chosen.completion, rejected.completion, strict=False):
        if _without_ids(one) != _without_ids(other):
            if one["role"] == other["role"] == "assistant":
                return before, one, other
            return None
        before.append(one)
    return None


def _without_ids(message: ChatMessage) -> ChatMessage:
    """Return a message without the ids of calls, which engines draw by chance."""
    plain = {key: value for key, value in message.items() if key != "tool_call_id"}
    if "tool_calls" in plain:
        plain["tool_calls"] = [call["function"] for call in plain["tool_calls"]]
    return plain


def _able(
    entries: Sequence[Entry], values: dict[Any, Any], wanted: Expression | None
) -> set[Any]:
    """Return the places of those that may be the better one of a pair."""
    able = set()
    for entry in entries:
        if entry.place not in values or entry.unlike:
            continue
        try:
            fit = wanted is None or bool(wanted(entry.facts))
        except ValueError:
            fit = False  # not told: it may still be the worse one
        if fit:
            able.add(entry.place)
    return able


def _groups(
    entries: Sequence[Entry], values: dict[Any, Any], *, same_group: bool
) -> Iterator[list[Entry]]:
    rated = [entry for entry in entries if entry.place in values]
    for those in by_task(rated).values():
        if not same_group:
            yield those
            continue
        groups: dict[Any, list[Entry]] = {}
        for one in those:
            groups.setdefault((one.place.run, one.facts.get("group")), []).append(one)
        yield from groups.values()


def _possible(
    those: Sequence[Entry], values: dict[Any, Any], able: set[Any], margin: float
) -> list[Pair]:
    """Return every pair that is far enough apart, the farthest first."""
    pairs = [
        Pair(one, other, values[one.place] - values[other.place])
        for one in those
        if one.place in able
        for other in those
        if values[one.place] - values[other.place] >= margin
    ]
    return sorted(pairs, key=lambda pair: -pair.margin)  # ties: as they came


def _near_ties(values: Sequence[float], margin: float) -> int:
    ordered = sorted(values)
    count = start = 0
    for at, value in enumerate(ordered):
        while value - ordered[start] >= margin:
            start += 1
        count += at - start
    return count


def _why_single(
    one: Entry,
    those: Sequence[Entry],
    values: dict[Any, Any],
    able: set[Any],
    possible: Sequence[Pair],
) -> tuple[str, str]:
    if len(those) == 1:
        return "no partner: its task has no other episode", ""
    if any(one in (pair.chosen, pair.rejected) for pair in possible):
        return "its pairs were not taken", "others of its task are farther apart"
    if not any(entry.place in able for entry in those):
        return "no partner: no episode of its task may be the better one", one.unlike
    spread = max(values[e.place] for e in those) - min(values[e.place] for e in those)
    return "near-tie: no partner is far enough apart", f"spread {spread:.3g}"
