"""`SystemPrompt`: what the policy is told first, on record."""

from __future__ import annotations

import pytest

from llm_gym import Task, ToolEnv
from llm_gym.wrappers import ChatHistoryWindow, SystemPrompt
from tests.sample_envs import AskEnv, EchoEnv, VaultEnv


class TwoEnv(ToolEnv):
    """Two system messages, neither of them first."""

    def begin(self, task: Task):
        """Start with four messages."""
        return [
            {"role": role, "content": content}
            for role, content in [
                ("user", "u"),
                ("system", "a"),
                ("user", "v"),
                ("system", "b"),
            ]
        ]

    def verify(self, trajectory):
        """Give nothing."""
        return 0.0


def told(env, mode):
    env = SystemPrompt(env, "New.", mode)
    observation, _ = env.reset(seed=1)
    assert list(env.unwrapped.trajectory.prompt) == observation["messages"]
    shown, *_ = env.step("hello")
    assert shown["messages"][: len(observation["messages"])] == observation["messages"]
    return [m["content"] for m in observation["messages"] if m["role"] == "system"]


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [
        (EchoEnv, "replace", ["New."]),
        (EchoEnv, "append", ["New."]),
        (EchoEnv, "add", ["New."]),
        (VaultEnv, "replace", ["New."]),
        (VaultEnv, "append", ["Use the tools.\n\nNew."]),
        (VaultEnv, "add", ["Use the tools."]),
        (TwoEnv, "replace", ["New."]),
        (TwoEnv, "append", ["a\n\nNew.", "b"]),
        (TwoEnv, "add", ["a", "b"]),
    ],
)
def test_a_system_message_is_given(kind, mode, expected):
    assert told(kind(), mode) == expected


def test_a_new_one_comes_first():
    env = SystemPrompt(TwoEnv(), "New.")
    roles = [m["role"] for m in env.reset(seed=1)[0]["messages"]]
    assert roles == ["system", "user", "user"]


def test_every_episode_begins_with_it_once():
    env = SystemPrompt(VaultEnv(), "New.", "append")
    assert env.reset(seed=1) == env.reset(seed=1)


def test_it_may_stand_around_a_window():
    env = SystemPrompt(ChatHistoryWindow(AskEnv(), max_turns=1), "New.")
    env.reset(seed=1)
    env.step("one")
    observation, *_ = env.step("two")
    assert observation["messages"][0] == {"role": "system", "content": "New."}
    assert len(observation["messages"]) == 4


def test_a_lone_surrogate_is_replaced():
    env = SystemPrompt(EchoEnv(), "a\ud800")
    env.reset(seed=1)
    assert env.unwrapped.trajectory.prompt[0]["content"] == "a\ufffd"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("",), "`text` must be a text that is not empty, not ''"),
        ((None,), "`text` must be a text that is not empty, not None"),
        (("a", "prepend"), "`mode` must be one of .*, not 'prepend'"),
    ],
)
def test_bad_arguments_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        SystemPrompt(EchoEnv(), *arguments)
