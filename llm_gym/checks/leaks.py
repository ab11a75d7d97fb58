"""Nothing that a model is shown depends on the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from llm_gym.checks.episodes import Recording, Reply, actors, record, start, take
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import demand, difference, shorten
from llm_gym.env import ToolEnv
from llm_gym.errors import EnvironmentFault
from llm_gym.tasks import Task

__all__ = ["check_leaks", "other_answer"]

_TELLING = 8
"""Characters from which on a text of the answer is not in `info` by chance."""


def check_leaks(subject: Subject) -> str:
    """Replay episodes on the same tasks with other answers."""
    env, other = subject.make(), subject.make()
    tasks = [_task_of(env, seed) for seed in subject.seeds]
    compared = 0
    for index, (seed, task) in enumerate(zip(subject.seeds, tasks, strict=True)):
        neighbour = tasks[(index + 1) % len(tasks)]
        for policy, actor in actors(seed):
            recording = record(env, actor, policy, seed=seed, options={"task": task})
            if recording is None:
                continue
            _look_at_info(recording, task)
            compared += _compare_all(other, recording, task, neighbour)
    env.close()
    other.close()
    demand(
        compared or all(other_answer(t.answer) == t.answer for t in tasks),
        "no episode with another answer could be played: `begin` failed on each; it "
        "must not depend on `task.answer`",
    )
    return f"{compared} episodes with another answer"


def other_answer(answer: Any) -> Any:
    """Return an answer of the same shape of which every leaf is another one."""
    if isinstance(answer, dict):
        return {key: other_answer(value) for key, value in answer.items()}
    if isinstance(answer, (list, tuple)):
        return type(answer)(other_answer(value) for value in answer)
    if isinstance(answer, bool):
        return not answer
    if isinstance(answer, (int, float)):
        return answer + 1 if answer + 1 != answer else -answer  # 1e300 + 1
    if isinstance(answer, str):
        shifted = answer.translate(_SHIFT)
        return shifted if shifted != answer else f"{answer}x"
    return answer


def _shift() -> dict[int, int]:
    rings = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    pairs = ((ring, ring[1:] + ring[:1]) for ring in rings)
    return {
        ord(a): ord(b)
        for ring, turned in pairs
        for a, b in zip(ring, turned, strict=True)
    }


_SHIFT = _shift()


def _task_of(env: ToolEnv, seed: int) -> Task:
    env.reset(seed=seed)
    return env.task


def _compare_all(
    env: ToolEnv, recording: Recording, task: Task, neighbour: Task
) -> int:
    """Replay a recording with each other answer; return how many could be compared."""
    compared = 0
    for answer in (other_answer(task.answer), neighbour.answer):
        if answer == task.answer:
            continue
        changed = replace(task, answer=answer)
        where = f"{recording.title}, the answer changed to {shorten(answer, 60)}"
        shown, ended = _play_on(env, recording.seed, changed, recording.replies)
        _compare(recording, shown, ended, where)
        compared += bool(shown)
    return compared


def _play_on(
    env: ToolEnv, seed: int, task: Task, replies: Sequence[Reply]
) -> tuple[list[str], bool]:
    """Return what was shown, and whether the episode ended.

    An answer that was changed may be one that a verifier cannot read; a fault ends the
    comparison and is none of its findings.
    """
    shown: list[str] = []
    try:
        shown.append(start(env, seed, {"task": task}))
        for reply in replies:
            page, ended = take(env, reply)
            shown.append(page)
            if ended:
                return shown, True
    except EnvironmentFault:
        pass
    return shown, False


def _compare(
    recording: Recording, shown: Sequence[str], ended: bool, where: str
) -> None:
    """Compare all that came before the last reply."""
    demand(
        not ended or len(shown) >= len(recording.shown),
        f"{where}: the episode ended after {len(shown) - 1} replies, with the true "
        f"answer after {len(recording.shown) - 1}",
    )
    for turn, (one, other) in enumerate(zip(recording.shown[:-1], shown, strict=False)):
        found = difference(_visible(one), _visible(other))
        demand(found is None, f"{where}: after {turn} replies {found}")


def _visible(page: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(page)
    shown.pop("reward", None)  # the model does not see it
    return shown


def _look_at_info(recording: Recording, task: Task) -> None:
    """Demand that no long text of the answer stands in `info` before the end."""
    for turn, page in enumerate(recording.shown[:-1]):
        info = json.loads(page)["info"]
        info.pop("calls", None)  # the model's own words
        for text in _texts(info):
            for gold in _texts(task.answer):
                demand(
                    len(gold) < _TELLING or gold not in text,
                    f"{recording.title}: after {turn} replies `info` holds "
                    f"{shorten(gold)} of the answer",
                )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
