"""A conversation as text: readable, and harmless to a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym.transcript import printable, transcript
from tests.envs.driving import call, play
from tests.json_values import any_text, replies
from tests.sample_envs import KitEnv, VaultEnv


def test_a_transcript_shows_who_said_what():
    record = play(
        VaultEnv(), ["<think>hm</think>I look. " + call("lookup", colour="é")], seed=1
    )
    shown = transcript(record.messages)
    assert shown.startswith("[system]\nUse the tools.\n[user]\nOpen the ")
    assert shown.endswith(
        '[assistant]\n(thinking) hm\nI look.\n-> lookup({"colour": "é"})\n'
        "[tool (lookup)]\nError: there is no é vault"
    )


def test_a_message_without_content_is_its_title():
    assert transcript([{"role": "user", "content": ""}]) == "[user]"
    assert transcript([]) == ""


def test_colours_are_put_on_titles_only():
    shown = transcript([{"role": "user", "content": "hi"}], colour=True)
    assert shown == "\x1b[1;36m[user]\x1b[0m\nhi"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 😀\n\t", "plain é 😀\n\t"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\x00\r\x07", r"a\x00\r\x07"),
        ("\u202e", r"\u202e"),
        ("\ud800", r"\ud800"),
    ],
)
def test_control_characters_are_shown_and_not_sent(text, shown):
    assert printable(text) == shown


def test_a_models_thinking_commands_no_terminal():
    message = {"role": "assistant", "content": "", "reasoning_content": "\x1b[2J"}
    assert "\x1b" not in transcript([message])


@given(st.lists(replies, min_size=1, max_size=2), any_text)
def test_whatever_is_written_can_be_printed(actions, text):
    record = play(KitEnv(max_turns=2), actions, seed=1)
    shown = transcript([*record.messages, {"role": "user", "content": text}])
    assert all(character.isprintable() or character in "\n\t" for character in shown)
    shown.encode()
