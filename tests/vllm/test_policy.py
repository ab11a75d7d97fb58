"""Replies of a tiny random model: ids, seeds, limits, loops, cancelled calls."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from llm_gym.policies.base import Policy
from llm_gym.policies.embedded import ModelNotFoundError
from llm_gym.policies.sampling import Sampling
from llm_gym.policies.vllm import EngineStateError, VLLMPolicy
from llm_gym.tokens.chat_template import ChatTemplateError
from llm_gym.tokens.trace import TokenTrace
from tests.policies.tiny import ask
from tests.vllm.driving import logprobs_by_transformers, replies

TEXTS = ("hello", "two plus two", "how do you do there", "hello")
REQUESTS = [ask(text) for text in TEXTS]
LONG = Sampling(max_new_tokens=3500, temperature=1.5)


async def until(holds: Any) -> None:
    """Wait until something holds, for ten seconds at most."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


def test_replies_come_with_ids_and_usage(tiny: Any) -> None:
    assert isinstance(tiny, Policy)
    before = tiny.tokens_sampled
    for request, reply in zip(REQUESTS, replies(tiny, REQUESTS), strict=True):
        prompt = tiny.tokenizer.apply_chat_template(
            request["messages"], add_generation_prompt=True, return_dict=True
        )
        assert list(reply.prompt_ids) == prompt["input_ids"]
        assert 1 <= len(reply.sampled_ids) == len(reply.logprobs) <= 8
        assert reply.usage.prompt_tokens == len(reply.prompt_ids)
        assert reply.usage.completion_tokens == len(reply.sampled_ids)
        before += len(reply.sampled_ids)
    assert tiny.tokens_sampled == before
    assert tiny.name == "Tiny-vLLM"


def test_reply_is_the_text_of_its_ids(tiny: Any) -> None:
    for reply in replies(tiny, REQUESTS * 4):
        stopped = reply.sampled_ids[-1] == tiny.tokenizer.eos_token_id
        ids = reply.sampled_ids[:-1] if stopped else reply.sampled_ids
        assert reply.message == tiny.tokenizer.decode(ids)
        assert reply.finish_reason == ("stop" if stopped else "length")


def test_trace_is_what_was_read_and_sampled(tiny: Any) -> None:
    trace = TokenTrace()
    policy = tiny.with_sampling(Sampling(max_new_tokens=4))
    first = asyncio.run(policy.reply(ask("hello"), trace))
    assert trace.ids == [*first.prompt_ids, *first.sampled_ids]
    assert trace.mask == [0] * len(first.prompt_ids) + [1] * len(first.sampled_ids)
    said = {"role": "assistant", "content": first.message}
    request = ask("hello")
    request["messages"] += [said, {"role": "user", "content": "two plus two"}]
    second = asyncio.run(policy.reply(request, trace))
    assert second.prompt_ids[: len(first.prompt_ids)] == first.prompt_ids
    assert trace.ids == [*second.prompt_ids, *second.sampled_ids]
    assert len(trace.segments) == 1


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_logprobs_are_those_of_the_model(
    tiny: Any, tiny_model: Any, temperature: float
) -> None:
    sampling = Sampling(max_new_tokens=8, temperature=temperature, top_p=0.9, top_k=9)
    for reply in replies(tiny.with_sampling(sampling), REQUESTS):
        ids = [*reply.prompt_ids, *reply.sampled_ids]
        expected = logprobs_by_transformers(tiny_model, ids)
        told = expected[-len(reply.sampled_ids) :]
        assert list(reply.logprobs) == pytest.approx(told, abs=1e-3)


def test_top_k_and_top_p_reach_the_engine(tiny: Any) -> None:
    greedy = tiny.with_sampling(Sampling(max_new_tokens=6, temperature=0))
    expected = [reply.sampled_ids for reply in replies(greedy, REQUESTS)]
    for only in ({"top_k": 1}, {"top_p": 0.001}):
        policy = tiny.with_sampling(Sampling(max_new_tokens=6, **only))
        assert [reply.sampled_ids for reply in replies(policy, REQUESTS)] == expected


def test_same_seed_samples_the_same(tiny: Any) -> None:
    def sampled(seed: int) -> list[Any]:
        policy = tiny.with_sampling(Sampling(max_new_tokens=8, seed=seed))
        return [reply.sampled_ids for reply in replies(policy, REQUESTS)]

    first = sampled(1)
    assert sampled(1) == first
    assert sampled(2) != first
    assert first[0] != first[3]  # the same prompt again


def test_sampled_replies_do_not_depend_on_their_batch(tiny: Any) -> None:
    sampling = Sampling(max_new_tokens=8, seed=3)
    together = replies(tiny.with_sampling(sampling), REQUESTS)
    alone = tiny.with_sampling(sampling)
    for request, reply in zip(REQUESTS, together, strict=True):
        assert replies(alone, [request])[0].sampled_ids == reply.sampled_ids


def test_penalties_and_min_p_reach_the_engine(tiny: Any) -> None:
    plain = Sampling(max_new_tokens=64, temperature=0)
    loops = replies(tiny.with_sampling(plain), [ask("hello")])[0].sampled_ids
    strict = Sampling(max_new_tokens=64, temperature=0, presence_penalty=2.0)
    varied = replies(tiny.with_sampling(strict), [ask("hello")])[0].sampled_ids
    assert len(set(varied)) / len(varied) > len(set(loops)) / len(loops)
    sure = Sampling(max_new_tokens=8, min_p=0.999)
    (reply,) = replies(tiny.with_sampling(sure), [ask("hello")])
    assert list(reply.sampled_ids) == list(loops[: len(reply.sampled_ids)])


def test_prompt_that_fills_the_context_is_a_length_stop(tiny: Any) -> None:
    trace = TokenTrace()
    reply = asyncio.run(tiny.reply(ask("a long story " * 500), trace))
    assert (reply.message, reply.finish_reason) == ("", "length")
    assert reply.usage.prompt_tokens > 4096
    assert reply.sampled_ids is None
    assert not trace


def test_reply_near_the_end_of_the_context_stops_there(tiny: Any) -> None:
    overhead = len(replies(tiny, [ask("")])[0].prompt_ids)
    (reply,) = replies(tiny, [ask("x" * (4093 - overhead))])
    assert len(reply.prompt_ids) == 4093
    assert len(reply.sampled_ids) <= 3


def test_prompts_that_fill_more_than_a_batch_are_all_answered(tiny: Any) -> None:
    requests = [ask(f"{i} " + "x" * 1500) for i in range(6)]
    assert len({reply.prompt_ids for reply in replies(tiny, requests)}) == 6


def test_cancelled_call_aborts_its_request(tiny: Any) -> None:
    policy = tiny.with_sampling(LONG)

    async def main() -> None:
        task = asyncio.create_task(policy.reply(ask("hello")))
        await until(lambda: policy._engine.requests == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: policy._engine.requests == 0)

    asyncio.run(main())
    assert policy.tokens_sampled == 0


def test_loop_that_closes_early_leaves_no_request(tiny: Any) -> None:
    policy = tiny.with_sampling(LONG)

    async def main() -> None:
        pending = asyncio.create_task(policy.reply(ask("hello")))
        await until(lambda: policy._engine.requests == 1)
        assert not pending.done()

    asyncio.run(main())
    asyncio.run(until(lambda: policy._engine.requests == 0))
    assert len(replies(tiny, REQUESTS)) == 4


def test_engine_leaves_the_environment_variables_alone(tiny: Any) -> None:
    assert "vllm" not in os.environ.get("LD_PRELOAD", "")
    assert "libgomp" not in os.environ.get("LD_PRELOAD", "")
    assert "VLLM_WORKER_MULTIPROC_METHOD" not in os.environ


# --- what cannot be


@pytest.mark.parametrize("temperature", [0.001, 0.0099])
def test_temperature_that_vllm_would_change_is_refused(
    tiny: Any, temperature: float
) -> None:
    with pytest.raises(
        ValueError, match=r"`temperature` of 0 or of 0.01 and more, not"
    ):
        tiny.with_sampling(Sampling(temperature=temperature))


def test_stop_texts_are_refused(tiny: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot do `stop`=\('END',\) of"):
        tiny.with_sampling(Sampling(stop=("END",)))


def test_ids_that_the_model_has_not_are_refused(tiny: Any) -> None:
    size = len(tiny.tokenizer)
    with pytest.raises(
        ValueError, match=f"has {size} tokens and was given the id {size}"
    ):
        asyncio.run(tiny._engine.generate([5, size], tiny._params(4, 0)))
    assert len(replies(tiny, REQUESTS)) == 4


def test_prompts_that_vllm_refuses_are_the_callers(tiny: Any) -> None:
    with pytest.raises(ValueError, match="vLLM refuses a prompt"):
        asyncio.run(tiny._engine.generate([5] * 5000, tiny._params(4, 0)))
    assert len(replies(tiny, REQUESTS)) == 4


def test_sleep_is_refused_on_a_cpu(tiny: Any) -> None:
    with pytest.raises(EngineStateError, match="`sleep` would free nothing: vLLM"):
        tiny.sleep()
    assert len(replies(tiny, REQUESTS)) == 4


def test_sleep_needs_an_engine_that_was_started_for_it(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny._engine, "on_cpu", False)
    with pytest.raises(EngineStateError, match="'enable_sleep_mode': True"):
        tiny.sleep()


def test_sleeping_policy_replies_again_when_it_is_woken_up(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny._engine, "on_cpu", False)  # where vLLM only pauses
    monkeypatch.setattr(tiny._engine, "_sleeps", True)
    tiny.sleep(level=1)
    with pytest.raises(EngineStateError, match=r"is asleep: call `wake_up\(\)` first"):
        replies(tiny, REQUESTS)
    tiny.wake_up()
    assert len(replies(tiny, REQUESTS)) == 4


def test_level_of_sleep_is_1_or_2(tiny: Any) -> None:
    with pytest.raises(ValueError, match="`level` must be 1 or 2, not 3"):
        tiny.sleep(level=3)


def test_unknown_engine_arguments_are_refused(tiny_folder: Path) -> None:
    with pytest.raises(ValueError, match=r"`AsyncEngineArgs`, not \['max_lenght'\]"):
        VLLMPolicy(tiny_folder, engine_args={"max_lenght": 3})


def test_values_that_vllm_refuses_are_the_callers(tiny_folder: Path) -> None:
    with pytest.raises(ValueError, match="max_model_len"):
        VLLMPolicy(tiny_folder, engine_args={"max_model_len": -3})


def test_reading_prompts_in_parts_is_refused_on_a_cpu(tiny_folder: Path) -> None:
    with pytest.raises(ValueError, match="`enable_chunked_prefill` must not be set on"):
        VLLMPolicy(tiny_folder, engine_args={"enable_chunked_prefill": True})


def test_model_is_not_an_engine_argument(tiny_folder: Path) -> None:
    with pytest.raises(ValueError, match="`engine_args` must not name the `model`"):
        VLLMPolicy(tiny_folder, engine_args={"model": "another"})


@pytest.mark.parametrize("model", [Path("nowhere"), "./nowhere", "a/b/c", "~/nowhere"])
def test_missing_folder_is_a_clear_error(model: str | Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"there is no folder '.*' to load a"):
        VLLMPolicy(model)


def test_folder_without_a_tokenizer_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no tokenizer could be loaded from"):
        VLLMPolicy(tmp_path)


def test_tokenizer_without_a_template_fails_before_the_engine_starts(
    tiny_folder: Path,
) -> None:
    from tests.policies.tiny import tiny_tokenizer

    with pytest.raises(ChatTemplateError, match="`Tiny` has no chat template"):
        VLLMPolicy(tiny_folder, tokenizer=tiny_tokenizer(None), name="Tiny")
