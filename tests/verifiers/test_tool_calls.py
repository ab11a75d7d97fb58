"""The calls that were expected, and no others."""

from __future__ import annotations

import itertools
import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym import DefinitionError, Reply, Rubric
from llm_gym.verifiers.tool_calls import MAX_CALLS, ToolCallMatch, _matching
from tests.verifiers.kit import answered, call, called, stored

ROME = ("book", {"city": "Rome", "nights": 2})
OSLO = ("book", {"city": "Oslo", "nights": 1, "price": 99.5})
LOOK = ("look", {"what": "prices"})
NOWHERE = ("book", {"city": "Nowhere", "nights": 1})
INVALID = ("book", {"city": "Rome"})
UNKNOWN = ("reserve", {"city": "Rome", "nights": 2})


def wanted(*calls):
    return [{"name": name, "arguments": arguments} for name, arguments in calls]


def by_schema(name="book", **properties):
    schema = {"properties": properties, "required": sorted(properties)}
    return {"name": name, "schema": schema}


GOLD = wanted(ROME, OSLO)
EXACT = ToolCallMatch()
ANY = ToolCallMatch(mode="any_order")
F1 = ToolCallMatch(mode="f1")
BOOKS = ToolCallMatch(tools=["book"])
FEW_NIGHTS = by_schema(nights={"maximum": 3}, city={"enum": ["Rome", "Oslo"]})
ROMAN = by_schema(city={"const": "Rome"})

HONEST = {
    "in_order": (EXACT, [ROME, OSLO], GOLD),
    "any_order": (ANY, [OSLO, ROME], GOLD),
    "f1": (F1, [OSLO, ROME], GOLD),
    "in_one_reply": (
        EXACT,
        [call(ROME[0], **ROME[1]) + call(OSLO[0], **OSLO[1])],
        GOLD,
    ),
    "other_key_order": (
        EXACT,
        [("book", dict(reversed(OSLO[1].items())))],
        wanted(OSLO),
    ),
    "looking_is_free": (BOOKS, [LOOK, ROME, LOOK, OSLO, LOOK], GOLD),
    "failed_looking_is_free": (BOOKS, [("look", {"x": 1}), ROME, OSLO], GOLD),
    "same_call_twice_expected": (EXACT, [ROME, ROME], wanted(ROME, ROME)),
    "whole_number_for_a_float": (
        EXACT,
        [("book", {**OSLO[1], "price": 99})],
        wanted(("book", {**OSLO[1], "price": 99.0})),
    ),
    "range": (EXACT, [ROME], [FEW_NIGHTS]),
    "schemas_that_overlap": (ANY, [ROME, OSLO], [FEW_NIGHTS, ROMAN]),
    "schemas_that_overlap_turned": (ANY, [OSLO, ROME], [FEW_NIGHTS, ROMAN]),
    "no_call_expected": (EXACT, [], []),
    "own_expected": (ToolCallMatch(expected=wanted(ROME)), [ROME], None),
}


@pytest.mark.parametrize(("verifier", "made", "gold"), HONEST.values(), ids=HONEST)
def test_honest_calls_score_one(verifier, made, gold):
    score = verifier.verify(called(made, gold))
    assert score.value == 1.0, score.reason
    assert score.parts["f1"] == 1.0


HACKS = {
    "no_call": (F1, [], GOLD),
    "only_said": (F1, ["I called book(Rome, 2)."], GOLD),
    "one_missing": (ANY, [ROME], GOLD),
    "one_too_many": (ANY, [ROME, OSLO, ("book", {"city": "Bonn", "nights": 1})], GOLD),
    "one_twice": (ANY, [ROME, OSLO, OSLO], GOLD),
    "every_city": (
        ANY,
        [("book", {"city": c, "nights": 2}) for c in ("Bonn", "Rome", "Oslo")],
        wanted(ROME),
    ),
    "other_order": (EXACT, [OSLO, ROME], GOLD),
    "other_argument": (EXACT, [("book", {"city": "Rome", "nights": 3})], wanted(ROME)),
    "argument_too_much": (
        EXACT,
        [("book", {**ROME[1], "price": 0.0})],
        wanted(ROME),
    ),
    "other_case": (EXACT, [("book", {"city": "rome", "nights": 2})], wanted(ROME)),
    "cyrillic": (EXACT, [("book", {"city": "R\u043eme", "nights": 2})], wanted(ROME)),
    "text_for_a_number": (
        EXACT,
        [("look", {"what": "1"})],
        wanted(("look", {"what": 1})),
    ),
    "flag_for_a_number": (
        EXACT,
        [("look", {"what": True})],
        wanted(("look", {"what": 1})),
    ),
    "number_for_a_flag": (
        EXACT,
        [("look", {"what": 0})],
        wanted(("look", {"what": False})),
    ),
    "all_in_a_list": (
        EXACT,
        [("look", {"what": ["a", "b"]})],
        wanted(("look", {"what": "a"})),
    ),
    "other_tool": (EXACT, [("look", ROME[1])], wanted(ROME)),
    "unknown_tool": (F1, [UNKNOWN], wanted(ROME)),
    "refused_by_the_tool": (F1, [NOWHERE], wanted(NOWHERE)),
    "invalid": (F1, [INVALID], wanted(INVALID)),
    "failed_first": (EXACT, [INVALID, ROME], wanted(ROME)),
    "failed_of_a_tool_that_counts": (BOOKS, [NOWHERE, ROME, OSLO], GOLD),
    "not_json": (EXACT, ["<tool_call>{nope</tool_call>", ROME], wanted(ROME)),
    "out_of_range": (
        EXACT,
        [("book", {"city": "Rome", "nights": 4})],
        [FEW_NIGHTS],
    ),
    "one_call_for_two_schemas": (ANY, [ROME], [FEW_NIGHTS, ROMAN]),
    "two_calls_for_one_schema": (ANY, [ROME, ROME], [ROMAN]),
    "call_where_none_is_expected": (F1, [LOOK], []),
    "thousands": (F1, [ROME] * (MAX_CALLS + 1), wanted(ROME)),
}


@pytest.mark.parametrize(("verifier", "made", "gold"), HACKS.values(), ids=HACKS)
def test_trick_scores_zero(verifier, made, gold):
    score = verifier.verify(called(made, gold))
    assert score.value == 0.0, score.reason
    assert score.reason


MEASURES = [
    (
        [ROME, OSLO, LOOK],
        4 / 5,
        "calls too many or wrong: 1, the first, `look`, is not expected",
    ),
    (
        [ROME, NOWHERE],
        2 / 4,
        "calls too many or wrong: 1, the first, `book`, is of status tool_error",
    ),
    (
        [ROME, ROME, ROME],
        2 / 5,
        "calls too many or wrong: 2, the first, `book`, is not expected",
    ),
    ([ROME], 2 / 3, "expected calls missing: 1"),
    ([OSLO, ROME], 1.0, "the calls are the expected ones in another order"),
    ([ROME, OSLO], 1.0, "the calls are the expected ones"),
    (
        [ROME, OSLO] + [LOOK] * 96,
        4 / 100,
        "calls too many or wrong: 96, the first, `look`, is not",
    ),
]


@pytest.mark.parametrize(("made", "f1", "reason"), MEASURES)
def test_f1_counts_every_call(made, f1, reason):
    score = F1.verify(called(made, GOLD))
    assert score.value == score.parts["f1"] == pytest.approx(f1)
    assert score.reason.startswith(reason)


def test_calls_that_were_cut_off_do_not_count():
    cut = Reply(call(ROME[0], **ROME[1]), finish_reason="length")
    score = F1.verify(answered(cut, wanted(ROME)))
    assert (score.value, score.reason[-17:]) == (0.0, "of status not_run")


BAD = [
    (None, "needs a list of at most 256"),
    ("book", "needs a list of at most 256"),
    ({"name": "book", "arguments": {}}, "needs a list of at most 256"),
    ([{"name": "a", "arguments": {}}] * 257, "needs a list of at most 256"),
    (["book"], "an expected call must be"),
    ([{"name": "book"}], "an expected call must be"),
    ([{"name": 5, "arguments": {}}], "an expected call must be"),
    ([{"name": "a", "arguments": {}, "schema": {}}], "an expected call must be"),
    ([{"name": "a", "args": {}}], "an expected call must be"),
    ([{"name": "a", "arguments": "{}"}], "must be an object"),
    ([{"name": "a", "schema": True}], "must be an object"),
    ([{"name": "a", "schema": {"type": "integre"}}], "not a valid JSON Schema"),
]


@pytest.mark.parametrize(("gold", "match"), BAD)
def test_a_gold_of_another_form_is_never_a_zero(gold, match):
    with pytest.raises(DefinitionError, match=match):
        EXACT.verify(called([ROME], gold))
    if gold is not None and not isinstance(gold, (str, dict)):
        with pytest.raises(DefinitionError, match=match):
            ToolCallMatch(expected=gold)


def test_expected_calls_must_be_plain():
    with pytest.raises(DefinitionError, match="`a` must be plain JSON"):
        ToolCallMatch(expected=[{"name": "a", "arguments": {"b": {1}}}])


def test_an_expected_tool_must_be_one_that_counts():
    with pytest.raises(DefinitionError, match="`look` is expected and not one of"):
        ToolCallMatch(tools=["book"], expected=wanted(LOOK))


@pytest.mark.parametrize("tools", ["book", [1]])
def test_tools_must_be_a_list_of_names(tools):
    with pytest.raises(DefinitionError, match="`tools` must be a list of names"):
        ToolCallMatch(tools=tools)


def test_a_mode_must_be_known():
    with pytest.raises(ValueError, match="`mode` must be 'exact', 'any_order' or 'f1'"):
        ToolCallMatch(mode="loose")


@given(st.integers(0, 4), st.integers(0, 4), st.randoms(use_true_random=False))
def test_as_many_calls_are_paired_as_can_be(calls, wants, rng: random.Random):
    edges = {(c, w) for c in range(calls) for w in range(wants) if rng.random() < 0.4}

    class Want:
        def __init__(self, number):
            self.number = number

        def is_met_by(self, call):
            return (call, self.number) in edges

    found = _matching(range(calls), [Want(number) for number in range(wants)])
    assert set(found.items()) <= edges
    assert len(set(found.values())) == len(found)
    places = [*range(wants), *[None] * calls]
    best = max(
        sum((c, w) in edges for c, w in enumerate(chosen))
        for chosen in itertools.permutations(places, calls)
    )
    assert len(found) == best


def test_it_works_in_a_rubric_stored_and_pickled():
    made = ToolCallMatch(mode="any_order", tools=["book"], expected=[FEW_NIGHTS])
    assert pickle.loads(pickle.dumps(made)) == made
    rubric = Rubric({"calls": (made, 1)})
    assert rubric.verify(stored(called([LOOK, ROME]))).value == 1.0
