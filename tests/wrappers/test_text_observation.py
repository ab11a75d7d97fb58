"""`TextObservation`: a request as one text."""

from __future__ import annotations

import pytest

from llm_gym.wrappers import SystemPrompt, TextObservation
from tests.envs.driving import call
from tests.sample_envs import AskEnv, VaultEnv

ASKED = "[assistant]\nWho is there?\n\n[user]\nMe."


def test_a_conversation_is_one_text():
    env = TextObservation(AskEnv())
    assert env.reset(seed=1)[0] == ASKED
    text, reward, terminated, truncated, _ = env.step("pay")
    assert text == f"{ASKED}\n\n[assistant]\npay\n\n[user]\nThanks."
    assert (reward, terminated, truncated) == (0.25, False, False)
    assert len(env.unwrapped.trajectory.messages) == 4


def test_tools_calls_and_results_are_in_it():
    env = TextObservation(VaultEnv())
    text, _ = env.reset(seed=1)
    assert text.startswith("[system]\nUse the tools.\n\nYou can use tools.")
    assert '{"type": "function", "function": {"name": "lookup"' in text
    rolled = call("roll")
    longer, *_ = env.step(rolled)
    assert longer.startswith(f"{text}\n\n[assistant]\n{rolled}\n\n[tool]\n")


def test_thinking_is_left_out():
    env = TextObservation(AskEnv())
    env.reset(seed=1)
    text, *_ = env.step("<think>hm</think>pay")
    assert "hm" not in text


def test_another_form_is_written():
    env = TextObservation(AskEnv(), write=lambda request: str(len(request["messages"])))
    assert env.reset(seed=1)[0] == "2"
    assert env.step("hello")[0] == "4"
    assert env.observation_space.sample() == "1"


def test_what_changes_messages_stands_inside():
    env = TextObservation(SystemPrompt(AskEnv(), "New."))
    assert env.reset(seed=1)[0] == f"[system]\nNew.\n\n{ASKED}"
    with pytest.raises(TypeError, match="put `TextObservation` outside of it"):
        SystemPrompt(TextObservation(AskEnv()), "New.")


def test_what_cannot_write_is_refused():
    with pytest.raises(TypeError, match="`write` must be a function of a request"):
        TextObservation(AskEnv(), write="text")
