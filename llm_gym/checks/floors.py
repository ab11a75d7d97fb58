"""Replies that do no work and must earn nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llm_gym.checks.episodes import MAX_TURNS
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import demand, shorten
from llm_gym.env import ToolEnv
from llm_gym.messages import ChatRequest

__all__ = ["LUCKY", "WORTHLESS", "check_floors"]

WORTHLESS: tuple[str | dict[str, Any], ...] = (
    "",
    " \n\t ",
    "asdf qwer zxcv",
    "I do not know.",
    "...",
    "nan",
    "Infinity",
    "null",
    "None",
    "{}",
    "[]",
    "<tool_call></tool_call>",
    {"role": "assistant", "content": None},
    {"role": "assistant", "content": "", "tool_calls": []},
)
"""No honest environment pays any of these, on any task."""

LUCKY: tuple[str, ...] = ("yes", "no", "0", "1", "A", "True", "False")
"""These may be right by luck, and so on some tasks, but not on most."""

_FEWEST = 4
"""Seeds below which luck cannot be told from a fault."""


def check_floors(subject: Subject) -> str:
    """Repeat each worthless reply to the end, on every seed."""
    env = subject.make()
    for seed in subject.seeds:
        for reply in WORTHLESS:
            _expect_nothing(env, seed, _constant(reply), shorten(reply))
        for name, echo in _ECHOES.items():
            _expect_nothing(env, seed, echo, name)
    for word in LUCKY:
        scores = [_score(env, seed, _constant(word)) for seed in subject.seeds]
        paid = sum(score > 0 for score in scores)
        demand(
            len(subject.seeds) < _FEWEST or paid * 2 <= len(subject.seeds),
            f"the constant reply {word!r} scored above 0 on {paid} of "
            f"{len(subject.seeds)} seeds; expected no more than luck gives",
        )
    env.close()
    count = len(WORTHLESS) + len(_ECHOES)
    return f"{count} worthless replies and {len(LUCKY)} lucky words on each seed"


_Line = Callable[[ChatRequest], Any]


def _constant(reply: str | dict[str, Any]) -> _Line:
    return lambda _: reply


def _expect_nothing(env: ToolEnv, seed: int, line: _Line, name: str) -> None:
    score = _score(env, seed, line)
    demand(
        score == 0.0,
        f"seed {seed}, task {env.task.id!r}: replying {name} to the end scored "
        f"{score}, expected 0.0",
    )


def _score(env: ToolEnv, seed: int, line: _Line) -> float:
    """Return the score of an episode of which every reply is made from the request."""
    observation, _ = env.reset(seed=seed)
    for _ in range(MAX_TURNS):
        observation, _, terminated, truncated, _ = env.step(line(observation))
        if terminated or truncated:
            break
    score = env.trajectory.score
    return 0.0 if score is None else score.value


def _said_by_user(request: ChatRequest) -> list[str]:
    said = [m["content"] for m in request["messages"] if m["role"] == "user"]
    return said or [""]


_ECHOES: dict[str, _Line] = {
    "the first message of the user": lambda request: _said_by_user(request)[0],
    "the last message of the user": lambda request: _said_by_user(request)[-1],
    "the whole conversation": lambda request: "\n".join(
        message["content"] for message in request["messages"]
    ),
}
