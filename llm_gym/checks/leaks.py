"""Nothing that a model is shown depends on the answer.

Episodes are played again with another answer in the task, and all that is shown must be
the same: observations, results and refusals of tools, `info`. What that cannot find, a
copy of the answer that came from the task's data, is looked for in `info`, where no
answer belongs, and in disguise (base64, hexadecimal, backwards) everywhere.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from llm_gym.checks._golds import answer_texts
from llm_gym.checks.episodes import Actor, Recording, Reply, actors, record, start, take
from llm_gym.checks.odd import misfits, oddities
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import demand, difference, shorten
from llm_gym.env import ToolEnv
from llm_gym.errors import EnvironmentFault
from llm_gym.messages import call_text
from llm_gym.tasks import Task
from llm_gym.tools import ToolSpec

__all__ = ["check_leaks", "other_answer"]

_TELLING = 8
"""Characters from which on a text of the answer is nowhere by chance."""

_PROVOKED = 4
"""Seeds on which refusals are provoked."""

_PROBED = 4
"""Turns of an episode that provokes refusals."""


def check_leaks(subject: Subject) -> str:
    """Replay episodes on the same tasks with other answers."""
    env, other = subject.make(), subject.make()
    tasks = [_task_of(env, seed) for seed in subject.seeds]
    misfit = {name: _misfits(spec) for name, spec in env.tool_specs.items()}
    compared = 0
    for index, (seed, task) in enumerate(zip(subject.seeds, tasks, strict=True)):
        neighbour = tasks[(index + 1) % len(tasks)]
        played = [*actors(seed)]
        if index < _PROVOKED:
            played.append(("provoking", _Provoking(env.tool_specs, misfit, task)))
        for policy, actor in played:
            recording = _recorded(env, actor, policy, seed, task)
            if recording is None:
                continue
            _look_at_info(recording, task)
            _look_for_disguises(recording, task)
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


def _recorded(
    env: ToolEnv, actor: Actor, policy: str, seed: int, task: Task
) -> Recording | None:
    """Record an episode, None if it ends in a fault, of which `replies` tells."""
    try:
        return record(env, actor, policy, seed=seed, options={"task": task})
    except EnvironmentFault:
        return None


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
    """Compare all that came before the last reply, and what was shown after it."""
    demand(
        not ended or len(shown) >= len(recording.shown),
        f"{where}: the episode ended after {len(shown) - 1} replies, with the true "
        f"answer after {len(recording.shown) - 1}",
    )
    last = len(recording.shown) - 1
    for turn, (one, other) in enumerate(zip(recording.shown, shown, strict=False)):
        if one == other:
            continue
        found = difference(_visible(one, turn == last), _visible(other, turn == last))
        demand(found is None, f"{where}: after {turn} replies {found}")


def _visible(page: str, last: bool) -> dict[str, Any]:
    """Return what the model sees, and `info` while the episode runs."""
    shown: dict[str, Any] = json.loads(page)
    shown.pop("reward", None)  # the model does not see it
    return {"observation": shown["observation"]} if last else shown


_Arguments = list[dict[str, Any]]


def _misfits(spec: ToolSpec) -> tuple[_Arguments, _Arguments]:
    """Return arguments that do not fit a tool, and odd ones that do: one of each."""
    odd = (arguments for arguments in oddities(spec) if len(repr(arguments)) < 500)
    wrong = (arguments for _, arguments in misfits(spec))
    return [*islice(wrong, 1)], [*islice(odd, 1)]


class _Provoking:
    """Calls that tools refuse, and calls with the answer for an argument."""

    def __init__(
        self,
        specs: Mapping[str, ToolSpec],
        tried: Mapping[str, tuple[_Arguments, _Arguments]],
        task: Task,
    ) -> None:
        self._replies = [
            _calls(spec, *tried[name], task) for name, spec in specs.items()
        ]
        self._turn = 0

    def __call__(self, env: ToolEnv) -> Reply:
        self._turn += 1
        share = len(self._replies) // _PROBED + 1
        chosen = self._replies[(self._turn - 1) * share : self._turn * share]
        return "".join(chosen) or "Is it right?"


def _calls(spec: ToolSpec, wrong: _Arguments, odd: _Arguments, task: Task) -> str:
    """Write calls of a tool: one that does not fit, one that is odd, and guesses."""
    tried = [*wrong, *odd]
    if not spec.ends_episode and odd:
        properties = spec.parameters["properties"]
        texts = [k for k, v in properties.items() if v.get("type") == "string"]
        for gold in islice(answer_texts(task.answer), 2):
            guess = {**odd[0], **dict.fromkeys(texts, gold)}
            tried += [guess] if texts and spec.problem(guess) is None else []
    return "".join(call_text(spec.name, arguments) for arguments in tried)


def _look_at_info(recording: Recording, task: Task) -> None:
    """Demand that `info` holds no score and no text of the answer before the end."""
    golds, title = _golds(task), recording.title
    for turn, page in enumerate(recording.shown[:-1]):
        info = json.loads(page)["info"]
        where = f"{title}: after {turn} replies `info` holds"
        demand("score" not in info, f"{where} a score, though the episode goes on")
        info.pop("calls", None)  # the model's own words
        for text in _texts(info):
            for gold in golds:
                for form, written in _forms(gold).items():
                    demand(
                        written not in text,
                        f"{where} {shorten(gold)} of the answer{form}",
                    )


def _look_for_disguises(recording: Recording, task: Task) -> None:
    """Demand that nothing shown holds a text of the answer in disguise.

    What stands so in the prompt or in the task's data is part of the task.
    """
    title = recording.title
    own = "\n".join([*_texts(task.prompt), *_texts(task.data)])
    disguises = [
        (gold, form, written)
        for gold in _golds(task)
        for form, written in _forms(gold).items()
        if form in _DISGUISES and written not in own
    ]
    for turn, page in enumerate(recording.shown):
        messages = json.loads(page)["observation"]["messages"]
        shown = "\n".join(m["content"] for m in messages if m["role"] != "assistant")
        for gold, form, written in disguises:
            demand(
                written not in shown,
                f"{title}: after {turn} replies a message holds "
                f"{shorten(gold)} of the answer{form}",
            )


_DISGUISES = (", in base64", ", in hexadecimal", ", backwards")


def _golds(task: Task) -> list[str]:
    """Return the long texts of the answer, each once."""
    golds = dict.fromkeys(answer_texts(task.answer))
    return [gold for gold in golds if len(gold) >= _TELLING]


def _forms(gold: str) -> dict[str, str]:
    """Return a text and its simple disguises, by how a finding calls them."""
    raw = gold.encode(errors="surrogatepass")
    forms = {
        "": gold,
        ", escaped as in JSON": json.dumps(gold)[1:-1],
        ", in base64": base64.b64encode(raw).decode().rstrip("="),
        ", in hexadecimal": raw.hex(),
        ", backwards": gold[::-1],
    }
    return {form: text for form, text in forms.items() if not form or text != gold}


def _texts(value: Any) -> Iterator[str]:
    """Return the texts in a JSON value, the keys of objects among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
