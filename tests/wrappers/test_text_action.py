"""`TextAction`: texts as replies, and nothing else."""

from __future__ import annotations

import pytest

from llm_gym import ActionError, Reply
from llm_gym.wrappers import TextAction, TokenBudget
from llm_gym.wrappers.text_action import reply_text
from tests.envs.driving import call
from tests.sample_envs import AskEnv, VaultEnv


def started(*parse, kind=VaultEnv):
    env = TextAction(kind(), *parse)
    env.reset(seed=1)
    return env


def test_a_text_in_the_canonical_form_is_read():
    *_, info = started().step(call("roll"))
    assert info["calls"][0]["status"] == "ok"


def test_a_models_own_form_is_read():
    def parse(text):
        return text.replace("[[", "<tool_call>").replace("]]", "</tool_call>")

    *_, info = started(parse).step('[[{"name": "roll", "arguments": {}}]]')
    assert info["calls"][0]["status"] == "ok"


@pytest.mark.parametrize("action", [Reply("hello"), {"content": "hello"}, 5, None])
def test_what_is_no_text_is_refused(action):
    env = started(kind=AskEnv)
    with pytest.raises(ActionError, match="an action must be a str here, not"):
        env.step(action)
    assert env.unwrapped.trajectory.turns == ()


def test_samples_are_texts_that_call_tools():
    env = started()
    env.action_space.seed(3)
    samples = [env.action_space.sample() for _ in range(40)]
    env.action_space.seed(3)
    assert samples == [env.action_space.sample() for _ in range(40)]
    assert {"lookup", "roll"} <= {
        name for name in ("lookup", "roll") if any(name in text for text in samples)
    }
    assert all(text in env.action_space for text in samples)


def test_a_reply_of_any_form_is_written():
    message = {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [{"id": "a", "function": {"name": "roll", "arguments": "{}"}}],
    }
    assert reply_text(message) == f"Let me see.\n{call('roll')}"
    assert reply_text("hello") == "hello"


def test_a_budget_around_it_needs_a_counter():
    env = TokenBudget(TextAction(AskEnv()), 9)
    env.reset(seed=1)
    with pytest.raises(ActionError, match="`count_tokens`"):
        env.step("hello")


def test_what_cannot_parse_is_refused():
    with pytest.raises(TypeError, match="`parse` must be a function of a text, not 3"):
        TextAction(AskEnv(), 3)
    with pytest.raises(TypeError, match="put `TextAction` outside of it"):
        TextAction(TextAction(AskEnv()))
