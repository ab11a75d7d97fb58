"""The mutation score of a verifier: what the oracle did with one thing wrong must fail.

A mutant that ends as the oracle's episode did, with the same `outcome()` and the same
answer, is equivalent and does not count: to read twice is no fault. Every other one
must score below the oracle.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llm_gym import jsontext
from llm_gym.checks._golds import JUNK, solve
from llm_gym.checks._mutants import (
    Mutant,
    Pool,
    Script,
    last_as_junk,
    moves_of,
    mutants,
)
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import Failed, Note, Skipped
from llm_gym.env import ToolEnv
from llm_gym.tasks import Task
from llm_gym.trajectory import StopReason

__all__ = ["MOST_SECONDS", "check_mutation"]

MOST_SECONDS = 1.5
"""After which no further task is begun; the first is played in full in any case."""

_FOREIGN = 3
_MOST_OF_A_KIND = 24
"""Mutants of one kind on one task; of more, some are taken, evenly."""

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Solved:
    """What the oracle did on a task, and what came of it."""

    seed: int
    task: Task
    script: Script
    end: str
    full: float
    answer_counts: bool


@dataclass(frozen=True, slots=True)
class _Played:
    """What came of a script: the outcome and the answer as JSON, and the score."""

    outcome: str
    answer: str
    value: float


def check_mutation(subject: Subject) -> Note:
    """Play the mutants of the oracle's episodes, and demand that each scores less."""
    env = subject.make()
    until = time.perf_counter() + MOST_SECONDS
    solved: dict[int, _Solved] = {}
    verdicts: Counter[str] = Counter()
    survivors: list[dict[str, Any]] = []
    tasks = 0
    for seed in subject.seeds:
        if tasks and time.perf_counter() > until:
            break
        one = _solved(env, seed, solved)
        others = [other for other in subject.seeds if other != seed][:_FOREIGN]
        foreign = [_solved(env, other, solved) for other in others]
        tasks += 1
        for mutant in _chosen(env, one, foreign):
            verdict, value = _try(env, one, mutant)
            verdicts[verdict] += 1
            if verdict == "survived":
                survivors.append(_told(one, mutant, value))
    env.close()
    return _conclude(verdicts, survivors, tasks)


def _conclude(
    verdicts: Counter[str], survivors: list[dict[str, Any]], tasks: int
) -> Note:
    killed = verdicts["killed"]
    counted = killed + len(survivors)
    data = {
        "tasks": tasks,
        "killed": killed,
        "survived": len(survivors),
        "equivalent": verdicts["equivalent"],
        "survivors": survivors,
    }
    played = f"{killed} of {counted} mutants killed on {tasks} tasks"
    if not survivors:
        return Note(f"{played}, {verdicts['equivalent']} equivalent", data)
    listed = "; ".join(
        f"seed {s['seed']}, task {s['task_id']!r}: {s['kind']}, {s['mutant']}, scored "
        f"{s['value']:g}"
        for s in survivors[:_SHOWN]
    )
    raise Failed(
        f"{played}; these end otherwise than the oracle's episode and are paid the "
        f"same: {listed}",
        data,
    )


def _solved(env: ToolEnv, seed: int, known: dict[int, _Solved]) -> _Solved:
    """Let the oracle play the task of a seed."""
    if seed not in known:
        env.reset(seed=seed)
        task = env.task
        if solve(env, {"seed": seed, "options": {"task": task}}) is None:
            raise Skipped("there is no oracle that ends an episode with a score")
        script = moves_of(env.trajectory)
        whole = _read(env)
        junk = _play(env, seed, task, last_as_junk(script, JUNK))
        counts = junk.value < whole.value or junk.outcome != whole.outcome
        end = _end(whole, answer_counts=counts)
        known[seed] = _Solved(seed, task, script, end, whole.value, counts)
    return known[seed]


def _chosen(env: ToolEnv, one: _Solved, foreign: Sequence[_Solved]) -> Iterator[Mutant]:
    """Return the mutants of a task, some of each kind."""
    scripts = [other.script for other in foreign]
    pool = Pool(one.task.data, [one.script, *scripts])
    kinds: dict[str, list[Mutant]] = {}
    for mutant in mutants(one.script, scripts, env.tool_specs, pool):
        kinds.setdefault(mutant.kind, []).append(mutant)
    for some in kinds.values():
        step = -(-len(some) // _MOST_OF_A_KIND)
        yield from some[::step]


def _try(env: ToolEnv, one: _Solved, mutant: Mutant) -> tuple[str, float]:
    try:
        played = _play(env, one.seed, one.task, mutant.script)
    except Exception as err:
        raise Failed(
            f"seed {one.seed}, task {one.task.id!r}: {mutant.kind}, {mutant.name}: "
            f"raised {type(err).__name__}: {str(err)[:300]}"
        ) from err
    if played.value < one.full:
        return "killed", played.value
    same = _end(played, answer_counts=one.answer_counts) == one.end
    return ("equivalent" if same else "survived"), played.value


def _play(env: ToolEnv, seed: int, task: Task, script: Script) -> _Played:
    env.reset(seed=seed, options={"task": task})
    left = [move.message() for move in script]
    for _ in range(env.max_turns + 1):
        reply: Any = left.pop(0) if left else ""
        _, _, terminated, truncated, _ = env.step(reply)
        if terminated or truncated:
            break
    return _read(env)


def _read(env: ToolEnv) -> _Played:
    trajectory = env.trajectory
    answer: Any = trajectory.answer
    if trajectory.stop_reason is StopReason.TOOL:
        ran = [(c.name, c.arguments) for c in trajectory.calls if c.status == "ok"]
        answer = ran[-1]
    score = trajectory.score
    value = 0.0 if score is None else score.value
    outcome = jsontext.canonical(trajectory.outcome)
    return _Played(outcome, jsontext.canonical(answer), value)


def _end(played: _Played, *, answer_counts: bool) -> str:
    return f"{played.outcome} {played.answer if answer_counts else ''}"


def _told(one: _Solved, mutant: Mutant, value: float) -> dict[str, Any]:
    return {
        "seed": one.seed,
        "task_id": one.task.id,
        "kind": mutant.kind,
        "mutant": mutant.name,
        "value": value,
    }
