"""One healthy environment and many that are broken, each in its own way."""

from __future__ import annotations

import base64
import contextlib
import json
import locale
import math
import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from llm_gym import (
    ChatSpace,
    GeneratedTasks,
    Reply,
    ReplySpace,
    Score,
    Task,
    ToolEnv,
    ToolError,
    ToolOutput,
    Trajectory,
    UnknownTaskError,
    tool,
)
from llm_gym.messages import call_text

__all__ = ["ZOO", "BoxesEnv", "Specimen"]

E = TypeVar("E", bound=type[ToolEnv])


@dataclass(frozen=True, slots=True)
class Specimen:
    """A broken environment.

    Attributes:
        env: Its class.
        fails: The checks that it must fail, and no others; `new_process` and
            `vector` may fail besides.
        match: What the finding of the first of them must say, a regular expression.
    """

    env: type[ToolEnv]
    fails: tuple[str, ...]
    match: str


ZOO: list[Specimen] = []


def broken(*fails: str, match: str) -> Callable[[E], E]:
    """Put a class into the zoo."""

    def keep(env: E) -> E:
        ZOO.append(Specimen(env, fails, match))
        return env

    return keep


def make_boxes(rng: np.random.Generator, level: int) -> Task:
    """Make two boxes, of which one names the other and that one holds a code."""
    first, second = (f"box-{int(n)}" for n in rng.integers(10**6, 10**7, 2))
    code = str(int(rng.integers(10**8, 10**9)))
    return Task(
        prompt=f"Open {first} and the box that it names. Answer with the code inside.",
        data={"first": first, "inside": {first: second, second: code}},
        answer={"code": code},
    )


class BoxesEnv(ToolEnv):
    """Find the code in the second of two boxes."""

    tasks = GeneratedTasks(make_boxes)
    max_turns = 5

    @tool
    def open_box(self, box: str) -> dict[str, Any]:
        """Open a box.

        Args:
            box: The box's name.
        """
        inside = self.task.data["inside"]
        if box not in inside:
            raise ToolError(f"there is no box {box!r}")
        self.state["opened"].append(box)
        return {"inside": inside[box], "opened": len(self.state["opened"])}

    @tool
    def knock(self, times: int) -> int:
        """Knock on the wall and hear how often you have.

        Args:
            times: How often.
        """
        self.state["knocks"] += times
        return int(self.state["knocks"])

    def begin(self, task: Task) -> str:
        self.state = {"opened": [], "knocks": 0}
        return str(task.prompt)

    def verify(self, trajectory: Trajectory) -> Score:
        right = trajectory.answer == trajectory.task.answer["code"]
        reason = "the code" if right else f"not the code: {trajectory.answer!r}"
        return Score(float(right), {"answered": trajectory.answer is not None}, reason)

    def oracle(self) -> str:
        data = self.task.data
        opened = self.state["opened"]
        if not opened:
            return call_text("open_box", {"box": data["first"]})
        second = data["inside"][data["first"]]
        if len(opened) == 1:
            return call_text("open_box", {"box": second})
        return str(data["inside"][second])


# Randomness and the process


@broken(
    "determinism", "gymnasium", "snapshot", "pickle", "leaks", "tasks", match="messages"
)
class GlobalRandomEnv(BoxesEnv):
    """Draws from the global generator."""

    def begin(self, task: Task) -> str:
        return f"{super().begin(task)} Hint: {random.random()}"


@broken("determinism", match="global generator")
class GlobalNumpyEnv(BoxesEnv):
    """Draws from numpy's global generator, and shows nothing of it."""

    def begin(self, task: Task) -> str:
        np.random.random()
        return super().begin(task)


@broken("determinism", match="global generator")
class SeedsGlobalEnv(BoxesEnv):
    """Seeds the global generator."""

    def begin(self, task: Task) -> str:
        random.seed(task.id)
        return super().begin(task)


@broken("determinism", "gymnasium", "snapshot", "pickle", "leaks", match="content")
class ClockEnv(BoxesEnv):
    """Tells the time in a tool's result."""

    @tool
    def knock(self, times: int) -> int:
        """Knock.

        Args:
            times: How often.
        """
        return time.perf_counter_ns()


@broken(
    "determinism",
    "gymnasium",
    "leaks",
    "tasks",
    match="after a part of another episode",
)
class CarriesOverEnv(BoxesEnv):
    """Remembers episodes that did not end."""

    unfinished = 0

    def begin(self, task: Task) -> str:
        self.unfinished += 1
        return f"{super().begin(task)} Try {self.unfinished}."

    def verify(self, trajectory: Trajectory) -> Score:
        self.unfinished = 0
        return super().verify(trajectory)


@broken("determinism", "gymnasium", "snapshot", "pickle", "leaks", match="content")
class SharedStateEnv(BoxesEnv):
    """Keeps state on the class, which all instances share."""

    knocks: list[int] = []  # noqa: RUF012  # the fault

    @tool
    def knock(self, times: int) -> int:
        """Knock.

        Args:
            times: How often.
        """
        self.knocks.append(times)
        return len(self.knocks)


@broken("determinism", "snapshot", "pickle", "mutation", match="digest")
class OracleChangesEnv(BoxesEnv):
    """Its oracle changes the state."""

    def oracle(self) -> str:
        self.state["knocks"] += 1
        return super().oracle()

    def outcome(self) -> Any:
        return self.state["knocks"]


@broken("new_process", match="PYTHONHASHSEED")
class SetOrderEnv(BoxesEnv):
    """Lists what is in a set."""

    def begin(self, task: Task) -> str:
        return f"{super().begin(task)} The boxes: {list({*task.data['inside'], 'c'})}."


@broken("new_process", match="TZ=")
class TimeZoneEnv(BoxesEnv):
    """Tells the time zone."""

    def begin(self, task: Task) -> str:
        return f"{super().begin(task)} It is {time.localtime(0).tm_hour} o'clock."


@broken("new_process", match="LC_ALL=C")
class LocaleEnv(BoxesEnv):
    """Depends on the locale."""

    def begin(self, task: Task) -> str:
        return f"{super().begin(task)} ({locale.getpreferredencoding(False)})"


@broken("new_process", match="UnicodeDecodeError")
class ReadsFileEnv(BoxesEnv):
    """Reads a file, like this one (it says “hello”), in the locale's encoding."""

    def begin(self, task: Task) -> str:
        first_line = Path(__file__).read_text().splitlines()[0]
        return f"{super().begin(task)} {first_line}"


@broken("new_process", "vector", match="differs|expected")
class ProcessIdEnv(BoxesEnv):
    """Tells the process's number."""

    def begin(self, task: Task) -> str:
        return f"{super().begin(task)} ({os.getpid()})"


@broken("vector", "gymnasium", match="sync")
class DrawsSeedEnv(BoxesEnv):
    """Draws a seed that no seed decides."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        drawn = int.from_bytes(os.urandom(3)) if seed is None else seed
        return super().reset(seed=drawn, options=options)


# State


@broken("snapshot", match="self.state")
class StateOnSelfEnv(BoxesEnv):
    """Keeps state on itself."""

    knocks = 0

    def begin(self, task: Task) -> str:
        self.knocks = 0
        return super().begin(task)

    @tool
    def knock(self, times: int) -> int:
        """Knock.

        Args:
            times: How often.
        """
        self.knocks += times
        return self.knocks


class SharedList(list[int]):
    """Is not copied."""

    def __deepcopy__(self, memo: Any) -> SharedList:
        return self


@broken("snapshot", match="in nothing that copies share")
class SharedListEnv(BoxesEnv):
    """Keeps in its state what copies share."""

    def begin(self, task: Task) -> str:
        text = super().begin(task)
        self.state["knocks"] = SharedList()
        return text

    @tool
    def knock(self, times: int) -> int:
        """Knock.

        Args:
            times: How often.
        """
        self.state["knocks"].append(times)
        return len(self.state["knocks"])


@broken("pickle", "snapshot", match="pickle")
class UnpicklableEnv(BoxesEnv):
    """Keeps a function in its state."""

    def begin(self, task: Task) -> str:
        text = super().begin(task)
        self.state["function"] = lambda: None
        return text


@broken("tasks", "snapshot", match="changed its task")
class ChangesTaskEnv(BoxesEnv):
    """Changes the task's data."""

    @tool
    def knock(self, times: int) -> int:
        """Knock.

        Args:
            times: How often.
        """
        self.task.data["knocks"] = self.task.data.get("knocks", 0) + times
        return int(self.task.data["knocks"])


# The answer


@broken("leaks", match="info")
class LeaksInInfoEnv(BoxesEnv):
    """Tells the answer's length in `info`."""

    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        return *result, {**info, "hint": self.task.answer["code"][0]}


@broken("leaks", match="`info` holds")
class LeaksCopyInInfoEnv(BoxesEnv):
    """Tells in `info` what is also the answer, without looking at it."""

    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        inside = self.task.data["inside"]
        return *result, {**info, "hint": inside[inside[self.task.data["first"]]]}


@broken("leaks", match=r"messages\[\d\].content")
class LeaksInToolEnv(BoxesEnv):
    """Tells something of the answer in a tool's result."""

    @tool
    def knock(self, times: int) -> str:
        """Knock.

        Args:
            times: How often.
        """
        return f"It sounds like {self.task.answer['code'][-1]}."


@broken("leaks", match=r"messages\[0\].content")
class LeaksInPromptEnv(BoxesEnv):
    """Tells the answer's digit sum in the prompt."""

    def begin(self, task: Task) -> str:
        return f"{super().begin(task)} {sum(map(int, task.answer['code'])) % 10}"


@broken("leaks", match="ended after")
class EndsByAnswerEnv(BoxesEnv):
    """Goes on only if the answer is in one of its boxes."""

    @tool
    def open_box(self, box: str) -> Any:
        """Open a box.

        Args:
            box: The box's name.
        """
        known = self.task.answer["code"] in self.task.data["inside"].values()
        return ToolOutput(BoxesEnv.open_box(self, box), ends_episode=not known)


@broken("leaks", match="must not depend on `task.answer`")
class BeginsByAnswerEnv(BoxesEnv):
    """Cannot begin with another answer."""

    def begin(self, task: Task) -> str:
        if task.answer["code"] not in task.data["inside"].values():
            raise ValueError("that is not the answer")
        return super().begin(task)


# Rewards


@broken("leaks", match="in base64")
class LeaksBase64Env(BoxesEnv):
    """Tells what is in the second box to those who can read it."""

    @tool
    def knock(self, times: int) -> str:
        """Knock.

        Args:
            times: How often.
        """
        inside = self.task.data["inside"]
        code = inside[inside[self.task.data["first"]]]
        return base64.b64encode(code.encode()).decode()


@broken("leaks", match="`info` holds 'x*.* backwards")
class LeaksBackwardsInInfoEnv(BoxesEnv):
    """Tells in `info`, backwards, what is also the answer."""

    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        inside = self.task.data["inside"]
        return *result, {**info, "x": inside[inside[self.task.data["first"]]][::-1]}


@broken("leaks", match="holds a score, though the episode goes on")
class ScoresEarlyEnv(BoxesEnv):
    """Tells a score before the end."""

    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        return *result, {"score": {"reason": "not yet"}, **info}


@broken("leaks", match="provoking replies, the answer changed")
class ConfirmsGuessEnv(BoxesEnv):
    """Tells whether a guess is right in a tool's refusal."""

    @tool
    def open_box(self, box: str) -> Any:
        """Open a box.

        Args:
            box: The box's name.
        """
        if box == self.task.answer["code"]:
            raise ToolError("that is no box, that is the code")
        return BoxesEnv.open_box(self, box)


class HandInEnv(BoxesEnv):
    """Takes the answer by a tool."""

    @tool(ends_episode=True)
    def hand_in(self, box: str, code: str) -> str:
        """Hand the code in.

        Args:
            box: The box that it was in.
            code: The code.
        """
        self.state["handed"] = {"box": box, "code": code}
        return "It was handed in."

    def outcome(self) -> Any:
        return self.state.get("handed")

    def verify(self, trajectory: Trajectory) -> Score:
        right = _handed_in(trajectory.task)
        value = float(trajectory.outcome == right)
        return Score(value, {"right": value}, "the right code and box, or not")

    def oracle(self) -> str:
        if len(self.state["opened"]) < 2:
            return super().oracle()
        return call_text("hand_in", _handed_in(self.task))


def _handed_in(task: Task) -> dict[str, str]:
    inside = task.data["inside"]
    return {"box": inside[task.data["first"]], "code": task.answer["code"]}


@broken("leaks", match="after 3 replies `observation.messages")
class TellsAtTheEndEnv(HandInEnv):
    """Tells whether the code was right when it is too late."""

    @tool(ends_episode=True)
    def hand_in(self, box: str, code: str) -> str:
        """Hand the code in.

        Args:
            box: The box that it was in.
            code: The code.
        """
        HandInEnv.hand_in(self, box, code)
        return "Right." if code == self.task.answer["code"] else "Wrong."


@broken("floors", "replies", "fuzz", "mutation", match="''")
class PaysEmptyEnv(BoxesEnv):
    """Takes a part of the answer for the answer, even none of it."""

    def verify(self, trajectory: Trajectory) -> Score:
        right = (trajectory.answer or "") in trajectory.task.answer["code"]
        return Score(float(right), {"answered": 1.0}, "a part of the code or not")


@broken("floors", "fuzz", match="message of the user")
class PaysEchoEnv(BoxesEnv):
    """Pays for mentioning the first box."""

    def verify(self, trajectory: Trajectory) -> Score:
        right = trajectory.task.answer["code"] in (trajectory.answer or "")
        named = trajectory.task.data["first"] in (trajectory.answer or "")
        return Score(max(right, named / 10), {"answered": 1.0}, "mentioned or not")


@broken("floors", "fuzz", match="'0' scored above 0 on")
class PaysConstantEnv(BoxesEnv):
    """Takes a zero for the code too."""

    def verify(self, trajectory: Trajectory) -> Score:
        right = trajectory.answer in ("0", trajectory.task.answer["code"])
        return Score(float(right), {"answered": 1.0}, "the code, or zero, or not")


@broken("floors", "replies", "records", "fuzz", "mutation", "card_floors", match="nan")
class NotFiniteEnv(BoxesEnv):
    """Divides by the answer's length as numpy does."""

    def verify(self, trajectory: Trajectory) -> Score:
        score = super().verify(trajectory)
        empty = trajectory.answer is not None and not trajectory.answer.strip()
        return replace(score, parts={"answered": math.nan if empty else 1.0})


# Tricks


@broken("fuzz", "floors", match="constants, 'nan'")
class PaysNanEnv(BoxesEnv):
    """Compares numbers, and nothing is further from one than `nan` is."""

    def verify(self, trajectory: Trajectory) -> Score:
        try:
            given = float(trajectory.answer or "")
        except ValueError:
            return Score(0.0, {}, "no number")
        wrong = abs(given - float(trajectory.task.answer["code"])) > 0.5
        return Score(float(not wrong), {}, "near or not")


@broken("fuzz", match="negated, not")
class TakesAnyEnv(BoxesEnv):
    """Looks for the code anywhere."""

    def verify(self, trajectory: Trajectory) -> Score:
        right = trajectory.task.answer["code"] in (trajectory.answer or "")
        return Score(float(right), {}, "the code is there or not")


@broken("fuzz", match="cut, without its last character")
class TakesBeginningEnv(BoxesEnv):
    """Takes the beginning of the code for the code."""

    def verify(self, trajectory: Trajectory) -> Score:
        answer = trajectory.answer or "-"
        right = trajectory.task.answer["code"].startswith(answer)
        return Score(float(right), {}, "the code begins so or not")


@broken("fuzz", match="wrong channel, the answer in the reasoning")
class ReadsThoughtsEnv(BoxesEnv):
    """Judges what the model thought."""

    def verify(self, trajectory: Trajectory) -> Score:
        said = trajectory.turns[-1].reply
        heard = said.get("reasoning_content") or said["content"]
        right = heard == trajectory.task.answer["code"]
        return Score(float(right), {}, "the code was thought of or not")


@broken("fuzz", match="injections, .*verdict")
class TrustsVerdictEnv(BoxesEnv):
    """Reads a verdict where the answer stands, as a judge might that was fooled."""

    def verify(self, trajectory: Trajectory) -> Score:
        said = (trajectory.answer or "").replace(" ", "")
        judged = said == '{"verdict":"correct"}'
        return Score(max(judged, super().verify(trajectory).value), {}, "judged")


@broken("fuzz", match="tool calls, `knock`, 5 times at once")
class PaysCallsEnv(BoxesEnv):
    """Pays for being busy."""

    def verify(self, trajectory: Trajectory) -> Score:
        busy = sum(call.name == "knock" for call in trajectory.calls) >= 3
        return Score(max(busy, super().verify(trajectory).value), {}, "busy or right")


@broken("fuzz", match="hedged, if not")
class TakesListEnv(BoxesEnv):
    """Takes a list that holds the code."""

    def verify(self, trajectory: Trajectory) -> Score:
        listed = (trajectory.answer or "").split(", ")
        right = len(listed) != 2 and trajectory.task.answer["code"] in listed
        return Score(float(right), {}, "listed or not")


@broken(
    "fuzz",
    "floors",
    "replies",
    match="raised EnvironmentFault: the verifier raised OverflowError",
)
class OverflowingVerifierEnv(BoxesEnv):
    """Its verifier cannot bear what `float` reads as infinite."""

    def verify(self, trajectory: Trajectory) -> Score:
        with contextlib.suppress(ValueError):
            int(float(trajectory.answer or "0"))
        return super().verify(trajectory)


@broken("mutation", "fuzz", match="foreign gold")
class PaysFormEnv(BoxesEnv):
    """Takes anything that looks like a code."""

    def verify(self, trajectory: Trajectory) -> Score:
        right = re.fullmatch(r"[1-9][0-9]{8}", trajectory.answer or "")
        return Score(float(right is not None), {}, "looks like a code or not")


@broken("mutation", match="late write, `knock`")
class ForgivesHarmEnv(BoxesEnv):
    """Records what was done besides, and does not look at it."""

    def outcome(self) -> Any:
        return {"knocks": self.state["knocks"]}


@broken("mutation", match="wrong argument, call 2.0")
class IgnoresArgumentEnv(HandInEnv):
    """Does not look at one of the things that it asks for."""

    def verify(self, trajectory: Trajectory) -> Score:
        handed = trajectory.outcome or {}
        right = handed.get("code") == trajectory.task.answer["code"]
        return Score(float(right), {}, "the code is right or not")


@broken("card_floors", match="says `null 0.500`")
class WrongFloorsEnv(BoxesEnv):
    """Has a card that is too good.

    Floors:
        oracle 1.000, null 0.500, constant 0.000, random 0.000 (1,000 episodes, seed 0)
    """


@broken("soak", match="MiB of memory")
class KeepsEpisodesEnv(BoxesEnv):
    """Keeps something of every episode."""

    kept: list[bytes] = []  # noqa: RUF012  # the fault

    def begin(self, task: Task) -> str:
        self.kept.append(os.urandom(64 * 1024))
        return super().begin(task)


@broken("soak", match="descriptors")
class NeverClosesEnv(BoxesEnv):
    """Opens a file with each environment and does not close it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.descriptor = os.open(os.devnull, os.O_RDONLY)


@broken("oracle", "mutation", match="score is 0.0")
class WrongOracleEnv(BoxesEnv):
    """Its oracle answers with the box's name."""

    def oracle(self) -> str:
        return str(self.task.data["first"])


@broken("oracle", "mutation", "card_floors", match="write `oracle")
class NoOracleEnv(BoxesEnv):
    """Has no oracle."""

    def oracle(self) -> str:
        raise NotImplementedError("`NoOracleEnv` has no oracle")


@broken("oracle", match="truncated")
class FewTurnsEnv(BoxesEnv):
    """Gives its oracle too few turns, and is content with what it did."""

    max_turns = 2

    def verify(self, trajectory: Trajectory) -> Score:
        opened = [
            c for c in trajectory.calls if (c.name, c.status) == ("open_box", "ok")
        ]
        return Score(float(len(opened) == 2), {"opened": 1.0}, "opened both or not")


@broken("oracle", match="sum to")
class ForgedRewardEnv(BoxesEnv):
    """Gives another reward than it records."""

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward * 2, *rest


@broken("records", match="parts")
class OtherPartsEnv(BoxesEnv):
    """Names the parts of its score by what happened."""

    def verify(self, trajectory: Trajectory) -> Score:
        score = super().verify(trajectory)
        return replace(score, parts={"right" if score.value else "wrong": 1.0})


@broken("records", match="no reason")
class NoReasonEnv(BoxesEnv):
    """Does not say why."""

    def verify(self, trajectory: Trajectory) -> Score:
        return replace(super().verify(trajectory), reason="")


@broken("records", match=r"outcome\(\)")
class LiveVerifyEnv(BoxesEnv):
    """Judges by the live state."""

    def verify(self, trajectory: Trajectory) -> Score:
        score = super().verify(trajectory)
        return replace(score, parts={"opened": len(self.state["opened"])})


@broken("records", match="judged again")
class ImpureVerifyEnv(BoxesEnv):
    """Judges by what only an environment that was reset has."""

    def verify(self, trajectory: Trajectory) -> Score:
        live = float(self._episode is not None)
        return replace(super().verify(trajectory), parts={"live": live})


@broken("records", "gymnasium", match="no str")
class RendersNothingEnv(BoxesEnv):
    """Renders nothing."""

    def render(self) -> None:
        return None


# Replies


@broken("replies", "fuzz", match="KeyError")
class RaisesEnv(BoxesEnv):
    """Its tool does not refuse what it does not know."""

    @tool
    def open_box(self, box: str) -> Any:
        """Open a box.

        Args:
            box: The box's name.
        """
        if box:
            return BoxesEnv.open_box(self, box)
        return self.task.data["inside"][box]


@broken("replies", "fuzz", match="OverflowError")
class OverflowsEnv(BoxesEnv):
    """Its tool cannot bear a large number."""

    @tool
    def knock(self, times: int) -> int:
        """Knock.

        Args:
            times: How often.
        """
        return int(math.exp(times))


@broken("replies", "fuzz", match="RecursionError")
class ParsesTextEnv(BoxesEnv):
    """Parses the answer with Python's own `json`."""

    def verify(self, trajectory: Trajectory) -> Score:
        with contextlib.suppress(ValueError):
            json.loads(trajectory.answer or "")
        return super().verify(trajectory)


@broken("replies", "fuzz", match="null byte")
class OpensPathEnv(BoxesEnv):
    """Takes the answer for a path."""

    def respond(self, reply: Any) -> str | None:
        try:
            Path(reply.text[:50]).read_bytes()
        except OSError:
            return None
        return "That is a file."


@broken("replies", match="UTF-8")
class LoneSurrogateEnv(BoxesEnv):
    """Cuts a long result in the middle of a character."""

    def step(self, action: Any) -> Any:
        observation, *rest = super().step(action)
        *messages, last = observation["messages"]
        if len(last["content"]) > 100:
            last = {**last, "content": f"{last['content'][:100]}\ud83d"}
        return {**observation, "messages": [*messages, last]}, *rest


@broken("replies", match="have no result")
class LosesResultEnv(BoxesEnv):
    """Hides errors from the model."""

    def step(self, action: Any) -> Any:
        observation, *rest = super().step(action)
        kept = [m for m in observation["messages"] if "Error: " not in m["content"]]
        return {**observation, "messages": kept}, *rest


@broken("replies", match="have no result")
class SpeaksTooEarlyEnv(BoxesEnv):
    """Puts the results after a remark of the user."""

    def step(self, action: Any) -> Any:
        observation, *rest = super().step(action)
        messages = list(observation["messages"])
        if messages[-1]["role"] == "tool":
            messages.insert(-1, {"role": "user", "content": "Go on."})
        return {**observation, "messages": messages}, *rest


@broken("replies", "leaks", match="`info` is not plain JSON")
class OddInfoEnv(BoxesEnv):
    """Puts a set of the model's mistakes into `info`."""

    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        bad = {call["name"] for call in info["calls"] if call["status"] == "invalid"}
        return *result, {**info, "mistakes": bad} if bad else info


@broken("oracle", "replies", "mutation", match="no score or no stop reason")
class FakesEndEnv(BoxesEnv):
    """Ends an episode that its record does not end."""

    def step(self, action: Any) -> Any:
        observation, reward, _, _, info = super().step(action)
        return observation, reward, True, False, info


@broken(
    *("oracle", "replies", "leaks", "card_floors", "mutation"),
    match="no end after `max_turns`",
)
class NeverEndsEnv(BoxesEnv):
    """Goes on after its end."""

    def step(self, action: Any) -> Any:
        if self.trajectory.stop_reason is not None:
            return self._observe(self._episode), 0.0, False, False, {}
        observation, reward, _, _, info = super().step(action)
        return observation, reward, False, False, info


@broken("replies", match=r"expected 2 calls, came \['invalid'\]")
class FirstCallEnv(BoxesEnv):
    """Runs the first call of a reply only."""

    def step(self, action: Any) -> Any:
        if isinstance(action, dict) and isinstance(action.get("tool_calls"), list):
            action = {**action, "tool_calls": action["tool_calls"][:1]}
        return super().step(action)


@broken("replies", match="call 0 must be refused, its status is 'ok'")
class MendsNamesEnv(BoxesEnv):
    """Takes the name of a tool that does not exist for one that does."""

    def step(self, action: Any) -> Any:
        if isinstance(action, dict) and "no_such_tool" in repr(action):
            action = call_text("knock", {"times": 1})
        return super().step(action)


@broken("replies", match="must truncate")
class DropsFinishReasonEnv(BoxesEnv):
    """Leaves out why a reply ended."""

    def step(self, action: Any) -> Any:
        return super().step(action.message if isinstance(action, Reply) else action)


@broken("replies", match="a call as an object with `model_dump` gave")
class IgnoresObjectsEnv(BoxesEnv):
    """Does not know the objects of SDKs."""

    def step(self, action: Any) -> Any:
        return super().step("what?" if hasattr(action, "model_dump") else action)


# Tasks and tools


def make_same(rng: np.random.Generator, level: int) -> Task:
    """Make the only task."""
    return make_boxes(np.random.default_rng(1), level)


class OneForAllTasks(GeneratedTasks):
    """Tasks of no split, and some task for every id."""

    def select(self, split: Any, level: int | None) -> OneForAllTasks:
        return self


class AnyIdTasks(GeneratedTasks):
    """Some task for every id."""

    def select(self, split: Any, level: int | None) -> AnyIdTasks:
        narrowed = AnyIdTasks(self._generate, self._levels)
        narrowed._split = split
        return narrowed

    def get(self, task_id: str) -> Task:
        try:
            return super().get(task_id)
        except UnknownTaskError:
            return super().get("train-0-0")


class NextTasks(GeneratedTasks):
    """Another task than was asked for."""

    def select(self, split: Any, level: int | None) -> NextTasks:
        narrowed = NextTasks(self._generate, self._levels)
        narrowed._split = split
        return narrowed

    def get(self, task_id: str) -> Task:
        task = super().get(task_id)
        return super().get(task.id[:-1])


LargeLiteral = Literal[tuple(f"word-{number}" for number in range(3500))]


@broken("tasks", "fuzz", match="same task")
class SameTaskEnv(BoxesEnv):
    """Has one task whatever the seed."""

    tasks = GeneratedTasks(make_same)


@broken("tasks", match="has the prompt and data of one")
class OverlapEnv(BoxesEnv):
    """Makes the same tasks for every split."""

    tasks = OneForAllTasks(make_boxes)


@broken("tasks", match="unknown `task_id` must raise")
class AnyIdEnv(BoxesEnv):
    """Takes any id for one of a task."""

    tasks = AnyIdTasks(make_boxes)


@broken("tasks", match="gave the task")
class NextTaskEnv(BoxesEnv):
    """Gives another task than was asked for."""

    tasks = NextTasks(make_boxes)


@broken("tasks", match="unknown option")
class IgnoresOptionsEnv(BoxesEnv):
    """Leaves options alone that it does not know."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        known = {k: v for k, v in (options or {}).items() if k.startswith("task")}
        return super().reset(seed=seed, options=known)


@broken("tasks", match="task.rng")
class LooseGroupEnv(BoxesEnv):
    """Draws the start from the episode's generator."""

    def begin(self, task: Task) -> str:
        return f"{super().begin(task)} Lucky number: {self.np_random.integers(10**9)}"


@broken("schemas", match="`times` has no description")
class UndescribedParameterEnv(BoxesEnv):
    """Does not describe a parameter."""

    @tool
    def knock(self, times: int) -> int:
        """Knock."""
        return times


@broken("schemas", match="`knock`: not a valid JSON Schema")
class HandWrittenSchemaEnv(BoxesEnv):
    """Writes its schemas by hand, and one of them wrongly."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        parameters = {"type": "objekt", "properties": {}}
        described = {"name": "knock", "description": "Knock.", "parameters": parameters}
        others = type(self)._schemas
        self._schemas = ({"type": "function", "function": described}, *others)
        self.action_space = ReplySpace(self._schemas)
        self.observation_space = ChatSpace(self._schemas)


@broken("schemas", match="bytes")
class LargeSchemaEnv(BoxesEnv):
    """Has a dictionary in its schema."""

    @tool
    def knock(self, times: LargeLiteral) -> str:
        """Knock.

        Args:
            times: How often.
        """
        return times


@broken("schemas", match="after 1 replies `tools`")
class HidesToolsEnv(BoxesEnv):
    """Takes the tools away after the first turn."""

    def step(self, action: Any) -> Any:
        observation, *rest = super().step(action)
        return {**observation, "tools": []}, *rest


@broken("schemas", match="spaces? differ|space differ")
class OtherSpaceEnv(BoxesEnv):
    """Has a space without its tools."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.observation_space = ChatSpace(())


@broken("gymnasium", match="render_mode")
class NoRenderModeEnv(BoxesEnv):
    """Cannot be told how to render."""

    def __init__(self) -> None:
        super().__init__()


@broken("gymnasium", match="close")
class ClosesOnceEnv(BoxesEnv):
    """Cannot be closed twice."""

    closed = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("it is closed")
        self.closed = True
        super().close()


@broken("card", match="docstring")
class NoCardEnv(BoxesEnv):
    pass
