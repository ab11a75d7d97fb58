"""A policy that says what it was told to."""

from __future__ import annotations

import asyncio

import pytest

from llm_gym import Reply, ScriptedPolicy, Usage
from tests.envs.driving import call, drive
from tests.sample_envs import AskEnv, VaultEnv


def said(*roles):
    return {"messages": [{"role": role, "content": ""} for role in roles]}


def next_line(policy, request):
    return asyncio.run(policy.reply(request))


def test_lines_come_in_order_and_the_last_for_ever():
    policy = ScriptedPolicy(["a", "b"])
    requests = [said("user", *["assistant", "tool"] * n) for n in range(4)]
    assert [next_line(policy, r).message for r in requests] == ["a", "b", "b", "b"]


def test_many_episodes_share_one_script():
    policy = ScriptedPolicy([call("roll"), "end"])
    records = [drive(VaultEnv(), policy, seed=n) for n in range(3)]
    assert [len(record.turns) for record in records] == [2, 2, 2]


def test_a_script_begins_with_its_first_line_whatever_the_prompt_holds():
    record = drive(AskEnv(), ScriptedPolicy(["pay", "bye"]), seed=1)
    assert [turn.reply["content"] for turn in record.turns] == ["pay", "bye"]


def test_a_subclass_is_bound_as_what_it_is():
    class Shouting(ScriptedPolicy):
        async def reply(self, request, trace=None):
            return Reply(str((await super().reply(request)).message).upper())

    record = drive(VaultEnv(), Shouting(["end"]), seed=1)
    assert record.answer == "END"


@pytest.mark.parametrize(
    "line", ["text", {"content": "text"}, Reply("text", "length", Usage(1, 2))]
)
def test_a_line_is_a_text_a_message_or_a_reply(line):
    reply = next_line(ScriptedPolicy([line]), said("user"))
    assert reply == (line if isinstance(line, Reply) else Reply(line))


def test_a_script_may_be_a_function():
    policy = ScriptedPolicy(lambda request: str(len(request["messages"])))
    assert next_line(policy, said("user", "assistant")).message == "2"


@pytest.mark.parametrize(
    "script", [[], (), "text", "", None, {"content": "text"}, Reply("a")]
)
def test_a_script_must_be_replies_or_a_function(script):
    with pytest.raises(ValueError, match="a function or at least one reply"):
        ScriptedPolicy(script)
