"""Schemas: what is refused, what is said, and that two validators agree."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import tarfile
import time
from itertools import count

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_gym.errors import DefinitionError
from llm_gym.jsontext import normalise
from llm_gym.shapes import dump, shape_of
from llm_gym.validation import MAX_SUBSCHEMAS, SchemaValidator
from tests.hints import hinted
from tests.json_values import json_values

STRINGS = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}


@pytest.mark.parametrize(
    ("schema", "instance", "why"),
    [
        ({"type": "string"}, 5, "5 is not of type 'string'"),
        ({"items": {"type": "string"}}, ["a", 5], r"`\[1\]`: 5 is not of type"),
        (
            {"properties": {"a": {"items": {"enum": [1]}}}},
            {"a": [1, 2]},
            r"`a\[1\]`: 2 is not one of \[1\]",
        ),
        ({"required": ["a"]}, {}, "'a' is a required property"),
        ({"additionalProperties": False}, {"b": 1}, r"\('b' was unexpected\)"),
        (STRINGS, ["a", "a"], "non-unique"),
        ({"type": "integer"}, True, "True is not of type 'integer'"),
    ],
)
def test_error_says_where_what_was_expected_and_what_came(schema, instance, why):
    validator = SchemaValidator(schema)
    error = validator.error(instance)
    assert re.search(why, error)
    assert not validator.is_valid(instance)


def test_error_is_none_for_what_is_valid():
    validator = SchemaValidator({"type": "integer"})
    assert validator.error(1.0) is None
    assert validator.is_valid(10**99)


def test_error_about_a_long_value_is_short():
    error = SchemaValidator({"type": "integer"}).error("x" * 10_000)
    assert "is not of type" in error
    assert len(error) < 500


@pytest.mark.parametrize(
    ("schema", "instance"),
    [
        (STRINGS, [x for n in range(13_000) for x in (n, str(n))]),
        (
            {"type": "array", "uniqueItems": True},
            [*([n, str(n)] for n in range(9000)), 1, 1],
        ),
        (shape_of(list[int | str | None], "x").schema, [{}] * 60_000),
        (shape_of(list[int], "x").schema, ["a"] * 60_000),
        (shape_of(dict[str, int], "x").schema, {str(n): "a" for n in range(20_000)}),
        ({"additionalProperties": False}, {str(n): 0 for n in range(20_000)}),
        ({"type": "string", "pattern": "^(a+)+$"}, "a" * 50 + "!"),
    ],
    ids=count(),
)
def test_a_large_invalid_value_does_not_hang(schema, instance):
    validator = SchemaValidator(schema)
    started = time.process_time()
    assert validator.error(instance)
    assert time.process_time() - started < 4


def test_building_a_large_union_does_not_hang():
    shape = shape_of(list[int | str], "x")
    started = time.process_time()
    assert len(shape.build(["a"] * 60_000)) == 60_000
    assert time.process_time() - started < 4


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_a_lone_surrogate_is_a_string_like_any_other(text):
    assert SchemaValidator({"type": "string"}).error(text) is None
    assert SchemaValidator({"additionalProperties": False}).error({text: 1})
    assert "is not of type" in SchemaValidator({"type": "integer"}).error(text)


def test_a_lone_surrogate_is_worded_where_the_reference_is_spared():
    validator = SchemaValidator({"type": "string", "pattern": "^a$"})
    assert validator.error("\ud800") == r"'\ud800' does not match '^a$'"


def test_the_reference_has_the_last_word_on_what_is_refused():
    validator = SchemaValidator({})
    validator._fast = SchemaValidator({"not": {}})._fast
    assert validator.error(5) is None


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ([], "must be an object"),
        (True, "must be an object"),
        ("string", "must be an object"),
        ({"type": "text"}, "not a valid JSON Schema"),
        ({"properties": {"a": {"minimum": "1"}}}, "`properties.a.minimum`"),
        ({"default": float("nan")}, "must be plain JSON"),
        ({"default": {1, 2}}, "must be plain JSON"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "Draft 2020-12"),
        ({"$schema": 5}, "Draft 2020-12"),
        ({"$vocabulary": {}}, "Draft 2020-12"),
        ({"$ref": "https://example.com/schema"}, "cannot be compiled"),
        ({"$ref": "file:///etc/passwd"}, "cannot be compiled"),
        ({"$ref": "#/$defs/missing"}, "cannot be compiled"),
        ({"pattern": "("}, "not a valid|cannot be compiled"),
        ({"description": "x" * 70_000}, "must be plain JSON: 7"),
        ({"anyOf": [{}] * (MAX_SUBSCHEMAS + 1)}, f"may hold {MAX_SUBSCHEMAS} objects"),
    ],
    ids=count(),
)
def test_a_schema_that_cannot_work_is_refused(schema, why):
    with pytest.raises(DefinitionError, match=why):
        SchemaValidator(schema)


def test_a_schema_nested_too_deep_is_refused():
    schema = {}
    for _ in range(100):
        schema = {"items": schema}
    with pytest.raises(DefinitionError, match="nested deeper"):
        SchemaValidator(schema)


@pytest.mark.parametrize("suffix", ["", "#"])
def test_the_draft_may_be_named_and_local_references_are_followed(suffix):
    validator = SchemaValidator(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema" + suffix,
            "$defs": {"word": {"type": "string"}},
            "items": {"$ref": "#/$defs/word"},
        }
    )
    assert validator.error(["a"]) is None
    assert validator.error([1])


def test_a_validator_keeps_a_copy_of_its_schema():
    schema = {"enum": [1]}
    validator = SchemaValidator(schema)
    schema["enum"].append(2)
    assert validator.error(2)


def test_a_validator_survives_pickling():
    validator = pickle.loads(pickle.dumps(SchemaValidator({"type": "integer"})))
    assert validator.error(1) is None
    assert validator.error("a") == "'a' is not of type 'integer'"


@given(hinted, json_values)
@example(hinted=(set[int], None), instance=[1, 1.0])
@example(hinted=(set[bool], None), instance=[0, False])
@example(hinted=(int, None), instance=1e300)
def test_both_validators_agree_on_our_schemas(hinted, instance):
    schema = shape_of(hinted[0], "x").schema
    reference = jsonschema.Draft202012Validator(schema).is_valid(instance)
    assert SchemaValidator(schema).is_valid(instance) == reference
    assert (SchemaValidator(schema).error(instance) is None) == reference


@given(st.data(), hinted, json_values)
def test_both_validators_agree_on_nearly_valid_values(data, hinted, spoiler):
    schema = shape_of(hinted.hint, "x").schema
    instance = _spoil(data, normalise(dump(data.draw(hinted.values))), spoiler)
    reference = jsonschema.Draft202012Validator(schema).is_valid(instance)
    assert SchemaValidator(schema).is_valid(instance) == reference


def _spoil(data, value, spoiler):
    """Put one foreign value somewhere into a value."""
    if isinstance(value, list) and value and data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(value) - 1))
        return [
            _spoil(data, v, spoiler) if i == place else v for i, v in enumerate(value)
        ]
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        place = data.draw(st.sampled_from(sorted(value)))
        return value | {place: _spoil(data, value[place], spoiler)}
    return data.draw(st.sampled_from([spoiler, value]))


@pytest.mark.network
@pytest.mark.skipif(
    os.environ.get("LLM_GYM_NETWORK_TESTS") != "1",
    reason="set LLM_GYM_NETWORK_TESTS=1 to download the JSON-Schema-Test-Suite",
)
def test_both_validators_agree_on_the_json_schema_test_suite(tmp_path):
    command = "-m pip download --no-deps --no-binary :all: jsonschema==4.26.0 -d"
    subprocess.run([sys.executable, *command.split(), str(tmp_path)], check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    cases = 0
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            folder, _, name = member.name.rpartition("/")
            if (
                not folder.endswith("json/tests/draft2020-12")
                or name == "vocabulary.json"
            ):
                continue
            cases += _compare(json.load(files.extractfile(member)))
    assert cases > 1000


def _compare(groups):
    """Compare every case of one file of the suite; return how many there were."""
    cases = 0
    for group in groups:
        try:
            validator = SchemaValidator(group["schema"])
        except DefinitionError:
            continue  # a remote reference, another draft, a boolean
        for test in group["tests"]:
            cases += 1
            assert validator.is_valid(test["data"]) == test["valid"], (group, test)
            assert (validator.error(test["data"]) is None) == test["valid"]
    return cases
