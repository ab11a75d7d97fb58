"""The trainer that Unsloth generates for a GPU, with all hooks, on both paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llm_gym.adapters.trl import TRLSpec
from llm_gym.adapters.unsloth import check
from tests.adapters.trl.flaky import FlakyEnv
from tests.adapters.trl.stage import Speaker, rebuilt, tokenizer_of, traced
from tests.adapters.unsloth.generated import GeneratedStage
from tests.adapters.unsloth.traces import same, watch_traces
from tests.sample_envs import VaultEnv

trl = pytest.importorskip("trl")

SPEAKER = Speaker(tokenizer_of("qwen2_5"))


@pytest.fixture(autouse=True)
def sound() -> Iterator[None]:
    """Have nothing break that a test has not broken."""
    FlakyEnv.breaks.clear()
    yield
    FlakyEnv.breaks.clear()


def staged(spec: TRLSpec, **settings: Any) -> GeneratedStage:
    """Return a stage that plays the vault."""
    return GeneratedStage(spec, SPEAKER.vault, **settings)


def test_class_is_generated_and_no_subclass() -> None:
    stage = staged(TRLSpec(VaultEnv, prompts=2))
    assert type(stage.trainer).__name__ == "UnslothGRPOTrainer"
    assert not any(
        kind.__module__ == "trl.trainer.grpo_trainer"
        for kind in type(stage.trainer).__mro__
    )


def test_rollout_path_trains_on_the_trace() -> None:
    spec = TRLSpec(VaultEnv, prompts=2)
    samples = watch_traces(spec)
    stage = staged(spec).step()
    assert stage.exact()
    assert all(same(*pair) for pair in zip(stage.rows, samples, strict=True))


def test_environment_path_trains_on_what_was_drawn() -> None:
    stage = staged(TRLSpec(VaultEnv, path="environment", prompts=2)).step()
    assert stage.exact()
    rebuilt(stage.rows, stage.script)
    for number, row in enumerate(stage.rows):
        sample = traced(stage, number)
        assert list(sample.mask) == row.mask[: len(sample.mask)]
        length = len(sample.completion_ids)
        assert list(sample.completion_ids) == row.completion[:length]
        assert 0 < sum(row.mask) < len(row.mask)


@pytest.mark.parametrize("path", ["rollout", "environment"])
def test_rewards_move_the_adapter_and_parts_are_logged(path: Any) -> None:
    stage = staged(TRLSpec(VaultEnv, path=path, prompts=2), learning_rate=1e-2)
    weights = [one for one in stage.trainer.model.parameters() if one.requires_grad]
    before = [one.detach().clone() for one in weights]
    stage.step()
    assert stage.rewards == [1.0, 0.0, 1.0, 0.0]
    assert stage.logged("llm_gym/score/opened") == 0.5
    assert any(not old.equal(new) for old, new in zip(before, weights, strict=True))


def test_broken_episode_is_left_out_of_the_loss() -> None:
    stage = staged(TRLSpec(FlakyEnv, prompts=2, retries=0))
    FlakyEnv.breaks["lookup"] = 1
    stage.step()
    (lost,) = [i for i, reward in enumerate(stage.rewards) if reward is None]
    assert stage.rows[lost].advantage == 0
    assert sum(stage.rows[lost].mask) == 0
    assert stage.exact()


def test_prompts_of_several_lengths_keep_their_masks() -> None:
    envs = {"llmgym/MultiStep-v0": 1, "llmgym/MultiTurn-v0": 1}
    spec = TRLSpec(envs, prompts=4, env_kwargs={"level": 0})
    stage = GeneratedStage(
        spec, lambda *_: SPEAKER.say("x"), per_device_train_batch_size=8
    ).step()
    assert len({len(row.prompt) for row in stage.rows}) > 1
    assert stage.exact()


def test_real_generation_trains_on_what_it_sampled() -> None:
    pad = tokenizer_of("qwen2_5").pad_token_id
    spec = TRLSpec(VaultEnv, prompts=2)
    never = {"suppress_tokens": [pad]}  # one inside a reply would be cut out of it
    stage = staged(spec, max_completion_length=8, generation_kwargs=never)
    del stage.trainer._generate_single_turn
    stage.step()
    assert all(1 <= len(row.completion) <= 8 for row in stage.rows)
    assert stage.exact()


def test_both_paths_pass_the_check() -> None:
    for path in ("rollout", "environment"):
        check(staged(TRLSpec(VaultEnv, path=path, prompts=2)).trainer)  # type: ignore[arg-type]


def test_padding_that_ends_replies_would_train_on_other_tokens() -> None:
    tokenizer = tokenizer_of("qwen2_5")
    padding, tokenizer.pad_token = tokenizer.pad_token, tokenizer.eos_token
    try:
        stage = staged(TRLSpec(VaultEnv, prompts=2))
        with pytest.raises(ValueError, match="`pad_token` must be a token that stands"):
            check(stage.trainer)
        assert not stage.step().exact()  # what the check is for
    finally:
        tokenizer.pad_token = padding


def test_batch_larger_than_the_dataset_would_train_nothing() -> None:
    stage = staged(TRLSpec(VaultEnv, prompts=2), gradient_accumulation_steps=2)
    with pytest.raises(ValueError, match="`prompts` must be at least 4"):
        check(stage.trainer)
    assert stage.step().rows == []  # what the check is for


def test_class_of_trl_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("trl.trainer.base_trainer")
    stock = type("GRPOTrainer", (module._BaseTrainer,), {})
    with pytest.raises(TypeError, match=r"`trl\.GRPOTrainer`, not .*GRPOTrainer"):
        check(stock.__new__(stock))
