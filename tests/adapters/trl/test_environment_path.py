"""The simple path: TRL's own tool loop drives our environments."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from llm_gym.adapters.trl import TRLSpec
from llm_gym.adapters.trl.environments import environment_class
from llm_gym.adapters.trl.seat import FAULTED, OVER
from tests.adapters.trl.flaky import FlakyEnv, GroupedEnv
from tests.adapters.trl.stage import Speaker, Stage, tokenizer_of
from tests.sample_envs import AskEnv, EchoEnv, VaultEnv

SPEAKER = Speaker(tokenizer_of("qwen2_5"))
LOOK = SPEAKER.call("lookup", '{"colour": "red"}')
OPEN = SPEAKER.call("open", '{"code": 1}')
WORD = SPEAKER.say("I give up.")


@pytest.fixture(autouse=True)
def sound() -> Iterator[None]:
    """Have nothing break that a test has not broken."""
    FlakyEnv.breaks.clear()
    FlakyEnv.closed.clear()
    yield
    FlakyEnv.breaks.clear()


def looped(**settings: object) -> TRLSpec:
    """Return the spec of two groups on this path."""
    return TRLSpec(VaultEnv, path="environment", prompts=2, **settings)  # type: ignore[arg-type]


def saying(*texts: str) -> Callable[[str, int], str]:
    """Say texts in turn, the last for ever; turns are counted by their ends."""

    def write(prompt: str, number: int) -> str:
        said = prompt.rpartition("Open the ")[2].count("<|im_start|>assistant") - 1
        return texts[min(said, len(texts) - 1)]

    return write


def test_step_trains_on_rewards_and_logs_each_part() -> None:
    stage = Stage(looped(), SPEAKER.vault).step()
    assert stage.rewards == [1.0, 0.0, 1.0, 0.0]
    assert [row.advantage > 0 for row in stage.rows] == [True, False, True, False]
    assert stage.logged("llm_gym/score/opened") == 0.5
    assert stage.logged("rewards/episode_return/mean") == 0.5


def test_group_starts_identically() -> None:
    stage = Stage(looped(), SPEAKER.vault).step()
    tasks = [one.trajectory.task.id for one in stage.outcomes]
    assert tasks[0] == tasks[1] != tasks[2] == tasks[3]
    assert stage.rows[0].prompt == stage.rows[1].prompt


def test_instances_are_used_again_and_begin_anew() -> None:
    stage = Stage(looped(), SPEAKER.vault, max_steps=3).step()
    assert len(stage.outcomes) == 12
    assert len(stage.trainer._environment_pool[None]) == 4
    assert {len(one.trajectory.turns) for one in stage.outcomes} == {2}
    assert stage.rewards == [1.0, 0.0, 1.0, 0.0]


def test_class_is_made_once_and_has_the_tools_alone() -> None:
    factory = looped().environment_factory
    assert factory is not None
    assert not isinstance(factory, dict)
    one, other = factory(), looped().environment_factory()  # type: ignore[operator,misc]
    assert type(one) is type(other) is environment_class(factory.place)
    public = {name for name in dir(one) if not name.startswith("_")}
    assert public == {"lookup", "roll", "crash", "open", "reset"}


def test_tools_are_inert_after_the_end() -> None:
    stage = Stage(looped(), saying(OPEN, LOOK, OPEN, WORD)).step()
    text = stage.tokenizer.decode(stage.rows[0].completion)
    assert text.count(OVER) == 2
    assert stage.logged("llm_gym/calls_after_end") == 2
    assert {len(one.trajectory.turns) for one in stage.outcomes} == {1}


def test_call_beyond_the_iterations_is_not_run_and_truncates() -> None:
    write = saying(LOOK, LOOK, OPEN)
    stage = Stage(looped(), write, max_tool_calling_iterations=1).step()
    assert stage.logged("llm_gym/calls_not_run") == 1
    assert stage.logged("llm_gym/truncated") == 1
    assert len(stage.outcomes[0].trajectory.turns) == 2


def test_result_that_was_rolled_back_is_counted() -> None:
    stage = Stage(looped(), saying(LOOK, OPEN), max_completion_length=80).step()
    assert stage.logged("llm_gym/results_rolled_back") == 1
    assert stage.logged("llm_gym/truncated") == 1
    assert stage.rewards == [0.0] * 4


def test_calls_of_one_reply_become_turns_of_their_own() -> None:
    end = SPEAKER.end
    both = LOOK.removesuffix(end) + "\n" + OPEN.strip()
    stage = Stage(looped(), saying(both, WORD)).step()
    assert stage.logged("llm_gym/calls_split") == 1
    assert stage.logged("llm_gym/turns") == 2


def test_unknown_tool_is_answered_by_trl_alone() -> None:
    stage = Stage(looped(), saying(SPEAKER.call("fly", "{}"), WORD)).step()
    assert stage.logged("llm_gym/calls_unseen") == 1
    assert stage.logged("llm_gym/turns") == 1


def test_wrong_arguments_are_answered_by_the_environment() -> None:
    wrong = SPEAKER.call("lookup", '{"color": 7}')
    stage = Stage(looped(), saying(wrong, WORD)).step()
    assert stage.logged("llm_gym/calls_unseen") == 0
    assert stage.logged("llm_gym/tool_errors") == 1
    assert "colour" in stage.outcomes[0].trajectory.turns[0].calls[0].result


def test_malformed_call_ends_the_rollout_and_is_no_answer() -> None:
    broken = "<tool_call>\n{oops\n</tool_call>" + SPEAKER.end
    stage = Stage(looped(), saying(broken)).step()
    assert stage.logged("llm_gym/malformed_endings") == 1
    assert stage.logged("llm_gym/truncated") == 1


def test_reply_that_was_cut_off_is_no_answer() -> None:
    stage = Stage(looped(), saying("I giv")).step()
    reasons = {one.trajectory.stop_reason for one in stage.outcomes}
    assert {reason.value for reason in reasons if reason} == {"reply_length"}


def test_final_words_are_the_answer() -> None:
    spec = TRLSpec(EchoEnv, path="environment", prompts=2, tasks=["hi"])
    stage = Stage(spec, lambda *_: SPEAKER.say("hi")).step()
    assert stage.rewards == [1.0] * 4


def test_user_who_asks_back_is_never_answered() -> None:
    spec = TRLSpec(AskEnv, path="environment", prompts=2)
    stage = Stage(spec, lambda *_: SPEAKER.say("what?")).step()
    assert stage.logged("llm_gym/unanswered_endings") == 1


def test_fault_is_retried_where_the_episode_stood() -> None:
    FlakyEnv.breaks["lookup"] = 1
    spec = TRLSpec(FlakyEnv, path="environment", prompts=2)
    stage = Stage(spec, SPEAKER.vault).step()
    assert stage.rewards == [1.0, 0.0, 1.0, 0.0]
    assert stage.logged("llm_gym/faults") == 0


def test_faulted_episode_has_no_reward_and_no_advantage() -> None:
    spec = TRLSpec(FlakyEnv, path="environment", prompts=2, retries=0)
    stage = Stage(spec, SPEAKER.vault, group=4, per_device_train_batch_size=4)
    FlakyEnv.breaks["lookup"] = 1
    stage.step()
    assert stage.rewards == [None, 0.0, 1.0, 0.0]
    assert stage.rows[0].advantage == 0
    assert sum(row.advantage for row in stage.rows) == pytest.approx(0, abs=1e-4)
    assert FAULTED in stage.tokenizer.decode(stage.rows[0].completion)
    assert stage.logged("llm_gym/faults") == 0.25
    assert stage.logged("reward") == pytest.approx(1 / 3)


def test_failed_start_is_no_result() -> None:
    spec = TRLSpec(FlakyEnv, path="environment", prompts=2, retries=0)
    stage = Stage(spec, SPEAKER.vault)
    FlakyEnv.breaks["begin"] = 1
    stage.step()
    assert stage.rewards[0] is None
    assert None not in stage.rewards[1:]


def test_mixture_routes_each_row_to_its_class() -> None:
    ids = ["llmgym/MultipleChoice-v0", "llmgym/MultiTurn-v0"]
    spec = TRLSpec(ids, path="environment", prompts=4)
    stage = Stage(spec, lambda *_: SPEAKER.say("x"), per_device_train_batch_size=8)
    stage.step()
    assert {one.trajectory.env_id for one in stage.outcomes} == set(ids)
    assert None not in stage.rewards


def test_group_is_judged_together() -> None:
    spec = TRLSpec(GroupedEnv, path="environment", prompts=2)
    stage = Stage(spec, SPEAKER.vault).step()
    assert stage.rewards == [1.0, 0.25, 1.0, 0.25]


def test_environments_are_closed_when_training_ends() -> None:
    spec = TRLSpec(FlakyEnv, path="environment", prompts=2)
    stage = Stage(spec, SPEAKER.vault)
    FlakyEnv.closed.clear()
    stage.step()
    assert len(FlakyEnv.closed) == 4
    stage.trainer.evaluate(spec.train_dataset)  # and made again
    assert stage.rewards == [1.0, 0.0, 1.0, 0.0]
