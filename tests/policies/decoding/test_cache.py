"""Slots grow, move and come back, and only models that allow it get them."""

from typing import Any

import pytest

from llm_gym.policies.decoding.cache import SlotCache, has_plain_cache
from llm_gym.policies.decoding.model import forward, takes_slots
from tests.policies.tiny import tiny_model, tiny_tokenizer, tiny_window_model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)

ROWS = [[5, 6, 7, 8], [9, 10], [11, 12, 13]]


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model(tiny_tokenizer())


def filled(model: Any) -> SlotCache:
    slots = SlotCache(model, 8)
    forward(model, slots, ROWS, [0, 0, 0], first=0, context=2048)
    return slots


def next_logits(model: Any, slots: SlotCache, slot: int, length: int) -> Any:
    return forward(model, slots, [[20]], [length], first=slot, context=2048)[0]


def alone(model: Any, row: list[int]) -> Any:
    with torch.no_grad():
        return model(torch.tensor([[*row, 20]])).logits[0, -1]


def test_rows_of_different_lengths_stand_beside_each_other(model: Any) -> None:
    slots = filled(model)
    for slot, row in enumerate(ROWS):
        got = next_logits(model, slots, slot, len(row))
        assert torch.allclose(got, alone(model, row), atol=1e-4)


def test_slots_grow_and_keep_what_they_hold(model: Any) -> None:
    slots = filled(model)
    slots.reserve(5, 300)
    assert slots.size == (6, 320)
    got = next_logits(model, slots, 0, len(ROWS[0]))
    assert torch.allclose(got, alone(model, ROWS[0]), atol=1e-4)


def test_slots_are_no_more_than_the_limit(model: Any) -> None:
    slots = filled(model)
    slots.reserve(6, 1)
    slots.reserve(7, 1)
    assert slots.size == (8, 64)


def test_row_moves_to_another_slot(model: Any) -> None:
    slots = filled(model)
    slots.copy(0, 4, len(ROWS[0]))
    got = next_logits(model, slots, 4, len(ROWS[0]))
    assert torch.allclose(got, alone(model, ROWS[0]), atol=1e-4)


def test_row_is_stored_and_comes_back_into_new_slots(model: Any) -> None:
    row = filled(model).take(2, len(ROWS[2]))
    slots = SlotCache(model, 8)
    slots.put(row, 1, len(ROWS[2]))
    got = next_logits(model, slots, 1, len(ROWS[2]))
    assert torch.allclose(got, alone(model, ROWS[2]), atol=1e-4)


def test_cache_tells_transformers_what_it_asks(model: Any) -> None:
    slots = filled(model)
    assert slots.cache.get_seq_length() == 4
    assert slots.cache.get_mask_sizes(1, 0) == (4, 0)
    layer = slots.cache.layers[0]
    assert layer.is_initialized
    assert (layer.get_max_length(), layer.get_max_cache_shape()) == (-1, -1)


def test_plain_model_takes_slots(model: Any) -> None:
    assert has_plain_cache(model)
    assert takes_slots(model)


@pytest.mark.parametrize("setting", ["window", "cache", "attention", "encoder"])
def test_models_with_other_caches_take_none(setting: str) -> None:
    tokenizer = tiny_tokenizer()
    model = (
        tiny_window_model(tokenizer) if setting == "window" else tiny_model(tokenizer)
    )
    if setting == "cache":
        model.generation_config.cache_implementation = "static"
    elif setting == "attention":
        model.config._attn_implementation = "flash_attention_2"
    elif setting == "encoder":
        model.config.is_encoder_decoder = True
    assert not takes_slots(model)


def test_model_that_reads_slots_wrongly_is_found_out(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.forward

    def ignore_positions(*args: Any, **options: Any) -> Any:
        if "position_ids" in options:
            options["position_ids"] = options["position_ids"] * 0
        return whole(*args, **options)

    monkeypatch.setattr(model, "forward", ignore_positions)
    assert has_plain_cache(model)
    assert not takes_slots(model)


def test_model_that_refuses_slots_is_found_out(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise TypeError("unexpected `position_ids`")

    monkeypatch.setattr(model, "forward", refuse)
    assert not takes_slots(model)


def test_learned_positions_are_not_overrun() -> None:
    config = transformers.GPT2Config(
        vocab_size=300, n_positions=8, n_embd=16, n_layer=2, n_head=2
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    assert takes_slots(model)
    slots = SlotCache(model, 2)
    forward(model, slots, [[5] * 7, [6]], [0, 0], first=0, context=8)
    forward(model, slots, [[], [6, 7, 8]], [7, 1], first=0, context=8)
    got = forward(model, slots, [[20]], [4], first=1, context=8)[0]
    assert torch.allclose(got, alone(model, [6, 6, 7, 8]), atol=1e-4)


def test_wrapped_model_is_asked_for_no_more_logits_than_needed(model: Any) -> None:
    asked: list[int] = []

    class Wrapper:  # as adapters wrap a model
        config, device, dtype = model.config, model.device, model.dtype
        generation_config = model.generation_config

        def get_base_model(self) -> Any:
            return model

        def __call__(self, *args: Any, **options: Any) -> Any:
            asked.append(options.get("logits_to_keep", 0))
            return model(*args, **options)

    assert takes_slots(Wrapper())
    assert asked == [1, 1, 0, 0]
