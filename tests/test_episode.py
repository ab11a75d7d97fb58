"""What changes during an episode, and the messages that an environment writes."""

from __future__ import annotations

import pytest
from gymnasium.error import ResetNeeded

from llm_gym import DefinitionError, Reply, Response, Score, StopReason, Task, Usage
from llm_gym.episode import (
    Episode,
    start_messages,
    tool_message,
    tool_name,
    user_message,
    with_reasoning,
)
from llm_gym.replies import read_reply
from llm_gym.trajectory import CallRecord
from tests.sample_envs import VaultEnv

RECORD = CallRecord("a", "look up!", "invalid", None, "{", "Error: no")


def test_a_copy_shares_nothing_that_changes():
    episode = Episode(Task("a"), 1, state={"list": [1]})
    other = episode.copy()
    other.state["list"].append(2)
    other.messages.append(user_message("hi"))
    assert episode.state == {"list": [1]}
    assert episode.messages == []
    assert other.task is episode.task


def test_info_has_no_score_before_the_end():
    episode = Episode(Task("a"), 1, tool_errors=2)
    assert episode.info([RECORD]) == {
        "task_id": "a",
        "seed": 1,
        "turn": 0,
        "tool_errors": 2,
        "calls": [{"id": "a", "name": "look up!", "status": "invalid"}],
    }


def test_info_has_the_score_at_the_end():
    score = Score(0.5, {"a": 1.0}, "half")
    episode = Episode(Task("a"), 1, stop=StopReason.GOAL, score=score)
    info = episode.info([])
    assert info["stop_reason"] == "goal"
    assert info["score"] == {"value": 0.5, "parts": {"a": 1.0}, "reason": "half"}
    info["score"]["parts"]["a"] = 2.0
    assert score.parts == {"a": 1.0}


def test_start_messages_put_the_system_prompt_first():
    assert start_messages("Be brief.", "hi") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]
    assert start_messages("", "") == [{"role": "user", "content": ""}]


def test_start_messages_may_be_several_and_are_cleaned():
    start = [
        {"role": "assistant", "content": "a\ud800"},
        {"role": "user", "content": "b"},
    ]
    messages = start_messages("", start)
    assert [message["content"] for message in messages] == ["a\ufffd", "b"]
    assert start[0]["content"] == "a\ud800"


def test_a_start_needs_a_message():
    with pytest.raises(DefinitionError, match="a text or at least one message"):
        start_messages("", [])


@pytest.mark.parametrize("role", ["tool", "developer", "", None])
def test_a_start_has_no_message_of_another_role(role):
    with pytest.raises(DefinitionError, match="a message with the role"):
        start_messages("", [{"role": role, "content": "a"}])


def test_messages_of_tools_and_users_are_valid_for_any_server():
    assert tool_message(RECORD) == {
        "role": "tool",
        "tool_call_id": "a",
        "name": "invalid_name",
        "content": "Error: no",
    }
    assert user_message("\udc00") == {"role": "user", "content": "\ufffd"}


def test_reasoning_is_kept_for_the_record_only():
    reply = read_reply("<think>hm</think>yes")
    assert with_reasoning(reply) == {**reply.message, "reasoning_content": "hm"}
    assert with_reasoning(read_reply("yes")) == {"role": "assistant", "content": "yes"}


def test_what_may_be_called_is_what_is_shown():
    specs = VaultEnv.tool_specs
    shown = tuple(spec.schema() for spec in specs.values())
    assert Episode(Task("a"), 1, tools=shown).allowed(specs) == specs
    left = Episode(Task("a"), 1, tools=shown[1:2]).allowed(specs)
    assert list(left) == [tool_name(shown[1])]
    assert Episode(Task("a"), 1).allowed(specs) == {}


def test_a_turn_holds_what_the_environment_answers():
    episode = Episode(Task("a"), 1)
    reply = read_reply(Reply("hi", usage=Usage(1, 5)))
    episode.messages.append(reply.message)
    episode.add_turn(reply.message, reply, (RECORD,), Response("well", reward=0.5))
    (turn,) = episode.turns
    assert [message["role"] for message in turn.added] == ["tool", "user"]
    assert episode.messages == [reply.message, *turn.added]
    assert (turn.reward, episode.tokens, episode.tool_errors) == (0.5, 5, 1)


def test_wrappers_change_the_episode_itself():
    env = VaultEnv()
    with pytest.raises(ResetNeeded, match="no episode has begun"):
        _ = env.episode
    env.reset(seed=1)
    env.episode.prompt = (user_message("changed"),)
    env.episode.tools = env.episode.tools[:1]
    assert env.trajectory.prompt[0]["content"] == "changed"
    assert len(env.trajectory.tools) == len(env.step("hi")[0]["tools"]) == 1
