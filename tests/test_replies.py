"""Reading replies: every form, and everything that a model can get wrong."""

from __future__ import annotations

import json
import re
import time
from collections import UserDict
from itertools import count
from types import SimpleNamespace

import pytest
from hypothesis import given

from llm_gym.errors import ActionError
from llm_gym.jsontext import MAX_CHARS
from llm_gym.messages import Reply, Usage
from llm_gym.replies import read_reply, text_of
from tests.json_values import replies


class SDKObject:
    """What an SDK hands over: anything with `model_dump`."""

    def __init__(self, **fields):
        self.fields = fields

    def model_dump(self):
        return self.fields


def entry(arguments="{}", name="lookup", **fields):
    return {
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    } | fields


def read_call(arguments="{}", name="lookup"):
    """Read a message with one call."""
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [entry(arguments, name)],
    }
    (call,) = read_reply(message).calls
    return call


def nested(levels):
    value = 1
    for _ in range(levels):
        value = {"a": value}
    return value


GOOD_CALL = '<tool_call>{"name": "lookup", "arguments": {"colour": "red"}}</tool_call>'
FENCED = '```json\n{"name": "lookup", "arguments": {"colour": "red"}}\n```'
WIRE = entry('{"colour": "red"}', id="a")


@pytest.mark.parametrize(
    "action",
    [
        {"role": "assistant", "content": None, "tool_calls": [WIRE]},
        {"content": "", "tool_calls": (WIRE,)},
        {"tool_calls": [entry({"colour": "red"})]},
        {"tool_calls": WIRE},
        {"content": GOOD_CALL},
        {"content": [{"type": "text", "text": GOOD_CALL}], "tool_calls": []},
        UserDict({"content": GOOD_CALL, "tool_calls": None}),
        GOOD_CALL,
        GOOD_CALL.removesuffix("</tool_call>"),
        GOOD_CALL.replace('{"name', '\n{"name').replace("</", "\n</"),
        FENCED,
        FENCED.replace("json", "tool_call"),
        FENCED.replace("json", ""),
        "<think>Which one?</think>" + GOOD_CALL,
        "The prompt opened the tag.</think>\n\n" + GOOD_CALL,
        Reply(GOOD_CALL),
        Reply({"content": GOOD_CALL}),
        SDKObject(role="assistant", content=None, tool_calls=[WIRE]),
        SDKObject(role="assistant", content=None, tool_calls=[SDKObject(**WIRE)]),
        SDKObject(choices=[{"message": {"tool_calls": [WIRE]}}]),
        {"choices": [SDKObject(message={"tool_calls": [WIRE]})]},
        {"message": SDKObject(tool_calls=[WIRE]), "finish_reason": "tool_calls"},
        Reply(SDKObject(tool_calls=[WIRE])),
    ],
)
def test_every_form_of_one_call_is_read_alike(action):
    reply = read_reply(action)
    (call,) = reply.calls
    assert (call.name, call.arguments, call.error) == (
        "lookup",
        {"colour": "red"},
        None,
    )
    (wire,) = reply.message["tool_calls"]
    assert json.loads(wire["function"]["arguments"]) == {"colour": "red"}
    assert wire["id"] == call.id
    assert reply.text == ""


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("", ""),
        ("Paris", "Paris"),
        ({"content": None}, ""),
        ({"content": "Paris", "tool_calls": None}, "Paris"),
        ({"content": [{"type": "text", "text": "Pa"}, {"text": "ris"}]}, "Paris"),
        ({"role": "assistant", "content": ""}, ""),
        ({"tool_calls": []}, ""),
        ("{}", "{}"),
        ('{"name": "lookup", "arguments": {}}', '{"name": "lookup", "arguments": {}}'),
        ("```json\n{}\n```", "```json\n{}\n```"),
        ("```\nprint(1)\n```", "```\nprint(1)\n```"),
        ("</tool_call>", "</tool_call>"),
        ("nul \x00 stays", "nul \x00 stays"),
        ("lone \ud800", "lone \ufffd"),
        ("  kept  ", "  kept  "),
    ],
)
def test_a_reply_without_a_call_is_a_plain_answer(action, text):
    reply = read_reply(action)
    assert reply.calls == ()
    assert reply.message == {"role": "assistant", "content": text}


def test_a_message_that_says_nothing_but_its_role_is_an_empty_answer():
    """An SDK that drops what is None hands an empty reply over like this."""
    assert read_reply({"role": "assistant"}).message == {
        "role": "assistant",
        "content": "",
    }


def test_a_megabyte_of_text_is_an_answer():
    assert len(read_reply("a" * 2**20).text) == 2**20


def test_text_around_calls_is_kept():
    reply = read_reply(f"First {GOOD_CALL} then {GOOD_CALL} end.")
    assert reply.text == "First  then  end."
    assert [call.id for call in reply.calls] == ["call_0_0", "call_0_1"]


def test_structured_calls_keep_their_text():
    reply = read_reply({"content": "Let me see.", "tool_calls": [WIRE]})
    assert reply.text == "Let me see."
    assert reply.calls[0].id == "a"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ('{"colour": "re', "are not valid JSON: Unterminated string"),
        ("{colour: red}", "are not valid JSON"),
        ('{"a": 1} {"b": 2}', "Extra data"),
        ('{"a": 1, "a": 2}', "appears twice"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": -Infinity}', "-Infinity is not a JSON number"),
        ('{"a": 1e999}', "too large"),
        ('{"a": ' + "9" * 5000 + "}", "an integer of 5000 digits"),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, "nested deeper than 64 levels"),
        ("[" * 10_000, "nested deeper than 64 levels"),
        ('{"a": "' + "b" * MAX_CHARS + '"}', "characters, at most"),
        ("[1, 2]", r"must be a JSON object, not \[1, 2\]"),
        ('"red"', 'must be a JSON object, not "red"'),
        ("null", "must be a JSON object, not null"),
        ("5", "must be a JSON object, not 5"),
        ([1, 2], "must be a JSON object"),
        (5, "must be a JSON object"),
        ({"a": float("nan")}, "are not valid JSON"),
        ({"a": float("inf")}, "are not valid JSON"),
        ({"a": 10**5000}, "are not valid JSON"),
        ({"a": 10**4000}, "an integer of 4001 digits"),
        (nested(10_000), "are not valid JSON"),
        (nested(100), "nested deeper"),
        ({"a": {1, 2}}, "are not valid JSON"),
        ({"a": object()}, "are not valid JSON"),
        ({(1, 2): 3}, "are not valid JSON"),
    ],
    ids=count(),
)
def test_unreadable_arguments_become_an_error_for_the_model(arguments, why):
    call = read_call(arguments)
    assert call.arguments is None
    assert call.name == "lookup"
    assert "`lookup`" in call.error
    assert re.search(why, call.error)
    assert isinstance(call.raw, str)


@pytest.mark.parametrize("arguments", [None, "", "  ", {}, "{}"])
def test_no_arguments_are_an_empty_object(arguments):
    assert read_call(arguments).arguments == {}


def test_arguments_may_be_absent():
    assert (
        read_reply({"tool_calls": [{"function": {"name": "f"}}]}).calls[0].arguments
        == {}
    )


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "lookup",
        5,
        [],
        {},
        {"id": "z"},
        {"function": None},
        {"function": "lookup"},
        {"function": {}},
        {"function": {"name": ""}},
        {"function": {"name": None, "arguments": "{}"}},
        {"function": {"name": ["lookup"]}},
        {"function": {"arguments": nested(10_000)}},
        {"function": {"arguments": 10**5000}},
        {"other": nested(10_000)},
        {"other": 10**5000},
    ],
    ids=count(),
)
def test_an_entry_that_is_no_call_is_an_error_beside_good_calls(broken):
    reply = read_reply({"tool_calls": [broken, WIRE]})
    first, second = reply.calls
    assert first.arguments is None
    assert first.error.startswith("a tool call needs")
    assert first.id != second.id
    assert second.arguments == {"colour": "red"}
    assert reply.message["tool_calls"][0]["function"]["name"] == "invalid_name"


@pytest.mark.parametrize("broken", ["lookup", 5, {"function": {"name": "f"}}, True])
def test_tool_calls_that_are_no_list_are_read_as_one_call(broken):
    assert len(read_reply({"tool_calls": broken}).calls) == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "not valid JSON"),
        ('{"name": "lookup", "argum', "not valid JSON: Unterminated string"),
        ('{"name": "lookup", "arguments": {"a": NaN}}', "NaN"),
        ('{"name": "lookup", "arguments": {"a": 1e999}}', "too large"),
        ("[" * 10_000, "nested deeper"),
        ("[1]", "needs an object"),
        ('"lookup"', "needs an object"),
        ("{}", "needs an object"),
        ('{"arguments": {}}', "needs an object"),
        ('{"name": 5, "arguments": {}}', "needs an object"),
        ('{"name": "lookup", "arguments": []}', "must be a JSON object"),
        ('{"name": "lookup", "arguments": "{"}', "are not valid JSON"),
        ('{"name": "lookup", "name": "open"}', "appears twice"),
    ],
    ids=count(),
)
def test_a_broken_call_in_text_is_an_error_and_never_an_answer(body, why):
    for text in (f"<tool_call>{body}</tool_call>", f"<tool_call>{body}"):
        (call,) = read_reply(text).calls
        assert call.arguments is None
        assert why in call.error


def test_a_call_in_text_may_carry_its_arguments_as_json_text():
    text = '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>'
    assert read_reply(text).calls[0].arguments == {"a": 1}


def test_a_repeated_id_is_an_error_for_the_later_call():
    reply = read_reply({"tool_calls": [{**WIRE}, {**WIRE}, {**WIRE, "id": "b"}]})
    first, second, third = reply.calls
    assert (first.error, third.error) == (None, None)
    assert "'a' was used twice; this call did not run" in second.error
    assert len({call.id for call in reply.calls}) == 3


@pytest.mark.parametrize("missing", [{}, {"id": None}, {"id": ""}, {"id": 7}])
def test_a_missing_id_is_assigned_and_the_call_runs(missing):
    reply = read_reply({"tool_calls": [entry(**missing), entry(**missing)]}, turn=3)
    assert [call.id for call in reply.calls] == ["call_3_0", "call_3_1"]
    assert [call.error for call in reply.calls] == [None, None]


@pytest.mark.parametrize(
    "ids",
    [["call_0_1", None], [None, "call_0_0"], ["call_0_0", None, "call_0_1", None]],
)
def test_an_assigned_id_never_collides_with_one_that_was_given(ids):
    reply = read_reply({"tool_calls": [entry(id=call_id) for call_id in ids]})
    assert len({call.id for call in reply.calls}) == len(ids)
    assert [call.error for call in reply.calls] == [None] * len(ids)


@pytest.mark.parametrize("same", ["call_0_0", "a"])
def test_reading_many_calls_does_not_hang(same):
    started = time.process_time()
    assert len(read_reply({"tool_calls": [entry(id=same)] * 20_000}).calls) == 20_000
    assert time.process_time() - started < 15


@pytest.mark.parametrize(
    "text",
    ["```\n" * 220_000, "```json" + " " * 10**6, "<think>" * 10**5, "</think>" * 10**5],
    ids=count(),
)
def test_reading_a_megabyte_of_tags_does_not_hang(text):
    started = time.process_time()
    assert read_reply(text).calls == ()
    assert time.process_time() - started < 5


def test_lone_surrogates_are_replaced_everywhere():
    call = read_call('{"a\\ud800": ["\\ud801", {"b": "\\ud83d\\ude00"}]}', "f\udc00")
    assert call.arguments == {"a\ufffd": ["\ufffd", {"b": "😀"}]}
    reply = read_reply({"content": "\ud800", "tool_calls": [entry(id="\udc01")]})
    assert (reply.text, reply.calls[0].id) == ("\ufffd", "\ufffd")
    json.dumps(reply.message, ensure_ascii=False).encode()


def test_unreadable_arguments_are_kept_raw_and_encodable():
    call = read_call('{"a": "\ud800')
    assert call.raw == '{"a": "\ufffd'
    assert read_call({"a": {1}}).raw == "{'a': {1}}"


def test_messages_about_long_input_stay_short():
    for call in (
        read_call("{", name="n" * 100_000),
        read_call(json.dumps(["x" * 100_000])),
        read_reply({"tool_calls": [{"x": "y" * 100_000}]}).calls[0],
        read_reply({"tool_calls": [entry(id="i" * 100_000)] * 2}).calls[1],
        read_reply("<tool_call>" + json.dumps(["x" * 100_000])).calls[0],
    ):
        assert len(call.error) < 1000


@pytest.mark.parametrize(
    ("text", "thought", "content"),
    [
        ("<think>a</think>b", "a", "b"),
        ("<think>a</think>\n\nb", "a", "b"),
        ("a</think>b", "a", "b"),
        ("<think>never ends", "never ends", ""),
        ("<think></think>", None, ""),
        ("no tags", None, "no tags"),
        (f"<think>{GOOD_CALL}</think>b", GOOD_CALL, "b"),
    ],
)
def test_thinking_is_split_off(text, thought, content):
    reply = read_reply(text)
    assert (reply.reasoning or None) == thought
    assert reply.text == content
    assert reply.calls == ()


def test_thinking_never_enters_the_history():
    for action in (
        "<think>a</think>b",
        {"content": "b", "reasoning_content": "a"},
        {"content": "b", "reasoning": "a", "reasoning_content": None},
    ):
        reply = read_reply(action)
        assert reply.message == {"role": "assistant", "content": "b"}
        assert reply.reasoning == "a"


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [({}, "hm"), ({"reasoning_content": "told"}, "told"), ({"reasoning": 5}, "hm")],
)
def test_thinking_beside_structured_calls_is_split_off_too(fields, reasoning):
    message = {"content": "<think>hm</think>ok", "tool_calls": [WIRE], **fields}
    reply = read_reply(message)
    assert (reply.reasoning, reply.text, len(reply.calls)) == (reasoning, "ok", 1)


@pytest.mark.parametrize("tags", ["</think>", "<think>", "<think>x</think>"])
def test_thinking_tags_inside_arguments_are_data(tags):
    body = f'{{"name": "write", "arguments": {{"text": "a{tags}b"}}}}'
    (call,) = read_reply(f"<tool_call>{body}</tool_call>").calls
    assert call.arguments == {"text": f"a{tags}b"}


@pytest.mark.parametrize("reasoning", [None, "", 5, ["a"], {"a": 1}])
def test_reasoning_that_is_no_text_is_left_out(reasoning):
    assert not read_reply({"content": "b", "reasoning_content": reasoning}).reasoning


def test_without_tools_a_fenced_block_is_text_and_a_tagged_call_still_a_call():
    assert read_reply(FENCED, with_tools=False).text == FENCED
    assert len(read_reply(GOOD_CALL, with_tools=False).calls) == 1


def test_fenced_blocks_are_calls_only_if_all_of_them_are():
    assert len(read_reply(f"{FENCED}\n{FENCED}").calls) == 2
    assert read_reply(f"{FENCED}\n```\nprint(1)\n```").calls == ()
    assert (
        read_reply('```json\n{"name": "f", "arguments": {}, "x": 1}\n```').calls == ()
    )


def test_a_completion_tells_its_usage_and_finish_reason():
    choice = {"message": {"content": "hi"}, "finish_reason": "length"}
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    reply = read_reply(SDKObject(choices=[choice], usage=usage))
    assert (reply.text, reply.finish_reason, reply.usage) == (
        "hi",
        "length",
        Usage(3, 4),
    )
    untold = {"prompt_tokens": None}
    counted = read_reply({"choices": [choice], "usage": untold})
    assert counted.usage == Usage(0, 0)
    bare = read_reply({"choices": [{"message": {"content": "hi"}}], "usage": None})
    assert (bare.finish_reason, bare.usage) == ("stop", None)


def test_a_finish_reason_that_is_not_told_is_stop():
    assert read_reply(Reply("hi", None)).finish_reason == "stop"


def test_a_reply_tells_its_usage_and_finish_reason():
    reply = read_reply(Reply("hi", "length", Usage(1, 2)))
    assert (reply.finish_reason, reply.usage) == ("length", Usage(1, 2))


@pytest.mark.parametrize(
    "action",
    [
        None,
        5,
        b"text",
        [],
        ["a"],
        {},
        {"text": "hi"},
        {"role": "user", "content": "hi"},
        {"role": None, "content": "hi"},
        {"content": 5},
        {"content": {"text": "hi"}},
        {"content": [{"type": "image_url"}]},
        {"content": ["hi"]},
        {"choices": []},
        {"choices": [{}, {}]},
        {"choices": None},
        {"choices": [{"message": None}]},
        {"message": 5},
        SDKObject,
        SimpleNamespace(content="hi"),
        Reply(None),
        Reply(Reply("hi")),
        10**5000,
        [nested(10_000)],
    ],
    ids=count(),
)
def test_what_no_model_can_write_is_the_callers_mistake(action):
    with pytest.raises(ActionError) as caught:
        read_reply(action)
    assert len(str(caught.value)) < 600


def test_text_of_reads_text_in_its_three_forms():
    assert text_of(None) == ""
    assert text_of("a\ud800") == "a\ufffd"
    assert text_of([{"text": "a"}, {"text": "b"}]) == "ab"
    with pytest.raises(ActionError, match="a list of text parts, not 5"):
        text_of(5)


@given(replies)
def test_whatever_a_model_writes_is_read(reply):
    read = read_reply(reply)
    assert read.message["role"] == "assistant"
    json.dumps(read.message, ensure_ascii=False, allow_nan=False).encode()
    assert len({call.id for call in read.calls}) == len(read.calls)
    assert all(
        (call.error is None) == (call.arguments is not None) for call in read.calls
    )
    for wire, call in zip(read.message.get("tool_calls", ()), read.calls, strict=True):
        shown = json.loads(wire["function"]["arguments"])
        assert shown == ({} if call.arguments is None else call.arguments)
        assert wire["id"] == call.id


def test_thinking_may_quote_and_mention_calls():
    text = f'I could say "<tool_call>" or not.</think>{GOOD_CALL} as "agreed'
    reply = read_reply(text)
    assert reply.reasoning == 'I could say "<tool_call>" or not.'
    assert [call.arguments for call in reply.calls] == [{"colour": "red"}]
