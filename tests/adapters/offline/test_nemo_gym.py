"""Rollout rows of NeMo Gym, made by hand in the form that its repository has."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym.adapters.offline.nemo_gym import episode_of_row
from llm_gym.errors import FormatError

TOOL = {
    "type": "function",
    "name": "search",
    "description": "Search.",
    "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
    "strict": False,
}


def message(text, role="assistant"):
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": role, "content": content, "status": "completed"}


def call(number, **arguments):
    return {
        "type": "function_call",
        "call_id": f"call_{number}",
        "name": "search",
        "arguments": json.dumps(arguments),
        "status": "completed",
    }


def result(number, text):
    call_id = f"call_{number}"
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def thought(text):
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}


def row(output, asked=None, **more):
    asked = asked or [{"role": "user", "content": "Who won?", "type": "message"}]
    return {
        "responses_create_params": {"input": asked, "tools": [TOOL]},
        "response": {"output": output, "model": "m-1", "usage": {"output_tokens": 7}},
        "reward": 1.0,
        "agent_ref": {"type": "responses_api_agents", "name": "searcher"},
        "_ng_task_index": 3,
        "_ng_rollout_index": 1,
        **more,
    }


def test_an_agents_rollout_is_a_conversation():
    output = [thought("Look."), message("I search."), call(1, q="a"), call(2, q="b")]
    episode = episode_of_row(
        row([*output, result(1, "x"), result(2, "y"), message("You.")])
    )
    first, *results, last = episode.completion
    assert first["reasoning_content"] == "Look."
    assert first["content"] == "I search."
    assert [c["function"]["arguments"] for c in first["tool_calls"]] == [
        {"q": "a"},
        {"q": "b"},
    ]
    assert [(m["role"], m["content"], m["name"]) for m in results] == [
        ("tool", "x", "search"),
        ("tool", "y", "search"),
    ]
    assert last == {"role": "assistant", "content": "You."}
    assert episode.tools[0]["function"]["parameters"] == TOOL["parameters"]


def test_what_it_was_asked_is_the_prompt():
    asked = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "input_text", "text": "Who won?"}]},
    ]
    episode = episode_of_row(row([message("You.")], asked))
    assert [m["role"] for m in episode.prompt] == ["system", "user"]
    assert episode.prompt[1]["content"] == "Who won?"
    plain = row([message("You.")], "Who won?")
    plain["responses_create_params"]["instructions"] = "Be short."
    assert episode_of_row(plain).prompt == episode.prompt


def test_users_speak_between_replies():
    said = {"role": "user", "content": "And then?", "type": "message"}
    episode = episode_of_row(row([message("You."), said, message("Nothing.")]))
    assert [m["role"] for m in episode.completion] == ["assistant", "user", "assistant"]


def test_facts_and_parts_come_from_the_row():
    episode = episode_of_row(row([message("You.")], is_correct=True, note="fine"))
    facts = episode.facts
    assert (facts["reward"], facts["turns"], facts["tokens"]) == (1.0, 1, 7.0)
    assert (facts["env"], facts["task"], facts["policy"]) == ("searcher", "3", "m-1")
    assert facts["parts.is_correct"] == 1.0
    assert "parts.note" not in facts
    assert facts["valid"] is True


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"_ng_failure_class": "judge_failed", "response": None},
            "fault: judge_failed",
        ),
        ({"reward": None}, "unfinished: it has no reward"),
        ({"mask_sample": True}, "fault: its row says `mask_sample`"),
        ({"response": {"output": [], "error": {"code": 500}}}, "fault: {'code'"),
        ({"response": {"output": []}}, "no reply"),
    ],
)
def test_what_can_be_no_data_says_why(changes, expected):
    episode = episode_of_row({**row([message("You.")]), **changes})
    assert episode.problem.startswith(expected)


def test_a_row_that_was_cut_off_is_not_to_be_imitated():
    cut = row([message("You")])
    cut["response"]["incomplete_details"] = {"reason": "max_output_tokens"}
    episode = episode_of_row(cut)
    assert (episode.unlike, episode.problem) == ("a reply was cut off", "")
    assert episode.facts["stop_reason"] == "max_output_tokens"
    assert episode.facts["truncated"] is True


def test_a_call_that_cannot_be_read_is_counted():
    broken = {**call(1), "arguments": '{"q": '}
    episode = episode_of_row(row([broken, result(1, "what?")]))
    assert episode.facts["invalid_calls"] == 1
    assert episode.unlike.startswith("a call could not be read")


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({"a": 1}, "neither a trajectory of llm_gym nor a rollout row of NeMo Gym"),
        ([], "neither a trajectory"),
        ({"responses_create_params": {"input": []}}, "a task row of NeMo Gym"),
        (row([{"type": "web_search_call"}]), "of type 'web_search_call'"),
        (row(["x"]), "an item of a conversation is 'x'"),
        (
            row([], [{"role": "user", "content": [{"type": "input_image"}]}]),
            "a content holds 'input_image', which is no text",
        ),
        (row([{"role": "narrator", "content": "x"}]), "the role 'narrator'"),
    ],
)
def test_what_is_no_rollout_says_what_it_is(broken, expected):
    with pytest.raises(FormatError, match=expected):
        episode_of_row(broken)


def test_conversations_that_are_listed_after_each_step_are_read_once():
    asked = {"role": "user", "content": "Who won?", "type": "message"}
    steps = [
        [asked, call(1, q="a"), result(1, "x")],
        [asked, call(1, q="a"), result(1, "x"), message("You.")],
    ]
    listed = row(steps)
    listed["responses_create_params"]["input"] = []
    episode = episode_of_row(listed)
    assert [m["role"] for m in episode.prompt] == ["user"]
    assert [m["role"] for m in episode.completion] == ["assistant", "tool", "assistant"]


def test_token_ids_become_exact_samples():
    first = {**message("Hi."), "prompt_token_ids": [1, 2]}
    first |= {"generation_token_ids": [3], "generation_log_probs": [-0.5]}
    last = {**message("Bye."), "prompt_token_ids": [1, 2, 3, 4]}
    last |= {"generation_token_ids": [5, 6], "generation_log_probs": [-1.0, -2.0]}
    episode = episode_of_row(row([first, last]))
    (sample,) = episode.tokens.to_samples()
    assert sample.prompt_ids == (1, 2)
    assert sample.completion_ids == (3, 4, 5, 6)
    assert sample.mask == (1, 0, 1, 1)
    assert sample.logprobs == (-0.5, 0.0, -1.0, -2.0)


def test_a_prompt_that_was_rendered_anew_begins_a_segment():
    first = {**message("Hi."), "prompt_token_ids": [1, 2], "generation_token_ids": [3]}
    last = {**message("Bye."), "prompt_token_ids": [1, 9], "generation_token_ids": [5]}
    samples = episode_of_row(row([first, last])).tokens.to_samples()
    assert [s.completion_ids for s in samples] == [(3,), (5,)]


items = st.sampled_from(
    [
        message("Hi."),
        message(""),
        thought("Hm."),
        call(1, q="a"),
        call(2),
        result(1, "x"),
        message("Go on.", "user"),
    ]
)


@given(st.lists(items, max_size=8))
def test_every_text_call_and_result_is_kept_in_order(output):
    episode = episode_of_row(row(output))
    said = [*episode.prompt, *episode.completion]
    text = [m["content"] for m in said if m["role"] == "assistant" and m["content"]]
    last = max((i for i, x in enumerate(output) if _is_reply(x)), default=-1)
    kept = output[: last + 1]
    assert text == [x["content"][0]["text"] for x in kept if _speaks(x)]
    calls = [c["id"] for m in said for c in m.get("tool_calls", ())]
    wanted = [x["call_id"] for x in kept if x["type"] == "function_call"]
    assert calls == wanted
    assert not episode.completion or episode.completion[-1]["role"] == "assistant"


def _is_reply(item):
    kind = item["type"]
    return kind in ("function_call", "reasoning") or item.get("role") == "assistant"


def _speaks(item):
    return item.get("role") == "assistant" and item["content"][0]["text"]
