"""Batches are padded so that no row notices, and shared parts are read once."""

from typing import Any

import pytest

from llm_gym.policies.prefill import batch_inputs, shared_length
from tests.policies.tiny import tiny_model, tiny_tokenizer

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

START = list(range(10, 60))
PROMPTS = [[*START, 7, 8], [*START, 9, 7, 7, 7, 7], [*START, 9]]


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model(tiny_tokenizer())


def greedy(model: Any, inputs: dict[str, Any]) -> list[list[int]]:
    output = model.generate(
        **inputs, do_sample=False, max_new_tokens=12, eos_token_id=None, pad_token_id=2
    )
    return output[:, inputs["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize(
    ("prompts", "length"),
    [
        ([[1, 2, 3]], 0),
        ([[1, 2, 3], [1, 2, 4]], 2),
        ([[1, 2, 3], [1, 2, 3]], 2),
        ([[1, 2], [1, 2, 3, 4]], 1),
        ([[1, 2, 3], [4, 2, 3]], 0),
        ([[1, 5, 3], [1, 4, 9, 9], [1, 5, 3]], 1),
    ],
)
def test_shared_length_leaves_each_row_a_token(
    prompts: list[list[int]], length: int
) -> None:
    assert shared_length(prompts) == length


def test_short_prompts_are_padded_at_the_left(model: Any) -> None:
    inputs = batch_inputs(model, [[5, 6, 7], [8]], 2)
    assert inputs["input_ids"].tolist() == [[5, 6, 7], [2, 2, 8]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]
    assert "past_key_values" not in inputs


def test_shared_part_is_read_once(model: Any) -> None:
    inputs = batch_inputs(model, PROMPTS, 2)
    assert inputs["past_key_values"].get_seq_length() == 50
    assert inputs["input_ids"].shape == (3, 55)
    assert inputs["attention_mask"][2].tolist() == [1] * 50 + [0] * 4 + [1]


@pytest.mark.parametrize("start", [len(START), 3])
def test_rows_of_a_batch_equal_single_ones(model: Any, start: int) -> None:
    prompts = [prompt[-start - 5 :] for prompt in PROMPTS]
    together = greedy(model, batch_inputs(model, prompts, 2))
    alone = [greedy(model, batch_inputs(model, [p], 2))[0] for p in prompts]
    assert together == alone
    assert len({tuple(row) for row in alone}) > 1


@pytest.mark.parametrize("setting", ["window", "cache", "attention"])
def test_models_with_other_caches_share_nothing(setting: str) -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer)
    if setting == "window":
        model.config.sliding_window = 8
        model.config.layer_types = ["sliding_attention", "full_attention"]
    elif setting == "cache":
        model.generation_config.cache_implementation = "static"
    else:
        model.config._attn_implementation = "flash_attention_2"
    assert "past_key_values" not in batch_inputs(model, PROMPTS, 2)
