"""Letter for letter, and what is forgiven when it is asked for."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym import DefinitionError, Rubric, ToolEnv
from llm_gym.verifiers.exact import ExactMatch
from tests.envs.driving import play
from tests.json_values import any_text
from tests.verifiers.kit import PROBES, answered, stored

GOLD = "Caf\u00e9 Zoë"
LOOSE = ExactMatch(ignore_case=True, collapse_blanks=True, ignore_ends=".!")

HONEST = {
    "itself": (ExactMatch(), GOLD, GOLD),
    "blanks_around": (ExactMatch(), f"\n {GOLD}\t\r\n", GOLD),
    "accent_apart": (ExactMatch(), "Cafe\u0301 Zoe\u0308", GOLD),
    "thinking_before": (ExactMatch(), f"<think>Bar</think>{GOLD}", GOLD),
    "one_of_several": (ExactMatch(), "colour", ["color", "colour"]),
    "two_lines": (ExactMatch(), "a\nb", "a\nb"),
    "blanks_around_the_gold": (ExactMatch(), "a", " a "),
    "boxed": (ExactMatch(extract="boxed"), "It is \\boxed{ab}.", "ab"),
    "tag": (ExactMatch(extract="tag"), "x <answer>ab</answer> y", "ab"),
    "answer_line": (ExactMatch(extract="answer_line"), "x\nAnswer: **ab**", "ab"),
    "last_line": (ExactMatch(extract="last_line"), "x\n\nab\n", "ab"),
    "case": (LOOSE, "CAFÉ zoë", GOLD),
    "runs_of_blanks": (LOOSE, "Café\n\t  Zoë", GOLD),
    "ends": (LOOSE, "Café Zoë!..", GOLD),
}


@pytest.mark.parametrize(("verifier", "text", "gold"), HONEST.values(), ids=HONEST)
def test_honest_text_scores_one(verifier, text, gold):
    assert verifier.score(text, gold).value == 1.0
    assert verifier.verify(answered(text, gold)).value == 1.0


HACKS = {
    **{f"probe_{name}": (LOOSE, text, GOLD) for name, text in PROBES.items()},
    "all_accepted": (ExactMatch(), "color colour", ["color", "colour"]),
    "list_itself": (ExactMatch(), '["color", "colour"]', ["color", "colour"]),
    "part": (LOOSE, "Café", GOLD),
    "prefix": (LOOSE, GOLD[:-1], GOLD),
    "doubled": (LOOSE, f"{GOLD} {GOLD}", GOLD),
    "junk_after": (LOOSE, f"{GOLD} or Bar", GOLD),
    "junk_before": (LOOSE, f"It is {GOLD}", GOLD),
    "other_case": (ExactMatch(), GOLD.upper(), GOLD),
    "more_blanks": (ExactMatch(), "Café  Zoë", GOLD),
    "full_stop": (ExactMatch(), f"{GOLD}.", GOLD),
    "cyrillic": (LOOSE, "C\u0430fé Zoë", GOLD),
    "full_width": (LOOSE, "\uff23afé Zoë", GOLD),
    "long_s": (LOOSE, "\u017fun", "sun"),
    "zero_width": (LOOSE, "Caf\u200bé Zoë", GOLD),
    "no_accent": (LOOSE, "Cafe Zoe", GOLD),
    "ligature": (LOOSE, "\ufb01sh", "fish"),
    "only_thought": (LOOSE, f"<think>{GOLD}</think>", GOLD),
    "two_boxes": (ExactMatch(extract="boxed"), "\\boxed{ab} \\boxed{cd}", "ab"),
    "two_tags": (
        ExactMatch(extract="tag"),
        "<answer>ab</answer><answer>c</answer>",
        "ab",
    ),
    "second_last_line": (ExactMatch(extract="last_line"), "ab\nor not", "ab"),
    "joker": (LOOSE, "*", GOLD),
}


@pytest.mark.parametrize(("verifier", "text", "gold"), HACKS.values(), ids=HACKS)
def test_trick_scores_zero(verifier, text, gold):
    score = verifier.score(text, gold)
    assert score.value == 0.0
    assert score.reason


def test_a_score_says_what_was_read():
    assert ExactMatch().score("b", "a").parts == {"format": 1.0, "correct": 0.0}
    assert ExactMatch().score("", "a").parts == {"format": 0.0, "correct": 0.0}


def test_an_episode_without_an_answer_scores_zero():
    trajectory = answered('<tool_call>{"name": "a"}</tool_call>', "a")
    assert trajectory.answer is None
    score = ExactMatch().verify(trajectory)
    assert (score.value, score.reason) == (0.0, "the episode ended without an answer")


@pytest.mark.parametrize("gold", [None, 1, True, 1.0, {}, [], ["a", 1], {"a": "b"}])
@pytest.mark.parametrize("text", ["a", ""])
def test_a_gold_that_is_no_text_is_never_a_zero(gold, text):
    with pytest.raises(DefinitionError, match="`ExactMatch` needs a str or a list"):
        ExactMatch().verify(answered(text, gold))


@pytest.mark.parametrize("gold", ["", " \n", ["a", ""], "a" * 10_001])
def test_a_gold_that_nothing_matches_is_refused(gold):
    with pytest.raises(DefinitionError, match="must have 1 to 10000 characters"):
        ExactMatch().score("a", gold)


def test_a_gold_of_ignored_ends_alone_is_refused():
    with pytest.raises(DefinitionError, match="must have 1 to 10000 characters"):
        ExactMatch(ignore_ends="!").score("!", "!!")


def test_a_rule_must_be_known():
    with pytest.raises(ValueError, match="`extract` must be one of"):
        ExactMatch(extract="first")


@given(any_text)
def test_any_text_matches_itself_or_is_no_gold(text):
    try:
        score = ExactMatch().score(text, text)
    except DefinitionError:
        assert not text.strip(" \t\r\n")
    else:
        assert score.value == float("<think" not in text)


@given(st.text(max_size=2000), st.text(min_size=1))
def test_only_equal_texts_score(text, gold):
    if gold.strip(" \t\r\n") and "<" not in text:
        score = ExactMatch().score(text, gold)
        assert score.value == 1.0 or score.value == 0.0
        if text.isascii():
            assert score.value == float(text.strip() == gold.strip())


class CapitalEnv(ToolEnv):
    """What an author would write."""

    verifier = ExactMatch(extract="last_line")


def test_it_works_as_a_class_attribute_and_in_a_rubric_and_pickled():
    record = play(
        CapitalEnv(), ["So:\nParis"], options={"task": answered("", "Paris").task}
    )
    assert record.score.value == 1.0
    rubric = Rubric({"exact": (ExactMatch(extract="last_line"), 1)})
    assert rubric.verify(stored(record)).value == 1.0
    assert pickle.loads(pickle.dumps(LOOSE)) == LOOSE
