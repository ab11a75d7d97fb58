"""Tools, calls and results as text, and what strict templates need."""

import copy
import json

from llm_gym.messages import Message, WireToolCall
from llm_gym.replies import read_reply
from llm_gym.tokens.chat_text import (
    fold_system,
    merge_repeats,
    native_messages,
    text_messages,
    tools_text,
)
from tests.policies.tiny import ADD


def call(call_id: str, arguments: str) -> WireToolCall:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": "add", "arguments": arguments},
    }


HISTORY: list[Message] = [
    {"role": "user", "content": "2 + 2?"},
    {
        "role": "assistant",
        "content": "I add.",
        "tool_calls": [call("c1", '{"a": 2, "b": 2}'), call("c2", '{"a": 1, "b": 3}')],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "4"},
    {"role": "tool", "tool_call_id": "c2", "content": "four"},
    {"role": "assistant", "content": "It is 4."},
]


def test_tools_text_holds_each_tool_as_a_line_of_json() -> None:
    lines = tools_text([ADD, ADD]).splitlines()
    start, end = lines.index("<tools>"), lines.index("</tools>")
    assert [json.loads(line) for line in lines[start + 1 : end]] == [ADD, ADD]


def test_tools_text_shows_a_call_that_can_be_read() -> None:
    (read, *_) = read_reply(tools_text([ADD])).calls
    assert (read.name, read.arguments) == ("tool name", {"argument": "value"})


def test_tools_are_described_in_a_new_system_message() -> None:
    system, user = text_messages(HISTORY[:1], [ADD])
    assert system == {"role": "system", "content": tools_text([ADD])}
    assert user == HISTORY[0]


def test_tools_are_described_after_the_system_text() -> None:
    said: Message = {"role": "system", "content": "Be brief."}
    system, _ = text_messages([said, *HISTORY[:1]], [ADD])
    assert system["content"] == f"Be brief.\n\n{tools_text([ADD])}"
    empty: Message = {"role": "system", "content": ""}
    assert text_messages([empty], [ADD])[0]["content"] == tools_text([ADD])


def test_calls_are_written_after_the_content() -> None:
    written = text_messages(HISTORY, [])[1]
    assert written.keys() == {"role", "content"}
    assert written["content"] == (
        "I add.\n"
        '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 2}}</tool_call>\n'
        '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 3}}</tool_call>'
    )


def test_written_calls_read_back_the_same() -> None:
    read = read_reply(text_messages(HISTORY, [])[1]["content"])
    assert [c.arguments for c in read.calls] == [{"a": 2, "b": 2}, {"a": 1, "b": 3}]
    assert read.text == "I add."


def test_results_of_one_turn_become_one_user_message() -> None:
    written = text_messages(HISTORY, [])
    assert [m["role"] for m in written] == ["user", "assistant", "user", "assistant"]
    assert written[2]["content"] == (
        "<tool_response>\n4\n</tool_response>\n<tool_response>\nfour\n</tool_response>"
    )


def test_results_keep_their_role_where_it_is_known() -> None:
    written = text_messages(HISTORY, [], tool_role=True)
    assert written[2:4] == [
        {"role": "tool", "content": "4"},
        {"role": "tool", "content": "four"},
    ]


def test_native_messages_hold_arguments_as_objects_and_names_of_tools() -> None:
    written = native_messages(HISTORY)
    functions = [c["function"] for c in written[1]["tool_calls"]]
    assert functions[0] == {"name": "add", "arguments": {"a": 2, "b": 2}}
    assert [m.get("name") for m in written] == [None, None, "add", "add", None]


def test_native_messages_bear_arguments_that_are_no_object() -> None:
    broken: Message = {"role": "assistant", "content": "", "tool_calls": []}
    broken["tool_calls"] = [call("c1", "[1]"), call("c2", "{")]
    calls = native_messages([broken])[0]["tool_calls"]
    assert [c["function"]["arguments"] for c in calls] == [{}, {}]


def test_messages_are_not_changed() -> None:
    before = copy.deepcopy(HISTORY)
    text_messages(HISTORY, [ADD])
    native_messages(HISTORY)
    merge_repeats(fold_system(text_messages(HISTORY, [ADD])))
    assert before == HISTORY


def test_fold_system_moves_its_text_before_the_first_user_message() -> None:
    system, user = {"role": "system", "content": "A"}, {"role": "user", "content": "B"}
    assistant = {"role": "assistant", "content": "C"}
    folded = {"role": "user", "content": "A\n\nB"}
    assert fold_system([system, user, assistant]) == [folded, assistant]
    assert fold_system([user, assistant]) == [user, assistant]
    assert fold_system([system, assistant]) == [{**system, "role": "user"}, assistant]


def test_merge_repeats_joins_neighbours_of_one_role() -> None:
    a, b = {"role": "user", "content": "A"}, {"role": "user", "content": "B"}
    c = {"role": "assistant", "content": "C"}
    assert merge_repeats([a, b, c]) == [{"role": "user", "content": "A\n\nB"}, c]


def test_merge_repeats_leaves_results_and_native_calls_apart() -> None:
    result = {"role": "tool", "content": "4"}
    asking = {"role": "assistant", "content": "", "tool_calls": []}
    assert merge_repeats([asking, asking]) == [asking, asking]
    assert merge_repeats([result, result]) == [result, result]
