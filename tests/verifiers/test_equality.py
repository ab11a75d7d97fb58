"""When two JSON values are the same; types count."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from llm_gym.verifiers.equality import Difference, difference, differences
from tests.json_values import json_values

OTHER = [
    (1, True, "$"),
    (True, 1, "$"),
    (0, False, "$"),
    (0, None, "$"),
    ("1", 1, "$"),
    (1.0, 1, "$"),
    (1.5, 1, "$"),
    ([], {}, "$"),
    ({}, [], "$"),
    ([1], [1, 2], "$.1"),
    ([1, 2], [1], "$.1"),
    ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, "$.a.b.1"),
    ({"a": 1}, {"a": 1, "b": None}, "$.b"),
    ({"a": 1, "b": None}, {"a": 1}, "$.b"),
]


@pytest.mark.parametrize(("value", "right", "place"), OTHER)
def test_another_value_has_a_place(value, right, place):
    assert difference(value, right) == place
    assert [d.place for d in differences(value, right)] == [place]


@pytest.mark.parametrize(("value", "right"), [(1, 1.0), ([2], [2.0]), (0.5, 0.5)])
def test_a_whole_number_may_stand_for_a_float(value, right):
    assert difference(value, right) is None
    assert differences(value, right) == []


@given(json_values)
def test_a_value_is_itself_through_json(value):
    assert difference(json.loads(json.dumps(value)), value) is None


@given(json_values, json_values)
def test_both_functions_agree(value, right):
    found = differences(value, right)
    assert difference(value, right) == (found[0].place if found else None)


def test_all_differences_are_told_in_order_up_to_a_limit():
    came = {"a": 1, "b": 2, "d": "x" * 100}
    found = differences(came, {"a": 2, "b": 2, "c": 3})
    assert found == [
        Difference("$.a", "other", 1),
        Difference("$.c", "missing"),
        Difference("$.d", "extra", "x" * 100),
    ]
    assert differences(came, {}, limit=1) == [Difference("$.a", "extra", 1)]


def test_a_difference_says_what_came_and_not_what_is_right():
    words = [str(d) for d in differences({"a": 1, "d": "x" * 100}, {"a": 2, "c": 3})]
    assert words == [
        "`$.a` is another value: 1",
        "`$.c` is missing",
        f"`$.d` should not be there: '{'x' * 59}...",
    ]
