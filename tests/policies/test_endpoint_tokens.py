"""Token ids in and out, against the shipped server with a real tokenizer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from llm_gym.errors import PolicyFault
from llm_gym.messages import Reply
from llm_gym.policies.endpoint import EndpointError, EndpointLimits, EndpointPolicy
from llm_gym.policies.sampling import Sampling
from llm_gym.replies import read_reply
from llm_gym.testing import Fault, FaultPlan, LocalServer
from llm_gym.tokens.trace import TokenTrace

pytest.importorskip("aiohttp")
pytest.importorskip("torch")

from tests.policies.tiny import ADD, HERMES, PLAIN, ask, tiny_tokenizer

LIMITS = EndpointLimits(attempts=2, backoff_seconds=0.001)
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'},
}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer(HERMES)


def policy_of(server, tokenizer, **options):
    options.setdefault("limits", LIMITS)
    return EndpointPolicy(server.url, "m", api="tokens", tokenizer=tokenizer, **options)


def reply_to(policy, request, trace=None):
    return asyncio.run(policy.reply(request, trace))


def test_what_was_read_and_sampled_fills_reply_and_trace(tokenizer):
    with LocalServer(["Hello."], tokenizer=tokenizer) as server:
        policy, trace = policy_of(server, tokenizer), TokenTrace()
        reply = reply_to(policy, ask("Hi!"), trace)
    body = server.requests[0].body
    assert body["prompt"] == list(reply.prompt_ids) == trace.prompt_ids
    assert tokenizer.decode(body["prompt"]).endswith("<|im_start|>assistant\n")
    assert tokenizer.decode(reply.sampled_ids) == "Hello.<|im_end|>"
    assert [i for i, one in zip(trace.ids, trace.mask, strict=True) if one] == list(
        reply.sampled_ids
    )
    assert len(reply.logprobs) == len(reply.sampled_ids)
    assert read_reply(reply).text == "Hello."
    assert reply.finish_reason == "stop"


def test_the_request_asks_for_ids_and_log_probabilities(tokenizer):
    with LocalServer(["a"], tokenizer=tokenizer) as server:
        reply_to(policy_of(server, tokenizer, sampling=Sampling(top_k=3)), ask("Hi!"))
    body = server.requests[0].body
    assert body["return_token_ids"] is True
    assert (body["logprobs"], body["top_k"]) == (0, 3)
    assert tokenizer.eos_token_id in body["stop_token_ids"]


def test_a_conversation_is_appended_to_and_never_tokenised_again(tokenizer):
    script = [{"content": "", "tool_calls": [CALL]}, "It is 3."]
    trace = TokenTrace()
    with LocalServer(script, tokenizer=tokenizer) as server:
        policy = policy_of(server, tokenizer)
        request = ask("1+2?", ADD)
        read = read_reply(reply_to(policy, request, trace))
        result = {"role": "tool", "tool_call_id": read.calls[0].id, "content": "3"}
        request["messages"] += [read.message, {**result, "name": "add"}]
        last = reply_to(policy, request, trace)
    assert read.calls[0].arguments == {"a": 1, "b": 2}
    assert len(trace.segments) == 1
    assert trace.turns == 2
    sent = server.requests[1].body["prompt"]
    assert sent + list(last.sampled_ids) == trace.ids


def test_a_reply_cut_off_is_told(tokenizer):
    with LocalServer(["a long reply"], tokenizer=tokenizer) as server:
        policy = policy_of(server, tokenizer, sampling=Sampling(max_new_tokens=3))
        reply = reply_to(policy, ask("Hi!"))
    assert reply.finish_reason == "length"
    assert len(reply.sampled_ids) == 3


def test_an_end_that_only_the_server_knows_is_an_end(tokenizer):
    end = tokenizer.convert_tokens_to_ids("<|call|>")
    ids = [*tokenizer("hey", add_special_tokens=False)["input_ids"], end]
    with LocalServer([Reply("hey", sampled_ids=ids)], tokenizer=tokenizer) as server:
        reply = reply_to(policy_of(server, tokenizer), ask("Hi!"))
    assert (reply.finish_reason, read_reply(reply).text) == ("stop", "hey")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault.WRONG_PROMPT_IDS, "server read 23 prompt ids instead of the 22 that"),
        (Fault.WRONG_IDS, "ids of the vocabulary in `token_ids`, came 1000000000"),
        (Fault.FEW_LOGPROBS, "each of 5 sampled ids, came 4"),
        (Fault.NO_IDS, "does not know `return_token_ids`"),
        (Fault.ABORTED, "finish reason, came 'abort'"),
    ],
)
def test_ids_that_do_not_fit_are_a_fault_and_leave_the_trace_alone(
    fault, message, tokenizer
):
    trace, plan = TokenTrace(), FaultPlan(always=fault)
    with LocalServer(["good"], tokenizer=tokenizer, faults=plan) as server:
        policy = policy_of(server, tokenizer)
        with pytest.raises(PolicyFault, match=message):
            reply_to(policy, ask("Hi!"), trace)
    assert len(server.requests) == 2
    assert not trace


def test_a_prompt_id_that_differs_is_named(tokenizer):
    policy = EndpointPolicy("http://h/v1", "m", api="tokens", tokenizer=tokenizer)
    call = policy._form.call(ask("Hi!"), None)
    sent = call.body["prompt"]
    choice = {"prompt_token_ids": [*sent[:4], 0, *sent[5:]], "finish_reason": "stop"}
    with pytest.raises(ValueError, match="the first that differs is number 4"):
        call.read({"choices": [choice]})


def test_a_trace_outlives_faults_between_its_turns(tokenizer):
    trace = TokenTrace()
    plan = [None, Fault.WRONG_IDS, None]
    with LocalServer(["a", "b"], tokenizer=tokenizer, faults=plan) as server:
        policy = policy_of(server, tokenizer)
        request = ask("Hi!")
        read = read_reply(reply_to(policy, request, trace))
        request["messages"] += [read.message, {"role": "user", "content": "More."}]
        reply_to(policy, request, trace)
    assert trace.turns == 2
    assert len(server.requests) == 3


def test_an_overflow_leaves_the_trace_alone_and_tells_the_prompt(tokenizer):
    trace = TokenTrace()
    with LocalServer(["a"], tokenizer=tokenizer, context_tokens=40) as server:
        policy = policy_of(server, tokenizer, sampling=Sampling(30))
        reply = reply_to(policy, ask("Hi!"), trace)
    assert reply.finish_reason == "length"
    assert reply.usage.prompt_tokens == len(server.requests[0].body["prompt"])
    assert not trace


def test_a_reply_limit_beyond_the_context_is_the_callers_mistake(tokenizer):
    with LocalServer(["a"], tokenizer=tokenizer, context_tokens=40) as server:
        policy = policy_of(server, tokenizer, sampling=Sampling(40))
        with pytest.raises(EndpointError, match="lower `max_new_tokens`, which is 40"):
            reply_to(policy, ask("Hi!"))


def test_stop_texts_are_refused(tokenizer):
    with pytest.raises(ValueError, match="token ids cannot do `stop`"):
        EndpointPolicy(
            "http://h/v1",
            "m",
            api="tokens",
            tokenizer=tokenizer,
            sampling=Sampling(stop=("x",)),
        )


def test_a_plain_template_works_too():
    tokenizer = tiny_tokenizer(PLAIN)
    with LocalServer(["ok"], tokenizer=tokenizer) as server:
        policy = policy_of(server, tokenizer, limits=replace(LIMITS, attempts=1))
        assert read_reply(reply_to(policy, ask("Hi!", ADD))).text == "ok"
