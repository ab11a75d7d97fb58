"""Weights are written whole or refused, and a change is noticed."""

from typing import Any

import pytest

from llm_gym.policies.decoding.weights import check_state, fingerprint, write_weights
from tests.policies.tiny import tiny_model, tiny_tokenizer

torch = pytest.importorskip("torch")
NORM = "model.norm.weight"


@pytest.fixture
def model() -> Any:
    return tiny_model(tiny_tokenizer(), tie_word_embeddings=True)


def state_of(model: Any) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_fingerprint_changes_with_the_weights(model: Any) -> None:
    before = fingerprint(model)
    assert fingerprint(model) == before
    with torch.no_grad():
        model.get_parameter(NORM).add_(1e-3)
    assert fingerprint(model) != before


def test_fingerprint_changes_with_where_weights_lie(model: Any) -> None:
    before, kept = fingerprint(model), model.model.norm.weight
    model.model.norm.weight = torch.nn.Parameter(kept.detach().clone())
    assert fingerprint(model) != before


def test_weights_are_written_whatever_their_numbers(model: Any) -> None:
    write_weights(model, [(NORM, torch.full((16,), 2.0, dtype=torch.bfloat16))])
    assert model.get_parameter(NORM).tolist() == [2.0] * 16
    assert model.get_parameter(NORM).requires_grad


def test_whole_state_passes(model: Any) -> None:
    check_state(model, state_of(model))


def test_one_of_two_tied_tensors_is_enough(model: Any) -> None:
    state = state_of(model)
    del state["lm_head.weight"]
    check_state(model, state)


def test_missing_tensor_is_named(model: Any) -> None:
    state = state_of(model)
    del state[NORM]
    with pytest.raises(ValueError, match=rf"lacks 1 of the model's .*`{NORM}`"):
        check_state(model, state)


def test_unknown_tensor_is_named(model: Any) -> None:
    state = {**state_of(model), "head.bias": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"no tensor `head\.bias`; its names are like"):
        check_state(model, state)


def test_other_shape_is_named(model: Any) -> None:
    expected = rf"`{NORM}` must have the shape \(16,\), not \(3,\)"
    with pytest.raises(ValueError, match=expected):
        write_weights(model, [(NORM, torch.zeros(3))])
