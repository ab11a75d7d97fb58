"""AsyncGRPO: TRL's own rollout loop, with a server that is scripted."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from llm_gym.adapters.trl import TRLSpec
from llm_gym.adapters.trl.async_grpo import rewritten_turns
from tests.adapters.trl.async_stage import (
    ScriptedLoop,
    loop_arguments,
    play,
    row_of,
    worker,
)
from tests.adapters.trl.flaky import FlakyEnv, GroupedEnv
from tests.adapters.trl.stage import rebuilt, tokenizer_of
from tests.sample_envs import VaultEnv


@pytest.fixture(autouse=True)
def sound() -> Iterator[None]:
    """Have nothing break that a test has not broken."""
    FlakyEnv.breaks.clear()
    yield
    FlakyEnv.breaks.clear()


def looped(env: Any = VaultEnv, **settings: Any) -> TRLSpec:
    """Return the spec of two groups."""
    return TRLSpec(env, path="environment", prompts=2, **settings)


def test_rewards_are_those_of_the_episodes() -> None:
    samples, _ = play(looped(), 4)
    assert sorted(sample.metrics["reward"] for sample in samples) == [0, 0, 1, 1]
    for sample in samples:
        assert (sample.advantage > 0) == (sample.metrics["reward"] == 1)
        assert sample.metrics["rewards/episode_return"] == sample.metrics["reward"]


def test_rows_are_what_was_fed_and_drawn() -> None:
    samples, loop = play(looped(), 4)
    rebuilt([row_of(sample) for sample in samples], loop.script)
    assert all(sum(sample.completion_mask) > 20 for sample in samples)


def test_group_starts_identically() -> None:
    spec = TRLSpec(VaultEnv, path="environment", prompts=8)
    samples, _ = play(spec, 16)
    shown = spec.train_dataset["prompt"]
    assert len({str(prompt) for prompt in shown}) > 1
    for sample in samples:
        assert sample.prompt == shown[sample.group_id % 8]


def test_instances_are_used_again() -> None:
    _, loop = play(looped(), 8)
    (pool,) = loop._environment_pool.values()
    assert len(pool) <= 5  # those at once, and the one that was probed
    assert len({type(one) for one in pool}) == 1


def test_mixture_routes_each_row_to_its_class() -> None:
    ids = {"llmgym/MultipleChoice-v0": 1, "llmgym/MultiTurn-v0": 1}
    spec = TRLSpec(ids, path="environment", prompts=8)
    samples, loop = play(spec, 16, max_tool_calling_iterations=1)
    assert len(samples) == 16
    assert set(loop._environment_pool) == set(ids)


def test_fault_while_it_is_scored_is_retried() -> None:
    samples, _ = play(looped(FlakyEnv), 4)
    FlakyEnv.breaks["lookup"] = 1
    (reward,) = looped(FlakyEnv).async_kwargs(tokenizer_of("qwen2_5"))["reward_funcs"]
    assert reward(**columns(samples[0], FlakyEnv)) == [samples[0].metrics["reward"]]


def test_faulted_episode_has_no_reward_and_no_advantage() -> None:
    spec = looped(FlakyEnv, retries=0)
    spec.train_dataset  # noqa: B018  # drawn before anything breaks
    FlakyEnv.breaks["lookup"] = 1
    samples, _ = play(spec, 4, max_tool_calling_iterations=2)
    lost = [one for one in samples if one.metrics["reward"] != one.metrics["reward"]]
    assert len(lost) == 1
    assert lost[0].advantage == 0


def test_episode_that_does_not_repeat_itself_has_no_reward() -> None:
    samples, _ = play(looped(), 2)
    given = columns(samples[0])
    tool = next(one for one in given["completions"][0] if one["role"] == "tool")
    tool["content"] += "0"
    (reward,) = looped().async_kwargs(tokenizer_of("qwen2_5"))["reward_funcs"]
    assert reward(**given) == [None]


def columns(sample: Any, env: Any = VaultEnv) -> dict[str, Any]:
    """Return what the loop hands over to reward functions."""
    row = row_of(sample)
    start = looped(env).train_dataset["llm_gym"][sample.group_id % 2]
    return {
        "prompts": [sample.prompt],
        "completions": [[dict(message) for message in sample.completion]],
        "completion_ids": [row.completion],
        "llm_gym": [start],
    }


def test_reply_that_was_cut_off_is_no_answer() -> None:
    samples, _ = play(looped(), 2)
    won = next(one for one in samples if one.metrics["reward"] == 1)
    given = columns(won)
    del given["completions"][0][1:]  # its first call, whose result never came
    given["completion_ids"] = [[1]]
    (reward,) = looped().async_kwargs(tokenizer_of("qwen2_5"))["reward_funcs"]
    assert reward(**given) == [0.0]


def test_group_is_judged_together() -> None:
    samples, _ = play(looped(GroupedEnv), 4)
    assert sorted(one.metrics["reward"] for one in samples) == [0.25, 0.25, 1, 1]


def test_arguments_can_be_pickled_and_name_what_the_trainer_takes() -> None:
    given = looped().async_kwargs(tokenizer_of("qwen2_5"))
    trainer = pytest.importorskip("trl.experimental.async_grpo").AsyncGRPOTrainer
    assert given.keys() <= inspect.signature(trainer.__init__).parameters.keys()
    again = pickle.loads(pickle.dumps(given))
    one, other = again["environment_factory"](), given["environment_factory"]()
    assert type(one) is type(other)
    assert again["reward_funcs"][0].__name__ == "episode_return"


class ScriptedWorker(worker.AsyncRolloutWorker):  # type: ignore[misc]
    """TRL's worker, which starts the loop in a process of its own."""

    _loop_cls = ScriptedLoop


@pytest.mark.slow
def test_loop_runs_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "is_vllm_available", lambda: True)  # none is asked
    child = ScriptedWorker(**loop_arguments(looped(), "qwen2_5"))
    child.start()
    try:
        samples = [child.rollout_buffer.get(timeout=120) for _ in range(4)]
        child.check_health(60)
    finally:
        child.stop()
    assert sorted(sample.metrics["reward"] for sample in samples) == [0, 0, 1, 1]


EMPTY = "<think>\n\n</think>\n\n"


def test_template_that_writes_thinking_in_is_warned_of_and_trains_the_last_turn() -> (
    None
):
    with pytest.warns(UserWarning, match="only the last turn of such an episode"):
        samples, loop = play(looped(), 4, "qwen3", unsaid=EMPTY)
    for text in (trained_text(sample, loop) for sample in samples):
        assert "It is open." in text
        assert "lookup" not in text
        assert "arguments" not in text


def test_same_template_trains_replies_that_it_would_write_itself() -> None:
    with pytest.warns(UserWarning, match="without the empty thinking"):
        samples, loop = play(looped(), 4, "qwen3")
    assert all("lookup" in trained_text(one, loop) for one in samples)


def trained_text(sample: Any, loop: ScriptedLoop) -> str:
    """Return what the loss would see of a row."""
    return str(loop.tokenizer.decode(sample.input_ids[sample.completion_mask == 1]))


@pytest.mark.parametrize(
    "family",
    ["gptoss", "llama3_1", "qwen2_5", "qwen3_5_think", "qwen3_instruct_2507"],
)
def test_templates_that_repeat_what_was_sampled_are_not_warned_of(family: str) -> None:
    assert rewritten_turns(tokenizer_of(family)) == []
    samples, loop = play(looped(), 2, family)
    assert all("lookup" in trained_text(one, loop) for one in samples)


def test_template_whose_calls_trl_cannot_read_is_left_to_trl() -> None:
    assert rewritten_turns(tokenizer_of("phi3")) == []


def test_path_of_rollouts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"AsyncGRPO has no `rollout_func`"):
        TRLSpec(VaultEnv).async_kwargs(tokenizer_of("qwen2_5"))
