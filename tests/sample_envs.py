"""Small environments that the tests of the core play in; importable, so they pickle.

`VaultEnv` is what an author would write. The others each show one thing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np

from llm_gym import (
    EnvironmentFault,
    GeneratedTasks,
    ListTasks,
    ReadReply,
    Response,
    Score,
    StopReason,
    Task,
    ToolEnv,
    ToolError,
    ToolOutput,
    Trajectory,
    tool,
)
from llm_gym.messages import call_text

COLOURS = ("red", "green", "blue", "black")


class Colour(Enum):
    """What a vault's colour may be."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Point:
    """A place, with a default."""

    x: int
    y: int = 0
    colour: Colour = Colour.RED


@dataclass
class Span:
    """A dataclass that refuses some values which its types allow."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError("`last` must not be before `first`")


class Size(TypedDict):
    """A TypedDict of which one key may be left out."""

    width: int
    height: NotRequired[int]


def make_vault(rng: np.random.Generator, level: int) -> Task:
    """Draw a vault: its colour is told, its code must be looked up."""
    codes = {colour: int(rng.integers(10**6)) for colour in COLOURS}
    colour = str(rng.choice(COLOURS))
    return Task(
        prompt=f"Open the {colour} vault.",
        data={"codes": codes},
        answer={"code": codes[colour]},
    )


class VaultEnv(ToolEnv):
    """Look a code up, then open the vault with it."""

    tasks = GeneratedTasks(make_vault, levels=2)
    system_prompt = "Use the tools."
    max_turns = 6

    @tool
    def lookup(self, colour: str) -> int:
        """Look the code of a vault up.

        Args:
            colour: The vault's colour.
        """
        self.state["looked"] = [*self.state.get("looked", ()), colour]
        if colour not in self.state["codes"]:
            raise ToolError(f"there is no {colour} vault")
        return self.state["codes"][colour]

    @tool
    def roll(self) -> int:
        """Roll a die."""
        return int(self.np_random.integers(1, 7))

    @tool
    def crash(self) -> str:
        """Break."""
        raise RuntimeError("kaput")

    @tool(ends_episode=True)
    def open(self, code: int) -> str:
        """Open the vault.

        Args:
            code: Its code.
        """
        self.state["opened"] = code
        return "done"

    def outcome(self) -> dict[str, Any]:
        """Say with which code the vault was opened."""
        return {"opened": self.state.get("opened")}

    def verify(self, trajectory: Trajectory) -> Score:
        """Give full marks for the right code."""
        right = trajectory.outcome["opened"] == trajectory.task.answer["code"]
        return Score(float(right), {"opened": float(right)}, "opened" if right else "")

    def oracle(self) -> str:
        """Look up, then open."""
        code = self.task.answer["code"]
        if not any(call.status == "ok" for call in self.trajectory.calls):
            return call_text("lookup", {"colour": "red"})
        return call_text("open", {"code": code})


class EchoEnv(ToolEnv):
    """No tools: the first reply is the answer, right where it repeats the prompt."""

    tasks = ListTasks(
        [
            Task(id="hi", prompt="hi"),
            Task(id="ho", prompt="ho", level=1),
            Task(id="he", prompt="he", split="test"),
        ]
    )

    def verify(self, trajectory: Trajectory) -> float:
        """Compare the answer with the prompt."""
        return float(trajectory.answer == trajectory.task.prompt)


class AskEnv(ToolEnv):
    """A conversation: each reply is answered, `bye` makes the user leave."""

    def begin(self, task: Task) -> list[Mapping[str, Any]]:
        """Start with two messages."""
        self.state = {"heard": []}
        return [
            {"role": "assistant", "content": "Who is there?"},
            {"role": "user", "content": "Me."},
        ]

    def respond(self, reply: ReadReply) -> Response | str | None:
        """Answer: with a text, a reward, the end, or not at all."""
        self.state["heard"].append(reply.text)
        answers: dict[str, Response | str | None] = {
            "bye": Response("Goodbye.", stop=StopReason.USER_LEFT),
            "goal": Response(reward=0.5, stop=StopReason.GOAL),
            "pay": Response("Thanks.", reward=0.25),
            "answer": None,
        }
        return answers.get(reply.text, f"You said {len(reply.text)} characters.")

    def verify(self, trajectory: Trajectory) -> float:
        """Like every conversation."""
        return 1.0


class KitEnv(ToolEnv):
    """Tools of every kind of result and parameter."""

    def verify(self, trajectory: Trajectory) -> float:
        """Give nothing."""
        return 0.0

    def begin(self, task: Task) -> str:
        """Keep what tools were given."""
        self.state = {"given": []}
        return "Try the tools."

    @tool
    def keep(
        self,
        colour: Colour,
        point: Point | None = None,
        size: Size | None = None,
        kinds: set[str] | None = None,
        mode: Literal["fast", "slow", 3] = "fast",
    ) -> str:
        """Keep the arguments."""
        self.state["given"].append((colour, point, size, kinds, mode))
        return type(colour).__name__

    @tool
    def free(self, value: Any) -> Any:
        """Return the value."""
        return value

    @tool
    def spoil(self, values: list[str], table: dict[str, Any]) -> int:
        """Change the arguments in place."""
        values.append("more")
        for value in table.values():
            value.clear()
        return len(values)

    @tool
    def span(self, span: Span) -> int:
        """Measure a span."""
        return span.last - span.first

    @tool
    async def slow_span(self, span: Span) -> int:
        """Measure a span slowly."""
        return span.last - span.first

    @tool
    def pay(self, reward: float, stop: bool = False) -> ToolOutput:
        """Give a reward, perhaps end the episode."""
        return ToolOutput({"paid": reward}, reward=reward, ends_episode=stop)

    @tool
    def give(
        self, what: Literal["set", "nan", "object", "deep", "cycle", "bytes"]
    ) -> Any:
        """Return what JSON cannot carry."""
        cycle: list[Any] = []
        cycle.append(cycle)
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        return {
            "set": {1},
            "nan": {"a": float("nan")},
            "object": [object()],
            "deep": deep,
            "cycle": cycle,
            "bytes": b"x",
        }[what]

    @tool
    def odd_reward(self, infinite: bool) -> ToolOutput:
        """Give a reward that is no finite number."""
        return ToolOutput("", reward=float("inf") if infinite else "much")  # type: ignore[arg-type]

    @tool
    def nothing(self) -> None:
        """Return nothing."""

    @tool
    def leave(self, how: Literal["exit", "interrupt"]) -> str:
        """Try to end the process, or be interrupted by its user."""
        raise SystemExit(3) if how == "exit" else KeyboardInterrupt

    @tool
    def down(self) -> str:
        """Say that the infrastructure is down."""
        raise EnvironmentFault("the database is away")


class AsyncEnv(ToolEnv):
    """Async tools: they meet, so that they are proven to run at the same time."""

    def begin(self, task: Task) -> str:
        """Start with an empty log."""
        self.state = {"log": []}
        self.waiting: dict[str, asyncio.Event] = {}
        return "Go."

    def verify(self, trajectory: Trajectory) -> float:
        """Give nothing."""
        return 0.0

    @tool
    async def meet(self, me: str, other: str) -> str:
        """Come to a meeting; returns when the other has come too."""
        self.state["log"].append(me)
        self.waiting.setdefault(me, asyncio.Event()).set()
        await asyncio.wait_for(
            self.waiting.setdefault(other, asyncio.Event()).wait(), 5
        )
        return f"{me} met {other}"

    @tool
    async def refuse(self) -> str:
        """Refuse."""
        await asyncio.sleep(0)
        raise ToolError("not today")

    @tool
    async def crash(self) -> str:
        """Break."""
        await asyncio.sleep(0)
        raise RuntimeError("kaput")

    @tool
    async def leave(self) -> str:
        """Try to end the process."""
        raise SystemExit(3)

    @tool
    def note(self, text: str) -> str:
        """Write into the log."""
        self.state["log"].append(text)
        return text

    @tool(ends_episode=True)
    async def guess(self, number: int) -> str:
        """Guess the number; there is one guess."""
        self.state["log"].append(number)
        return "thank you"


class BrokenEnv(ToolEnv):
    """Breaks where it is told to."""

    def __init__(self, where: str = "", **kwargs: Any) -> None:
        self.where = where
        super().__init__(**kwargs)

    def begin(self, task: Task) -> Any:
        """Break, or start."""
        if self.where == "begin":
            raise KeyError("no start")
        return [] if self.where == "empty" else "Go."

    def respond(self, reply: ReadReply) -> Any:
        """Break, or answer oddly."""
        if self.where == "respond":
            raise KeyError("no answer")
        odd: dict[str, Any] = {
            "number": 5,
            "infinite": Response(reward=float("inf")),
            "reward": Response(reward="much"),  # type: ignore[arg-type]
            "stop": Response(stop="goal"),  # type: ignore[arg-type]
            "message": Response(message=5),  # type: ignore[arg-type]
        }
        return odd.get(self.where)

    def outcome(self) -> Any:
        """Break, or tell what JSON cannot carry."""
        if self.where == "outcome":
            raise KeyError("no outcome")
        return {1, 2} if self.where == "set" else None

    def verify(self, trajectory: Trajectory) -> Any:
        """Break, or judge oddly."""
        if self.where == "verify":
            raise EnvironmentFault("the judge is away")
        odd = {"two": 2.0, "nan": float("nan"), "text": "0.5", "nothing": None}
        return odd.get(self.where, 1.0)
