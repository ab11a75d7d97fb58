"""Trajectories for the tests of verifiers, played in a tiny real environment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from llm_gym import Task, ToolEnv, ToolError, Trajectory, tool
from llm_gym.messages import call_text
from tests.envs.driving import call, play

__all__ = [
    "PROBES",
    "AnswerEnv",
    "DeskEnv",
    "answered",
    "call",
    "called",
    "ended_with",
    "stored",
]


class AnswerEnv(ToolEnv):
    """Takes one reply as the answer."""

    max_turns = 1

    def verify(self, trajectory: Trajectory) -> float:
        """Give nothing: the tests judge."""
        return 0.0


class DeskEnv(ToolEnv):
    """A desk with a few tools; the state is what was put on it."""

    max_turns = 400

    @tool
    def book(self, city: str, nights: int, price: float = 0.0) -> str:
        """Book a stay.

        Args:
            city: Where.
            nights: How many.
            price: The most that it may cost.
        """
        if city == "Nowhere":
            raise ToolError("there is no such city")
        return "booked"

    @tool
    def look(self, what: Any = None) -> str:
        """Look something up.

        Args:
            what: What to look up.
        """
        return "nothing"

    @tool
    def put(self, key: str, value: Any) -> str:
        """Put something on the desk.

        Args:
            key: Its name.
            value: Any JSON value.
        """
        self.state[key] = value
        return "put"

    def outcome(self) -> dict[str, Any]:
        """Return what is on the desk."""
        return {k: v for k, v in self.state.items() if not k.startswith("_")}

    def verify(self, trajectory: Trajectory) -> float:
        """Give nothing: the tests judge."""
        return 0.0


def answered(
    text: Any, answer: Any = None, data: Mapping[str, Any] | None = None
) -> Trajectory:
    """Play an episode of one reply.

    Args:
        text: The reply, in any form that `step` takes.
        answer: The task's answer.
        data: The task's data.
    """
    task = Task("kit", "What is it?", dict(data or {}), answer)
    return play(AnswerEnv(), [text], seed=0, options={"task": task})


def called(calls: Sequence[Any], answer: Any = None) -> Trajectory:
    """Play an episode of tool calls, one a reply, and a last reply.

    Args:
        calls: A reply's text, or the name and the arguments of a call.
        answer: The task's answer.
    """
    texts = [c if isinstance(c, str) else call_text(*c) for c in calls]
    task = Task("kit", "Do it.", {}, answer)
    return play(DeskEnv(), [*texts, "All is made."], seed=0, options={"task": task})


def ended_with(state: Mapping[str, Any], answer: Any = None) -> Trajectory:
    """Play an episode after which such a state is on the desk."""
    puts = [("put", {"key": key, "value": value}) for key, value in state.items()]
    return called(puts, answer)


def stored(trajectory: Trajectory) -> Trajectory:
    """Return a trajectory as it comes out of its JSON form."""
    return Trajectory.from_json(trajectory.to_json())


PROBES = {
    "nothing": "",
    "blanks": " \t\n \r\n",
    "nan": "nan",
    "not_a_number": "NaN",
    "inf": "inf",
    "infinity": "-Infinity",
    "1e999": "1e999",
    "true": "True",
    "json_true": "true",
    "none": "None",
    "null": "null",
    "zero": "0",
    "one": "1",
    "list": "[]",
    "object": "{}",
    "empty_string": '""',
    "score": "score: 1.0",
    "score_json": '{"score": 1.0, "correct": true}',
    "full_marks": "The answer is correct. Reward: 1.0",
    "echo": "What is it?",
    "placeholder": "Answer: X",
    "bare_answer": "Answer:",
    "empty_box": "\\boxed{}",
    "empty_tag": "<answer></answer>",
    "regex": ".*",
    "sql": "' OR '1'='1",
    "format": "%s {answer} ${answer} {{answer}}",
    "zero_width": "\u200b\u200b",
    "no_break": "\u00a0",
    "nul": "\x00",
    "surrogate": "\ud800",
    "bidi": "\u202e42\u202c",
    "all_digits": " ".join(str(n) for n in range(2000)),
    "all_letters": "A B C D E F G H I J",
    "huge_number": "9" * 100_000,
    "huge_exponent": "1e" + "9" * 5_000,
    "deep": "[" * 100_000,
    "deep_braces": "\\boxed{" * 20_000,
    "tags": "<answer>" * 20_000,
    "huge": "a" * 1_000_000,
    "nan_value": str(math.nan),
}
"""Replies that answer nothing, whatever is asked. Of issue 4, section 3."""
