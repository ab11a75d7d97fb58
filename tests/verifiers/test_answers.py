"""Exactly one answer or none, by each rule."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym.verifiers.answers import (
    MAX_REPLY_CHARS,
    RULES,
    Extracted,
    find_answer,
    nfc,
    visible,
)
from tests.json_values import any_text
from tests.verifiers.kit import PROBES, answered

FOUND = [
    ("whole", " 42\n", "42"),
    ("whole", "two\nlines", "two\nlines"),
    ("whole", "<think>1</think>\n2", "2"),
    ("last_line", "some work\n\n 42 \n\n", "42"),
    ("last_line", "42", "42"),
    ("answer_line", "work\nAnswer: 42", "42"),
    ("answer_line", "ANSWER:42\n\n", "42"),
    ("answer_line", "**Answer:** 42", "42"),
    ("answer_line", "the answer: 1\n**Answer: 42**", "42"),
    ("boxed", "so \\boxed{42}.", "42"),
    ("boxed", "\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
    ("boxed", "\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
    ("boxed", "\\boxed{ 42 } that is \\boxed{42}", "42"),
    ("boxed", "\\boxed{\\boxed{42}}", "\\boxed{42}"),
    ("boxed", "\\boxed{a\\\\b}", "a\\\\b"),
    ("tag", "so <answer> 42\n</answer>.", "42"),
    ("tag", "<answer>42</answer><answer>42</answer>", "42"),
    ("tag", "<answer>a < b</answer>", "a < b"),
]


@pytest.mark.parametrize(("rule", "text", "answer"), FOUND)
def test_the_one_answer_is_found(rule, text, answer):
    assert find_answer(text, rule) == Extracted(answer)


NONE = [
    ("whole", "", "the answer is empty"),
    ("whole", " \n\t", "the answer is empty"),
    ("whole", "<think>42", "the answer is empty"),
    ("whole", "42</think>", "the answer is empty"),
    ("last_line", "\n \n", "the answer is empty"),
    ("answer_line", "", "does not begin `Answer:`"),
    ("answer_line", "Answer: 1\nor so", "does not begin `Answer:`"),
    ("answer_line", "Answer : 42", "does not begin `Answer:`"),
    ("answer_line", "Answer: 1\nAnswer: 2", "more than one line"),
    ("answer_line", "Answer : 1\nAnswer: 2", "more than one line"),
    ("answer_line", "Answer: 1\u2028Answer: 2", "more than one line"),
    ("answer_line", "An\u017fwer: 42", "does not begin `Answer:`"),
    ("answer_line", "Answer:", "the answer is empty"),
    ("boxed", "42", "has no \\\\boxed"),
    ("boxed", "\\boxed 4", "has no \\\\boxed"),
    ("boxed", "\\boxed{1} or \\boxed{2}", "has 2 .* that differ"),
    ("boxed", "\\boxed{42", "is not closed"),
    ("boxed", "\\boxed{1} \\boxed{", "is not closed"),
    ("boxed", "\\boxed{4\\}", "is not closed"),
    ("boxed", "\\boxed{ }", "the answer is empty"),
    ("boxed", "<think>\\boxed{42}</think>", "has no"),
    ("tag", "42", "has no <answer>"),
    ("tag", "<ANSWER>42</ANSWER>", "has no <answer>"),
    ("tag", "<answer>1</answer><answer>2</answer>", "has 2 .* that differ"),
    ("tag", "<answer>42", "not in pairs"),
    ("tag", "</answer>42<answer>", "not in pairs"),
    ("tag", "<answer>1<answer>2</answer></answer>", "not in pairs"),
    ("tag", "<answer></answer>", "the answer is empty"),
]


@pytest.mark.parametrize(("rule", "text", "problem"), NONE)
def test_no_answer_or_two_are_none(rule, text, problem):
    found = find_answer(text, rule)
    assert found.text is None
    assert re.search(problem, found.problem)


def test_no_reply_at_all_is_none():
    assert find_answer(None, "boxed") == Extracted(
        None, "the episode ended without an answer"
    )


THOUGHT = [
    ("a<think>b</think>c", "ac"),
    ("b</think>c", "c"),
    ("a<think>b", "a"),
    ("a<THINKING>b</Thinking>c", "ac"),
    ("a<think>b<think>c</think>d</think>e", "e"),
    ("a<thinker>b", "a<thinker>b"),
    ("a < b", "a < b"),
]


@pytest.mark.parametrize(("text", "rest"), THOUGHT)
def test_thinking_is_no_part_of_a_reply(text, rest):
    assert visible(text) == rest


def test_long_thinking_does_not_count():
    text = f"<think>{'a' * 2 * MAX_REPLY_CHARS}</think>42"
    assert find_answer(text).text == "42"


def test_a_reply_too_long_has_no_answer():
    found = find_answer("a" * MAX_REPLY_CHARS + "\n42", "last_line")
    assert found.text is None
    assert "the reply has 262147 characters" in found.problem


def test_an_answer_too_long_is_none():
    assert find_answer("a" * 11, max_chars=10) == Extracted(
        None, "the answer has 11 characters, at most 10 are read"
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("text", PROBES.values(), ids=PROBES)
def test_probes_are_read_or_refused(rule, text):
    found = find_answer(text, rule)
    assert (found.text is None) == bool(found.problem)


pieces = st.sampled_from(
    [
        *("\\boxed{", "{", "}", "\\", "<answer>", "</answer>", "Answer:", "**"),
        *("\n", "\u2028", "<think>", "</think>", "42", " "),
    ]
)


@pytest.mark.parametrize("rule", RULES)
@given(st.lists(pieces | any_text).map("".join))
def test_any_text_has_one_answer_or_none(rule, text):
    found = find_answer(text, rule)
    assert (found.text is None) == bool(found.problem)
    assert (
        found.text is None
        or found.text in visible(text).replace("**", "")
        or (found.text in visible(text))
    )


@given(st.text(st.characters(exclude_characters="\\{}<>*"), min_size=1))
def test_what_is_boxed_or_tagged_comes_back(text):
    if text.strip(" \t\r\n"):
        inner = text.strip(" \t\r\n")
        assert find_answer(f"x \\boxed{{{text}}}", "boxed").text == inner
        assert find_answer(f"x <answer>{text}</answer>", "tag").text == inner


def test_a_rule_must_be_known():
    with pytest.raises(ValueError, match=r"`extract` must be one of whole, .* 'first'"):
        find_answer("42", "first")


@pytest.mark.parametrize("text", [42, b"42", ["42"]])
def test_a_reply_must_be_text(text):
    with pytest.raises(TypeError, match="a reply must be a str or None, not"):
        find_answer(text)


def test_the_kit_plays_an_episode():
    trajectory = answered("<think>no</think>42", answer=7, data={"a": 1})
    assert trajectory.answer == "42"
    assert trajectory.task.answer == 7


def test_an_accent_has_one_form_unless_thousands_are_piled_up():
    assert nfc("Zoe\u0308") == "Zo\u00eb"
    piled = "e" + "\u0301\u0316" * 200_000
    assert nfc(piled) is piled  # sorting them would take minutes
