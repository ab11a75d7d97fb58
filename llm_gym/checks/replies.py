"""Whatever a model writes, the environment answers it and goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from llm_gym import jsontext
from llm_gym.checks.episodes import MAX_TURNS
from llm_gym.checks.hostile import Hostile, hostile_replies
from llm_gym.checks.odd import valid_call
from llm_gym.checks.requests import problem_of_request
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import Failed, demand
from llm_gym.env import ToolEnv
from llm_gym.messages import Reply, call_text, dumps
from llm_gym.trajectory import Turn

__all__ = ["check_replies"]

_LONGEST_SECONDS = 5.0
_SEEDS = 2
"""Seeds on which the table is tried: at the start of one, midway through the other."""


def check_replies(subject: Subject) -> str:
    """Try every hostile reply at the start of an episode and midway through one."""
    env = subject.make()
    table = tuple(hostile_replies(env.tool_specs))
    for number, seed in enumerate(subject.seeds[:_SEEDS]):
        env.reset(seed=seed)
        options = {"task": env.task}  # so that none is generated anew
        first = _first_turn(env, seed, options) if number else None
        for hostile in table:
            env.reset(seed=seed, options=options)
            if first is not None:
                env.step(first)
            where = f"seed {seed}, task {env.task.id!r}, {hostile.name}"
            ended = _survive(env, hostile, where)
            if hostile.worthless and first is None:
                _expect_nothing(env, where, ended)
    forms = _compare_forms(env, subject.seeds[0])
    env.close()
    return f"{len(table)} hostile replies, a call in {forms} forms"


def _first_turn(env: ToolEnv, seed: int, options: dict[str, Any]) -> Any:
    """Return the oracle's first reply, None if there is none or it ends the episode.

    The check `oracle` tells of an oracle that fails.
    """
    env.reset(seed=seed, options=options)
    try:
        reply = env.oracle()
    except Exception:  # noqa: BLE001  # the boundary: an oracle may raise anything
        return None
    _, _, terminated, truncated, _ = env.step(reply)
    return None if terminated or truncated else reply


def _survive(env: ToolEnv, hostile: Hostile, where: str) -> bool:
    """Step once, look at all that came of it, and say whether the episode ended."""
    started = time.perf_counter()
    try:
        result = env.step(hostile.reply)
    except Exception as err:
        raise Failed(
            f"{where}: `step` raised {type(err).__name__}: {str(err)[:300]}"
        ) from err
    seconds = time.perf_counter() - started
    demand(seconds < _LONGEST_SECONDS, f"{where}: `step` took {seconds:.1f} s")
    observation, _, terminated, truncated, info = result
    problem = problem_of_request(observation)
    demand(problem is None, f"{where}: no server takes the observation: {problem}")
    _demand_json(info, where)
    turn = env.trajectory.turns[-1]
    _look_at_calls(turn, hostile, where)
    demand(
        truncated or not hostile.cut,
        f"{where}: a reply that was cut off must truncate the episode",
    )
    return bool(terminated or truncated)


def _demand_json(info: dict[str, Any], where: str) -> None:
    try:
        jsontext.canonical(info)
    except (TypeError, ValueError) as err:
        raise Failed(f"{where}: `info` is not plain JSON: {err}") from err


def _look_at_calls(turn: Turn, hostile: Hostile, where: str) -> None:
    """Demand a record and a message for each call, and that bad calls were refused."""
    statuses = [record.status for record in turn.calls]
    demand(
        len(statuses) == len(hostile.refused),
        f"{where}: expected {len(hostile.refused)} calls, came {statuses}",
    )
    asked = [call["id"] for call in turn.reply.get("tool_calls", ())]
    recorded = [record.id for record in turn.calls]
    answered = [m["tool_call_id"] for m in turn.added if m["role"] == "tool"]
    demand(
        asked == recorded == answered,
        f"{where}: the calls have the ids {asked[:5]}, their records {recorded[:5]}, "
        f"the messages that answer them {answered[:5]}",
    )
    for index, (status, refused) in enumerate(
        zip(statuses, hostile.refused, strict=True)
    ):
        demand(
            not (refused and status == "ok"),
            f"{where}: call {index} must be refused, its status is 'ok'",
        )


def _expect_nothing(env: ToolEnv, where: str, ended: bool) -> None:
    """Reply nothing to the end and demand a score of 0."""
    for _ in range(MAX_TURNS):
        if ended:
            break
        _, _, terminated, truncated, _ = env.step("")
        ended = terminated or truncated
    score = env.trajectory.score
    demand(
        score is None or score.value == 0.0,
        f"{where}: an episode of it and empty replies scored "
        f"{score and score.value}, expected 0.0",
    )


class _Dumped:
    """An object as SDKs hand over."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    def model_dump(self) -> dict[str, Any]:
        return self._body


def _compare_forms(env: ToolEnv, seed: int) -> int:
    """Demand that a call means the same in every form of a reply."""
    expected: list[str] | None = None
    forms = list(_forms(env))
    for name, reply in forms:
        env.reset(seed=seed)
        env.step(reply)
        came = [f"{c.status}: {c.result}" for c in env.trajectory.turns[-1].calls]
        expected = came if expected is None else expected
        demand(
            came == expected,
            f"seed {seed}: a call as {name} gave {came}, as {forms[0][0]} {expected}",
        )
    return len(forms)


def _forms(env: ToolEnv) -> Iterable[tuple[str, Any]]:
    spec = next(iter(env.tool_specs.values()), None)
    name = "no_such_tool" if spec is None else spec.name
    arguments = {} if spec is None else valid_call(spec)
    function = {"name": name, "arguments": dumps(arguments)}
    call = {"id": "call_0", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    completion = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    yield "a dict", message
    yield "an object with `model_dump`", _Dumped(message)
    yield "a completion", _Dumped(completion)
    yield "a text", call_text(name, arguments)
    yield "a `Reply`", Reply(message, finish_reason="tool_calls")
    parsed = {**call, "function": {"name": name, "arguments": arguments}}
    yield "arguments that were parsed", {**message, "tool_calls": [parsed]}
