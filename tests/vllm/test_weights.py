"""Weights that are replaced while the engine runs, and what it says with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import llm_gym
from llm_gym.policies.embedded import ModelNotFoundError
from llm_gym.policies.sampling import Sampling
from llm_gym.policies.vllm.weights import weights_folder
from tests.policies.tiny import END, ask
from tests.vllm.conftest import CALL
from tests.vllm.driving import logprobs_by_transformers, replies

torch = pytest.importorskip("torch")

GREEDY = Sampling(max_new_tokens=8, temperature=0)


@pytest.fixture
def restored(tiny: Any, tiny_folder: Path) -> Iterator[Any]:
    """The policy, which gets its own weights back at the end."""
    yield tiny.with_sampling(GREEDY)
    tiny.update_weights(tiny_folder)


def calling(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Return weights with which the model writes a tool call, then ends its turn.

    What comes next follows from the last token alone: layers add nothing, and each of
    the two tokens points in a direction that one row of the output layer looks for.
    """
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for name in state:
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            state[name].zero_()
    embeddings, output = state["model.embed_tokens.weight"], state["lm_head.weight"]
    output.zero_()
    (newline,) = tokenizer.encode("\n", add_special_tokens=False)
    call, end = tokenizer.convert_tokens_to_ids([CALL, END])
    for direction, (last, following) in enumerate([(newline, call), (call, end)]):
        embeddings[last] = 0
        embeddings[last, direction] = output[following, direction] = 10.0
    return state


def test_new_weights_are_what_samples(
    restored: Any, tiny_model: Any, tiny_tokenizer: Any
) -> None:
    (before,) = replies(restored, [ask("hello")])
    torch.manual_seed(1)
    state = tiny_model.state_dict()
    other = {
        name: value + 0.02 * torch.randn_like(value) for name, value in state.items()
    }
    version = restored.version
    restored.update_weights(other)
    assert restored.version == version + 1
    (after,) = replies(restored, [ask("hello")])
    changed = type(tiny_model)(tiny_model.config).eval()
    changed.load_state_dict(other)
    ids = [*after.prompt_ids, *after.sampled_ids]
    expected = logprobs_by_transformers(changed, ids)[-len(after.sampled_ids) :]
    assert list(after.logprobs) == pytest.approx(expected, abs=1e-3)
    assert after.logprobs != before.logprobs


def test_weights_come_back_from_a_folder(restored: Any, tiny_folder: Path) -> None:
    before = replies(restored, [ask("hello")])
    zeros = [("model.norm.weight", torch.zeros(64))]
    restored.update_weights(zeros)  # the others stay
    assert replies(restored, [ask("hello")]) != before
    restored.update_weights(tiny_folder)
    assert replies(restored, [ask("hello")]) == before


def test_folder_without_weights_is_refused(restored: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"there are no safetensors in '.*'"):
        restored.update_weights(tmp_path)


def test_called_tools_run_and_the_trace_is_exact(
    restored: Any, tiny_model: Any, tiny_tokenizer: Any
) -> None:
    restored.update_weights(calling(tiny_model, tiny_tokenizer))
    episodes = list(
        llm_gym.rollout("llmgym/SingleTool-v0", restored, episodes=4, seed=2)
    )
    assert [episode.fault for episode in episodes] == [None] * 4
    for episode in episodes:
        first = episode.turns[0]
        assert [call.name for call in first.calls] == ["set_alarm"]
        (sample,) = episode.tokens.to_samples()
        sampled = [
            i for i, one in zip(sample.completion_ids, sample.mask, strict=True) if one
        ]
        turn = tiny_tokenizer.convert_tokens_to_ids([CALL, END])
        assert sampled == turn * len(episode.turns)


# --- folders


def test_tied_weights_are_written_once() -> None:
    tensor = torch.ones(3, 2)
    with weights_folder({"embed": tensor, "head": tensor, "t": tensor.T}) as folder:
        from safetensors.torch import load_file

        loaded = load_file(Path(folder) / "model.safetensors")
        assert sorted(loaded) == ["embed", "t"]
        assert torch.equal(loaded["t"], tensor.T)
    assert not Path(folder).exists()
