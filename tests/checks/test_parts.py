"""The parts that checks are made of, and what each finds."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from typing import Any, Literal, NotRequired, TypedDict

import gymnasium as gym
import numpy as np
import pytest

from llm_gym import ListTasks, ReplySpace, Score, Task, Trajectory, tool
from llm_gym.checks import Finding, check
from llm_gym.checks.card import SECTIONS
from llm_gym.checks.episodes import play
from llm_gym.checks.floors import LUCKY, WORTHLESS
from llm_gym.checks.hostile import hostile_replies
from llm_gym.checks.leaks import other_answer
from llm_gym.checks.odd import oddities
from llm_gym.checks.replay import main, replay
from llm_gym.checks.requests import problem_of_request
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import difference, shorten
from tests.checks.zoo import (
    BoxesEnv,
    NoOracleEnv,
    SameTaskEnv,
    make_boxes,
)


def only_finding(target: Any, name: str, **options: Any) -> Finding:
    (finding,) = check(target, only=[name], **{"seeds": range(2), **options}).findings
    return finding


# What the checks are made of


def test_replay_gives_what_this_process_shows() -> None:
    subject = Subject(BoxesEnv, [0])
    replies = ["", "0"]
    job = {"spec": subject.portable(), "episodes": [{"seed": 4, "replies": replies}]}
    (answer,) = replay(job)["episodes"]
    env = subject.make()
    assert answer["shown"] == play(env, replies, seed=4)
    assert answer["digest"] == env.trajectory.digest


def test_replay_reads_its_input_and_writes_its_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = {"spec": Subject(BoxesEnv, [0]).portable(), "episodes": []}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(job)))
    main()
    assert json.loads(capsys.readouterr().out)["episodes"] == []


def test_code_changed_meanwhile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_gym.checks.new_process.code_hash", lambda kind: "old")
    finding = only_finding(BoxesEnv, "new_process")
    assert finding.status == "skipped"
    assert "the code was changed since" in finding.message


def test_process_that_takes_too_long_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_gym.checks.new_process._TIMEOUT_SECONDS", 0.01)
    finding = only_finding(BoxesEnv, "new_process")
    assert "had not replayed the episodes in 0.01 s" in finding.message


def test_replay_refuses_what_is_no_tool_env() -> None:
    with pytest.raises(TypeError, match="expected a ToolEnv"):
        replay({"spec": gym.spec("CartPole-v1").to_json(), "episodes": []})


@pytest.mark.parametrize(
    ("expected", "came", "found"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "`a[1].b`: expected 2, came 3"),
        ({"a": 1}, {"b": 1}, "`x`: expected the keys ['a'], came ['b']"),
        ([1], [1, 2], "`x`: expected 1 items, came 2"),
        (1, 1.0, "`x`: expected 1, came 1.0"),
        (1, True, "`x`: expected 1, came True"),
        ("ab", "abc", "`x`: expected 'ab', came 'abc'"),
        ([], {}, "`x`: expected [], came {}"),
        ({"a": [None, "x", 1.5, True]}, {"a": [None, "x", 1.5, True]}, None),
    ],
)
def test_difference_names_the_place(expected: Any, came: Any, found: Any) -> None:
    path = "" if isinstance(expected, dict) and isinstance(came, dict) else "x"
    told = difference(expected, came, path)
    assert told == (found and found.replace("`x`", f"`{path}`"))


def test_difference_of_long_texts_shows_where_they_part() -> None:
    told = difference("a" * 5000 + "left", "a" * 5000 + "right", "x")
    assert told is not None
    assert "left" in told
    assert "right" in told
    assert len(told) < 300


def test_shorten_keeps_both_ends() -> None:
    assert shorten("a" * 500 + "b", 20) == "'aaaaaaaaa ... aaaaaaaab'"


@pytest.mark.parametrize(
    "answer",
    [
        *("text", "2024-05-01", "…", "", "Z9z", 0, -3, 1e300, 1.5, True, False),
        *({"a": 1, "b": ["x", {"c": True}]}, [1, 2], (1, "a")),
    ],
)
def test_other_answer_changes_every_leaf_and_no_shape(answer: Any) -> None:
    def leaves(value: Any) -> list[Any]:
        inner = value.values() if isinstance(value, dict) else value
        nested = isinstance(value, (dict, list, tuple))
        return [x for item in inner for x in leaves(item)] if nested else [value]

    other = other_answer(answer)
    pairs = list(zip(leaves(answer), leaves(other), strict=True))
    assert all(type(one) is type(two) and one != two for one, two in pairs)


def test_other_answer_has_none_for_nothing() -> None:
    assert other_answer({"a": None, "b": []}) == {"a": None, "b": []}


def message(role: str, content: Any = "", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def call(call_id: str, name: str = "look", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "function": {"name": name, "arguments": arguments}}


def result(call_id: str) -> dict[str, Any]:
    return message("tool", "x", tool_call_id=call_id)


USER = message("user", "Hello.")


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([message("robot", "x")], "the role must be one of"),
        ([message("user", None)], "the content must be a str, not None"),
        ([message("user", "\ud800")], "cannot be sent as JSON in UTF-8"),
        ([message("user", float("nan"))], "cannot be sent as JSON"),
        ([USER, result("a")], "a result of 'a', the calls without one are"),
        ([message("assistant", tool_calls=[call("a"), call("a")])], "have one id"),
        ([message("assistant", tool_calls=[call("a", "a b")])], "no name of a tool"),
        ([message("assistant", tool_calls=[call("a", "b", "[]")])], "no JSON object"),
        ([message("assistant", tool_calls=[call("a")])], r"\['a'\] have no result"),
        ([message("assistant", tool_calls=[call("a")]), USER], "have no result"),
        (
            [message("assistant", tool_calls=[call("a")]), result("a"), result("a")],
            "a result of 'a'",
        ),
    ],
)
def test_request_that_servers_refuse_has_a_problem(
    messages: list[Any], problem: str
) -> None:
    assert re.search(problem, problem_of_request({"messages": messages}) or "none")


def test_request_that_servers_take_has_none() -> None:
    calls = message("assistant", tool_calls=[call("a"), call("b")])
    messages = [message("system", "x"), USER, calls, result("b"), result("a"), USER]
    assert problem_of_request({"messages": messages}) is None


def test_no_odd_arguments_are_tried_twice() -> None:
    for spec in BoxesEnv.tool_specs.values():
        written = [json.dumps(arguments) for arguments in oddities(spec)]
        assert len(set(written)) == len(written) >= 9


def test_hostile_replies_are_written_for_an_env_without_tools() -> None:
    assert sum(hostile.worthless for hostile in hostile_replies({})) > 100


class Fold(TypedDict):
    """A fold, for the schema of `fold`."""

    corners: list[int]
    paper: NotRequired[str]


class RichEnv(BoxesEnv):
    """Has a tool with parameters of every kind."""

    @tool
    def fold(
        self,
        folds: list[Fold],
        size: tuple[int, float] | None,
        side: Literal["a", "b", None],
        names: dict[str, str],
        tags: set[str] = frozenset(),
    ) -> str:
        """Fold a paper.

        Args:
            folds: What to fold.
            size: The paper's width and height.
            side: The side to begin with.
            names: Names by corner.
            tags: Tags.
        """
        return f"{len(folds)} {size} {side} {len(names)} {len(tags)}"


def test_parameters_of_every_kind_are_tried() -> None:
    finding = only_finding(RichEnv, "replies")
    assert finding.status == "passed", finding.message
    texts = "\n".join(hostile.name for hostile in hostile_replies(RichEnv.tool_specs))
    for told in ("'side': None", "'size': [-1,", "'folds': []", "no `names`"):
        assert told in texts


def test_no_word_is_both_worthless_and_lucky() -> None:
    assert not {reply for reply in WORTHLESS if isinstance(reply, str)} & {*LUCKY}


def test_reply_that_takes_too_long_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_gym.checks.replies._LONGEST_SECONDS", 0.0)
    assert "`step` took 0.0 s" in only_finding(BoxesEnv, "replies").message


# Schemas that `@tool` does not write


def written(name: str = "knock", **changes: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}, "required": []}
    function = {"name": name, "description": "Knock.", "parameters": parameters}
    return {"type": "function", "function": {**function, **changes}}


@pytest.mark.parametrize(
    ("schemas", "problem"),
    [
        ([{**written(), "type": "tool"}], "not in OpenAI's form"),
        ([{**written(), "strict": True}], "not in OpenAI's form"),
        ([written("knock knock")], "'knock knock' is no name"),
        ([written(description=" ")], "`knock` has no description"),
        ([written(), written()], "two tools have one name"),
        ([written(parameters={"type": "array"})], "must be an object, not 'array'"),
        ([written(parameters={"type": "object", "properties": {"a": True}})], "`a`"),
    ],
)
def test_schema_that_servers_refuse_fails(schemas: Any, problem: str) -> None:
    class HandWrittenEnv(BoxesEnv):
        """Writes its schemas by hand."""

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self._schemas = tuple(schemas)
            self.action_space = ReplySpace(self._schemas)

    assert problem in only_finding(HandWrittenEnv, "schemas").message


# The card


def carded(text: str) -> type[BoxesEnv]:
    names = {"__doc__": text, "__module__": "llm_gym.envs.boxes"}
    return type("CardedEnv", (BoxesEnv,), names)


FLOORS = (
    "oracle 1.000, null 0.000, constant 0.000, random 0.012 (1,000 episodes, seed 0)"
)


def card(sections: Any = SECTIONS, floors: str = FLOORS, summary: str = "A.") -> str:
    told = (f"{s}:\n    {floors if s == 'Floors' else 'Told.'}\n" for s in sections)
    return f"{summary}\n\n{''.join(told)}"


def test_whole_card_passes() -> None:
    assert only_finding(carded(card()), "card").message == "11 sections"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (card(SECTIONS[:-1]), r"lacks the sections \['Version history'\]"),
        (card(SECTIONS[::-1]), "in this order"),
        (card(floors="about 1"), "`Floors:` must be a line like"),
        (card(summary="A\nB."), "a summary of one line"),
    ],
)
def test_card_of_this_package_is_read_closely(text: str, problem: str) -> None:
    finding = only_finding(carded(text), "card")
    assert finding.status == "failed"
    assert re.search(problem, finding.message)


# Tasks and episodes


def listed(count: int) -> ListTasks:
    tasks = [make_boxes(np.random.default_rng(n), 0) for n in range(count)]
    return ListTasks(replace(task, id=f"task-{n}") for n, task in enumerate(tasks))


@pytest.mark.parametrize(("count", "told"), [(1, "1 different of train"), (30, "2")])
def test_list_of_one_split_passes(count: int, told: str) -> None:
    finding = only_finding(BoxesEnv, "tasks", env_kwargs={"tasks": listed(count)})
    assert finding.status == "passed"
    assert finding.message.startswith(told)
    assert finding.message.endswith("different of train")


def test_verifier_that_cannot_read_another_answer_leaks_nothing() -> None:
    class StrictEnv(BoxesEnv):
        """Fails on an answer that is none of its own."""

        def verify(self, trajectory: Trajectory) -> Score:
            inside = trajectory.task.data["inside"].values()
            [*inside].index(trajectory.task.answer["code"])
            return super().verify(trajectory)

    assert only_finding(StrictEnv, "leaks").status == "passed"


def test_env_without_oracle_is_checked_by_random_episodes() -> None:
    report = check(NoOracleEnv, seeds=range(2), only=["replies", "leaks"])
    assert report.passed
    assert report.findings[1].message == "8 episodes with another answer"


def test_env_with_one_answer_is_checked_with_made_ones() -> None:
    finding = only_finding(SameTaskEnv, "leaks")
    assert (finding.status, finding.message[:2]) == ("passed", "6 ")


def test_env_that_ends_at_another_turn_fails() -> None:
    class HastyEnv(BoxesEnv):
        """Ends earlier each time."""

        played = 0

        def begin(self, task: Task) -> str:
            self.played += 1
            self.max_turns = 5 - self.played % 2
            return super().begin(task)

    message = only_finding(HastyEnv, "determinism", seeds=[1]).message
    assert "after 4 replies" in message


def test_what_is_no_json_is_named() -> None:
    class SetInfoEnv(BoxesEnv):
        """Puts a set into `info`."""

        def step(self, action: Any) -> Any:
            *result, info = super().step(action)
            return *result, {**info, "set": {1}}

    message = only_finding(SetInfoEnv, "determinism").message
    assert message.startswith("`info`: expected plain JSON data: Object of type set")


def test_task_that_is_no_json_is_told() -> None:
    class NanEnv(BoxesEnv):
        """Has data that no JSON can carry."""

        def begin(self, task: Task) -> str:
            task.data["nan"] = float("nan")
            return super().begin(task)

    assert "the task is not plain JSON" in only_finding(NanEnv, "tasks").message
