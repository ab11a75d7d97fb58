"""Running calls: order, concurrency, refusals, faults."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from itertools import count

import pytest

from llm_gym.dispatch import MAX_CALLS, OwnLoop, refuse_all
from llm_gym.errors import EnvironmentFault
from llm_gym.messages import ToolCall, call_text
from tests.envs.driving import call
from tests.sample_envs import AsyncEnv, Colour, KitEnv, Point, VaultEnv


@pytest.fixture
def vault():
    env = VaultEnv()
    env.reset(seed=1)
    return env


@pytest.fixture
def kit():
    env = KitEnv()
    env.reset(seed=1)
    return env


@pytest.fixture
def meeting():
    env = AsyncEnv()
    env.reset(seed=1)
    yield env
    env.close()


def records(env, *calls):
    """Take one turn with these calls; return their records."""
    env.step("".join(calls))
    return env.trajectory.turns[-1].calls


def results(env, *calls):
    return [(record.status, record.result) for record in records(env, *calls)]


def test_calls_run_in_order_and_are_answered_in_order(vault):
    code = vault.state["codes"]["red"]
    answers = results(
        vault, call("lookup", colour="red"), call("lookup", colour="pink")
    )
    assert answers == [
        ("ok", str(code)),
        ("tool_error", "Error: there is no pink vault"),
    ]
    assert vault.state["looked"] == ["red", "pink"]
    tool_messages = vault.trajectory.turns[-1].added
    assert [m["tool_call_id"] for m in tool_messages] == ["call_0_0", "call_0_1"]


@pytest.mark.parametrize(
    "name",
    ["reset", "step", "verify", "__class__", "close", "_fault", "state", "lokup"],
)
def test_a_name_that_is_no_tool_is_refused_even_if_it_is_a_method(vault, name):
    before = vault.snapshot()
    ((status, text),) = results(vault, call(name, seed=1))
    assert status == "invalid"
    assert text.startswith(f"Error: there is no tool '{name}'")
    assert vault.state == before._episode.state


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"name": "lookup", "arguments": {}}', "'colour' is a required property"),
        ('{"name": "lookup"}', "'colour' is a required property"),
        ('{"name": "lookup", "arguments": {"colour": 5}}', "not of type 'string'"),
        ('{"name": "lookup", "arguments": {"colour": "a", "b": 1}}', "unexpected"),
        ('{"name": "lookup", "arguments": [1]}', "Expected: lookup(colour: string)"),
        ('{"name": "lookup", "arguments": "{"}', "Expected: lookup(colour: string)"),
        ('{"name": "lookup", "argu', "not valid JSON"),
        ("", "not valid JSON"),
    ],
)
def test_a_call_that_is_not_valid_never_reaches_the_tool(vault, text, why):
    ((status, answer),) = results(vault, f"<tool_call>{text}</tool_call>")
    assert status == "invalid"
    assert answer.startswith("Error: ")
    assert why in answer
    assert "looked" not in vault.state


def test_an_invalid_call_does_not_stop_the_next_one(vault):
    statuses = [r.status for r in records(vault, call("lookup"), call("roll"))]
    assert statuses == ["invalid", "ok"]


def test_calls_past_the_limit_are_each_told_and_do_not_run(vault):
    made = records(vault, *[call("lookup", colour="red")] * 100)
    assert [r.status for r in made] == ["ok"] * MAX_CALLS + ["not_run"] * (
        100 - MAX_CALLS
    )
    assert made[-1].result.endswith(f"a reply may hold {MAX_CALLS} calls")
    assert len(vault.state["looked"]) == MAX_CALLS
    assert len(vault.trajectory.turns[-1].added) == 100


def test_calls_after_the_one_that_ends_the_episode_do_not_run(vault):
    right = vault.task.answer["code"]
    calls = [call("open", code=1), call("open", code=right), call("crash")]
    made = records(vault, *calls)
    assert [record.status for record in made] == ["ok", "not_run", "not_run"]
    assert "the episode had ended before it" in made[1].result
    assert vault.state["opened"] == 1


def test_a_refused_call_does_not_end_the_episode(vault):
    _, _, terminated, _, _ = vault.step(call("open", code="x") + call("open"))
    assert not terminated


def test_arguments_arrive_as_their_types(kit):
    arguments = {
        "colour": "blue",
        "point": {"x": 1},
        "size": {"width": 2},
        "kinds": ["a"],
        "mode": 3,
    }
    assert results(kit, call("keep", **arguments)) == [("ok", "Colour")]
    assert kit.state["given"] == [(Colour.BLUE, Point(1), {"width": 2}, {"a"}, 3)]


def test_a_tool_may_change_its_arguments_and_the_record_stays(kit):
    (record,) = records(kit, call("spoil", values=["x"], table={"a": [1]}))
    assert record.result == "2"
    assert record.arguments == {"values": ["x"], "table": {"a": [1]}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (5, "5"),
        (2.5, "2.5"),
        ([1, "é"], '[1, "é"]'),
        ({"b": 1, "a": None}, '{"b": 1, "a": null}'),
        ("a\x00", "a\x00"),
    ],
    ids=count(),
)
def test_a_result_is_text_or_json(kit, value, text):
    assert results(kit, call("free", value=value)) == [("ok", text)]


def test_a_tool_that_returns_nothing_shows_null(kit):
    assert results(kit, call("nothing")) == [("ok", "null")]


@pytest.mark.parametrize("what", ["set", "nan", "object", "deep", "cycle", "bytes"])
def test_a_result_that_json_cannot_carry_is_a_fault(kit, what):
    with pytest.raises(EnvironmentFault, match="neither text nor JSON") as caught:
        kit.step(call("give", what=what))
    assert caught.value.tool == "give"


@pytest.mark.parametrize("infinite", [True, False])
def test_a_reward_that_is_no_finite_number_is_a_fault(kit, infinite):
    with pytest.raises(EnvironmentFault) as caught:
        kit.step(call("odd_reward", infinite=infinite))
    assert caught.value.tool == "odd_reward"


@pytest.mark.parametrize("tool", ["crash", "down"])
def test_what_a_tool_raises_is_a_fault_that_names_its_place(vault, kit, tool):
    env = vault if tool == "crash" else kit
    with pytest.raises(EnvironmentFault, match=r"kaput|the database is away") as caught:
        env.step(call(tool))
    fault = caught.value
    assert fault.env_id == f"tests.sample_envs:{type(env).__name__}"
    assert (fault.tool, fault.task_id, fault.seed) == (tool, env.task.id, 1)
    assert env.trajectory.fault == str(fault)


def test_a_tool_cannot_end_the_process(kit, meeting):
    with pytest.raises(EnvironmentFault, match="the tool raised SystemExit"):
        kit.step(call("leave", how="exit"))
    with pytest.raises(EnvironmentFault, match="the tool raised SystemExit"):
        meeting.step(call("meet", me="a", other="a") + call("leave"))


def test_step_rewards_are_added_and_recorded(kit):
    calls = call("pay", reward=0.25) + call("pay", reward=-1, stop=False)
    _, reward, terminated, _, _ = kit.step(calls)
    assert (reward, terminated) == (-0.75, False)
    assert [record.reward for record in kit.trajectory.calls] == [0.25, -1.0]


def test_a_tool_output_may_end_the_episode(kit):
    _, reward, terminated, _, info = kit.step(call("pay", reward=1, stop=True))
    assert (reward, terminated, info["stop_reason"]) == (1.0, True, "tool")


@pytest.mark.parametrize("tool", ["span", "slow_span"])
def test_a_dataclass_that_refuses_its_values_becomes_a_tool_error(kit, tool):
    ((status, text),) = results(kit, call(tool, span={"first": 2, "last": 1}))
    assert status == "invalid"
    assert "`last` must not be before `first`" in text


def test_async_tools_of_one_reply_run_concurrently_with_results_in_order(meeting):
    answers = results(
        meeting, call("meet", me="a", other="b"), call("meet", me="b", other="a")
    )
    assert answers == [("ok", "a met b"), ("ok", "b met a")]


def test_sync_tools_part_the_async_ones(meeting):
    calls = [
        call("meet", me="a", other="a"),
        call("note", text="between"),
        call("meet", me="b", other="b"),
    ]
    assert [status for status, _ in results(meeting, *calls)] == ["ok"] * 3
    assert meeting.state["log"] == ["a", "between", "b"]


def test_an_async_refusal_leaves_its_neighbours_alone(meeting):
    calls = [call("refuse"), call("meet", me="a", other="a"), call("meet")]
    answers = results(meeting, *calls)
    assert answers[0] == ("tool_error", "Error: not today")
    assert answers[1] == ("ok", "a met a")
    assert answers[2][0] == "invalid"


def test_an_async_crash_is_a_fault(meeting):
    with pytest.raises(EnvironmentFault, match="the tool raised RuntimeError: kaput"):
        meeting.step(call("meet", me="a", other="a") + call("crash"))


def test_an_async_tool_that_ends_the_episode_is_tried_once(meeting):
    made = records(meeting, *(call("guess", number=n) for n in range(5)))
    assert [record.status for record in made] == ["ok"] + ["not_run"] * 4
    assert meeting.state["log"] == [0]


def test_async_tools_run_where_a_loop_runs_already(meeting):
    async def play():
        return results(meeting, call("meet", me="a", other="a"))

    assert asyncio.run(play()) == [("ok", "a met a")]


def test_async_tools_run_in_a_thread(meeting):
    answers = []
    thread = threading.Thread(
        target=lambda: answers.extend(results(meeting, call("meet", me="a", other="a")))
    )
    thread.start()
    thread.join()
    assert answers == [("ok", "a met a")]


def test_an_own_loop_is_one_loop_until_it_is_closed():
    async def running():
        return [asyncio.get_running_loop()]

    loop = OwnLoop()
    (first,) = loop.run(running())
    assert loop.run(running()) == [first]
    loop.close()
    assert first.is_closed()
    assert loop.run(running()) != [first]
    loop.close()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_own_loop_is_copied_without_its_loop(copied):
    async def nothing():
        return []

    loop = OwnLoop()
    loop.run(nothing())
    other = copied(loop)
    if isinstance(other, bytes):
        other = pickle.loads(other)
    loop.close()
    assert other.run(nothing()) == []
    other.close()


def test_refuse_all_answers_every_call():
    calls = [ToolCall("a", "f", {}), ToolCall("b", "", None, "broken", "{")]
    made = refuse_all(calls, "too late")
    assert [(r.id, r.status, r.result, r.raw) for r in made] == [
        ("a", "not_run", "Error: too late", None),
        ("b", "not_run", "Error: too late", "{"),
    ]


def test_a_lone_surrogate_in_a_tool_error_is_replaced(vault):
    ((_, text),) = results(vault, call_text("lookup", {"colour": "\ud800"}))
    assert text == "Error: there is no \ufffd vault"
