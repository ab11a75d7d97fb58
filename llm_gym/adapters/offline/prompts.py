"""Prompts to draw from, with how often each was solved: what GRPO trains on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from llm_gym.adapters.offline.episodes import FIELDS, Entry, Episode
from llm_gym.adapters.offline.exporting import Job, Paths, begin
from llm_gym.adapters.offline.expressions import Expression, Kind, UntoldError, parse
from llm_gym.adapters.offline.report import Report
from llm_gym.adapters.offline.rows import Row, source_of, tools_of
from llm_gym.adapters.offline.selection import Choice, by_task
from llm_gym.adapters.trl.starts import COLUMN, Start

__all__ = ["TASK_FIELDS", "export_grpo"]

TASK_FIELDS: dict[str, tuple[Kind, str]] = {
    "episodes": ("number", "how many episodes of it were counted"),
    "solved": ("number", "the share of them with full marks, in [0, 1]"),
    "mean_reward": ("number", "their mean return"),
    "least_reward": ("number", "their least return"),
    "greatest_reward": ("number", "their greatest return"),
    **{name: FIELDS[name] for name in ("env", "task", "level", "split")},
}
"""What an expression about a task may ask for."""


def export_grpo(
    runs: Paths,
    out: str | Path,
    choice: Choice | None = None,
    *,
    tasks: str = "",
    in_message: bool = False,
    overwrite: bool = False,
) -> Report:
    """Write the tasks of runs as prompts for TRL's `GRPOTrainer`, with their figures.

    The column `llm_gym` holds the start of each, which the environments of
    `llm_gym.adapters.trl.TRLSpec` begin with.

    Args:
        runs: Files that `llm-gym rollout` wrote, or NeMo Gym's rollout rows.
        out: `NAME.jsonl`, `NAME.parquet`, or a folder for a saved dataset.
        choice: Which episodes to count; None for all.
        tasks: An expression of `TASK_FIELDS` that says which tasks to take, such as
            `solved > 0 and solved < 1`; "" for all.
        in_message: Whether the start also rides in a key of the messages: `TRLSpec`
            asks for it on its path `rollout`.
        overwrite: Whether `out` may exist.

    Returns:
        What it came to; it stands beside the output too.

    Raises:
        ValueError: Something was asked for that cannot be.
        FormatError: A file cannot be read, or holds no episode.
    """
    choice = replace(choice or Choice(), doubles=True)  # or its figures were wrong
    kinds = {name: kind for name, (kind, _) in TASK_FIELDS.items()}
    rule = parse(tasks, kinds, "truth", "`tasks`") if tasks.strip() else None
    options = {"choice": asdict(choice), "tasks": tasks, "in_message": in_message}
    job = begin("grpo", runs, out, options, overwrite)
    kept = job.choose(choice, text=False)  # what was replied is not written
    found = [(those, _statistics(those)) for those in by_task(kept).values()]
    taken = [pair for pair in found if _wanted(job, *pair, rule)]
    named = len({told["env"] for _, told in taken}) > 1
    return job.finish(_rows(job, taken, in_message=in_message, named=named))


def _wanted(
    job: Job, those: Sequence[Entry], told: dict[str, Any], rule: Expression | None
) -> bool:
    """Say whether a task is taken; tell the ledger of its episodes if not."""
    if rule is None:
        return True
    why = "its task is not wanted"
    try:
        if rule(told):
            return True
    except UntoldError as err:
        why = f"`{err.name}` is not told"
    except ValueError:
        why = "an expression has no value"
    detail = f"solved {told['solved']:.3g} of {told['episodes']}"
    for entry in those:
        job.ledger.drop(entry, why, detail)
    return False


def _rows(
    job: Job,
    taken: Sequence[tuple[Sequence[Entry], dict[str, Any]]],
    *,
    in_message: bool,
    named: bool,
) -> Iterator[Row]:
    for those, told in taken:
        job.use(*those)
        episode = job.runs.load(those[0])
        yield _prompt_row(those[0], episode, told, in_message=in_message, named=named)


def _statistics(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the fields of `TASK_FIELDS` for the episodes of one task."""
    rewards = [entry.reward for entry in entries]
    facts = entries[0].facts
    return {
        "episodes": len(entries),
        "solved": sum(bool(e.facts.get("success")) for e in entries) / len(entries),
        "mean_reward": sum(rewards) / len(rewards),
        "least_reward": min(rewards),
        "greatest_reward": max(rewards),
        **{name: facts.get(name) for name in ("env", "task", "level", "split")},
    }


def _prompt_row(
    entry: Entry,
    episode: Episode,
    told: dict[str, Any],
    *,
    in_message: bool,
    named: bool,
) -> Row:
    """Make the row of a task.

    Args:
        entry: Its first episode.
        episode: The same in full.
        told: Its statistics.
        in_message: Whether the start also rides in a key of the messages, as a rollout
            function of TRL is given nothing but the prompt.
        named: Whether a column `environment` says which environment it is of.
    """
    start = _start(episode)
    prompt = [dict(message) for message in episode.prompt]
    if in_message:
        prompt = [{**message, COLUMN: start} for message in prompt]
    row: Row = {"prompt": prompt, COLUMN: start}
    if named:
        row["environment"] = episode.record["env"]
    statistic = {
        name: told[name]
        for name in ("episodes", "solved", "mean_reward", "least_reward")
    }
    return {
        **row,
        "env": episode.record["env"],
        "task": entry.task,
        **statistic,
        "greatest_reward": told["greatest_reward"],
        "tools": tools_of(episode),
        "source": source_of(entry, episode),
    }


def _start(episode: Episode) -> str | None:
    """Return what `TRLSpec`'s environments begin with; None for what is not ours."""
    record = episode.record
    if record["seed"] is None:
        return None
    return Start(record["env"], record["seed"], record["task"]).to_text()
