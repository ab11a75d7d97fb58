"""Tasks: named, different, apart by split, plain, and never changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np

from llm_gym import jsontext
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import Failed, demand, difference
from llm_gym.env import ToolEnv
from llm_gym.errors import UnknownTaskError
from llm_gym.tasks import BlankTasks, ListTasks, Split, Task, read_task

__all__ = ["SAMPLES", "check_tasks"]

SAMPLES = 60
"""Tasks drawn from each split."""


def check_tasks(subject: Subject) -> str:
    """Look at the tasks of the seeds and of the splits."""
    env = subject.make()
    for seed in subject.seeds:
        _look_at_start(env, seed)
    _look_at_variety(env, subject)
    _look_at_options(env)
    seen = _look_at_splits(env)
    for recording in subject.recordings:
        env.reset(seed=recording.seed)
        before = jsontext.canonical(env.task.to_json())
        for reply in recording.replies:
            env.step(reply)
        found = difference(json.loads(before), env.task.to_json(), "task")
        demand(
            found is None, f"{recording.title}: the episode changed its task: {found}"
        )
    env.close()
    return ", ".join(f"{count} different of {split}" for split, count in seen.items())


def _look_at_start(env: ToolEnv, seed: int) -> None:
    """Demand that a task can be stored, and that its id gives the same start."""
    first, info = env.reset(seed=seed)
    where = f"seed {seed}, task {info['task_id']!r}"
    _look_at_form(env.task, where)
    again, other = env.reset(seed=seed + 1, options={"task_id": info["task_id"]})
    demand(
        other["task_id"] == info["task_id"],
        f"{where}: reset by this id gave the task {other['task_id']!r}",
    )
    found = difference(first["messages"], again["messages"], "messages")
    demand(
        found is None,
        f"{where}: reset by this id with another seed starts differently ({found}); a "
        "group must see one start: draw what belongs to the task from `task.rng()`",
    )


def _look_at_form(task: Task, where: str) -> None:
    try:
        text = jsontext.canonical(task.to_json())
        read = read_task(jsontext.loads(text, max_chars=None), where)
    except (TypeError, ValueError) as err:
        raise Failed(f"{where}: the task is not plain JSON: {err}") from err
    for name in ("prompt", "data", "answer"):
        demand(
            getattr(read, name) == getattr(task, name),
            f"{where}: `{name}` is not the same after JSON; use dict with str keys, "
            "list, str, int, float, bool and None",
        )


def _look_at_variety(env: ToolEnv, subject: Subject) -> None:
    starts = {_content(env, {"seed": seed}) for seed in subject.seeds}
    only = isinstance(env.tasks, ListTasks) and len(env.tasks) == 1
    demand(
        len(starts) > 1 or len(subject.seeds) == 1 or only,
        f"the seeds {subject.seeds} all give the same task",
    )


def _look_at_options(env: ToolEnv) -> None:
    if not isinstance(env.tasks, BlankTasks):  # any id is a task of these
        try:
            env.reset(seed=0, options={"task_id": "no such task"})
        except UnknownTaskError:
            pass
        else:
            raise Failed("an unknown `task_id` must raise UnknownTaskError")
    try:
        env.reset(seed=0, options={"no_such_option": 1})
    except ValueError:
        return
    raise Failed("an unknown option of `reset` must raise ValueError")


def _look_at_splits(env: ToolEnv) -> dict[str, int]:
    """Demand that no two splits share a content; return how many each showed."""
    home: dict[str, str] = {}
    for split, task in _samples(env):
        content = _content(env, {"seed": 0, "options": {"task": task}}, task.data)
        other = home.setdefault(content, split)
        demand(
            other == split,
            f"task {task.id!r} of the split `{split}` has the prompt and data of one "
            f"of `{other}`",
        )
    splits = list(home.values())
    return {split: splits.count(split) for split in dict.fromkeys(splits)}


def _samples(env: ToolEnv) -> Iterator[tuple[str, Task]]:
    splits: tuple[Split, ...] = get_args(Split)
    for split in splits:
        try:
            source = env.tasks.select(split, None)
        except ValueError:
            continue  # a list need not have every split
        rng = np.random.default_rng(0)
        for _ in range(SAMPLES):
            yield split, source.sample(rng)


def _content(env: ToolEnv, reset: dict[str, Any], data: Any = None) -> str:
    observation, _ = env.reset(**reset)
    return jsontext.canonical([observation["messages"], data])
