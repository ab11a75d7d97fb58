"""Prompts as ids, replies from ids, and when a new segment begins."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from llm_gym.episode import with_reasoning
from llm_gym.messages import ChatRequest, Message, call_text
from llm_gym.replies import read_reply
from llm_gym.tokens import ChatTokens, TokenTrace
from tests.policies.tiny import (
    ADD,
    CALLS_APART,
    END,
    HERMES,
    PLAIN,
    RESPONSE_TEMPLATE,
    THINKING,
    ask,
    tiny_tokenizer,
)

ADDS = call_text("add", {"a": 2, "b": 2})
# As Qwen3: thinking is shown while tools answer, until the user speaks again.
QWEN = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
) + HERMES.replace(
    "{{ m.content }}{% for c in",
    "{% if m.reasoning_content and loop.index0 > ns.last %}<think>"
    "{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}{% for c in",
)


@pytest.fixture(scope="module")
def hermes() -> ChatTokens:
    return ChatTokens(tiny_tokenizer(HERMES), "tiny")


def say(
    tokens: ChatTokens, request: ChatRequest, trace: TokenTrace, text: str
) -> Message:
    """Sample a text and return what an environment shows of it."""
    prompt = tokens.prompt(request, trace)
    reply = tokens.reply(request, prompt, tokens.encode(text), trace=trace)
    tools = bool(request.get("tools"))
    return with_reasoning(read_reply(reply, turn=trace.turns - 1, with_tools=tools))


def result(message: Message, content: str = "4") -> list[Message]:
    return [
        {"role": "tool", "tool_call_id": c["id"], "content": content}
        for c in message["tool_calls"]
    ]


def after(request: ChatRequest, *messages: Message) -> ChatRequest:
    return {**request, "messages": [*request["messages"], *messages]}


def test_result_is_appended_to_what_was_sampled(hermes: ChatTokens) -> None:
    trace, request = TokenTrace(), ask("hello", ADD)
    said = say(hermes, request, trace, f"I add. {ADDS}{END}")
    before = trace.ids
    prompt = hermes.prompt(after(request, said, *result(said)), trace)
    assert prompt.ids == before + (prompt.added or [])
    assert prompt.text == hermes.decode(prompt.added or [])
    assert prompt.text == (
        "\n<|im_start|>user\n<tool_response>4</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_reply_that_was_cut_off_is_ended_by_what_is_added(hermes: ChatTokens) -> None:
    trace, request = TokenTrace(), ask("hello")
    said = say(hermes, request, trace, "I ad")
    next_request = after(request, said, {"role": "user", "content": "go on"})
    prompt = hermes.prompt(next_request, trace)
    assert prompt.added is not None
    assert hermes.decode(prompt.added[:1]) == END


def test_reply_tells_ids_usage_and_why_it_stopped(hermes: ChatTokens) -> None:
    request, trace = ask("hello"), TokenTrace()
    prompt = hermes.prompt(request)
    sampled = hermes.encode(f"hi{END}")
    logprobs = [-1.0] * len(sampled)
    reply = hermes.reply(request, prompt, sampled, logprobs=logprobs, trace=trace)
    assert (reply.message, reply.finish_reason) == ("hi", "stop")
    assert list(reply.prompt_ids or ()) == prompt.ids
    assert list(reply.sampled_ids or ()) == sampled
    assert list(reply.logprobs or ()) == logprobs
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == len(prompt.ids)
    assert reply.usage.completion_tokens == len(sampled)
    cut = hermes.reply(request, prompt, sampled[:-1])
    assert (cut.message, cut.finish_reason) == ("hi", "length")
    assert hermes.reply(request, prompt, []).finish_reason == "length"


def test_parsed_calls_are_the_reason_to_stop() -> None:
    tokenizer = tiny_tokenizer(CALLS_APART)
    tokenizer.response_template = RESPONSE_TEMPLATE
    tokens = ChatTokens(tokenizer, "tiny")
    request = ask("hello", ADD)
    prompt = tokens.prompt(request)
    text = '[CALL]{"name": "add", "arguments": {"a": 1, "b": 1}}[/CALL]'
    reply = tokens.reply(request, prompt, tokens.encode(text + END))
    assert reply.finish_reason == "tool_calls"
    assert tokens.reply(request, prompt, tokens.encode(text)).finish_reason == "length"


def other(message: Message, **changes: Any) -> Message:
    return {**message, **changes}  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda u, s, r: [other(u, content="Hello"), s, *r], "rewrote the conv"),
        (lambda u, s, r: [u], "rewrote the conversation"),
        (lambda u, s, r: [u, other(s, content="I sub."), *r], "rewrote the reply"),
        (lambda u, s, r: [u, other(s, reasoning_content="x"), *r], "rewrote the reply"),
        (lambda u, s, r: [u, s], r"by its results or by the user: \[\]"),
        (lambda u, s, r: [u, s, *r, u], r"the user: \['tool', 'user'\]"),
        (lambda u, s, r: [u, s, other(r[0], tool_call_id="x")], r"\['tool'\]"),
    ],
)
def test_rewritten_history_begins_a_segment(
    hermes: ChatTokens, change: Any, why: str
) -> None:
    trace, request = TokenTrace(), ask("hello", ADD)
    said = say(hermes, request, trace, f"I add.{ADDS}{END}")
    messages = change(request["messages"][0], said, result(said))
    prompt = hermes.prompt({**request, "messages": messages}, trace)
    assert prompt.added is None
    assert re.search(why, prompt.why)


def test_other_tools_begin_a_segment(hermes: ChatTokens) -> None:
    trace, request = TokenTrace(), ask("hello", ADD)
    said = say(hermes, request, trace, f"hi{END}")
    later = after(request, said, {"role": "user", "content": "go on"})
    changed = copy.deepcopy(ADD)
    assert hermes.prompt({**later, "tools": [changed]}, trace).added
    changed["function"]["description"] = "Add."
    assert hermes.prompt({**later, "tools": [changed]}, trace).why == (
        "the environment changed the tools"
    )


def test_other_tokenizer_begins_a_segment(hermes: ChatTokens) -> None:
    trace, request = TokenTrace(), ask("hello")
    said = say(hermes, request, trace, f"hi{END}")
    later = after(request, said, {"role": "user", "content": "go on"})
    another = ChatTokens(tiny_tokenizer(HERMES), "tiny")
    assert another.prompt(later, trace).why.startswith("another tokenizer")


def test_other_end_of_a_reply_begins_a_segment() -> None:
    tokenizer = tiny_tokenizer(HERMES)
    call = tokenizer.convert_tokens_to_ids("<|call|>")
    tokens = ChatTokens(tokenizer, "tiny", [call])
    trace, request = TokenTrace(), ask("hello", ADD)
    said = say(tokens, request, trace, f"{ADDS}<|call|>")
    prompt = tokens.prompt(after(request, said, *result(said)), trace)
    assert prompt.why == (
        "the reply ended with '<|call|>' where it is shown with '<|im_end|>'"
    )


def test_stop_token_that_is_plain_text_is_no_mark() -> None:
    tokenizer = tiny_tokenizer(PLAIN)
    (letter,) = tokenizer("h", add_special_tokens=False)["input_ids"]
    tokens = ChatTokens(tokenizer, "tiny", [letter])
    assert letter in tokens.stop_ids
    assert tokens.marked_ends == (END,)
    assert tokens.with_stops([letter]) is tokens
    assert tokens.with_stops([70]) is tokens
    call = tokenizer.convert_tokens_to_ids("<|call|>")
    assert call in tokens.with_stops([call]).stop_ids


def test_thinking_is_kept_while_tools_answer_and_dropped_after() -> None:
    tokens = ChatTokens(tiny_tokenizer(QWEN), "tiny")
    trace, request = TokenTrace(), ask("hello", ADD)
    for _ in range(2):
        said = say(tokens, request, trace, f"<think>hm</think>{ADDS}{END}")
        request = after(request, said, *result(said))
        assert tokens.prompt(request, trace).added is not None
    said = say(tokens, request, trace, f"It is 4.{END}")
    request = after(request, said, {"role": "user", "content": "and 5?"})
    prompt = tokens.prompt(request, trace)
    assert "rewrites what stands before a reply (with earlier thinking" in prompt.why
    # From here on no thought is shown, so that nothing is left to be dropped.
    said = say(tokens, request, trace, f"5.{END}")
    request = after(request, said, {"role": "user", "content": "thanks"})
    assert tokens.prompt(request, trace).added is not None


def test_new_segment_knows_the_thinking_that_it_shows() -> None:
    tokens = ChatTokens(tiny_tokenizer(QWEN), "tiny")
    trace, request = TokenTrace(), ask("hello", ADD)
    said = say(tokens, request, trace, f"<think>hm</think>{ADDS}{END}")
    request = after(request, said, *result(said))
    trace = TokenTrace()  # as after a rewriting: the thought stands in the prompt
    said = say(tokens, request, trace, f"It is 4.{END}")
    request = after(request, said, {"role": "user", "content": "and 5?"})
    assert "thinking" in tokens.prompt(request, trace).why


def test_empty_thought_that_is_dropped_begins_a_segment() -> None:
    tokens = ChatTokens(tiny_tokenizer(QWEN), "tiny")
    trace, request = TokenTrace(), ask("hello", ADD)
    said = say(tokens, request, trace, f"<think></think>{ADDS}{END}")
    prompt = tokens.prompt(after(request, said, *result(said)), trace)
    assert "thinking (an empty thought and a call, then a tool result)" in prompt.why


def test_prompt_that_opens_a_thought_is_told_to_the_parser() -> None:
    tokens = ChatTokens(tiny_tokenizer(THINKING), "tiny")
    assert tokens.prompt(ask("hello")).text.endswith("<think>\n")


def test_glue_that_the_template_refuses_begins_a_segment() -> None:
    refusing = PLAIN + "{{ messages[-1].content == 'no' and raise_exception('no') }}"
    tokens = ChatTokens(tiny_tokenizer(refusing), "tiny")
    trace, request = TokenTrace(), ask("hello")
    said = say(tokens, request, trace, f"hi{END}")
    with pytest.raises(ValueError, match="refuses the roles"):  # anew it does too
        tokens.prompt(after(request, said, {"role": "user", "content": "no"}), trace)


def test_hashes_tell_tokenizers_and_templates_apart(hermes: ChatTokens) -> None:
    again = ChatTokens(tiny_tokenizer(HERMES), "other name")
    assert again.tokenizer_hash == hermes.tokenizer_hash
    assert again.template_hash == hermes.template_hash
    plain = ChatTokens(tiny_tokenizer(PLAIN), "tiny")
    assert plain.tokenizer_hash == hermes.tokenizer_hash
    assert plain.template_hash != hermes.template_hash
    other_end = ChatTokens(tiny_tokenizer(HERMES, eos_token="<|call|>"), "tiny")
    assert other_end.tokenizer_hash != hermes.tokenizer_hash


def test_hash_does_not_depend_on_calls_that_pad() -> None:
    tokenizer = tiny_tokenizer(HERMES)
    before = ChatTokens(tokenizer, "tiny").tokenizer_hash
    tokenizer(["a", "abc"], padding=True, truncation=True, max_length=2)
    assert ChatTokens(tokenizer, "tiny").tokenizer_hash == before


def test_trace_carries_the_hashes(hermes: ChatTokens) -> None:
    trace = TokenTrace()
    say(hermes, ask("hello"), trace, f"hi{END}")
    record = trace.record()
    assert record.tokenizer_hash == hermes.tokenizer_hash
    assert record.template_hash == hermes.template_hash
