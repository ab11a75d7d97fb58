"""The shipped server, asked as a stranger would ask it: by urllib."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request

import pytest

from llm_gym.messages import Reply
from llm_gym.testing import Fault, FaultPlan, LocalServer, ScriptedPolicy

pytest.importorskip("aiohttp")

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
BAD = {"id": "c2", "type": "function", "function": {"name": "add", "arguments": "{"}}


def post(url, body, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    data = json.dumps(body).encode()
    asked = urllib.request.Request(
        url, data, {"Content-Type": "application/json", **names}
    )
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as err:
        with err:
            return err.code, json.load(err)


def chat(server, *contents, **more):
    roles = ["user", "assistant"] * len(contents)
    pairs = zip(roles, contents, strict=False)
    messages = [{"role": role, "content": content} for role, content in pairs]
    return post(f"{server.url}/chat/completions", {"messages": messages, **more})[1]


def said(answer):
    return answer["choices"][0]["message"]["content"]


def test_a_script_follows_the_conversation_and_its_last_line_repeats():
    with LocalServer(["one", "two"]) as server:
        turns = [("a",), ("a", "one", "b"), ("a", "one", "b", "two", "c"), ("a",)]
        assert [said(chat(server, *t)) for t in turns] == ["one", "two", "two", "one"]


def test_without_a_script_it_echoes():
    with LocalServer() as server:
        assert said(chat(server, "a", "b", "c")) == "c"
        status, answer = post(f"{server.url}/completions", {"prompt": "say"})
        assert (status, answer["choices"][0]["text"]) == (200, "say")
        _, answer = post(f"{server.url}/responses", {"input": "hello"})
        assert answer["output"][0]["content"][0]["text"] == "hello"


def test_a_function_makes_the_reply_from_the_body():
    def line(body):
        return Reply(f"{len(body['messages'])}", finish_reason="length")

    with LocalServer(line) as server:
        answer = chat(server, "a", "b", "c")
    assert said(answer) == "3"
    assert answer["choices"][0]["finish_reason"] == "length"


def test_tool_calls_are_told_by_each_api():
    line = {"content": "", "tool_calls": [CALL], "reasoning_content": "hm"}
    with LocalServer([line]) as server:
        choice = chat(server, "a")["choices"][0]
        _, response = post(f"{server.url}/responses", {"input": "a"})
        _, completion = post(f"{server.url}/completions", {"prompt": "a"})
    assert choice["message"]["tool_calls"] == [CALL]
    assert choice["finish_reason"] == "tool_calls"
    assert [item["type"] for item in response["output"]] == [
        "reasoning",
        "function_call",
    ]
    text = completion["choices"][0]["text"]
    assert text.startswith("<think>hm</think><tool_call>")


def test_a_malformed_call_is_written_as_a_model_may():
    with LocalServer([{"content": "", "tool_calls": [BAD]}]) as server:
        _, completion = post(f"{server.url}/completions", {"prompt": "a"})
    assert completion["choices"][0]["text"].startswith("<tool_call>{'name'")


def test_replies_of_the_responses_api_count_as_turns():
    items = [
        {"role": "user", "content": "a"},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "3"},
    ]
    with LocalServer(["one", "two", "three"]) as server:
        _, answer = post(f"{server.url}/responses", {"input": items})
    assert answer["output"][0]["content"][0]["text"] == "two"


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        ("stop", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_a_response_says_how_it_ended(reason, status, why):
    with LocalServer([Reply("a", finish_reason=reason)]) as server:
        _, answer = post(f"{server.url}/responses", {"input": "a"})
    assert (answer["status"], answer["incomplete_details"]) == (status, why)


def test_ids_come_back_where_they_are_asked_for():
    prompt = [104, 105]
    asked = {"prompt": prompt, "return_token_ids": True, "logprobs": 0}
    with LocalServer(["ok"]) as server:
        _, answer = post(f"{server.url}/completions", asked)
        told = chat(server, "hi", return_token_ids=True, logprobs=True)
        plain = chat(server, "hi")
    choice = answer["choices"][0]
    assert choice["prompt_token_ids"] == prompt
    assert choice["token_ids"] == [111, 107, 256]
    assert len(choice["logprobs"]["token_logprobs"]) == 3
    assert answer["usage"]["total_tokens"] == 5
    assert told["choices"][0]["token_ids"] == [111, 107, 256]
    assert len(told["choices"][0]["logprobs"]["content"]) == 3
    assert told["prompt_token_ids"] == list(b"user: hi\n")
    assert "prompt_token_ids" not in plain


def test_the_scripts_own_ids_are_told():
    line = Reply("x", sampled_ids=[7, 8], logprobs=[-1.0, -2.0])
    with LocalServer([line]) as server:
        told = chat(server, "hi", return_token_ids=True, logprobs=True)
    content = told["choices"][0]["logprobs"]["content"]
    assert told["choices"][0]["token_ids"] == [7, 8]
    assert [one["logprob"] for one in content] == [-1.0, -2.0]


def test_completions_come_in_their_order():
    with LocalServer(["one", "two"]) as server:
        url = f"{server.url}/completions"
        texts = [post(url, {"prompt": "p"})[1]["choices"][0]["text"] for _ in range(3)]
    assert texts == ["one", "two", "two"]


def test_a_long_reply_is_cut_off():
    with LocalServer(["abcdef"]) as server:
        answer = chat(server, "hi", max_tokens=3)
    assert said(answer) == "abc"
    assert answer["choices"][0]["finish_reason"] == "length"


def test_a_prompt_beyond_the_context_is_refused():
    with LocalServer(context_tokens=50) as server:
        url = f"{server.url}/completions"
        good, _ = post(url, {"prompt": "x" * 40, "max_tokens": 10})
        status, answer = post(url, {"prompt": "x" * 41, "max_tokens": 10})
        _, told = post(f"{server.root_url}/tokenize", {"prompt": "abc"})
    assert (good, status) == (200, 400)
    assert answer["error"]["code"] == "context_length_exceeded"
    assert told == {"tokens": [97, 98, 99], "count": 3, "max_model_len": 50}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer k1"}, 200),
        ({"api_key": "k1"}, 200),
        ({"Authorization": "Bearer k2"}, 401),
        ({}, 401),
    ],
)
def test_a_key_is_asked_for_and_not_kept(headers, status):
    with LocalServer(["a"], key="k1") as server:
        url = f"{server.url}/chat/completions"
        got, _ = post(url, {"messages": []}, **headers)
    assert got == status
    assert "k1" not in repr(server.requests)


def test_azures_paths_need_a_version_and_the_deployment():
    with LocalServer(["a"], model="d1") as server:
        path = "/openai/deployments/{}/chat/completions{}"
        statuses = [
            post(server.root_url + path.format(*parts), {"messages": []})[0]
            for parts in [("d1", "?api-version=v"), ("d1", ""), ("d2", "?api-version=")]
        ]
    assert statuses == [200, 404, 404]


@pytest.mark.parametrize(
    ("api", "body", "words"),
    [
        ("completions", {"prompt": ["a"]}, "`prompt` must be a text or a list"),
        ("chat/completions", {"messages": "x", "stream": True}, "does not stream"),
        ("chat/completions", {"messages": [3]}, "must be a list of messages"),
    ],
)
def test_a_request_in_no_known_form_is_refused(api, body, words):
    with LocalServer() as server:
        status, answer = post(f"{server.url}/{api}", body)
    assert status == 400
    assert words in answer["error"]["message"]


def test_requests_are_kept_with_their_faults_up_to_a_limit():
    plan = FaultPlan([Fault.CONFLICT])
    with LocalServer(faults=plan, keep_requests=2) as server:
        chat(server, "a")
        first = server.requests[0]
        chat(server, "b")
        chat(server, "c")
    assert (first.number, first.fault, first.path) == (
        0,
        Fault.CONFLICT,
        "/v1/chat/completions",
    )
    assert [seen.number for seen in server.requests] == [1, 2]


def test_replies_take_as_long_as_asked():
    with LocalServer(delay_seconds=(0.05, 0.06)) as server:
        began = time.monotonic()
        chat(server, "a")
        assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("script", [[], "a text", {"content": "a"}])
def test_a_script_that_is_none_is_refused(script):
    with pytest.raises(ValueError, match="a function or at least one reply, not"):
        LocalServer(script)


def test_a_port_that_is_taken_is_told():
    with LocalServer() as server:
        taken = int(server.root_url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            LocalServer(port=taken).start()


def test_stopping_leaves_no_thread_and_does_not_wait_for_who_waits():
    threads = threading.active_count()
    server = LocalServer(faults=[Fault.SILENCE])
    server.start()

    def wait():
        with contextlib.suppress(OSError):
            chat(server, "a")

    caller = threading.Thread(target=wait)
    caller.start()
    while not server.requests:
        time.sleep(0.005)
    server.stop()
    server.stop()
    caller.join(5)
    assert threading.active_count() <= threads


def test_the_scripted_policy_is_offered_too():
    assert ScriptedPolicy(["a"])
