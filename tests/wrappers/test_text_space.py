"""The space of any text."""

from __future__ import annotations

import pickle

from llm_gym.spaces import ChatSpace, ReplySpace
from llm_gym.wrappers._text_space import TextSpace

SPACE = TextSpace(ReplySpace(), str)


def test_any_text_is_in_it():
    assert all(text in SPACE for text in ("", "é\U0001f600\x00", "a" * 10**6))
    assert 5 not in SPACE
    assert {"role": "assistant"} not in SPACE


def test_spaces_are_equal_where_inner_space_and_form_are():
    assert pickle.loads(pickle.dumps(SPACE)) == SPACE
    assert TextSpace(ReplySpace(), repr) != SPACE
    assert TextSpace(ChatSpace(), str) != SPACE
    assert SPACE != "text"


def test_samples_are_plain_data():
    assert SPACE.from_jsonable(SPACE.to_jsonable(("a", "b"))) == ["a", "b"]
    assert SPACE.is_np_flattenable is False
    assert repr(SPACE) == "TextSpace(ReplySpace(0 tools))"
