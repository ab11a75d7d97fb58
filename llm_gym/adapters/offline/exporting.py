"""Exports runs: choose episodes, make rows of them, write these and a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from llm_gym.adapters.offline.episodes import Entry
from llm_gym.adapters.offline.expressions import Expression, parse
from llm_gym.adapters.offline.reading import Runs
from llm_gym.adapters.offline.report import Report
from llm_gym.adapters.offline.rows import Row, SftForm, sft_rows, token_rows
from llm_gym.adapters.offline.selection import (
    Choice,
    Ledger,
    check_parts,
    choose,
    field_kinds,
    scored,
)
from llm_gym.adapters.offline.writing import (
    check_out,
    is_long,
    report_path,
    write_rows,
)

__all__ = ["Job", "Paths", "begin", "export_sft"]

Paths: TypeAlias = str | Path | Sequence[str | Path]
"""One file of episodes, or several."""
ROWS_OF_TASK = "rows_of_task"
"""A field of weights alone: how many episodes of the same task were chosen."""


@dataclass(slots=True)
class Job:
    """An export while it runs.

    Attributes:
        kind: See `Report`.
        runs: What is read.
        out: Where the rows go.
        options: What was asked for, for the report.
        ledger: Who was dropped.
        used: Who became data.
        notes: See `Report`.
    """

    kind: str
    runs: Runs
    out: Path
    options: dict[str, Any]
    ledger: Ledger = field(default_factory=Ledger)
    used: dict[Any, Entry] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def use(self, *entries: Entry) -> None:
        """Note episodes that became data."""
        self.used.update({entry.place: entry for entry in entries})

    def choose(
        self, choice: Choice, *, imitate: bool = False, text: bool = True
    ) -> list[Entry]:
        """Read the runs and choose of them; see `selection.choose`."""
        entries = self.runs.entries()
        kept = choose(entries, choice, self.ledger, imitate=imitate, text=text)
        rounded = sum(entry.numbers == "rounded" for entry in kept)
        if text and rounded:
            self.notes.append(
                f"{rounded} episodes have calls with numbers of more than ten "
                "decimals, which datasets rounds; exact tokens keep them"
            )
        return kept

    def with_tokens(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return those that have tokens; the others are dropped."""
        for entry in entries:
            if not entry.samples:
                why = "it has no tokens: its policy did not tell them"
                self.ledger.drop(entry, why)
        return [entry for entry in entries if entry.samples]

    def finish(self, rows: Iterable[Row]) -> Report:
        """Write rows and the report."""
        count, columns = write_rows(rows, self.out)
        if count and self.out.suffix == ".jsonl" and is_long(self.out):
            self.notes.append(
                "datasets guesses the columns of JSON lines from the first 10 MB: load "
                "these by `llm_gym.adapters.offline.load_rows`, or write parquet"
            )
        used = list(self.used.values())
        rewards = [entry.reward for entry in used]
        report = Report(
            kind=self.kind,
            out=str(self.out) if count else None,
            path=str(report_path(self.out)),
            rows=count,
            columns=tuple(columns),
            files=tuple(self.runs.files),
            read=self.ledger.read,
            used=len(used),
            tasks=len({entry.start for entry in used}),
            mean_reward=sum(rewards) / len(rewards) if rewards else float("nan"),
            dropped=tuple(self.ledger.dropped),
            options=self.options,
            notes=tuple(self.notes),
        )
        report.write()
        return report


def begin(
    kind: str, runs: Paths, out: str | Path, options: dict[str, Any], overwrite: bool
) -> Job:
    """Begin an export: nothing is read yet, but the caller's mistakes are told."""
    paths = [runs] if isinstance(runs, (str, Path)) else list(runs)
    return Job(kind, Runs(paths), check_out(out, overwrite=overwrite), options)


def export_sft(
    runs: Paths,
    out: str | Path,
    choice: Choice | None = None,
    *,
    form: SftForm = "completion",
    tokens: bool = False,
    weight: str = "",
    overwrite: bool = False,
) -> Report:
    """Write episodes for TRL's `SFTTrainer`, or for any that imitates.

    Args:
        runs: Files that `llm-gym rollout` wrote, or NeMo Gym's rollout rows.
        out: `NAME.jsonl`, `NAME.parquet`, or a folder for a saved dataset.
        choice: Which episodes to take; None for all.
        form: See `llm_gym.adapters.offline.rows.sft_rows`.
        tokens: Whether to write the exact tokens instead of text.
        weight: An expression that says what a row weighs, as a column `weight`; it may
            ask for `rows_of_task` too.
        overwrite: Whether `out` may exist.

    Returns:
        What it came to; it stands beside the output too.

    Raises:
        ValueError: Something was asked for that cannot be.
        FormatError: A file cannot be read, or holds no episode.
    """
    choice = choice or Choice()
    if form not in ("completion", "messages", "turns"):
        raise ValueError(f"`form` is completion, messages or turns, not {form!r}")
    if tokens and form != "completion":
        raise ValueError("`form` is of texts: leave it out where tokens are asked for")
    kinds = {**field_kinds(), ROWS_OF_TASK: "number"}
    heavy = parse(weight, kinds, "number", "`weight`") if weight.strip() else None
    options = {**asdict(choice), "form": form, "tokens": tokens, "weight": weight}
    job = begin("sft", runs, out, options, overwrite)
    kept = job.choose(choice, imitate=not tokens, text=not tokens)
    if tokens:
        kept = job.with_tokens(kept)
    weights = _weights(kept, heavy, job.ledger)
    if heavy is not None:
        kept = [entry for entry in kept if entry.place in weights]
        job.notes.append("TRL's trainers do not read the column `weight`")
    return job.finish(_sft(job, kept, form, tokens, weights))


def _sft(
    job: Job,
    kept: Sequence[Entry],
    form: SftForm,
    tokens: bool,
    weights: dict[Any, float],
) -> Iterator[Row]:
    for entry in kept:
        episode = job.runs.load(entry)
        weight = weights.get(entry.place)
        job.use(entry)
        if tokens:
            yield from token_rows(entry, episode, weight)
        else:
            yield from sft_rows(entry, episode, form, weight)


def _weights(
    entries: Sequence[Entry], weight: Expression | None, ledger: Ledger
) -> dict[Any, float]:
    if weight is None:
        return {}
    check_parts(weight, entries)
    counts = Counter(entry.start for entry in entries)
    for entry in entries:
        entry.facts[ROWS_OF_TASK] = counts[entry.start]
    values = scored(entries, weight, ledger)
    below = [value for value in values.values() if value < 0]
    if below:
        raise ValueError(f"`weight` {weight.text!r} comes to {below[0]!r}, below zero")
    return values
