"""Lists in any order; no list is better for being longer than what is right."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llm_gym import DefinitionError, Rubric
from llm_gym.verifiers.sets import F1Match, SetMatch
from tests.json_values import any_text, json_texts, json_values
from tests.verifiers.kit import PROBES, answered, stored

GOLD = ["red", "dark blue", "green"]
GOOD = json.dumps(GOLD)
COLOURS = [*GOLD, "black", "white", "grey", "pink", "amber", "ivory", "lilac"]

JSON = SetMatch()
LINES = SetMatch(items="lines")
COMMAS = SetMatch(items="commas")
LOOSE = SetMatch(items="commas", ignore_case=True)
BOXED = SetMatch(items="commas", extract="boxed")

HONEST = {
    "json": (JSON, GOOD, GOLD),
    "json_other_order": (JSON, json.dumps(GOLD[::-1], indent=2), GOLD),
    "json_numbers": (JSON, "[3, 1, 2.0]", [1, 2, 3]),
    "json_floats": (JSON, "[1, 0.5]", [0.5, 1.0]),
    "json_kinds": (JSON, '[null, true, 1, "1", [1]]', ["1", 1, True, None, [1]]),
    "json_objects": (JSON, '[{"b": 1, "a": 2}]', [{"a": 2, "b": 1}]),
    "json_accents": (JSON, '["Zoe\u0308"]', ["Zo\u00eb"]),
    "json_case": (SetMatch(ignore_case=True), '["RED"]', ["red"]),
    "json_of_nothing": (JSON, "[]", []),
    "lines": (LINES, "green\nred\ndark blue", GOLD),
    "bullets": (LINES, "- green\n\n* red\n-  dark  blue\n", GOLD),
    "numbered": (LINES, "1. green\n2) red\n 3. dark blue", GOLD),
    "commas": (COMMAS, "green,red , dark blue", GOLD),
    "commas_over_lines": (COMMAS, "green, dark\nblue, red\n", GOLD),
    "case": (LOOSE, "Green, RED, Dark Blue", GOLD),
    "boxed": (BOXED, "They are \\boxed{red, green, dark blue}.", GOLD),
    "after_thinking": (COMMAS, "<think>pink</think>green, red, dark blue", GOLD),
}


@pytest.mark.parametrize(("verifier", "text", "gold"), HONEST.values(), ids=HONEST)
def test_honest_list_scores_one(verifier, text, gold):
    score = verifier.score(text, gold)
    assert score.value == 1.0, score.reason
    soft = F1Match(
        items=verifier.items,
        ignore_case=verifier.ignore_case,
        extract=verifier.extract,
    )
    assert soft.score(text, gold).value == 1.0


HACKS = {
    **{f"json_probe_{name}": (JSON, text, GOLD) for name, text in PROBES.items()},
    **{f"commas_probe_{name}": (COMMAS, text, GOLD) for name, text in PROBES.items()},
    **{f"lines_probe_{name}": (LINES, text, GOLD) for name, text in PROBES.items()},
    "everything": (JSON, json.dumps(COLOURS), GOLD),
    "everything_by_commas": (COMMAS, ", ".join(COLOURS), GOLD),
    "everything_by_lines": (LINES, "\n".join(COLOURS), GOLD),
    "one_too_much": (JSON, json.dumps([*GOLD, "pink"]), GOLD),
    "one_too_few": (JSON, json.dumps(GOLD[1:]), GOLD),
    "one_twice": (JSON, json.dumps([*GOLD, "red"]), GOLD),
    "one_twice_in_other_case": (LOOSE, "green, red, dark blue, RED", GOLD),
    "one_twice_as_a_float": (JSON, "[1, 1.0]", [1]),
    "nested": (JSON, f"[{GOOD}]", GOLD),
    "as_a_string": (JSON, json.dumps(GOOD), GOLD),
    "in_an_object": (JSON, json.dumps({"items": GOLD}), GOLD),
    "keys_of_an_object": (JSON, json.dumps(dict.fromkeys(GOLD)), GOLD),
    "two_lists": (JSON, f"{GOOD}\n{GOOD}", GOLD),
    "sentence_before": (JSON, f"Here: {GOOD}", GOLD),
    "true_for_one": (JSON, "[true]", [1]),
    "zero_for_false": (JSON, "[0]", [False]),
    "text_for_a_number": (JSON, '["1"]', [1]),
    "nan": (JSON, "[NaN]", [1]),
    "nothing_for_something": (JSON, "[]", GOLD),
    "something_for_nothing": (JSON, '["red"]', []),
    "parts_joined": (COMMAS, "red dark blue green", GOLD),
    "empty_items": (COMMAS, "red,, dark blue, green", GOLD),
    "comma_at_the_end": (COMMAS, "red, dark blue, green,", GOLD),
    "with_and": (COMMAS, "red, dark blue and green", GOLD),
    "heading": (LINES, "The colours:\nred\ndark blue\ngreen", GOLD),
    "other_case": (COMMAS, "Red, dark blue, green", GOLD),
    "cyrillic": (COMMAS, "r\u0435d, dark blue, green", GOLD),
    "zero_width": (COMMAS, "red\u200b, dark blue, green", GOLD),
    "boxes_that_differ": (BOXED, "\\boxed{red} \\boxed{green, dark blue}", GOLD),
}


@pytest.mark.parametrize(("verifier", "text", "gold"), HACKS.values(), ids=HACKS)
def test_trick_scores_zero_and_never_in_full(verifier, text, gold):
    score = verifier.score(text, gold)
    assert score.value == 0.0
    assert score.reason
    soft = F1Match(items=verifier.items, ignore_case=verifier.ignore_case)
    assert soft.score(text, gold).value < 1.0


MEASURES = [
    ("red, pink", 1, 2, 2 / 5),
    ("red, red", 1, 2, 2 / 5),
    ("red", 1, 1, 1 / 2),
    ("pink", 0, 1, 0.0),
    (", ".join(COLOURS), 3, 10, 6 / 13),
]


@pytest.mark.parametrize(("text", "right", "listed", "f1"), MEASURES)
def test_f1_counts_what_is_wrong_or_twice(text, right, listed, f1):
    score = F1Match(items="commas").score(text, GOLD)
    assert score.value == pytest.approx(f1)
    assert score.parts["precision"] == right / listed
    assert score.parts["recall"] == right / 3
    reason = f"{right} right, {3 - right} missing, {listed - right} wrong or twice"
    assert score.reason == reason


@given(st.integers(1, 50), st.integers(0, 500))
def test_listing_everything_pays_what_is_stated(right, more):
    text = ",".join(f"x{n}" for n in range(right + more))
    gold = [f"x{n}" for n in range(right)]
    value = F1Match(items="commas").score(text, gold).value
    assert value == pytest.approx(2 * right / (2 * right + more))
    assert (value == 1.0) == (more == 0)


def test_below_the_least_f1_pays_nothing():
    verifier = F1Match(items="commas", at_least=0.5)
    assert verifier.score(", ".join(COLOURS), GOLD).value == 0.0
    assert verifier.score("red, green", GOLD).value == pytest.approx(0.8)


@pytest.mark.parametrize("least", [-0.1, 1.1, float("nan")])
def test_the_least_must_be_in_range(least):
    with pytest.raises(ValueError, match=r"`at_least` must be in \[0, 1\]"):
        F1Match(at_least=least)


@pytest.mark.parametrize("kind", [SetMatch, F1Match])
@pytest.mark.parametrize("gold", [None, "red", {}, 3, True, [{1}], [float("nan")]])
@pytest.mark.parametrize("text", [GOOD, ""])
def test_a_gold_that_is_no_list_is_never_a_zero(kind, gold, text):
    with pytest.raises(DefinitionError, match=f"`{kind.__name__}` needs a list"):
        kind().score(text, gold)


@pytest.mark.parametrize("gold", [["a", "a"], [1, 1.0]])
def test_a_gold_with_an_item_twice_is_refused(gold):
    with pytest.raises(DefinitionError, match="must stand in it once"):
        JSON.score("[]", gold)


@pytest.mark.parametrize("gold", [["a", ""], ["a", " "], ["a b", "a  b"]])
def test_a_gold_with_an_item_of_nothing_is_refused(gold):
    with pytest.raises(DefinitionError, match="must stand in it once and hold"):
        COMMAS.score("a", gold)


@pytest.mark.parametrize(("gold", "match"), [([], "an empty one"), ([1], "is a str")])
def test_a_gold_that_cannot_be_written_so_is_refused(gold, match):
    with pytest.raises(DefinitionError, match=match):
        LINES.score("1", gold)


def test_a_mode_must_be_known():
    with pytest.raises(ValueError, match="`items` must be 'json', 'lines' or 'commas'"):
        SetMatch(items="csv")
    with pytest.raises(ValueError, match="`extract` must be one of"):
        SetMatch(extract="first")


@given(json_texts | any_text)
def test_no_text_raises_or_is_paid(text):
    for verifier in (JSON, LINES, COMMAS, F1Match(items="lines")):
        assert verifier.score(text, ["never written"]).value == 0.0


@given(
    st.lists(json_values, max_size=5, unique_by=json.dumps),
    st.randoms(use_true_random=False),
)
def test_a_list_in_any_order_is_itself(values, random):
    shuffled = random.sample(values, len(values))
    try:
        JSON.score("[]", values)
    except DefinitionError:
        assume(False)  # 1 and 1.0 are one item
    assert JSON.score(json.dumps(shuffled), values).value == 1.0


def test_it_works_in_a_rubric_stored_and_pickled():
    soft = F1Match(items="commas", at_least=0.2)
    for made in (BOXED, soft):
        assert pickle.loads(pickle.dumps(made)) == made
    rubric = Rubric({"set": (JSON, 1), "soft": (F1Match(), 1)})
    assert rubric.verify(stored(answered(GOOD, GOLD))).value == 1.0
