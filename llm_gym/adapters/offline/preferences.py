"""Exports likes and dislikes: pairs for DPO and reward models, labels for KTO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from llm_gym.adapters.offline.episodes import Entry, Episode
from llm_gym.adapters.offline.exporting import Job, Paths, begin
from llm_gym.adapters.offline.expressions import parse
from llm_gym.adapters.offline.pairs import Pair, Pairing, make_pairs, parting
from llm_gym.adapters.offline.report import Report
from llm_gym.adapters.offline.rows import Row, provenance, source_of, tools_of
from llm_gym.adapters.offline.selection import (
    Choice,
    check_parts,
    field_kinds,
    scored,
)

__all__ = ["export_dpo", "export_kto", "export_reward_model"]


def export_dpo(
    runs: Paths,
    out: str | Path,
    choice: Choice | None = None,
    pairing: Pairing | None = None,
    *,
    form: Literal["episode", "reply"] = "episode",
    overwrite: bool = False,
) -> Report:
    """Write pairs for TRL's `DPOTrainer`: `prompt`, `chosen`, `rejected`, `tools`.

    Args:
        runs: Files that `llm-gym rollout` wrote, or NeMo Gym's rollout rows.
        out: `NAME.jsonl`, `NAME.parquet`, or a folder for a saved dataset.
        choice: Which episodes may be paired; None for all.
        pairing: Which pairs to make; None for the best with the worst of each task.
        form: `episode` takes all that followed the prompt, tool results too; `reply`
            the first reply in which both differ, after all that they have in common.
        overwrite: Whether `out` may exist.

    Returns:
        What it came to; it stands beside the output too.

    Raises:
        ValueError: Something was asked for that cannot be.
        FormatError: A file cannot be read, or holds no episode.
    """
    if form not in ("episode", "reply"):
        raise ValueError(f"`form` is episode or reply, not {form!r}")
    shape = _Shape(reply=form == "reply")
    return _export_pairs("dpo", runs, out, choice, pairing, shape, overwrite)


def export_reward_model(
    runs: Paths,
    out: str | Path,
    choice: Choice | None = None,
    pairing: Pairing | None = None,
    *,
    tokens: bool = False,
    margins: bool = False,
    overwrite: bool = False,
) -> Report:
    """Write pairs for TRL's `RewardTrainer`.

    Args:
        runs: Files that `llm-gym rollout` wrote, or NeMo Gym's rollout rows.
        out: `NAME.jsonl`, `NAME.parquet`, or a folder for a saved dataset.
        choice: Which episodes may be paired; None for all.
        pairing: Which pairs to make; None for the best with the worst of each task.
        tokens: Whether to write exact tokens (`chosen_ids`, `rejected_ids`), not text.
        margins: Whether to write a column `margin`, which TRL's loss subtracts.
        overwrite: Whether `out` may exist.

    Returns:
        What it came to; it stands beside the output too.

    Raises:
        ValueError: Something was asked for that cannot be.
        FormatError: A file cannot be read, or holds no episode.
    """
    shape = _Shape(tokens=tokens, margins=margins)
    return _export_pairs("reward-model", runs, out, choice, pairing, shape, overwrite)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a pair's row looks like."""

    reply: bool = False
    tokens: bool = False
    margins: bool = False


def _export_pairs(
    kind: str,
    runs: Paths,
    out: str | Path,
    choice: Choice | None,
    pairing: Pairing | None,
    shape: _Shape,
    overwrite: bool,
) -> Report:
    choice, pairing = choice or Choice(), pairing or Pairing()
    options = {"choice": asdict(choice), **asdict(pairing), **asdict(shape)}
    job = begin(kind, runs, out, options, overwrite)
    kept = job.choose(choice, text=not shape.tokens)
    if shape.tokens:
        kept = job.with_tokens(kept)
    made = make_pairs(kept, pairing, job.ledger)
    if made.near_ties:
        job.notes.append(
            f"{made.near_ties} possible pairs are closer than {pairing.margin:g} and "
            "left out as near-ties"
        )
    if made.over_cap:
        job.notes.append(f"{made.over_cap} pairs are more than the cap of their task")
    return job.finish(_pair_rows(job, made.pairs, shape))


def _pair_rows(job: Job, pairs: Sequence[Pair], shape: _Shape) -> Iterator[Row]:
    unlike: dict[Any, Entry] = {}
    for pair in pairs:
        chosen, rejected = job.runs.load(pair.chosen), job.runs.load(pair.rejected)
        row = _pair_row(pair, chosen, rejected, shape)
        both = (pair.chosen, pair.rejected)
        if row is None:
            unlike.update({entry.place: entry for entry in both})
            continue
        job.use(*both)
        yield row
    for place, entry in unlike.items():
        if place not in job.used:
            job.ledger.drop(
                entry, "no reply in which it and its partner part", "form `reply`"
            )


def _pair_row(
    pair: Pair, chosen: Episode, rejected: Episode, shape: _Shape
) -> Row | None:
    told: Row = {
        "env": chosen.record["env"],
        "task": pair.chosen.task,
        "chosen_reward": pair.chosen.reward,
        "rejected_reward": pair.rejected.reward,
        "chosen_source": source_of(pair.chosen, chosen),
        "rejected_source": source_of(pair.rejected, rejected),
    }
    if shape.margins:
        told["margin"] = pair.margin
    if shape.tokens:
        return {"chosen_ids": _ids(chosen), "rejected_ids": _ids(rejected), **told}
    prompt, better = list(chosen.prompt), list(chosen.completion)
    worse = list(rejected.completion)
    if shape.reply:
        found = parting(chosen, rejected)
        if found is None:
            return None
        prompt, better, worse = found[0], [found[1]], [found[2]]
    row = {"prompt": prompt, "chosen": better, "rejected": worse}
    return {**row, "tools": tools_of(chosen), **told}


def _ids(episode: Episode) -> list[int]:
    """Return the ids of the last sample, which holds the end of the conversation."""
    samples = episode.tokens.to_samples() if episode.tokens else []
    return [*samples[-1].prompt_ids, *samples[-1].completion_ids]


def export_kto(
    runs: Paths,
    out: str | Path,
    choice: Choice | None = None,
    *,
    good: str = "reward >= 0.5",
    bad: str = "",
    overwrite: bool = False,
) -> Report:
    """Write episodes for TRL's `KTOTrainer`: `prompt`, `completion`, `label`, `tools`.

    Args:
        runs: Files that `llm-gym rollout` wrote, or NeMo Gym's rollout rows.
        out: `NAME.jsonl`, `NAME.parquet`, or a folder for a saved dataset.
        choice: Which episodes to take; None for all.
        good: An expression: what it holds for is labelled True.
        bad: An expression: what it holds for is labelled False, and what neither holds
            for is dropped; "" for all that is not good.
        overwrite: Whether `out` may exist.

    Returns:
        What it came to, with the weights that balance both labels as a note.

    Raises:
        ValueError: Something was asked for that cannot be.
        FormatError: A file cannot be read, or holds no episode.
    """
    choice = choice or Choice()
    rules = {"good": good, "bad": bad or f"not ({good})"}
    read = {k: parse(v, field_kinds(), "truth", f"`{k}`") for k, v in rules.items()}
    options = {"choice": asdict(choice), **rules}
    job = begin("kto", runs, out, options, overwrite)
    kept = job.choose(choice)
    for rule in read.values():
        check_parts(rule, kept)
    liked = scored(kept, read["good"], job.ledger)
    kept = [entry for entry in kept if entry.place in liked]
    disliked = scored(kept, read["bad"], job.ledger)
    kept = [entry for entry in kept if entry.place in disliked]
    kept = [e for e in kept if _labelled(job, e, liked[e.place], disliked[e.place])]
    labels = [bool(liked[entry.place]) for entry in kept]
    job.notes.extend(_balance(labels))
    return job.finish(_kto_rows(job, kept, labels))


def _labelled(job: Job, entry: Entry, liked: bool, disliked: bool) -> bool:
    """Say whether an episode gets a label; tell the ledger if not."""
    if liked and entry.unlike:
        job.ledger.drop(entry, entry.unlike)
    elif not liked and not disliked:
        job.ledger.drop(entry, "neither good nor bad")
    elif liked and disliked:
        job.ledger.drop(entry, "both good and bad")
    else:
        return True
    return False


def _kto_rows(job: Job, kept: Sequence[Entry], labels: Sequence[bool]) -> Iterator[Row]:
    for entry, label in zip(kept, labels, strict=True):
        episode = job.runs.load(entry)
        job.use(entry)
        yield {
            "prompt": list(episode.prompt),
            "completion": list(episode.completion),
            "label": label,
            "tools": tools_of(episode),
            **provenance(entry, episode),
        }


def _balance(labels: Sequence[bool]) -> list[str]:
    """Say how KTO's weights balance the labels (Ethayarajh et al. 2024, eq. 8)."""
    good = sum(labels)
    bad = len(labels) - good
    if not good or not bad:
        return [f"{good} good and {bad} bad: KTO learns from both"]
    if good >= bad:
        weights = f"undesirable_weight={good / bad:.2f}"
    else:
        weights = f"desirable_weight={bad / good:.2f}"
    return [f"{good} good and {bad} bad; `KTOConfig({weights})` balances them"]
