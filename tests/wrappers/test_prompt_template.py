"""`PromptTemplate`: the first user message, written into a template."""

from __future__ import annotations

import pytest

from llm_gym import Task, ToolEnv
from llm_gym.wrappers import PromptTemplate
from tests.sample_envs import AskEnv, EchoEnv


class SilentEnv(ToolEnv):
    """No user speaks."""

    def begin(self, task: Task):
        """Start with the assistant."""
        return [{"role": "assistant", "content": "Hello?"}]

    def verify(self, trajectory):
        """Give nothing."""
        return 0.0


def test_the_first_user_message_is_written_into_the_template():
    env = PromptTemplate(AskEnv(), "<{prompt}> {{json}} {prompt}")
    observation, _ = env.reset(seed=1)
    expected = ["Who is there?", "<Me.> {json} Me."]
    assert [m["content"] for m in observation["messages"]] == expected
    assert list(env.unwrapped.trajectory.prompt) == observation["messages"]
    shown, *_ = env.step("hello")
    assert shown["messages"][:2] == observation["messages"]


def test_the_task_and_its_verdict_stay():
    env = PromptTemplate(EchoEnv(), "Say {prompt}!")
    _, info = env.reset(seed=1)
    assert env.unwrapped.task.prompt == info["task_id"]
    assert env.step(info["task_id"])[1] == 1.0


def test_braces_of_the_prompt_are_text():
    env = PromptTemplate(EchoEnv(), "Say {prompt}!")
    task = Task("x", prompt="{0} {prompt} }{")
    observation, _ = env.reset(options={"task": task})
    assert observation["messages"][0]["content"] == "Say {0} {prompt} }{!"


def test_two_templates_are_written_from_the_inside_out():
    env = PromptTemplate(PromptTemplate(EchoEnv(), "<{prompt}>"), "[{prompt}]")
    observation, info = env.reset(seed=1)
    assert observation["messages"][0]["content"] == f"[<{info['task_id']}>]"


def test_an_episode_without_a_user_message_is_refused():
    env = PromptTemplate(SilentEnv(), "{prompt}")
    with pytest.raises(
        ValueError, match=r"needs a user message .* has \['assistant'\]"
    ):
        env.reset(seed=1)


@pytest.mark.parametrize(
    ("template", "match"),
    [
        ("no field", "must have the field `{prompt}` and no other"),
        ("{prompt} {task}", "must have the field `{prompt}` and no other"),
        ("{prompt.__class__}", "must have the field `{prompt}` and no other"),
        ("{prompt!r}", "must have the field `{prompt}` and no other"),
        ("{prompt:>9}", "must have the field `{prompt}` and no other"),
        ("{}", "must have the field `{prompt}` and no other"),
        ("{prompt", "`template` must be a format such as"),
        (None, "`template` must be a format such as"),
    ],
)
def test_bad_templates_are_refused(template, match):
    with pytest.raises(ValueError, match=match):
        PromptTemplate(EchoEnv(), template)
