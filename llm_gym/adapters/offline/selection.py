"""Chooses episodes: by a filter, without doubles, the best of each task, so many each.

Every step takes entries and returns some of them, and tells a `Ledger` of each that it
drops and why: what was read is what is used and what was dropped, to the last episode.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llm_gym.adapters.offline.episodes import FIELDS, Entry
from llm_gym.adapters.offline.expressions import (
    PARTS,
    Expression,
    Kind,
    UntoldError,
    parse,
)

__all__ = ["Choice", "Dropped", "Ledger", "choose", "field_kinds", "scored"]


def field_kinds() -> dict[str, Kind]:
    """Return the kind of each field that an expression may ask for."""
    return {name: kind for name, (kind, _) in FIELDS.items()}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which episodes to take.

    Attributes:
        where: An expression that must hold, such as `reward >= 0.8 and valid`; "" for
            all.
        best: Take so many of each task, those of the greatest `by`; None for all.
        by: An expression that says which are best.
        accept: Take each by chance, with probability `exp((by - best by of its task) /
            accept)`: statistical rejection sampling (Liu et al. 2023, arXiv
            2309.06657, section 3.2). None for all.
        per_task: Take at most so many of each task, drawn by chance; None for all.
        doubles: Whether to keep episodes that went word for word like another of the
            same task.
        seed: Decides all that is drawn by chance.

    Raises:
        ValueError: A number is out of range, or an expression cannot be read.
    """

    where: str = ""
    best: int | None = None
    by: str = "reward"
    accept: float | None = None
    per_task: int | None = None
    doubles: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("best", "per_task"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"`{name}` must be at least 1, not {number!r}")
        if self.accept is not None and not 0 < self.accept < math.inf:
            raise ValueError(f"`accept` must be above 0, not {self.accept!r}")
        self.expressions()

    def expressions(self) -> tuple[Expression | None, Expression]:
        """Return the filter, if there is one, and what says which are best."""
        kinds = field_kinds()
        by = parse(self.by, kinds, "number", "`by`")
        if not self.where.strip():
            return None, by
        return parse(self.where, kinds, "truth"), by


@dataclass(frozen=True, slots=True)
class Dropped:
    """An episode that became no data.

    Attributes:
        place: Its file and line.
        task: Its task, "" where that is not known.
        why: The reason, the same for all that it holds for.
        detail: More of it.
    """

    place: str
    task: str
    why: str
    detail: str = ""


@dataclass(slots=True)
class Ledger:
    """Who was dropped and why.

    Attributes:
        read: How many episodes were read.
        dropped: Those that became no data, in the order in which it was decided.
    """

    read: int = 0
    dropped: list[Dropped] = field(default_factory=list)

    def drop(self, entry: Entry, why: str, detail: str = "") -> None:
        """Note an episode that becomes no data."""
        self.dropped.append(Dropped(str(entry.place), entry.task, why, detail))

    def reasons(self) -> Counter[str]:
        """Return how many were dropped for each reason."""
        return Counter(one.why for one in self.dropped)


def choose(
    entries: Iterable[Entry],
    choice: Choice,
    ledger: Ledger,
    *,
    imitate: bool = False,
    text: bool = False,
) -> list[Entry]:
    """Choose episodes.

    Args:
        entries: All that were read.
        choice: Which to take.
        ledger: Is told of every one that is not taken.
        imitate: Whether their text is to be imitated: then those are dropped whose
            text is not what the model wrote in full.
        text: Whether their text is written: then those are dropped whose calls hold an
            integer that datasets could not read again.

    Raises:
        ValueError: An expression asks for a part that no episode's score has.
    """
    where, by = choice.expressions()
    kept = _without_problems(entries, ledger)
    for expression in filter(None, (where, by)):
        check_parts(expression, kept)
    kept = _filtered(kept, where, ledger)
    if imitate:
        kept = [one for one in kept if not _unlike(one, ledger)]
    if text:
        kept = [one for one in kept if not _lost(one, ledger)]
    if not choice.doubles:
        kept = _without_doubles(kept, ledger)
    values = scored(kept, by, ledger) if choice.best or choice.accept else {}
    kept = [one for one in kept if not values or one.place in values]
    rng = np.random.default_rng(choice.seed)
    if choice.accept is not None:
        kept = _accepted(kept, values, choice.accept, rng, ledger)
    if choice.best is not None:
        kept = _best(kept, values, choice.best, ledger)
    return kept if choice.per_task is None else _capped(kept, choice, rng, ledger)


def check_parts(expression: Expression, entries: Iterable[Entry]) -> None:
    """Refuse an expression that asks for a part which no episode has."""
    if not any(name.startswith(f"{PARTS}.") for name in expression.names):
        return
    known = {name for entry in entries for name in entry.facts if "." in name}
    expression.check_parts({name.partition(".")[2] for name in known})


def scored(
    entries: Iterable[Entry], expression: Expression, ledger: Ledger
) -> dict[Any, Any]:
    """Return what an expression comes to for each, by place; the others are dropped."""
    values = {}
    for entry in entries:
        try:
            values[entry.place] = expression(entry.facts)
        except UntoldError as err:
            ledger.drop(entry, f"`{err.name}` is not told", f"in {expression.text!r}")
        except ValueError as err:
            ledger.drop(entry, "an expression has no value", str(err))
    return values


def by_task(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return the episodes of each task, told apart by how they began."""
    tasks: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        tasks[entry.start].append(entry)
    return dict(tasks)


def _without_problems(entries: Iterable[Entry], ledger: Ledger) -> list[Entry]:
    kept = []
    for entry in entries:
        ledger.read += 1
        why, _, detail = entry.problem.partition(": ")
        if why:
            ledger.drop(entry, why, detail)
        elif not math.isfinite(entry.reward):
            ledger.drop(entry, "its reward is no finite number", repr(entry.reward))
        else:
            kept.append(entry)
    return kept


def _filtered(
    entries: Sequence[Entry], where: Expression | None, ledger: Ledger
) -> list[Entry]:
    if where is None:
        return list(entries)
    verdicts = scored(entries, where, ledger)
    kept = []
    for entry in entries:
        if verdicts.get(entry.place):
            kept.append(entry)
        elif entry.place in verdicts:
            ledger.drop(entry, "the filter", where.text)
    return kept


def _unlike(entry: Entry, ledger: Ledger) -> bool:
    if entry.unlike:
        ledger.drop(entry, entry.unlike)
    return bool(entry.unlike)


def _lost(entry: Entry, ledger: Ledger) -> bool:
    lost = entry.numbers == "lost"
    if lost:
        why = "a call has an integer that datasets cannot read"
        ledger.drop(entry, why, "beyond 64 bits")
    return lost


def _without_doubles(entries: Sequence[Entry], ledger: Ledger) -> list[Entry]:
    first: dict[str, Entry] = {}
    for entry in entries:
        same = first.setdefault(entry.content, entry)
        if same is not entry:
            ledger.drop(entry, "word for word like another", f"like {same.place}")
    return list(first.values())


def _accepted(
    entries: Sequence[Entry],
    values: dict[Any, float],
    accept: float,
    rng: np.random.Generator,
    ledger: Ledger,
) -> list[Entry]:
    greatest = {
        start: max(values[one.place] for one in those)
        for start, those in by_task(entries).items()
    }
    kept = []
    for entry in entries:
        chance = math.exp((values[entry.place] - greatest[entry.start]) / accept)
        if rng.random() < chance:
            kept.append(entry)
        else:
            ledger.drop(entry, "rejected by chance", f"chance to stay {chance:.3g}")
    return kept


def _best(
    entries: Sequence[Entry], values: dict[Any, float], best: int, ledger: Ledger
) -> list[Entry]:
    def order(those: list[Entry]) -> list[Entry]:
        return sorted(those, key=lambda one: -values[one.place])  # ties: as they came

    return _first_of_each(entries, best, order, f"not among the best {best}", ledger)


def _capped(
    entries: Sequence[Entry], choice: Choice, rng: np.random.Generator, ledger: Ledger
) -> list[Entry]:
    def order(those: list[Entry]) -> list[Entry]:
        return [those[i] for i in rng.permutation(len(those))]

    cap = choice.per_task or 0
    return _first_of_each(entries, cap, order, f"more than {cap} of its task", ledger)


def _first_of_each(
    entries: Sequence[Entry],
    number: int,
    order: Callable[[list[Entry]], list[Entry]],
    why: str,
    ledger: Ledger,
) -> list[Entry]:
    taken = set()
    for those in by_task(entries).values():
        ranked = order(those)
        taken |= {one.place for one in ranked[:number]}
        for one in ranked[number:]:
            ledger.drop(one, why)
    return [one for one in entries if one.place in taken]
