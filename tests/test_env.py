"""The protocol of a turn: what `reset` and `step` return, when an episode ends."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym import (
    ActionError,
    DefinitionError,
    EnvironmentFault,
    GeneratedTasks,
    ListTasks,
    Reply,
    Rubric,
    StopReason,
    Task,
    ToolEnv,
    UnknownTaskError,
    Usage,
)
from tests.envs.driving import call, play
from tests.json_values import replies
from tests.sample_envs import AskEnv, BrokenEnv, EchoEnv, KitEnv, VaultEnv


@pytest.fixture
def vault():
    env = VaultEnv()
    env.reset(seed=1)
    return env


def test_reset_shows_the_first_messages_and_the_tools():
    env = VaultEnv()
    observation, info = env.reset(seed=5)
    assert [m["role"] for m in observation["messages"]] == ["system", "user"]
    assert observation["messages"][0]["content"] == "Use the tools."
    names = [tool["function"]["name"] for tool in observation["tools"]]
    assert names == ["lookup", "roll", "crash", "open"]
    assert info == {"task_id": env.task.id, "seed": 5}


def test_an_environment_without_tools_shows_none():
    observation, _ = EchoEnv().reset(seed=1)
    assert observation == {"messages": [{"role": "user", "content": "hi"}]}


def test_a_turn_shows_the_reply_its_results_and_info(vault):
    code = vault.state["codes"]["red"]
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "x", "function": {"name": "lookup", "arguments": {"colour": "red"}}}
        ],
    }
    observation, reward, terminated, truncated, info = vault.step(message)
    assert observation["messages"][-2]["content"] == ""
    assert observation["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "x",
        "name": "lookup",
        "content": str(code),
    }
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info == {
        "task_id": vault.task.id,
        "seed": 1,
        "turn": 1,
        "tool_errors": 0,
        "calls": [{"id": "x", "name": "lookup", "status": "ok"}],
    }


def test_the_end_tells_the_score_and_why_it_ended(vault):
    code = vault.task.answer["code"]
    _, reward, terminated, truncated, info = vault.step(call("open", code=code))
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert type(reward) is float
    assert info["stop_reason"] == "tool"
    assert info["score"] == {"value": 1.0, "parts": {"opened": 1.0}, "reason": "opened"}
    assert vault.trajectory.outcome == {"opened": code}


def test_tool_errors_are_counted_over_the_episode(vault):
    vault.step(call("lookup") + call("zzz") + call("lookup", colour="pink"))
    *_, info = vault.step(call("lookup", colour="red") + "<tool_call>")
    assert info["tool_errors"] == 4
    assert [c["status"] for c in info["calls"]] == ["ok", "invalid"]


@pytest.mark.parametrize(("answer", "score"), [("hi", 1.0), ("Hi", 0.0), ("", 0.0)])
def test_a_reply_without_a_call_is_the_answer(answer, score):
    env = EchoEnv()
    env.reset(options={"task_id": "hi"})
    _, reward, terminated, _, info = env.step(answer)
    assert (reward, terminated, info["stop_reason"]) == (score, True, "answer")
    assert env.trajectory.answer == answer


def test_an_environment_without_tools_still_answers_calls():
    env = EchoEnv()
    env.reset(seed=1)
    observation, _, terminated, _, _ = env.step(call("lookup"))
    assert not terminated
    assert "no tools are available" in observation["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("reply", "reward", "stop", "last"),
    [
        ("hello", 0.0, None, "You said 5 characters."),
        ("pay", 0.25, None, "Thanks."),
        ("bye", 1.0, "user_left", "Goodbye."),
        ("goal", 1.5, "goal", "goal"),
        ("answer", 1.0, "answer", "answer"),
    ],
)
def test_respond_answers_pays_and_ends(reply, reward, stop, last):
    env = AskEnv()
    env.reset(seed=1)
    observation, got, terminated, truncated, info = env.step(reply)
    assert (got, terminated, truncated) == (reward, stop is not None, False)
    assert info.get("stop_reason") == stop
    assert observation["messages"][-1]["content"] == last


def test_turns_run_out_and_the_episode_is_judged(vault):
    for _ in range(5):
        *_, truncated, _ = vault.step(call("roll"))
        assert not truncated
    _, reward, terminated, truncated, info = vault.step(call("roll"))
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["stop_reason"] == "max_turns"
    assert info["score"]["value"] == 0.0


def test_an_answer_on_the_last_turn_terminates():
    env = VaultEnv(max_turns=1)
    env.reset(seed=1)
    *_, terminated, truncated, info = env.step("I give up.")
    assert (terminated, truncated, info["stop_reason"]) == (True, False, "answer")


def test_tokens_run_out_as_far_as_replies_tell():
    env = VaultEnv(max_tokens=10)
    env.reset(seed=1)
    *_, truncated, _ = env.step(Reply(call("roll"), usage=Usage(100, 9)))
    assert not truncated
    env.step(call("roll"))
    *_, truncated, info = env.step(Reply(call("roll"), usage=Usage(100, 1)))
    assert truncated
    assert info["stop_reason"] == "max_tokens"


def test_seconds_run_out():
    env = VaultEnv(max_seconds=1e-9)
    env.reset(seed=1)
    *_, truncated, info = env.step(call("roll"))
    assert (truncated, info["stop_reason"]) == (True, "max_seconds")


def test_seconds_count_from_reset_as_documented():
    env = VaultEnv(max_seconds=0.02)
    env.reset(seed=1)
    time.sleep(0.03)
    *_, truncated, _ = env.step(call("roll"))
    assert truncated


def test_the_clock_stands_still_in_a_snapshot_and_runs_on_in_a_fork():
    env = VaultEnv(max_seconds=100)
    env.reset(seed=1)
    snapshot = env.snapshot()
    env._episode.since -= 60
    fork = env.fork()
    fork._episode.since -= 60
    assert fork.step(call("roll"))[4]["stop_reason"] == "max_seconds"
    assert "stop_reason" not in env.step(call("roll"))[4]
    env.restore(snapshot)
    assert env._episode.elapsed() < 50


def test_an_episode_is_truncated_from_outside_and_judged(vault):
    vault.step(call("roll"))
    score = vault.end(StopReason.MAX_TOKENS)
    record = vault.trajectory
    assert record.score == score
    assert record.stop_reason is StopReason.MAX_TOKENS
    with pytest.raises(gym.error.ResetNeeded, match="the episode is over"):
        vault.end(StopReason.MAX_TURNS)


def test_an_episode_that_is_truncated_keeps_its_reward():
    env = AskEnv()
    env.reset(seed=1)
    env.step("pay")
    assert env.end(StopReason.MAX_TURNS).value == 1.0
    assert env.trajectory.episode_return == 1.25


def test_an_episode_is_ended_from_outside_only_after_a_turn(vault):
    with pytest.raises(gym.error.ResetNeeded, match="no turn yet"):
        vault.end(StopReason.GOAL)
    assert vault.trajectory.stop_reason is None
    vault.step(call("roll"))
    vault.end(StopReason.GOAL)
    assert vault.trajectory.stop_reason is StopReason.GOAL


def test_a_verifier_that_fails_at_a_truncation_is_a_fault(monkeypatch, vault):
    vault.step(call("roll"))
    monkeypatch.setattr(vault, "verify", lambda trajectory: "much")
    with pytest.raises(EnvironmentFault, match="the verifier raised TypeError"):
        vault.end(StopReason.MAX_TURNS)
    record = vault.trajectory
    assert (record.score, record.stop_reason) == (None, None)
    assert record.fault


def test_a_reply_cut_off_by_its_length_runs_nothing_and_truncates(vault):
    reply = Reply(call("open", code=vault.task.answer["code"]), finish_reason="length")
    observation, reward, terminated, truncated, info = vault.step(reply)
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["stop_reason"] == "reply_length"
    assert info["calls"][0]["status"] == "not_run"
    assert "cut off by its length" in observation["messages"][-1]["content"]
    assert "opened" not in vault.state


def test_thinking_is_shown_apart_from_the_content(vault):
    observation, *_ = vault.step("<think>hm</think>" + call("roll"))
    reply = observation["messages"][-2]
    assert (reply["content"], reply["reasoning_content"]) == ("", "hm")
    assert vault.trajectory.turns[0].reply is reply


@pytest.mark.parametrize(
    "action", [None, 5, {}, {"role": "user", "content": "x"}, object()]
)
def test_what_is_no_reply_changes_nothing(vault, action):
    before = vault.trajectory
    with pytest.raises(ActionError):
        vault.step(action)
    assert vault.trajectory == before
    assert vault.step(call("roll"))[4]["turn"] == 1


@given(st.lists(replies, max_size=4))
def test_whatever_a_model_writes_is_a_turn(actions):
    env = KitEnv(max_turns=len(actions) + 1)
    observation, _ = env.reset(seed=1)
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        assert math.isfinite(reward)
        assert observation in env.observation_space
        called = [m["tool_call_id"] for m in env.trajectory.turns[-1].added]
        assert len(called) == len(env.trajectory.turns[-1].calls)
        if terminated or truncated:
            break


def test_an_observation_is_not_changed_by_later_turns(vault):
    first, _ = vault.reset(seed=1)
    second, *_ = vault.step(call("roll"))
    vault.step(call("roll"))
    assert (len(first["messages"]), len(second["messages"])) == (2, 4)
    second["messages"].clear()
    assert len(vault.trajectory.messages) == 6


@pytest.mark.parametrize(
    "use", ["step", "state", "task", "trajectory", "snapshot", "render"]
)
def test_nothing_works_before_reset(use):
    env = VaultEnv(render_mode="ansi")
    with pytest.raises(gym.error.ResetNeeded, match=r"call `reset\(\)` first"):
        env.step("hi") if use == "step" else getattr(env, use)()


def test_nothing_more_happens_after_the_end(vault):
    vault.step("I give up.")
    with pytest.raises(gym.error.ResetNeeded, match=r"the episode is over \(.*ANSWER"):
        vault.step("Wait!")
    assert len(vault.trajectory.turns) == 1
    vault.reset(seed=2)
    assert vault.trajectory.turns == ()


def test_the_same_seed_draws_the_same_task():
    ids = [VaultEnv().reset(seed=seed)[1]["task_id"] for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


def test_a_seed_that_was_drawn_gives_the_episode_again(vault):
    _, info = vault.reset()
    first = vault.step(call("roll") * 5)[0]
    _, again = VaultEnv().reset(seed=info["seed"])
    assert again == info
    other = VaultEnv()
    other.reset(seed=info["seed"])
    assert other.step(call("roll") * 5)[0] == first


def test_resets_without_a_seed_differ(vault):
    seeds = {vault.reset()[1]["seed"] for _ in range(10)}
    assert len(seeds) == 10


@pytest.mark.parametrize("seed", [np.int64(7), 7])
def test_a_seed_may_be_a_numpy_integer(vault, seed):
    _, info = vault.reset(seed=seed)
    assert info["seed"] == 7
    assert type(info["seed"]) is int


@pytest.mark.parametrize("seed", [1.5, "7", -1])
def test_a_seed_that_is_no_natural_number_is_refused(vault, seed):
    with pytest.raises((TypeError, gym.error.Error)):
        vault.reset(seed=seed)


def test_a_task_may_be_named_or_handed_in():
    env = EchoEnv()
    assert env.reset(options={"task_id": "he"})[1]["task_id"] == "he"
    mine = Task(id="mine", prompt="What?")
    observation, info = env.reset(seed=1, options={"task": mine})
    assert observation["messages"][0]["content"] == "What?"
    assert info["task_id"] == "mine"
    assert env.task == mine


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"task_id": "zzz"}, UnknownTaskError, "no task 'zzz'"),
        ({"tusk": 1}, ValueError, r"`options` must be .* not \['tusk'\]"),
        ({"task_id": "hi", "task": Task("a")}, ValueError, "`options` must be"),
        ({"task": {"id": "a"}}, TypeError, "must be a Task, not"),
        ({"task_id": 5}, (TypeError, UnknownTaskError), "5"),
    ],
)
def test_an_option_that_is_not_known_changes_nothing(options, error, why):
    env = VaultEnv(tasks=EchoEnv.tasks)
    env.reset(seed=1)
    before = env.snapshot()
    with pytest.raises(error, match=why):
        env.reset(seed=2, options=options)
    after = env.snapshot()
    assert replace(after._episode, seconds=0) == replace(before._episode, seconds=0)
    assert after._random[0].bit_generator.state == before._random[0].bit_generator.state


def test_splits_and_levels_select_the_tasks():
    env = VaultEnv(split="test", level=1)
    assert {env.reset(seed=n)[1]["task_id"][:7] for n in range(5)} == {"test-1-"}
    assert EchoEnv(level=1).reset(seed=1)[1]["task_id"] == "ho"


@pytest.mark.parametrize(
    ("kwargs", "why"),
    [
        ({"max_turns": 0}, "`max_turns` must be positive, not 0"),
        ({"max_tokens": -1}, "`max_tokens` must be positive, not -1"),
        ({"max_seconds": 0.0}, "`max_seconds` must be positive, not 0.0"),
        ({"max_seconds": math.nan}, "`max_seconds` must be positive, not nan"),
        ({"render_mode": "human"}, "`render_mode` must be None or"),
        ({"split": "dev"}, "`split` must be one of"),
        ({"level": 9}, "`level` must be None or from 0 to 1, not 9"),
    ],
)
def test_an_argument_out_of_range_is_refused(kwargs, why):
    with pytest.raises(ValueError, match=why):
        VaultEnv(**kwargs)


def test_arguments_are_by_name_and_tasks_a_source():
    with pytest.raises(TypeError, match="positional"):
        VaultEnv("tasks.jsonl")
    with pytest.raises(TypeError, match="a TaskSource or the path"):
        VaultEnv(tasks=[Task("a")])


def test_render_shows_the_conversation_without_control_characters():
    env = VaultEnv(render_mode="ansi")
    env.reset(seed=1)
    env.step("\x1b[2J" + call("roll"))
    shown = env.render()
    assert "[system]\nUse the tools." in shown
    assert "-> roll({})" in shown
    assert "\x1b" not in shown
    assert VaultEnv().render() is None


@pytest.mark.parametrize("where", ["begin", "empty"])
def test_a_start_that_fails_is_a_fault(where):
    env = BrokenEnv(where)
    with pytest.raises(EnvironmentFault, match="`begin` raised") as caught:
        env.reset(seed=3)
    assert (caught.value.seed, caught.value.task_id) == (3, env.task.id)
    assert env.trajectory.fault == str(caught.value)


@pytest.mark.parametrize(
    "where", ["verify", "outcome", "set", "two", "nan", "text", "nothing"]
)
def test_a_verifier_that_fails_is_a_fault_and_no_zero(where):
    env = BrokenEnv(where)
    env.reset(seed=3)
    with pytest.raises(EnvironmentFault, match="the verifier raised"):
        env.step("hi")
    record = env.trajectory
    assert record.fault
    assert record.score is None
    assert record.stop_reason is None
    assert math.isnan(record.episode_return)


@pytest.mark.parametrize(
    "where", ["respond", "number", "infinite", "reward", "stop", "message"]
)
def test_an_answer_that_fails_is_a_fault(where):
    env = BrokenEnv(where)
    env.reset(seed=3)
    with pytest.raises(EnvironmentFault, match="`respond`"):
        env.step("hi")
    assert env.trajectory.fault


def test_after_a_fault_only_a_reset_helps(vault):
    with pytest.raises(EnvironmentFault):
        vault.step(call("crash"))
    with pytest.raises(gym.error.ResetNeeded, match=r"the episode is over .*kaput"):
        vault.step(call("roll"))
    vault.reset(seed=1)
    assert vault.trajectory.fault is None


def test_an_interrupted_turn_ends_the_episode():
    env = KitEnv()
    env.reset(seed=1)
    with pytest.raises(KeyboardInterrupt):
        env.step(call("leave", how="interrupt"))
    with pytest.raises(gym.error.ResetNeeded, match="KeyboardInterrupt"):
        env.step("hi")


def test_a_task_source_that_fails_is_a_fault_and_not_the_episode_before():
    class Away(ListTasks):
        def sample(self, rng):
            raise OSError("the disk is away")

    env = VaultEnv(tasks=EchoEnv.tasks)
    env.reset(seed=1)
    env.tasks = Away([Task("a")])
    with pytest.raises(EnvironmentFault, match="the disk is away"):
        env.reset(seed=2)


def test_a_generator_that_makes_too_little_is_the_authors_mistake():
    tasks = GeneratedTasks(lambda rng, level: Task(prompt="one"))
    assert tasks.get("train-0-1")
    env = VaultEnv(tasks=tasks, split="test")
    with pytest.raises(DefinitionError, match="too few different tasks"):
        env.reset(seed=1)


def test_an_environment_needs_a_verifier():
    class Bare(ToolEnv):
        """Judges nothing."""

    env = Bare()
    env.reset(seed=1)
    with pytest.raises(
        EnvironmentFault, match="needs a `verify` method or a `verifier`"
    ) as caught:
        env.step("hi")
    assert isinstance(caught.value.__cause__, DefinitionError)


def test_a_verifier_may_be_an_attribute():
    class Judged(ToolEnv):
        """Judged by a rubric."""

        verifier = Rubric({"long": (lambda t: len(t.answer) > 3, 1.0)})

    assert play(Judged(), ["long enough"], seed=1).score.value == 1.0
    assert play(Judged(), ["no"], seed=1).score.parts == {"long": 0.0}


def test_by_default_the_state_is_the_tasks_data_and_there_is_no_oracle():
    env = EchoEnv()
    mine = Task("a", "hi", {"list": [1]})
    env.reset(seed=1, options={"task": mine})
    env.state["list"].append(2)
    assert mine.data == {"list": [1]}
    with pytest.raises(NotImplementedError, match="`EchoEnv` has no oracle"):
        env.oracle()


def test_the_record_names_the_environment_and_its_arguments(vault):
    assert vault.trajectory.env_id == "tests.sample_envs:VaultEnv"
    vault.spec = SimpleNamespace(
        id="a/B-v0", kwargs={"level": 1, "tasks": EchoEnv.tasks, "render_mode": "ansi"}
    )
    record = vault.trajectory
    assert record.env_id == "a/B-v0"
    assert record.env_kwargs == {"level": 1, "tasks": "ListTasks"}


def test_messages_of_the_start_are_cleaned_and_checked():
    env = EchoEnv()
    env.reset(seed=1, options={"task": Task("a", "lone \ud800")})
    assert env.trajectory.prompt[0]["content"] == "lone \ufffd"
    observation, _ = AskEnv().reset(seed=1)
    assert [m["role"] for m in observation["messages"]] == ["assistant", "user"]


def test_close_may_be_called_twice_and_the_environment_used_again(vault):
    vault.close()
    vault.close()
    assert vault.reset(seed=1)
