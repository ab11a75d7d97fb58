"""`ChatHistoryWindow`: what is shown of a conversation, and what never is torn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym import StopReason
from llm_gym.wrappers import ChatHistoryWindow
from tests.envs.driving import call
from tests.sample_envs import AskEnv, EchoEnv, KitEnv, VaultEnv
from tests.wrappers.kit import count_messages

ROLL = call("roll")
MOVES = st.lists(
    st.sampled_from([ROLL, ROLL * 3, call("zzz"), call("lookup", colour="red")]),
    max_size=8,
)


def count_chars(request):
    return sum(len(message["content"]) for message in request["messages"])


def played(env, moves):
    """Return the last observation and `info`."""
    observation, info = env.reset(seed=1)
    for move in moves:
        observation, *_, info = env.step(move)
    return observation, info


def assert_sound(shown, whole):
    """Nothing new, in order, with its head and its end, and no result alone."""
    places = [whole.index(message) for message in shown]
    assert places == sorted(set(places))
    head = [m for m in whole if m["role"] == "system"]
    head += [m for m in whole if m["role"] == "user"][:1]
    assert all(message in shown for message in head)
    assert shown[-1] is whole[-1]
    known = {call["id"] for m in shown for call in m.get("tool_calls", ())}
    results = {m["tool_call_id"] for m in shown if m["role"] == "tool"}
    assert known == results


@given(MOVES, st.integers(1, 9))
def test_a_window_of_turns_is_sound(moves, max_turns):
    env = ChatHistoryWindow(VaultEnv(max_turns=20), max_turns=max_turns)
    observation, info = played(env, moves)
    whole = env.unwrapped.trajectory.messages
    shown = observation["messages"]
    assert_sound(shown, whole)
    replies = [message for message in shown if message["role"] == "assistant"]
    assert len(replies) == min(max_turns, len(moves))
    assert info["left_out_messages"] == len(whole) - len(shown)
    assert observation["tools"] == list(env.unwrapped.trajectory.tools)


@given(MOVES, st.integers(6, 20), st.integers(1, 9))
def test_a_window_of_tokens_is_sound_and_as_large_as_can_be(moves, limit, turns):
    env = ChatHistoryWindow(
        VaultEnv(max_turns=20),
        max_turns=turns,
        max_tokens=limit,
        count_tokens=count_messages,
    )
    shown = played(env, moves)[0]["messages"]
    whole = env.unwrapped.trajectory.messages
    assert_sound(shown, whole)
    assert len(shown) <= limit
    replies = [message for message in shown if message["role"] == "assistant"]
    if len(replies) < min(turns, len(moves)):
        left_out = env.unwrapped.trajectory.turns[-len(replies) - 1]
        assert len(shown) + 1 + len(left_out.added) > limit


def test_the_trajectory_keeps_the_whole_conversation():
    env = ChatHistoryWindow(VaultEnv(), max_turns=1)
    played(env, [ROLL, ROLL, ROLL])
    assert (
        env.unwrapped.trajectory.messages
        == played(VaultEnv(), [ROLL] * 3)[0]["messages"]
    )


def test_the_first_user_message_may_come_after_an_assistants():
    env = ChatHistoryWindow(AskEnv(), max_turns=1)
    observation, _ = played(env, ["one", "two"])
    contents = [message["content"] for message in observation["messages"]]
    assert contents == ["Me.", "two", "You said 3 characters."]


def test_what_stands_before_the_first_reply_can_be_left_out():
    class Examples(AskEnv):
        def begin(self, task):
            self.state = {"heard": []}
            return [{"role": "user", "content": text} for text in "abc"]

    env = ChatHistoryWindow(Examples(), max_tokens=3, count_tokens=count_messages)
    assert len(env.reset(seed=1)[0]["messages"]) == 3
    observation, *_, info = env.step("hello")
    assert [m["content"] for m in observation["messages"]][:2] == ["a", "hello"]
    assert info["left_out_messages"] == 2


def test_a_turn_that_does_not_fit_ends_the_episode():
    env = ChatHistoryWindow(KitEnv(), max_tokens=100, count_tokens=count_chars)
    env.reset(seed=1)
    assert env.step(call("free", value="x" * 50))[3] is False
    observation, reward, terminated, truncated, info = env.step(
        call("free", value="x" * 200)
    )
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert (info["stop_reason"], info["score"]["value"]) == ("max_tokens", 0.0)
    assert [m["role"] for m in observation["messages"]] == ["user", "assistant", "tool"]
    assert env.unwrapped.trajectory.stop_reason is StopReason.MAX_TOKENS


def test_an_episode_that_has_ended_is_not_ended_again():
    env = ChatHistoryWindow(EchoEnv(), max_tokens=10, count_tokens=count_chars)
    env.reset(seed=1)
    *_, terminated, truncated, info = env.step("x" * 50)
    assert (terminated, truncated, info["stop_reason"]) == (True, False, "answer")


def test_a_prompt_that_does_not_fit_is_refused():
    env = ChatHistoryWindow(EchoEnv(), max_tokens=1, count_tokens=count_chars)
    with pytest.raises(
        ValueError, match=r"task 'h.' has 2 tokens: `max_tokens`.* is 1"
    ):
        env.reset(seed=1)


def test_a_tokenizer_counts_what_an_engine_reads():
    tiny = pytest.importorskip("tests.policies.tiny")
    from llm_gym.tokens import ChatTokens

    tokenizer = tiny.tiny_tokenizer(tiny.HERMES)
    tokens = ChatTokens(tokenizer, "tiny")

    def size(request):
        return len(tokens.prompt(request).ids)

    plain = VaultEnv()
    limit = size(played(plain, [ROLL] * 2)[0])
    env = ChatHistoryWindow(VaultEnv(), max_tokens=limit, count_tokens=tokenizer)
    assert played(env, [ROLL] * 2)[0] == plain._observe(plain.episode)
    observation, info = played(env, [ROLL] * 3)
    assert size(observation) <= limit
    assert info["left_out_messages"] == 2


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({}, ValueError, "needs `max_turns`, `max_tokens` or both"),
        ({"max_turns": 0}, ValueError, "`max_turns` must be at least 1, not 0"),
        (
            {"max_tokens": -1, "count_tokens": len},
            ValueError,
            "`max_tokens` must be at least 1, not -1",
        ),
        ({"max_tokens": 9}, ValueError, "need each other: give both or neither"),
        ({"max_turns": 9, "count_tokens": len}, ValueError, "give both or neither"),
        (
            {"max_tokens": 9, "count_tokens": "gpt"},
            TypeError,
            "must be a function or a tokenizer, not 'gpt'",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        ChatHistoryWindow(VaultEnv(), **arguments)
