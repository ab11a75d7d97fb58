"""InstructionFollowing: for each kind what obeys it and what only seems to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym.errors import DefinitionError
from llm_gym.verifiers._instructions_kinds import KINDS
from llm_gym.verifiers._instructions_text import plain, sentences, words
from llm_gym.verifiers.instruction_following import (
    InstructionFollowing,
    describe,
    sample_instructions,
)
from tests.verifiers.kit import answered, called

THREE = {"relation": "exactly", "count": 3}
LEAST = {"relation": "at least", "count": 2}
MOST = {"relation": "at most", "count": 2}

# For each kind: parameters, replies that obey it, replies that do not.
CASES = {
    "word_count": (THREE, ["one two three", "One, two: three!"],
        ["a b", "a b c d", "a_b"]),
    "sentence_count": (
        THREE,
        ["It is. It was! Will it be?", "A 3.5 b. C d. E f."],
        ["It is... It was. ", "One two three.", ". . . . a b c", "A. B. C. D."],
    ),
    "paragraph_count": (
        THREE, ["one\n\ntwo\n \nthree\nmore"], ["a\nb\nc", "a\n\n\n\nb c", ""]
    ),
    "line_count": (THREE, ["a\nb\nc", "a\n\nb\r\n\u2028c"], ["a b c", "a\nb\n \n"]),
    "bullet_count": (
        THREE,
        ["List:\n* a\n- b\n\u2022 c"],
        ["* a\n* b", "*a\n*b\n*c", "- \n- \n- \na b c", "* a * b * c"],
    ),
    "placeholder_count": (
        LEAST,
        ["Dear [name], see [place] now", "[a] [b] [c] and more words"],
        ["Dear [name] and friends", "[] [] are two", "[[a]] here we go"],
    ),
    "highlight_count": (
        LEAST,
        ["this *one* and *two words* too", "**a** b *c*"],
        ["this *one here it is", "** ** a b c", "a * b * c * d", "_a_ _b_ c"],
    ),
    "capital_word_count": (
        LEAST,
        ["NOW or NEVER my friend", "A BIG RED dog"],
        ["I A I am not", "Now Never Ever", "NOW or never ever"],
    ),
    "include_keywords": (
        {"keywords": ["river", "old mill"]},
        ["The River by the old mill.", "old Mill, river and more"],
        ["rivers and old mill", "the river, an old windmill", "rive\u0433 old mill"],
    ),
    "exclude_words": (
        {"words": ["very"]},
        ["every day is good", "not at all bad"],
        ["Very good it is", "it is VERY, well", "ve\u200bry good it is"],
    ),
    "keyword_frequency": (
        {"keyword": "tea", **LEAST},
        ["tea and Tea for two", "tea, tea, tea"],
        ["tea for two people", "teapot steal team", "teatea is one word"],
    ),
    "letter_frequency": (
        {"letter": "z", **LEAST},
        ["A lazy zebra ran", "ZZ top is here"],
        ["a zoo is here", "no such letter here"],
    ),
    "postscript": (
        {"mark": "P.S."},
        ["Dear all, hello.\nP.S. Bring cake."],
        ["P.S. is nothing here\nbye now", "Dear all and me\nP.S.", "a b c\nps: x"],
    ),
    "title": (
        {},
        ["<<The Sea>>\nIt is wide."],
        ["The Sea\nIt is wide.", "<<The Sea>> It is wide.", "<<>>\nIt is wide.",
         "<<a b c>>"],
    ),
    "json_only": (
        {},
        ['{"a": 1}', "```json\n[1, 2]\n```"],
        ["Here: {}", "{}", "[]", "3", '"a"', "{'a': 1}", '{"a": NaN}', '{"a": 1} yes'],
    ),
    "sections": (
        {"mark": "Section", "count": 2},
        ["Section 1\nabc\nSection 2\ndef", "Section 1: a\nx\nSection 2. b\ny"],
        ["Section 1\nabc def", "Section 2\na\nSection 1\nb", "Section 1 Section 2 a",
         "Section 1\na\nSection 2\nb\nSection 3\nc"],
    ),
    "choose": (
        {"options": ["My answer is yes.", "My answer is no."]},
        ["My answer is yes.", " My answer is no.\n"],
        ["My answer is yes. My answer is no.", "yes", "my answer is yes.", ""],
    ),
    "repeat_prompt": (
        {"prompt": "Name a colour."},
        ["Name a colour. Blue it is."],
        ["Name a colour.", "Blue. Name a colour.", "Name a color. Blue it is."],
    ),
    "two_answers": (
        {},
        ["One it is.\n******\nTwo it is."],
        ["One ****** two three", "a b\n******\na b", "a b c\n******", "a\n*****\nb c d",
         "a b\n******\nc d\n******\ne f"],
    ),
    "starts_with": (
        {"phrase": "Well then"},
        ["Well then, let us go"],
        ["well then, let us go", "Oh. Well then, go", "Wel\u0406 then let us go"],
    ),
    "ends_with": (
        {"phrase": "That is all."},
        ["We go home. That is all."],
        ["That is all. We go", "We go. that is all.", "We go. That is all. Bye"],
    ),
    "quoted": (
        {}, ['"We go home."'], ["We go home.", '"We" go "home"', '"', '"We go home.']
    ),
    "lower_case": ({}, ["all of it is small, 3"], ["All of it", "123 456 789"]),
    "upper_case": ({}, ["ALL OF IT 3"], ["ALL of IT", "1 2 3"]),
    "no_commas": ({}, ["no such thing here"], ["a, b and c", "a\uff0c b and c", ""]),
    "no_digits": ({}, ["not even one"], ["only 1", "the \u0664 of us", "x\u00b2 a b"]),
    "script": (
        {"script": "Cyrillic"},
        ["\u0434\u0430 \u0434\u0430 \u0434\u0430 3"],
        ["da da da", "\u0434\u0430 \u0434\u0430 da", "1 2 3"],
    ),
    "first_word": (
        {"paragraph": 2, "word": "Then"},
        ["First it is.\n\nThen, it was."],
        ["Then it is here", "A b c.\n\nSo then.", "A b c\nThen d"],
    ),
    "numbered_list": (
        {"count": 2},
        ["1. a thing\n2. another", "List:\n1) a b\n2) c d"],
        ["1. a thing here", "2. a\n1. b", "1. a\n2. b\n3. c", "1. a\n1. b c", "1 a\n2"],
    ),
    "code_fence": (
        {},
        ["```\na b c\n```", "```python\nprint one two\n```"],
        ["a b c", "```\n```", "```\na b c", "```\na\n```\nb\n```\nc\n```"],
    ),
    "alphabetical_lines": (
        {}, ["ant bee\nBear\ncat"], ["one two three", "cat\nbee\nant", "b a\na b"]
    ),
    "no_repeated_words": ({}, ["each word once"], ["Each word, each once", "a A b"]),
    "acrostic": (
        {"word": "sun"},
        ["Sand\nUnder\nNothing", "*S*ea\nup\n- Now"],
        ["Sand\nUnder it", "sun sun sun", "Sand\nUnder\nNo\nMore", "nap\nup\nsee"],
    ),
    "longest_word": (
        {"count": 5}, ["all words short"], ["some extraordinary words", "a b sixsix"]
    ),
    "question_count": (LEAST, ["Who is it? And why?"], ["Who is it?", "a b c"]),
    "exclamation_count": (MOST, ["Stop right now!", "a b c"], ["No! No! No!", ""]),
}  # fmt: skip
HONEST = [(k, p, text) for k, (p, good, _) in CASES.items() for text in good]
HACKS = [(k, p, text) for k, (p, _, bad) in CASES.items() for text in bad]


def judge(kind, parameters, text, **kwargs):
    rules = [{"kind": kind, **parameters}]
    kwargs = {"min_words": 1, **kwargs} if kind != "no_commas" else kwargs
    return InstructionFollowing(**kwargs).score(text, rules).value


def test_every_kind_has_its_cases():
    assert CASES.keys() == KINDS.keys()
    assert len(KINDS) >= 25


@pytest.mark.parametrize(("kind", "parameters", "text"), HONEST)
def test_reply_that_obeys_is_paid(kind, parameters, text):
    assert judge(kind, parameters, text) == 1.0


@pytest.mark.parametrize(("kind", "parameters", "text"), HACKS)
def test_reply_that_does_not_obey_is_not_paid(kind, parameters, text):
    assert judge(kind, parameters, text) == 0.0


@pytest.mark.parametrize(
    "text", ["", " \n", "ok", "...", "\u200b\u200b\u200b", "1 2 3", "?"]
)
def test_silence_obeys_nothing(text):
    rules = [
        {"kind": "no_commas"},
        {"kind": "word_count", "relation": "at most", "count": 9},
    ]
    assert InstructionFollowing().score(text, rules).value == 0.0


def test_all_or_nothing_and_the_share():
    rules = [{"kind": "no_commas"}, {"kind": "upper_case"}]
    strict = InstructionFollowing().score("all of it", rules)
    assert strict.value == 0.0
    assert strict.parts == {"1_no_commas": 1.0, "2_upper_case": 0.0}
    assert strict.reason == "not followed: 2_upper_case"
    assert InstructionFollowing(partial=True).score("all of it", rules).value == 0.5


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Here you are:\nall of it is small", "lower_case"),
        ("all of it is small\nBest, Ada", "lower_case"),
        ("Sure!\nall of it is small\nBest, Ada", "lower_case"),
    ],
)
def test_loose_reading_forgives_a_frame(text, kind):
    rules = [{"kind": kind}]
    assert InstructionFollowing().score(text, rules).value == 0.0
    assert InstructionFollowing(loose=True).score(text, rules).value == 1.0


def test_loose_reading_forgives_asterisks_and_not_more():
    rules = [{"kind": "starts_with", "phrase": "Well then"}]
    assert InstructionFollowing(loose=True).score("**Well then**, go", rules).value == 1
    assert InstructionFollowing(loose=True).score("Go\nnow\nplease", rules).value == 0


def test_episode_is_judged_by_its_answer():
    rules = [{"kind": "no_commas"}]
    verifier = InstructionFollowing()
    assert verifier.verify(answered("not a single one", rules)).value == 1.0
    assert verifier.verify(answered("<think>a, b</think>not a single one", rules)).value
    lost = called([("look", {})], rules)
    assert lost.answer is None or verifier.verify(lost).value in (0.0, 1.0)


@pytest.mark.parametrize(
    ("rules", "match"),
    [
        ("no_commas", "must be a list of instructions"),
        ([], "must be a list of instructions"),
        ([{"kind": "be_nice"}], "an instruction must be"),
        (["no_commas"], "an instruction must be"),
        ([{"kind": "no_commas", "count": 1}], r"`no_commas` takes \[\], it came with"),
        ([{"kind": "word_count", "count": 3}], "`word_count` takes"),
        (
            [{"kind": "word_count", "relation": "more than", "count": 3}],
            "`relation` of",
        ),
        (
            [{"kind": "longest_word", "count": True}],
            "`count` of `longest_word` must be an",
        ),
        ([{"kind": "longest_word", "count": 0}], "an int from 1 to 10000"),
        ([{"kind": "starts_with", "phrase": " "}], "a text that is not blank"),
        ([{"kind": "choose", "options": []}], "a list of texts"),
        ([{"kind": "upper_case"}, {"kind": "lower_case"}], "contradict each other"),
        ([{"kind": "json_only"}, {"kind": "quoted"}], "contradict each other"),
    ],
)
def test_authors_mistake_is_no_score(rules, match):
    with pytest.raises(DefinitionError, match=match):
        InstructionFollowing().score("a b c", rules)


def test_fewest_words_must_be_a_number():
    with pytest.raises(ValueError, match="`min_words` must be 0 or more"):
        InstructionFollowing(min_words=-1)


@pytest.mark.parametrize(
    "text", ["a" * 10**6, "*" * 49_000, "[" * 49_000, "<<" * 24_000, "```" * 16_000,
             "a\n" * 24_000, '"' * 49_000, "1. " * 16_000, ". a" * 16_000]
)  # fmt: skip
def test_giant_reply_is_read_in_one_go(text):
    for kind, (parameters, _, _) in CASES.items():
        assert judge(kind, parameters, text) in (0.0, 1.0)


@given(st.text(), st.sampled_from(sorted(CASES)), st.booleans())
def test_no_reply_makes_a_kind_raise(text, kind, loose):
    assert judge(kind, CASES[kind][0], text, loose=loose) in (0.0, 1.0)


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_sampled_instructions_can_be_told_and_judged(seed, count):
    rules = sample_instructions(np.random.default_rng(seed), count)
    assert len(rules) == count
    assert all(describe(rule).strip() for rule in rules)
    assert InstructionFollowing().score("no", rules).value == 0.0
    assert rules == sample_instructions(np.random.default_rng(seed), count)


def test_sampled_instructions_can_be_obeyed_together():
    text = "garden river winter bread music train market letter morning " * 15
    text += (
        "kwzj " * 5 + "\n* one [a] *b* ok\n* two [c] *d* go\n* x [e] *f*\n* y [g] *h*"
    )
    text = (
        "Yes! Yes! Yes! Yes! One. Two. Three. Four. Five. " + text + "\nP.S. it is so."
    )
    verifier = InstructionFollowing()
    obeyed = [
        verifier.score(text, sample_instructions(np.random.default_rng(seed), 5)).value
        for seed in range(40)
    ]
    assert all(value == 1.0 for value in obeyed)


def test_count_of_sampled_instructions_is_bounded():
    with pytest.raises(ValueError, match="`count` must be from 1 to 5"):
        sample_instructions(np.random.default_rng(0), 6)


@pytest.mark.parametrize("kind", CASES)
def test_every_kind_can_be_told(kind):
    sentence = describe({"kind": kind, **CASES[kind][0]})
    assert sentence[0].isupper()
    assert len(sentence) > 15


def test_text_is_counted_as_it_is_read():
    assert plain("a\u200bb\u00a0c\r\nd\u00ad") == "ab c\nd"
    assert words("don't re-do it_all \u00e9t\u00e9 42") == [
        "don't", "re-do", "it", "all", "\u00e9t\u00e9", "42"
    ]  # fmt: skip
    assert len(sentences("Is it 3.5 or 4? It is. ...")) == 2


def test_thinking_is_no_part_of_the_reply():
    thought = "<think>one, two</think>"
    assert judge("no_commas", {}, f"{thought}three short words") == 1.0
    assert judge("no_commas", {}, "<think>three short words</think>") == 0.0
