"""Several verifiers weighed into one score."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym import DefinitionError, Rubric, Score, Trajectory
from tests.envs.driving import play
from tests.sample_envs import EchoEnv

RECORD: Trajectory = play(EchoEnv(), ["hi"], options={"task_id": "hi"})
WEIGHTS = st.floats(1e-3, 1e3)


def giving(value, reason=""):
    return lambda trajectory: Score(value, {"inner": 5.0}, reason)


def test_the_value_is_the_weighted_mean_and_parts_stay_visible():
    score = Rubric(
        {"a": (giving(1.0, "good"), 3), "b": (giving(0.0, "bad"), 1)}
    ).verify(RECORD)
    assert score == Score(0.75, {"a": 1.0, "b": 0.0}, "a: good; b: bad")


def test_reasons_that_are_empty_are_left_out():
    rubric = Rubric({"a": (giving(1.0), 1), "b": (giving(1.0, "why"), 1)})
    assert rubric.verify(RECORD).reason == "b: why"


@pytest.mark.parametrize(
    "part", [EchoEnv(), Rubric({"x": (giving(1.0), 1)}), lambda t: True]
)
def test_a_part_is_a_verifier_or_a_function(part):
    assert Rubric({"a": (part, 2)}).verify(RECORD).value == 1.0


@given(st.lists(WEIGHTS, min_size=1, max_size=12))
def test_full_marks_everywhere_are_full_marks(weights):
    rubric = Rubric({str(n): (giving(1.0), weight) for n, weight in enumerate(weights)})
    assert rubric.verify(RECORD).value == 1.0


@given(st.lists(st.tuples(st.floats(0, 1), WEIGHTS), min_size=1, max_size=8))
def test_the_mean_lies_between_its_parts(parts):
    rubric = Rubric({str(n): (giving(v), w) for n, (v, w) in enumerate(parts)})
    value = rubric.verify(RECORD).value
    values = [v for v, _ in parts]
    assert min(values) - 1e-12 <= value <= max(values) + 1e-12


@pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf])
def test_a_weight_must_be_positive_and_finite(weight):
    with pytest.raises(DefinitionError, match="the weight of `a` must be positive"):
        Rubric({"a": (giving(1.0), weight)})


def test_a_rubric_needs_a_part():
    with pytest.raises(DefinitionError, match="at least one part"):
        Rubric({})


def test_a_rubric_keeps_a_copy_of_its_parts():
    parts = {"a": (giving(1.0), 1)}
    rubric = Rubric(parts)
    parts.clear()
    assert rubric.verify(RECORD).value == 1.0


def boom(trajectory):
    raise OSError("the judge is away")


@pytest.mark.parametrize(
    ("part", "error"),
    [(boom, OSError), (lambda t: "1.0", TypeError), (lambda t: 2.0, ValueError)],
)
def test_a_part_that_fails_is_never_a_zero(part, error):
    with pytest.raises(error):
        Rubric({"good": (giving(1.0), 1), "bad": (part, 1)}).verify(RECORD)
