"""The wire form: what a model's call looks like in the history, and in plain text."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym.messages import Reply, ToolCall, Usage, call_text, wire_call, wire_name
from llm_gym.replies import read_reply
from tests.json_values import any_text, json_values


def test_call_text_is_the_hermes_form():
    text = call_text("lookup", {"colour": "grün"})
    assert text == (
        '<tool_call>{"name": "lookup", "arguments": {"colour": "grün"}}</tool_call>'
    )


@pytest.mark.parametrize(
    "value",
    [
        "</tool_call>",
        "<tool_call>{}</tool_call>",
        "<think>a</think>b",
        "</think>",
        "```json\n{}\n```",
        "<b>&amp;</b>",
    ],
)
def test_call_text_is_read_back_whatever_tags_its_arguments_hold(value):
    (call,) = read_reply(call_text("write", {"text": value})).calls
    assert call.arguments == {"text": value}


@given(st.dictionaries(any_text.filter(str.isascii), json_values, max_size=3))
def test_call_text_is_read_back_as_the_same_call(arguments):
    arguments = json.loads(re.sub(r"\\ud[89a-f]..", "?", json.dumps(arguments)))
    reply = read_reply(call_text("f", arguments))
    assert [(c.name, c.arguments, c.error) for c in reply.calls] == [
        ("f", arguments, None)
    ]
    assert reply.text == ""


@pytest.mark.parametrize("name", ["f", "look_up-2", "a" * 64])
def test_wire_name_keeps_what_servers_accept(name):
    assert wire_name(name) == name


@pytest.mark.parametrize("name", ["", "a" * 65, "é", "a b", "a.b", "f\n", "\x00"])
def test_wire_name_replaces_what_servers_refuse(name):
    assert wire_name(name) == "invalid_name"


def test_wire_call_of_an_unreadable_call_is_still_valid():
    call = ToolCall("id", "no such name!", None, error="broken", raw="{")
    assert wire_call(call) == {
        "id": "id",
        "type": "function",
        "function": {"name": "invalid_name", "arguments": "{}"},
    }


def test_records_are_frozen_and_have_plain_defaults():
    assert Reply("hi") == Reply("hi", "stop", None)
    assert Usage() == Usage(0, 0)
    with pytest.raises(AttributeError):
        Reply("hi").message = "ho"
