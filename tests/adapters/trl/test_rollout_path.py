"""The exact path: our engine plays with the trainer's model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llm_gym.adapters.trl import TRLSpec
from llm_gym.adapters.trl.rollouts import TokenRollouts
from tests.adapters.trl.flaky import FlakyEnv, GroupedEnv
from tests.adapters.trl.stage import Speaker, Stage, rebuilt, tokenizer_of
from tests.sample_envs import EchoEnv, VaultEnv

SPEAKER = Speaker(tokenizer_of("qwen2_5"))


@pytest.fixture(autouse=True)
def sound() -> Iterator[None]:
    """Have nothing break that a test has not broken."""
    FlakyEnv.breaks.clear()
    FlakyEnv.closed.clear()
    yield
    FlakyEnv.breaks.clear()


def test_step_trains_on_rewards_and_logs_each_part() -> None:
    stage = Stage(TRLSpec(VaultEnv, prompts=2), SPEAKER.vault).step()
    assert stage.rewards == [1.0, 0.0, 1.0, 0.0]
    assert [row.advantage > 0 for row in stage.rows] == [True, False, True, False]
    assert stage.logged("llm_gym/score/opened") == 0.5
    assert stage.logged("llm_gym/turns") == 2
    assert stage.logged("grad_norm") > 0


def test_group_starts_identically_and_groups_differ() -> None:
    stage = Stage(TRLSpec(VaultEnv, prompts=2), SPEAKER.vault).step()
    first, second, third, fourth = [row.prompt for row in stage.rows]
    assert first == second
    assert third == fourth
    tasks = [one.trajectory.task.id for one in stage.outcomes]
    assert tasks[0] == tasks[1] != tasks[2] == tasks[3]


def test_fault_is_tried_again_in_a_new_environment() -> None:
    FlakyEnv.breaks["lookup"] = 1
    stage = Stage(TRLSpec(FlakyEnv, prompts=2), SPEAKER.vault).step()
    assert None not in stage.rewards
    assert stage.logged("llm_gym/faults") == 0
    assert max(one.trajectory.run.attempts for one in stage.outcomes) == 2


def test_faulted_episode_is_left_out_of_the_loss() -> None:
    FlakyEnv.breaks["lookup"] = 1
    spec = TRLSpec(FlakyEnv, prompts=2, retries=0)
    stage = Stage(spec, SPEAKER.vault, group=4, per_device_train_batch_size=4).step()
    (lost,) = [i for i, reward in enumerate(stage.rewards) if reward is None]
    kept = [reward for reward in stage.rewards if reward is not None]
    assert sum(stage.rows[lost].mask) == 0
    assert stage.rows[lost].advantage == 0
    assert stage.logged("reward") == pytest.approx(sum(kept) / 3)
    assert sum(r.advantage for r in stage.rows) == pytest.approx(0, abs=1e-4)
    assert stage.logged("llm_gym/faults") == 0.25


def test_batch_of_faults_alone_trains_nothing() -> None:
    spec = TRLSpec(FlakyEnv, prompts=2, retries=0)
    stage = Stage(spec, SPEAKER.vault)
    FlakyEnv.breaks["begin"] = 4  # the dataset has been drawn
    stage.step()
    assert stage.rewards == [None] * 4
    assert all(sum(row.mask) == 0 for row in stage.rows)


def test_completion_budget_truncates_and_the_episode_is_judged() -> None:
    spec = TRLSpec(VaultEnv, prompts=2)
    stage = Stage(spec, SPEAKER.vault, max_completion_length=140).step()
    rebuilt(stage.rows, stage.script)
    assert all(len(row.completion) == 140 for row in stage.rows)
    assert stage.rewards == [0.0] * 4
    assert stage.logged("llm_gym/truncated") == 1


def test_budget_that_results_have_filled_ends_without_a_token() -> None:
    spec = TRLSpec(VaultEnv, prompts=2)
    stage = Stage(spec, SPEAKER.vault, max_completion_length=80).step()
    assert stage.script.rounds == [4]
    assert all(len(row.completion) < 80 for row in stage.rows)
    assert stage.logged("llm_gym/turns") == 2


def test_prompt_that_fills_the_context_is_left_out() -> None:
    spec = TRLSpec(EchoEnv, prompts=2)
    stage = Stage(spec, SPEAKER.vault, context=8).step()
    assert stage.script.rounds == []
    assert stage.rewards == [None] * 4
    assert stage.logged("llm_gym/unsampled") == 1


def test_environment_ends_the_episode_at_once() -> None:
    stage = Stage(TRLSpec(EchoEnv, prompts=2), lambda *_: SPEAKER.say("hi")).step()
    assert stage.script.rounds == [4]
    assert {len(one.trajectory.turns) for one in stage.outcomes} == {1}


def test_mixture_plays_each_in_its_own_environment() -> None:
    spec = TRLSpec({"llmgym/MultipleChoice-v0": 1, "llmgym/MultiTurn-v0": 1}, prompts=4)
    stage = Stage(spec, lambda *_: SPEAKER.say("x"), per_device_train_batch_size=8)
    stage.step()
    ids = [one.trajectory.env_id for one in stage.outcomes]
    assert set(ids) == {"llmgym/MultipleChoice-v0", "llmgym/MultiTurn-v0"}
    assert ids[::2] == ids[1::2]


def test_segments_but_the_last_are_counted_and_warned_of() -> None:
    speaker = Speaker(tokenizer_of("deepseekv3"))
    stage = Stage(TRLSpec(VaultEnv, prompts=2), speaker.vault, family="deepseekv3")
    with pytest.warns(UserWarning, match="only its last segment is trained"):
        stage.step()
    assert stage.logged("llm_gym/segments_untrained") == 1
    rebuilt(stage.rows, stage.script)


def test_training_template_keeps_the_thinking_of_qwen3_in_one_segment() -> None:
    speaker = Speaker(tokenizer_of("qwen3"))
    stage = Stage(TRLSpec(VaultEnv, prompts=2), speaker.vault, family="qwen3").step()
    assert stage.logged("llm_gym/segments_untrained") == 0
    assert stage.rewards == [1.0, 0.0, 1.0, 0.0]


def test_logprobs_of_the_engine_reach_the_trainer() -> None:
    spec = TRLSpec(VaultEnv, prompts=2)
    stage = Stage(spec, SPEAKER.vault)
    plain = stage.script

    def scripted(*args: Any, **kwargs: Any) -> Any:
        rows, _ = plain(*args, **kwargs)
        return rows, [[-0.5] * (len(row) - 1) + [None] for row in rows]

    stage.trainer._generate_single_turn = scripted
    prompts = [spec.train_dataset[0]["prompt"]] * 2
    told = spec.rollout_func(prompts, stage.trainer)  # type: ignore[misc]
    row, mask = told["logprobs"][0], told["env_mask"][0]
    assert len(row) == len(mask)
    assert row[0] == -0.5
    assert [value for value, one in zip(row, mask, strict=True) if not one] == [
        0.0
    ] * mask.count(0)
    spec.close()


def test_group_is_judged_together() -> None:
    stage = Stage(TRLSpec(GroupedEnv, prompts=2), SPEAKER.vault).step()
    assert stage.rewards == [1.0, 0.25, 1.0, 0.25]


def test_failing_generation_is_raised_and_leaves_nothing_waiting() -> None:
    spec = TRLSpec(VaultEnv, prompts=2)
    stage = Stage(spec, SPEAKER.vault)

    def broken(*_: Any, **__: Any) -> Any:
        raise MemoryError("no room")

    stage.trainer._generate_single_turn = broken
    with pytest.raises(MemoryError, match="no room"):
        stage.step()
    stage.trainer._generate_single_turn = stage.script
    prompts = [row["prompt"] for row in spec.train_dataset]
    told = spec.rollout_func(prompts, stage.trainer)  # type: ignore[misc]
    assert len(told["prompt_ids"]) == 2
    spec.close()


def test_environments_are_closed_when_training_ends() -> None:
    Stage(TRLSpec(FlakyEnv, prompts=2), SPEAKER.vault).step()
    assert len(FlakyEnv.closed) >= 4


def test_both_paths_at_once_are_refused() -> None:
    spec, other = TRLSpec(VaultEnv, path="environment", prompts=2), TRLSpec(VaultEnv)
    stage = Stage(spec, SPEAKER.vault)
    stage.trainer.rollout_func = other.rollout_func
    with pytest.raises(ValueError, match="would drop the mask"):
        stage.step()


def test_prompts_of_another_dataset_are_refused() -> None:
    stage = Stage(TRLSpec(VaultEnv, prompts=2), SPEAKER.vault)
    rollouts = TokenRollouts(())
    with pytest.raises(ValueError, match="must have the key `llm_gym`"):
        rollouts([[{"role": "user", "content": "hi"}]], stage.trainer)
    with pytest.raises(ValueError, match=r"must hold what `TRLSpec.train_dataset`"):
        rollouts([[{"role": "user", "content": "", "llm_gym": "?"}]], stage.trainer)


def test_real_generation_trains_on_what_it_sampled() -> None:
    stage = Stage(TRLSpec(VaultEnv, prompts=2), SPEAKER.vault, max_completion_length=8)
    del stage.trainer._generate_single_turn
    stage.step()
    assert all(1 <= len(row.completion) <= 8 for row in stage.rows)
    assert [sum(row.mask) for row in stage.rows] == [
        len(row.completion) for row in stage.rows
    ]


def test_evaluation_draws_from_its_own_split() -> None:
    spec = TRLSpec(VaultEnv, prompts=2, eval_prompts=2)
    stage = Stage(spec, SPEAKER.vault, per_device_eval_batch_size=4)
    stage.trainer.evaluate()
    tasks = {one.trajectory.task.id.split("-")[0] for one in stage.outcomes}
    assert tasks == {"validation"}
    spec.close()
