"""The table of checks, and running them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from llm_gym.checks.card import check_card
from llm_gym.checks.card_floors import check_card_floors
from llm_gym.checks.determinism import check_determinism
from llm_gym.checks.floors import check_floors
from llm_gym.checks.fuzz import check_fuzz
from llm_gym.checks.gymnasium_api import check_gymnasium
from llm_gym.checks.leaks import check_leaks
from llm_gym.checks.mutation import check_mutation
from llm_gym.checks.new_process import check_new_process
from llm_gym.checks.oracle import check_oracle
from llm_gym.checks.records import check_records
from llm_gym.checks.replies import check_replies
from llm_gym.checks.report import Finding, Report
from llm_gym.checks.schemas import check_schemas
from llm_gym.checks.snapshot import check_pickle, check_snapshot
from llm_gym.checks.soak import check_soak
from llm_gym.checks.subject import Subject, Target
from llm_gym.checks.tasks import check_tasks
from llm_gym.checks.vector import check_vector
from llm_gym.checks.verdicts import Failed, Note, Skipped

__all__ = ["CHECKS", "Check", "check"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        description: What it demands, in one line.
        run: Returns what it looked at, or raises `Failed` or `Skipped`.
    """

    description: str
    run: Callable[[Subject], str | Note]


CHECKS: Mapping[str, Check] = {
    "gymnasium": Check("Gymnasium's own checker is content", check_gymnasium),
    "schemas": Check("tools are described, in OpenAI's form, and small", check_schemas),
    "oracle": Check("the oracle solves every task", check_oracle),
    "floors": Check("replies that do no work earn nothing", check_floors),
    "fuzz": Check("no trick is paid for", check_fuzz),
    "mutation": Check("a wrong episode scores less than the oracle's", check_mutation),
    "replies": Check("nothing that a model writes breaks it", check_replies),
    "determinism": Check("same seed and replies, same bytes", check_determinism),
    "new_process": Check("the same bytes in another process", check_new_process),
    "snapshot": Check("episodes can be restored and branched", check_snapshot),
    "pickle": Check("environments can be pickled", check_pickle),
    "vector": Check("a vector shows what single ones show", check_vector),
    "leaks": Check("nothing shown depends on the answer", check_leaks),
    "tasks": Check("tasks are plain, different, and apart by split", check_tasks),
    "records": Check("a stored episode is judged the same", check_records),
    "soak": Check("a thousand episodes leave nothing behind", check_soak),
    "card": Check("the class docstring tells what must be known", check_card),
    "card_floors": Check("what the card says of floors is so", check_card_floors),
}
"""Every check by name, in the order in which they run."""


def check(
    target: Target,
    *,
    seeds: Iterable[int] = range(8),
    env_kwargs: Mapping[str, Any] | None = None,
    only: Iterable[str] | None = None,
) -> Report:
    """Check an environment.

    Args:
        target: A registered id (or `module:id`), a `ToolEnv` class, or a callable that
            makes an environment.
        seeds: The seeds of the episodes that are played.
        env_kwargs: What the environment is made with.
        only: The names of the checks to run, all of `CHECKS` if None.

    Returns:
        What came of each check. Whatever an environment raises is a finding.

    Raises:
        ValueError: There is no seed, or no check of a name.
        TypeError: The target is nothing of these.
        gymnasium.error.Error: There is no such id.
    """
    names = list(CHECKS) if only is None else list(only)
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        raise ValueError(f"there is no check {unknown[0]!r}; there are {list(CHECKS)}")
    chosen = tuple(seeds)
    if not chosen:
        raise ValueError("`seeds` must hold at least one seed, it is empty")
    started = time.perf_counter()
    subject = Subject(target, chosen, env_kwargs)
    findings = tuple(_find(subject, name) for name in CHECKS if name in names)
    return Report(subject.name, findings, time.perf_counter() - started)


def _find(subject: Subject, name: str) -> Finding:
    started = time.perf_counter()
    finding = _judge(subject, name)
    return replace(finding, seconds=time.perf_counter() - started)


def _judge(subject: Subject, name: str) -> Finding:
    try:
        told = CHECKS[name].run(subject)
    except Skipped as skipped:
        return Finding(name, "skipped", str(skipped), 0.0)
    except Failed as failed:
        return Finding(name, "failed", str(failed), 0.0, failed.data)
    except Exception as err:  # noqa: BLE001  # the boundary: what an env raises is a finding
        return Finding(name, "failed", f"{type(err).__name__}: {err}", 0.0)
    note = told if isinstance(told, Note) else Note(told)
    return Finding(name, "passed", note.message, 0.0, note.data)
