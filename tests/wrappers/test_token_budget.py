"""`TokenBudget`: what replies tell, or what is estimated, and never silence."""

from __future__ import annotations

import pytest

from llm_gym import ActionError, Reply, StopReason, Usage
from llm_gym.wrappers import TokenBudget
from tests.envs.driving import call
from tests.sample_envs import AskEnv, VaultEnv

ROLL = call("roll")


def reply(tokens, text="hello"):
    return Reply(text, usage=Usage(7, tokens))


def started(max_tokens, count_tokens=None, kind=AskEnv):
    env = TokenBudget(kind(), max_tokens, count_tokens)
    env.reset(seed=1)
    return env


def test_the_reply_that_spends_the_last_token_ends_the_episode():
    env = started(100)
    *_, truncated, info = env.step(reply(60))
    assert (truncated, info["sampled_tokens"]) == (False, 60)
    _, reward, terminated, truncated, info = env.step(reply(40, "pay"))
    assert (reward, terminated, truncated) == (1.25, False, True)
    assert (info["stop_reason"], info["sampled_tokens"]) == ("max_tokens", 100)
    assert env.unwrapped.trajectory.stop_reason is StopReason.MAX_TOKENS


def test_every_episode_has_its_own_budget():
    env = started(100)
    env.step(reply(99))
    env.reset(seed=2)
    assert env.step(reply(99))[4]["sampled_tokens"] == 99


def test_an_episode_that_ends_by_itself_is_left_alone():
    *_, terminated, truncated, info = started(10).step(reply(10, "bye"))
    assert (terminated, truncated) == (True, False)
    assert info["sampled_tokens"] == 10


@pytest.mark.parametrize("action", ["hello", {"role": "assistant", "content": "hello"}])
def test_a_reply_without_usage_is_refused_before_anything_happens(action):
    env = started(100)
    with pytest.raises(ActionError, match=r"`usage`, or give the wrapper `count_tok"):
        env.step(action)
    assert env.unwrapped.trajectory.turns == ()
    env.step(reply(1))


def test_a_whole_completion_tells():
    completion = {
        "choices": [{"message": {"role": "assistant", "content": "hello"}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 9},
    }
    assert started(100).step(completion)[4]["sampled_tokens"] == 9


def test_a_function_estimates_what_replies_do_not_tell():
    texts = []

    def count(text):
        texts.append(text)
        return 30

    env = started(100, count, VaultEnv)
    thought = {"role": "assistant", "content": "", "reasoning_content": "hm"}
    thought["tool_calls"] = [{"function": {"name": "roll", "arguments": "{}"}}]
    assert env.step(thought)[4]["sampled_tokens"] == 30
    assert env.step(reply(5, ROLL))[4]["sampled_tokens"] == 35
    assert env.step(ROLL)[4]["sampled_tokens"] == 65
    assert texts == [f"<think>hm</think>{ROLL}", ROLL]
    assert [turn.usage for turn in env.unwrapped.trajectory.turns] == [
        None,
        Usage(7, 5),
        None,
    ]


def test_a_tokenizer_estimates():
    class Words:
        def encode(self, text, add_special_tokens=True):
            return text.split() + ["end"] * add_special_tokens

    assert started(9, Words()).step("one two three")[4]["sampled_tokens"] == 3


def test_a_restored_episode_has_spent_what_it_had():
    env = started(100, len)
    env.step("x" * 10)
    snapshot = env.unwrapped.snapshot()
    env.step("y" * 20)
    env.unwrapped.restore(snapshot)
    assert env.step("z" * 50)[4]["sampled_tokens"] == 60
    other = started(100, len)
    other.step("x" * 40)
    other.unwrapped.restore(snapshot)
    assert other.step("z")[4]["sampled_tokens"] == 11


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((0,), ValueError, "`max_tokens` must be at least 1, not 0"),
        ((5, 3), TypeError, "must be a function or a tokenizer, not 3"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        TokenBudget(AskEnv(), *arguments)


def test_a_counter_that_does_not_count_is_refused():
    with pytest.raises(TypeError, match=r"must return a whole number, not 1\.5"):
        started(9, lambda text: 1.5).step("hello")
