"""JSON read strictly: what is refused, what survives, and that nothing hangs."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from itertools import count

import pytest
from hypothesis import example, given

from llm_gym import jsontext
from llm_gym.jsontext import (
    MAX_DEPTH,
    MAX_DIGITS,
    canonical,
    clean_text,
    loads,
    normalise,
)
from tests.json_values import any_text, json_texts, json_values, wild_values


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value at character 0"),
        ("{", "at character 1"),
        ('{"a": 1', "at character 7"),
        ("[1, 2,]", "at character"),
        ("1 2", "Extra data at character 2"),
        ("{'a': 1}", "at character 1"),
        ("NaN", "NaN is not a JSON number"),
        ("[Infinity]", "Infinity is not a JSON number"),
        ('{"a": -Infinity}', "-Infinity is not a JSON number"),
        ("1e999", "1e999 is too large"),
        ("[-1e999]", "-1e999 is too large"),
        ('{"a": 1, "a": 1}', "the key 'a' appears twice"),
        ('[{"b": {"a": 1, "c": 2, "a": 3}}]', "the key 'a' appears twice"),
        ("9" * 5000, "an integer of 5000 digits, at most 100"),
        ('"\x00"', "control character"),
        ("\ufeff{}", "at character 0"),
        ("[" * 10_000, "nested deeper than 64 levels"),
        ("[" * 10_000 + "]" * 10_000, "nested deeper than 64 levels"),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, "nested deeper than 64 levels"),
    ],
    ids=count(),
)
def test_loads_refuses_with_a_reason(text, why):
    with pytest.raises(ValueError, match=why):
        loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e308", 1e308),
        ("-0.0", -0.0),
        ("1E2", 100.0),
        (" [ ] ", []),
        ('"\\u0000"', "\x00"),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('{"a": {"a": 1}}', {"a": {"a": 1}}),
        ("true", True),
    ],
)
def test_loads_reads_what_is_json(text, value):
    assert loads(text) == value
    assert type(loads(text)) is type(value)


@pytest.mark.parametrize("sign", ["", "-"])
def test_loads_counts_digits_and_not_the_sign(sign):
    assert loads(sign + "9" * MAX_DIGITS) == int(sign + "9" * MAX_DIGITS)
    with pytest.raises(ValueError, match=f"an integer of {MAX_DIGITS + 1} digits"):
        loads(sign + "9" * (MAX_DIGITS + 1))


def test_loads_accepts_exactly_the_stated_depth():
    assert loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(ValueError, match="nested deeper"):
        loads("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def test_loads_may_be_told_another_depth():
    assert loads("[" * 100 + "]" * 100, max_depth=100)
    with pytest.raises(ValueError, match="nested deeper than 3 levels"):
        loads("[[[[1]]]]", max_depth=3)


def test_loads_accepts_many_brackets_side_by_side():
    assert len(loads("[" + ",".join(["[]"] * 500) + "]")) == 500


def test_loads_counts_characters_before_it_parses():
    with pytest.raises(ValueError, match="5 characters, at most 4 are read"):
        loads("[1,2]", max_chars=4)
    long = '"' + "a" * jsontext.MAX_CHARS + '"'
    with pytest.raises(ValueError, match="characters, at most"):
        loads(long)
    assert len(loads(long, max_chars=None)) == jsontext.MAX_CHARS


def test_loads_finds_a_late_duplicate_key_without_hanging():
    keys = ",".join(f'"{n}":0' for n in range(25_000))
    started = time.process_time()
    with pytest.raises(ValueError, match="the key 'z' appears twice"):
        loads(f'{{{keys},"z":1,"z":2}}')
    assert time.process_time() - started < 5


def test_loads_shortens_a_key_that_it_names():
    key = "k" * 10_000
    with pytest.raises(ValueError, match="appears twice") as caught:
        loads(f'{{"{key}":1,"{key}":2}}')
    assert len(str(caught.value)) < 200


@given(json_values)
def test_loads_reads_back_whatever_json_carries(value):
    assert loads(json.dumps(value)) == value


@given(json_texts)
@example("[[[")
def test_loads_returns_what_json_would_or_raises_value_error(text):
    with suppress(ValueError):
        assert loads(text) == json.loads(text)


@given(wild_values)
def test_normalise_returns_plain_json_or_raises_value_error(value):
    with suppress(ValueError):
        plain = normalise(value)
        assert json.loads(json.dumps(plain)) == plain


@pytest.mark.parametrize(
    "value",
    [math.nan, {"a": math.inf}, {1, 2}, b"x", object(), {(1, 2): 3}, {1: 0, "1": 0}],
)
def test_normalise_refuses_what_has_no_json_form(value):
    with pytest.raises(ValueError, match=r"\w"):
        normalise(value)


def test_normalise_turns_tuples_and_keys_into_what_json_has():
    assert normalise({1: (2, 3)}) == {"1": [2, 3]}


def test_canonical_does_not_depend_on_the_order_of_keys():
    assert canonical({"b": 1, "a": [1.0, "é"]}) == '{"a":[1.0,"\\u00e9"],"b":1}'
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})


@given(json_values)
def test_canonical_is_ascii_and_reads_back(value):
    text = canonical(value)
    assert text.isascii()
    assert loads(text) == value
    assert canonical(loads(text)) == text


def test_canonical_refuses_nan_and_objects():
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"a": math.nan})
    with pytest.raises(TypeError, match="not JSON serializable"):
        canonical({1, 2})


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("é\x00😀", "é\x00😀"),
        ("a\ud800b", "a\ufffdb"),
        ("\udc00", "\ufffd"),
        ("\ud83d\ude00", "😀"),
    ],
)
def test_clean_text_replaces_lone_surrogates_only(text, clean):
    assert clean_text(text) == clean


@given(any_text)
def test_clean_text_can_always_be_encoded_and_is_stable(text):
    clean = clean_text(text)
    assert clean.encode().decode() == clean
    assert clean_text(clean) == clean
