"""Unsloth without a GPU: its own loader and LoRA, under TRL's class, on both paths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llm_gym.adapters.trl import TRLSpec
from llm_gym.adapters.unsloth import check
from tests.adapters.trl.stage import Speaker, Stage, rebuilt, tokenizer_of, traced
from tests.adapters.unsloth.traces import same, watch_traces
from tests.policies.tiny import tiny_model
from tests.sample_envs import VaultEnv

unsloth = pytest.importorskip("unsloth")

SPEAKER = Speaker(tokenizer_of("qwen2_5"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny model's folder."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = tokenizer_of("qwen2_5")
    tiny_model(tokenizer, initializer_range=0.02).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def adapted(folder: Path) -> Any:
    """Return that model as Unsloth loads it, with LoRA as Unsloth puts it on."""
    model, _ = unsloth.FastLanguageModel.from_pretrained(
        str(folder), max_seq_length=2048, dtype="float32", load_in_4bit=False
    )
    return unsloth.FastLanguageModel.get_peft_model(model, r=4, max_seq_length=2048)


def lora_of(model: Any) -> dict[str, Any]:
    """Return copies of the weights that are trained."""
    return {
        name: weight.detach().clone()
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }


def staged(spec: TRLSpec, model: Any, **settings: Any) -> Stage:
    """Return a checked trainer."""
    settings = {"optim": "adamw_torch", **settings}
    stage = Stage(spec, SPEAKER.vault, model=model, **settings)
    check(stage.trainer)
    return stage


def test_environment_path_trains_lora_on_what_was_drawn(adapted: Any) -> None:
    before = lora_of(adapted)
    spec = TRLSpec(VaultEnv, path="environment", prompts=2)
    stage = staged(spec, adapted).step()
    assert stage.rewards == [1.0, 0.0, 1.0, 0.0]
    rebuilt(stage.rows, stage.script)
    for number, row in enumerate(stage.rows):
        sample = traced(stage, number)
        assert [*sample.prompt_ids, *sample.completion_ids] == row.prompt + (
            row.completion[: len(sample.completion_ids)]
        )
        assert list(sample.mask) == row.mask[: len(sample.mask)]
    after = lora_of(adapted)
    assert all("lora_" in name for name in after)
    assert any(not after[name].equal(before[name]) for name in after)


def test_rollout_path_trains_lora_on_the_trace(adapted: Any) -> None:
    before = lora_of(adapted)
    spec = TRLSpec(VaultEnv, prompts=2)
    samples = watch_traces(spec)
    stage = staged(spec, adapted).step()
    rebuilt(stage.rows, stage.script)
    assert all(same(*pair) for pair in zip(stage.rows, samples, strict=True))
    after = lora_of(adapted)
    assert any(not after[name].equal(before[name]) for name in after)


def test_real_generation_trains_on_what_it_sampled(adapted: Any) -> None:
    spec = TRLSpec(VaultEnv, prompts=2)
    stage = staged(spec, adapted, max_completion_length=8)
    del stage.trainer._generate_single_turn
    stage.step()
    assert all(1 <= len(row.completion) <= 8 for row in stage.rows)


def test_model_is_not_read_further_than_it_was_loaded_for(adapted: Any) -> None:
    stage = Stage(TRLSpec(VaultEnv, prompts=2), SPEAKER.vault, model=adapted)
    spec = TRLSpec(VaultEnv, prompts=2)
    whole = stage.step().rows[0]
    adapted.max_seq_length = len(whole.prompt + whole.completion) - 1
    stage = Stage(spec, SPEAKER.vault, model=adapted).step()
    lengths = {len(row.prompt + row.completion) for row in stage.rows}
    assert lengths == {adapted.max_seq_length}
    assert stage.logged("llm_gym/truncated") == 1


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("import trl, unsloth", "`import unsloth` must come before trl"),
        ("import llm_gym.adapters.trl, unsloth, trl; trl.GRPOTrainer", ""),
    ],
)
def test_order_of_imports_is_seen(program: str, told: str) -> None:
    program += "; from llm_gym.adapters.unsloth import check; check()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) == bool(told), done.stderr
    assert told in done.stderr


def test_eight_bit_optimizer_runs_where_bitsandbytes_is(adapted: Any) -> None:
    before = lora_of(adapted)
    spec = TRLSpec(VaultEnv, prompts=2)
    staged(spec, adapted, optim="adamw_8bit").step()
    after = lora_of(adapted)
    assert any(not after[name].equal(before[name]) for name in after)
