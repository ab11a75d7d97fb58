"""One JSON value, by its schema and by its content."""

from __future__ import annotations

import json
import pickle
import time

import pytest
from hypothesis import given, settings

from llm_gym import DefinitionError, Rubric
from llm_gym.verifiers.json_schema import JsonSchemaMatch
from tests.json_values import json_texts, json_values
from tests.verifiers.kit import PROBES, answered, stored

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer", "minimum": 1},
        "price": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
    },
    "required": ["name", "count"],
    "additionalProperties": False,
}
GOLD = {"name": "Ada", "count": 1, "price": 12.0, "tags": ["x", "y"]}
GOOD = json.dumps(GOLD)
FORM = JsonSchemaMatch(schema=SCHEMA)
EQUAL = JsonSchemaMatch(schema=SCHEMA, equal=True)
TAG = JsonSchemaMatch(schema=SCHEMA, equal=True, extract="tag")


def changed(**values) -> str:
    return json.dumps({**GOLD, **values})


HONEST = {
    "one_line": (EQUAL, GOOD),
    "indented": (EQUAL, json.dumps(GOLD, indent=4)),
    "other_key_order": (EQUAL, json.dumps(dict(reversed(GOLD.items())))),
    "fenced": (EQUAL, f"```json\n{GOOD}\n```"),
    "blanks_around_the_fence": (EQUAL, f"\n```json \r\n{GOOD}\r\n``` \n"),
    "whole_number_for_a_float": (EQUAL, GOOD.replace("12.0", "12")),
    "exponent": (EQUAL, GOOD.replace("12.0", "1.2e1")),
    "escaped": (EQUAL, GOOD.replace("Ada", "\\u0041da")),
    "after_thinking": (EQUAL, f"<think>{changed(count=2)}</think>{GOOD}"),
    "tag": (TAG, f"Here: <answer>{GOOD}</answer>"),
    "form_alone": (FORM, changed(count=7, name="Bo")),
    "optional_left_out": (FORM, '{"name": "", "count": 1}'),
}


@pytest.mark.parametrize(("verifier", "text"), HONEST.values(), ids=HONEST)
def test_honest_value_scores_one(verifier, text):
    score = verifier.score(text, GOLD)
    assert score.value == 1.0, score.reason
    assert set(score.parts.values()) == {1.0}


HACKS = {
    **{f"probe_{name}": (FORM, text) for name, text in PROBES.items()},
    "sentence_before": (FORM, f"Here it is: {GOOD}"),
    "sentence_after": (FORM, f"{GOOD} Right?"),
    "other_fence": (FORM, f"```\n{GOOD}\n```"),
    "fence_not_closed": (FORM, f"```json\n{GOOD}"),
    "two_fences": (FORM, f"```json\n{changed(count=2)}\n```\n```json\n{GOOD}\n```"),
    "two_values": (EQUAL, f"{changed(count=2)}\n{GOOD}"),
    "key_twice": (EQUAL, GOOD.replace('"count": 1', '"count": 2, "count": 1')),
    "nan": (FORM, GOOD.replace("12.0", "NaN")),
    "infinity": (FORM, GOOD.replace("12.0", "1e999")),
    "trailing_comma": (FORM, GOOD.replace("}", ",}")),
    "comment": (FORM, GOOD.replace("}", "} // right")),
    "single_quotes": (FORM, str(GOLD)),
    "byte_order_mark": (FORM, f"\ufeff{GOOD}"),
    "endless_integer": (FORM, GOOD.replace('"count": 1', '"count": ' + "1" * 9999)),
    "the_schema": (FORM, json.dumps(SCHEMA)),
    "in_a_list": (EQUAL, f"[{GOOD}]"),
    "as_a_string": (EQUAL, json.dumps(GOOD)),
    "key_too_much": (FORM, changed(extra=1)),
    "key_in_cyrillic": (FORM, GOOD.replace("name", "n\u0430me")),
    "number_as_string": (FORM, changed(count="1")),
    "true_for_one": (FORM, changed(count=True)),
    "float_for_an_integer": (EQUAL, changed(count=1.0)),
    "too_many_items": (FORM, changed(tags=["x"] * 4)),
    "half_a_pair": (FORM, changed(name="\ud800")),
    "half_a_pair_in_a_key": (FORM, '{"name": "a", "count": 1, "\\ud800": 1}'),
    "form_alone_where_values_count": (EQUAL, changed(count=2)),
    "other_order": (EQUAL, changed(tags=["y", "x"])),
    "item_too_much": (EQUAL, changed(tags=["x", "y", "y"])),
    "cyrillic": (EQUAL, changed(name="\u0410da")),
    "all_in_one": (EQUAL, changed(name="Ada, Bo, Cy")),
    "optional_left_out_where_values_count": (EQUAL, '{"name": "Ada", "count": 1}'),
    "two_tags": (TAG, f"<answer>{changed(count=2)}</answer><answer>{GOOD}</answer>"),
    "only_thought": (EQUAL, f"<think>{GOOD}"),
}


@pytest.mark.parametrize(("verifier", "text"), HACKS.values(), ids=HACKS)
def test_trick_scores_zero(verifier, text):
    score = verifier.score(text, GOLD)
    assert score.value == 0.0
    assert score.reason


REASONS = [
    (
        "x",
        "the answer is not one JSON value: Expecting value at character 0",
        [0, 0, 0],
    ),
    (
        changed(count=0),
        "the JSON does not follow the schema: `count`: 0 is less than the minimum of 1",
        [1, 0, 0],
    ),
    (changed(count=2), "the value at `$.count` is not the right one", [1, 1, 0]),
    (changed(name="\ud800"), "the JSON holds half of a surrogate pair", [0, 0, 0]),
    ("", "the answer is empty", [0, 0, 0]),
]


@pytest.mark.parametrize(("text", "reason", "parts"), REASONS)
def test_a_score_says_how_far_it_came(text, reason, parts):
    score = EQUAL.score(text, GOLD)
    assert score.reason == reason
    assert score.parts == dict(zip(("json", "schema", "values"), parts, strict=True))


def test_without_values_there_is_no_part_of_them():
    assert FORM.score(GOOD).parts == {"json": 1.0, "schema": 1.0}


def test_the_schema_may_be_the_tasks():
    trajectory = stored(answered(GOOD, GOLD, {"schema": SCHEMA, "form": {"const": 1}}))
    assert JsonSchemaMatch(equal=True).verify(trajectory).value == 1.0
    assert JsonSchemaMatch(schema="form").verify(trajectory).value == 0.0


def test_no_answer_scores_zero():
    trajectory = answered("<tool_call>{}</tool_call>", GOLD)
    assert EQUAL.verify(trajectory).reason == "the episode ended without an answer"


@pytest.mark.parametrize("schema", [None, [], "text", 5, True])
def test_a_task_without_a_schema_is_never_a_zero(schema):
    with pytest.raises(DefinitionError, match="needs a JSON Schema as an object"):
        JsonSchemaMatch().verify(answered(GOOD, GOLD, {"schema": schema}))


BAD_SCHEMAS = [
    ({"type": "integre"}, "not a valid JSON Schema"),
    ({"$ref": "https://example.org/x.json"}, "cannot be compiled"),
    ({"$schema": "http://json-schema.org/draft-07/schema#"}, "Draft 2020-12"),
    ({"enum": ["x" * 70_000]}, "at most 65536"),
    ({"a": {1, 2}}, "must be plain JSON"),
    ({"const": float("nan")}, "must be plain JSON"),
]


@pytest.mark.parametrize(("schema", "match"), BAD_SCHEMAS)
def test_a_schema_that_is_none_is_refused_at_once(schema, match):
    with pytest.raises(DefinitionError, match=match):
        JsonSchemaMatch(schema=schema)


@pytest.mark.parametrize("gold", [None, "Ada", {}, {**GOLD, "count": 0}, {1, 2}])
@pytest.mark.parametrize("text", [GOOD, ""])
def test_a_gold_that_does_not_follow_the_schema_is_never_a_zero(gold, text):
    with pytest.raises(DefinitionError, match=r"`task\.answer` must be a JSON value"):
        EQUAL.score(text, gold)


def test_score_needs_the_schema_itself():
    with pytest.raises(DefinitionError, match="needs the `schema` itself"):
        JsonSchemaMatch().score(GOOD)


def test_a_rule_must_be_known():
    with pytest.raises(ValueError, match="`extract` must be one of"):
        JsonSchemaMatch(schema=SCHEMA, extract="first")


@pytest.mark.parametrize("pattern", ["^(a+)+$", r"^(a|aa)+\1$", "^(?=(a+)+$)a"])
def test_a_pattern_that_backtracks_is_bounded(pattern):
    began = time.monotonic()
    for text in ("a" * 100_000 + "!", "a" * 100_000 + "\ud800"):
        verifier = JsonSchemaMatch(schema={"type": "string", "pattern": pattern})
        assert verifier.score(json.dumps(text)).value == 0.0
    assert time.monotonic() - began < 60  # it would be years


@settings(deadline=None)
@given(json_texts)
def test_no_text_raises(text):
    assert EQUAL.score(text, GOLD).value == 0.0
    assert JsonSchemaMatch(schema={}).score(text).value in (0.0, 1.0)


@settings(deadline=None)
@given(json_values)
def test_a_value_equals_itself(value):
    score = JsonSchemaMatch(schema={}, equal=True).score(json.dumps(value), value)
    half = any(0xD800 <= ord(c) < 0xE000 for c in json.dumps(value, ensure_ascii=False))
    assert score.value == float(not half)


def test_it_works_in_a_rubric_and_pickled():
    assert pickle.loads(pickle.dumps(EQUAL)) == EQUAL
    rubric = Rubric({"json": (EQUAL, 1)})
    assert rubric.verify(answered(GOOD, GOLD)).value == 1.0
