"""Token by token: what the loss sees is what was sampled, for every chat template."""

from __future__ import annotations

import pytest

from llm_gym.adapters.trl import TRLSpec
from tests.adapters.trl.stage import Speaker, Stage, rebuilt, tokenizer_of, traced
from tests.sample_envs import VaultEnv

FAMILIES = [
    *("cohere", "cohere2", "deepseekv3", "gemma", "gemma3", "gemma4_v2", "glm4moe"),
    *("gptoss", "lfm2", "llama3", "llama3_1", "llava_next", "muse_glimmer"),
    *("nemotron_3_nano", "phi3", "qwen2_5", "qwen3", "qwen3_5_think", "smolvlm"),
]
# Those of the tool loop: TRL can read their calls and show them results.
LOOPED = [
    *("gemma4_v2", "glm4moe", "gptoss", "lfm2_2_5", "llama3_1", "nemotron_3_nano"),
    *("qwen2_5", "qwen3", "qwen3_5_think", "qwen3_instruct_2507"),
]
REST = [
    *("deepseek_r1_distill", "diffusion_gemma", "idefics3", "lfm2_2_5_v2", "lfm2_v2"),
    *("llama3_2", "phi3_5", "qwen2_5_vl", "qwen3_5_nothink", "qwen3_6", "qwen3_8"),
    *("qwen3_instruct_2507", "qwen3_vl", "nemotron_3_super", "gemma4"),
]
LOOPED_REST = [
    "gemma4",
    "lfm2_v2",
    "llama3_2",
    "qwen3_5_nothink",
    "qwen3_8",
    "qwen3_vl",
]
# TRL does not read the calls that the script writes for these: one reply each.
UNREAD = {"glm4moe", "nemotron_3_nano"}


def staged(family: str, path: str) -> Stage:
    """Take a step in which each member of a group looks up and opens."""
    speaker = Speaker(tokenizer_of(family))
    spec = TRLSpec(VaultEnv, path=path, prompts=2)  # type: ignore[arg-type]
    return Stage(spec, speaker.vault, family=family).step()


def check_rollout(family: str) -> None:
    """Check the exact path: the loss has the traces' ids and masks."""
    stage = staged(family, "rollout")
    rebuilt(stage.rows, stage.script)
    for row, outcome in zip(stage.rows, stage.outcomes, strict=True):
        assert outcome.trajectory.tokens is not None
        sample = outcome.trajectory.tokens.to_samples()[-1]
        assert row.prompt == list(sample.prompt_ids)
        assert row.completion == list(sample.completion_ids)
        assert row.mask == list(sample.mask)
        assert 1 in row.mask


def check_loop(family: str) -> None:
    """Check TRL's loop: the loss has what a trace of ours would have had."""
    stage = staged(family, "environment")
    rebuilt(stage.rows, stage.script)
    if family in UNREAD:
        return
    for number, row in enumerate(stage.rows):
        sample = traced(stage, number)
        length = len(sample.completion_ids)
        assert row.prompt == list(sample.prompt_ids)
        assert row.completion[:length] == list(sample.completion_ids)
        assert row.mask[:length] == list(sample.mask)


@pytest.mark.filterwarnings("ignore:the tokens of an episode")
@pytest.mark.parametrize("family", FAMILIES)
def test_loss_sees_the_tokens_of_the_trace(family: str) -> None:
    check_rollout(family)


@pytest.mark.parametrize("family", LOOPED)
def test_loss_of_the_tool_loop_sees_what_a_trace_would(family: str) -> None:
    check_loop(family)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the tokens of an episode")
@pytest.mark.parametrize("family", REST)
def test_loss_sees_the_tokens_of_the_trace_for_variants_too(family: str) -> None:
    check_rollout(family)


@pytest.mark.slow
@pytest.mark.parametrize("family", LOOPED_REST)
def test_loss_of_the_tool_loop_sees_the_same_for_variants(family: str) -> None:
    check_loop(family)


def test_both_paths_give_the_same_tokens_and_rewards() -> None:
    exact, looped = staged("qwen2_5", "rollout"), staged("qwen2_5", "environment")
    assert exact.rewards == looped.rewards == [1.0, 0.0, 1.0, 0.0]
    for one, other in zip(exact.rows, looped.rows, strict=True):
        assert one.completion == other.completion[: len(one.completion)]
        assert one.mask == other.mask[: len(one.mask)]
        assert one.advantage == pytest.approx(other.advantage)
