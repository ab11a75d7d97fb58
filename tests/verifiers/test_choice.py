"""One letter, or one option's text; never two, never all."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym import DefinitionError, Rubric
from llm_gym.verifiers.choice import ChoiceMatch, read_letter
from tests.json_values import any_text
from tests.verifiers.kit import PROBES, answered, stored

CITIES = ["Rome", "Paris", "New York", "B minor"]
STRICT = ChoiceMatch(options=4)
BOXED = ChoiceMatch(options=4, extract="boxed")
TAG = ChoiceMatch(options=CITIES, extract="tag")
TEXT = ChoiceMatch(options=CITIES, extract="whole", accept="text")
BOTH = ChoiceMatch(options=CITIES, extract="whole", accept="both")
LINE = ChoiceMatch(options=CITIES, accept="both")

HONEST = {
    "bare": (STRICT, "Answer: B", "B"),
    "lower_case": (STRICT, "answer: b.", "B"),
    "bold": (STRICT, "**Answer:** B", "B"),
    "after_working": (STRICT, "Not A, not C.\n\nAnswer: B\n", "B"),
    "after_thinking": (STRICT, "<think>Answer: A</think>Answer: B", "B"),
    "boxed": (BOXED, "so \\boxed{B}", "B"),
    "boxed_brackets": (BOXED, "so \\boxed{(b)}", "B"),
    "tag": (TAG, "A or B? <answer>B)</answer>", "B"),
    "text": (TEXT, "Paris", "B"),
    "text_for_a_text": (TEXT, " paris.\n", "Paris"),
    "text_of_two_words": (TEXT, "new  york", "C"),
    "both_letter": (BOTH, "B", "B"),
    "both_text": (BOTH, "Paris", "B"),
    "both_pair": (BOTH, "B. Paris", "B"),
    "both_pair_brackets": (BOTH, "(C) New York", "New York"),
    "both_colon": (BOTH, "B: Paris.", "B"),
    "both_on_the_line": (LINE, "Hm.\nAnswer: B. Paris", "B"),
}


@pytest.mark.parametrize(("verifier", "text", "gold"), HONEST.values(), ids=HONEST)
def test_honest_choice_scores_one(verifier, text, gold):
    score = verifier.score(text, gold)
    assert score.value == 1.0, score.reason
    assert score.parts == {"format": 1.0, "correct": 1.0}
    assert verifier.verify(answered(text, gold)) == score


HACKS = {
    **{f"probe_{name}": (STRICT, text, "B") for name, text in PROBES.items()},
    **{f"both_probe_{name}": (BOTH, text, "B") for name, text in PROBES.items()},
    "wrong": (STRICT, "Answer: A", "B"),
    "letter_alone": (STRICT, "B", "B"),
    "all_options": (STRICT, "Answer: A B C D", "B"),
    "all_lines": (STRICT, "Answer: A\nAnswer: B\nAnswer: C\nAnswer: D", "B"),
    "said_twice": (STRICT, "Answer: B\nAnswer: B", "B"),
    "brackets": (STRICT, "Answer: (B)", "B"),
    "cyrillic": (STRICT, "Answer: \u0412", "B"),
    "full_width": (STRICT, "Answer: \uff22", "B"),
    "out_of_range": (STRICT, "Answer: E", "B"),
    "out_of_range_in_a_box": (BOXED, "\\boxed{E}", "B"),
    "boxes_of_all": (BOXED, "\\boxed{A} \\boxed{B} \\boxed{C} \\boxed{D}", "B"),
    "all_in_a_box": (BOXED, "\\boxed{A, B, C, D}", "B"),
    "word_in_a_box": (BOXED, "\\boxed{Bad}", "B"),
    "text_where_letters": (TAG, "<answer>Paris</answer>", "B"),
    "letter_where_texts": (TEXT, "B", "B"),
    "all_texts": (TEXT, "Rome Paris New York B minor", "B"),
    "all_texts_by_lines": (BOTH, "\n".join(CITIES), "B"),
    "all_pairs": (BOTH, "A. Rome\nB. Paris\nC. New York\nD. B minor", "B"),
    "text_in_a_sentence": (BOTH, "It is Paris", "B"),
    "prefix": (TEXT, "Pari", "B"),
    "text_and_junk": (TEXT, "Paris or Rome", "B"),
    "pair_that_disagrees": (BOTH, "B. Rome", "B"),
    "pair_that_disagrees_too": (BOTH, "A. Paris", "B"),
    "pair_and_more": (BOTH, "B. Paris, A. Rome", "B"),
    "option_that_begins_with_the_letter": (BOTH, "B minor", "B"),
    "look_alike_text": (TEXT, "P\u0430ris", "B"),
    "only_thought": (BOTH, "<think>B</think>", "B"),
    "number": (BOTH, "2", "B"),
}


@pytest.mark.parametrize(("verifier", "text", "gold"), HACKS.values(), ids=HACKS)
def test_trick_scores_zero(verifier, text, gold):
    score = verifier.score(text, gold)
    assert score.value == 0.0, score.reason
    assert score.reason
    assert score.parts["correct"] == 0.0


def test_a_text_that_is_a_letter_too_can_be_two_options():
    grades = ChoiceMatch(options=["B", "A", "C"], extract="whole", accept="both")
    score = grades.score("A", "A")
    assert (score.value, score.reason) == (0.0, "the answer can be two options")
    assert grades.score("A. B", "A").value == 1.0


def test_the_options_of_a_task_count():
    verifier = ChoiceMatch()
    for count, value in ((4, 0.0), (5, 1.0)):
        data = {"options": [str(n) for n in range(count)]}
        gold = "E" if count > 4 else "D"
        assert verifier.verify(answered("Answer: E", gold, data)).value == value


def test_another_key_of_the_data_may_hold_the_options():
    trajectory = answered("Answer: Paris", "B", {"cities": CITIES})
    verifier = ChoiceMatch(options="cities", accept="text")
    assert verifier.verify(stored(trajectory)).value == 1.0


def test_a_long_reply_is_read_to_its_last_line():
    assert STRICT.score("so\n" * 300_000 + "Answer: B", "B").value == 1.0


def test_no_answer_scores_zero():
    score = STRICT.verify(answered("<tool_call>{}</tool_call>", "B"))
    assert (score.value, score.reason) == (0.0, "the episode ended without an answer")
    assert STRICT.score(None, "B").value == 0.0


@pytest.mark.parametrize("gold", [None, "", "E", "b", "AB", 1, True, ["B"], "Paris"])
@pytest.mark.parametrize("text", ["Answer: B", ""])
def test_a_gold_that_is_no_letter_is_never_a_zero(gold, text):
    with pytest.raises(DefinitionError, match="needs a letter of the 4 options"):
        STRICT.verify(answered(text, gold))


@pytest.mark.parametrize("options", [None, 4, [], ["a"], "abcd", ["a", 2], ["a", " "]])
def test_options_of_a_task_that_are_none_are_never_a_zero(options):
    trajectory = answered("Answer: B", "B", {"options": options})
    if options == 4:
        assert ChoiceMatch().verify(trajectory).value == 1.0
        return
    with pytest.raises(DefinitionError, match="the options must be"):
        ChoiceMatch().verify(trajectory)


def test_options_that_look_the_same_are_refused():
    with pytest.raises(ValueError, match="must differ by more than case and blanks"):
        ChoiceMatch(options=["a b", "A  B"], accept="text")


@pytest.mark.parametrize("options", [1, 27, True, ["a"], [1, 2]])
def test_options_must_be_some(options):
    with pytest.raises(ValueError, match="`options` must be"):
        ChoiceMatch(options=options)


def test_texts_are_needed_where_they_are_accepted():
    with pytest.raises(ValueError, match="must be texts where texts are accepted"):
        ChoiceMatch(options=4, accept="both")


def test_a_mode_must_be_known():
    with pytest.raises(ValueError, match="`accept` must be 'letter', 'text' or 'both'"):
        ChoiceMatch(options=4, accept="any")


def test_a_rule_must_be_known():
    with pytest.raises(ValueError, match="`extract` must be one of"):
        ChoiceMatch(options=4, extract="first")


def test_score_needs_options():
    with pytest.raises(DefinitionError, match="`score` of a `ChoiceMatch` needs"):
        ChoiceMatch().score("Answer: B", "B")


def test_a_reply_must_be_text():
    with pytest.raises(TypeError, match="a reply must be a str or None, not 5"):
        STRICT.score(5, "B")


@given(any_text | st.text("ABCDabcd()., :\nAnswer*", max_size=30))
def test_any_text_is_one_option_or_none(text):
    for verifier in (STRICT, BOXED, TEXT, BOTH):
        paid = [letter for letter in "ABCD" if verifier.score(text, letter).value]
        assert len(paid) <= 1


def test_the_reader_of_letters_says_why():
    assert read_letter("Answer: A\nAnswer: B", 4).problem.startswith("more than one")


def test_it_works_in_a_rubric_and_pickled():
    assert pickle.loads(pickle.dumps(BOTH)) == BOTH
    rubric = Rubric({"choice": (BOTH, 1)})
    assert rubric.verify(answered("Paris", "B")).value == 1.0
