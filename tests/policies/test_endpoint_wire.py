"""The forms of requests and answers, without any server."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gym.messages import Reply, Usage
from llm_gym.policies.endpoint.chat import ChatForm, read_chat
from llm_gym.policies.endpoint.options import EndpointBody
from llm_gym.policies.endpoint.responses import ResponsesForm, read_response
from llm_gym.policies.endpoint.wire import WireError, ids_in, logprobs_in, shorten
from llm_gym.policies.sampling import Sampling
from llm_gym.replies import read_reply
from tests.json_values import json_values

CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "add", "arguments": '{"a": 1}'},
}
HISTORY = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1+1?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [CALL],
        "reasoning_content": "hm",
    },
    {"role": "tool", "tool_call_id": "call_1", "name": "add", "content": "2"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "Sure?"},
]
SCHEMA = {"name": "add", "description": "Add.", "parameters": {"type": "object"}}
TOOLS = [{"type": "function", "function": SCHEMA}]
REQUEST = {"messages": HISTORY, "tools": TOOLS}


def chat(sampling=None, body=None, length_field="max_tokens"):
    return ChatForm(
        "m", sampling or Sampling(), body or EndpointBody(), length_field
    ).call(REQUEST, None)


def completion(message=None, **choice):
    message = {"role": "assistant", "content": "hi"} if message is None else message
    whole = {"message": message, "finish_reason": "stop", **choice}
    return {"choices": [whole]}


def test_a_chat_body_is_the_observation_with_the_settings():
    body = chat(Sampling(max_new_tokens=9, temperature=0.5)).body
    assert body.pop("messages")[3:] == HISTORY[3:]
    assert body == {
        "model": "m",
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 1.0,
        "tools": TOOLS,
    }


def test_settings_beyond_the_defaults_are_sent():
    sampling = Sampling(
        top_k=5, min_p=0.1, stop=("x",), presence_penalty=1.0, frequency_penalty=-1.0
    )
    body = chat(sampling, length_field="max_completion_tokens").body
    assert body["max_completion_tokens"] == 256
    assert body["top_k"] == 5
    assert body["min_p"] == 0.1
    assert body["stop"] == ["x"]
    assert (body["presence_penalty"], body["frequency_penalty"]) == (1.0, -1.0)


def test_thinking_is_sent_back_only_where_asked():
    assert "reasoning_content" not in chat().body["messages"][2]
    kept = chat(body=EndpointBody(send_reasoning=True)).body["messages"]
    assert kept[2]["reasoning_content"] == "hm"
    assert "reasoning_content" in HISTORY[2]  # the caller's own is left alone


def test_fields_are_added_and_left_out():
    body = EndpointBody(extra={"tool_choice": "required"}, omit=("top_p", "seed"))
    told = chat(body=body).body
    assert told["tool_choice"] == "required"
    assert "top_p" not in told


def test_a_chat_completion_is_read():
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    answer = completion({**message, "reasoning": "hm"}, finish_reason="tool_calls")
    reply = read_chat({**answer, "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    assert reply.finish_reason == "tool_calls"
    assert reply.usage == Usage(3, 2)
    read = read_reply(reply)
    assert read.calls[0].arguments == {"a": 1}
    assert read.reasoning == "hm"


def test_a_refusal_is_what_the_model_said():
    message = {"role": "assistant", "content": None, "refusal": "No."}
    assert read_chat(completion(message)).message["content"] == "No."


def test_ids_and_logprobs_are_read_where_they_are_told():
    told = {"content": [{"logprob": -0.5}, {"logprob": -1}]}
    answer = completion(token_ids=[5, 6], logprobs=told)
    reply = read_chat({**answer, "prompt_token_ids": [1, 2, 3]})
    assert reply.prompt_ids == [1, 2, 3]
    assert reply.sampled_ids == [5, 6]
    assert reply.logprobs == [-0.5, -1]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "expected one choice, came None"),
        ({"choices": []}, "expected one choice"),
        ({"choices": [1]}, "expected an object as the choice, came 1"),
        (completion(finish_reason="abort"), "known finish reason, came 'abort'"),
        (completion(finish_reason=None), "known finish reason, came None"),
        (completion("hi"), "expected an assistant's message, came 'hi'"),
        (completion({"role": "user"}), "expected an assistant's message"),
        (completion({"content": 5}), "list of text parts, not 5"),
        (completion({"tool_calls": "x"}), "expected a list of tool calls, came 'x'"),
        (completion(token_ids="x"), "expected `token_ids` as a list of ids"),
        (completion(token_ids=[True]), "ids of the vocabulary in `token_ids`"),
        (completion(token_ids=[1], logprobs={"content": []}), "each of 1 ids, came 0"),
        (completion(logprobs={"content": [1]}), None),
        (completion(logprobs={"content": ["x"]}), "finite numbers in `logprobs`"),
    ],
)
def test_what_is_no_completion_is_named(answer, message):
    if message is None:
        assert isinstance(read_chat(answer), Reply)
        return
    with pytest.raises(WireError, match=message):
        read_chat(answer)


@pytest.mark.parametrize("value", [None, 3, [math.nan], ["x"], [None]])
def test_logprobs_that_are_none_are_refused(value):
    with pytest.raises(WireError, match="`p`"):
        logprobs_in(value, "p")


def test_ids_outside_of_the_vocabulary_are_refused():
    assert ids_in([0, 9], "ids", 10) == [0, 9]
    with pytest.raises(WireError, match="of the vocabulary in `ids`, came 10"):
        ids_in([10], "ids", 10)


def test_a_conversation_becomes_items():
    body = ResponsesForm("m", Sampling(), EndpointBody()).call(REQUEST, None).body
    assert body["input"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1+1?"},
        {
            "type": "function_call",
            "call_id": "call_1",
            "name": "add",
            "arguments": '{"a": 1}',
        },
        {"type": "function_call_output", "call_id": "call_1", "output": "2"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "Sure?"},
    ]
    assert body["tools"] == [{"type": "function", **SCHEMA, "strict": False}]
    assert body["max_output_tokens"] == 256
    assert body["store"] is False


def test_thinking_becomes_an_item_where_asked():
    form = ResponsesForm("m", Sampling(), EndpointBody(send_reasoning=True))
    item = form.call(REQUEST, None).body["input"][2]
    assert item["type"] == "reasoning"
    assert item["content"] == [{"type": "reasoning_text", "text": "hm"}]


@pytest.mark.parametrize("field", ["seed", "top_k", "frequency_penalty"])
def test_what_the_responses_api_cannot_do_is_refused(field):
    with pytest.raises(ValueError, match=f"Responses API cannot do `{field}`=1"):
        ResponsesForm("m", Sampling(**{field: 1}), EndpointBody())


def test_a_response_is_read():
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "I add."}]},
        {
            "type": "function_call",
            "call_id": "c9",
            "name": "add",
            "arguments": "{}",
        },
    ]
    usage = {"input_tokens": 3, "output_tokens": 2}
    answer = {"status": "completed", "output": output, "usage": usage}
    reply = read_response(answer)
    read = read_reply(reply)
    assert (read.text, read.reasoning, read.calls[0].id) == ("I add.", "hm", "c9")
    assert reply.finish_reason == "tool_calls"
    assert reply.usage == Usage(3, 2)


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter")],
)
def test_an_incomplete_response_says_why(reason, finish_reason):
    answer = {"status": "incomplete", "incomplete_details": {"reason": reason}}
    assert read_response({**answer, "output": []}).finish_reason == finish_reason


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([], "expected a list of output items"),
        ({"output": [3]}, "expected an object as an item, came 3"),
        ({"output": []}, "expected output items"),
        ({"output": [{"type": "message", "content": 3}]}, "a list of parts, came 3"),
        ({"output": [{"type": "message", "content": [{}]}]}, "a part with a text"),
        (
            {"output": [], "status": "failed", "error": {"code": "server_error"}},
            "the response is 'failed': {'code': 'server_error'}",
        ),
    ],
)
def test_what_is_no_response_is_named(answer, message):
    with pytest.raises(WireError, match=message):
        read_response(answer)


def test_usage_that_makes_no_sense_is_left_out():
    answer = {**completion(), "usage": {"prompt_tokens": -1, "completion_tokens": 2}}
    assert read_chat(answer).usage is None


def grown(value):
    """Put a value at any place of an answer."""
    names = ["message", "content", "tool_calls", "reasoning", "finish_reason"]
    names += ["logprobs", "token_ids", "role"]
    choice = st.fixed_dictionaries({}, optional=dict.fromkeys(names, value))
    message = st.fixed_dictionaries({}, optional=dict.fromkeys(names, value))
    finish = st.just("stop")
    whole = st.builds(
        lambda c, m, f: {"choices": [{**c, "message": m, "finish_reason": f}]},
        choice,
        message,
        finish,
    )
    kinds = st.sampled_from(["message", "reasoning", "function_call", "other"])
    item = st.fixed_dictionaries(
        {"type": kinds},
        optional=dict.fromkeys(["content", "summary", "call_id", "arguments"], value),
    )
    output = st.builds(lambda items: {"output": items}, st.lists(item, max_size=3))
    return value | whole | output


@settings(max_examples=40)
@given(answer=grown(json_values))
def test_any_json_is_a_reply_that_can_be_read_or_a_wire_error(answer):
    for read in (read_chat, read_response):
        try:
            reply = read(answer)
        except WireError:
            continue
        read_reply(reply)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"extra": {"seed": 1}}, r"`extra` may not hold \['seed'\]"),
        ({"omit": ("model",)}, r"`omit` may hold .*, not \['model'\]"),
    ],
)
def test_a_body_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EndpointBody(**arguments)


def test_a_value_that_cannot_be_shown_is_named_by_its_type():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert shorten(deep) == "a list that cannot be shown"
    assert shorten("x" * 500) == "'" + "x" * 199 + "..."


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("top_k", -1, "`top_k` must be 0 or more, not -1"),
        ("min_p", 1.0, "`min_p` must be 0 or more and below 1, not 1.0"),
        ("stop", "x", "`stop` must be a tuple of texts, not 'x'"),
        ("stop", ("",), "`stop` must be a tuple of texts"),
        ("presence_penalty", 3, "`presence_penalty` must be between -2 and 2, not 3"),
    ],
)
def test_settings_out_of_range_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**{field: value})


def test_an_engine_refuses_the_settings_that_it_cannot_do():
    Sampling(top_p=0.5).require_only("top_p", engine="X")
    with pytest.raises(ValueError, match=r"X cannot do `top_k`=2 .* must be 0"):
        Sampling(top_k=2, seed=1).require_only("seed", engine="X")
