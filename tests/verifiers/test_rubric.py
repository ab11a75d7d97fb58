"""Several verifiers weighed into one score."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym import DefinitionError, EnvironmentFault, Rubric, Score, Trajectory
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
    [
        (boom, OSError),
        (lambda t: "1.0", EnvironmentFault),
        (lambda t: 2.0, EnvironmentFault),
        (lambda t: math.nan, EnvironmentFault),
    ],
)
def test_a_part_that_fails_is_never_a_zero(part, error):
    with pytest.raises(error):
        Rubric({"good": (giving(1.0), 1), "bad": (part, 1)}).verify(RECORD)


def test_gate_that_is_not_passed_makes_the_whole_nothing():
    asked = []
    rubric = Rubric(
        {"good": (lambda t: asked.append(t) or 1.0, 1)},
        gates={"format": (giving(0.5, "no tag"), 1.0)},
    )
    score = rubric.verify(RECORD)
    assert (score.value, score.parts, asked) == (0.0, {"format": 0.5}, [])
    assert score.reason == (
        "the gate `format` is not passed: 0.5 of at least 1; format: no tag"
    )


def test_gate_that_is_passed_weighs_nothing():
    rubric = Rubric({"a": (giving(0.5), 1)}, gates={"format": (giving(0.9), 0.9)})
    assert rubric.verify(RECORD) == Score(0.5, {"format": 0.9, "a": 0.5})


def test_number_of_a_declared_range_becomes_its_share():
    rubric = Rubric({"stars": (lambda t: 4, 1)}, ranges={"stars": (0, 5)})
    assert rubric.verify(RECORD).value == 0.8


def test_number_outside_of_its_range_is_a_fault():
    rubric = Rubric({"stars": (lambda t: 6, 1)}, ranges={"stars": (0, 5)})
    match = r"`stars` must return a number in \[0, 5\], it returned 6"
    with pytest.raises(EnvironmentFault, match=match):
        rubric.verify(RECORD)


class Rank:
    """Gives the first member 1, the last 0."""

    least_members = 2

    def verify_group(self, trajectories):
        last = len(trajectories) - 1
        return [Score(1 - index / last) for index in range(len(trajectories))]


def test_group_part_sees_all_members():
    rubric = Rubric({"a": (giving(1.0, "fine"), 1)}, group={"rank": (Rank(), 3)})
    scores = rubric.verify_group([RECORD] * 3)
    assert [score.value for score in scores] == [1.0, 0.625, 0.25]
    assert scores[1] == Score(0.625, {"a": 1.0, "rank": 0.5}, "a: fine")
    assert (rubric.least_members, rubric.verify(RECORD).value) == (2, 1.0)


def test_gate_holds_in_a_group_too():
    gates = {"format": (lambda t: float(t is not RECORD), 1.0)}
    rubric = Rubric(group={"rank": (Rank(), 1)}, gates=gates)
    other = Trajectory.from_json(RECORD.to_json())
    assert [s.value for s in rubric.verify_group([RECORD, other])] == [0.0, 0.0]
    assert [s.value for s in rubric.verify_group([other, RECORD])] == [1.0, 0.0]


def test_group_part_that_forgets_a_member_is_a_fault():
    class Short:
        def verify_group(self, trajectories):
            return []

    rubric = Rubric(group={"rank": (Short(), 1)})
    with pytest.raises(EnvironmentFault, match="returned 0 scores for 1 episodes"):
        rubric.verify_group([RECORD])


def test_rubric_waits_where_a_part_does():
    class Waiting:
        blocking = True

        def verify(self, trajectory):
            return 1.0

    assert Rubric({"a": (Waiting(), 1)}).blocking
    assert not Rubric({"a": (giving(1.0), 1)}).blocking


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({}, "at least one part"),
        ({"group": {"a": (Rank(), 0)}}, "weight of `a` must be positive"),
        ({"parts": {"a": (boom, 1)}, "gates": {"a": (boom, 1)}}, "`a` stands twice"),
        ({"parts": {"a": (boom, 1)}, "gates": {"b": (boom, 0)}}, "gate `b` must be in"),
        ({"parts": {"a": (boom, 1)}, "gates": {"b": (boom, 2)}}, "gate `b` must be in"),
        ({"parts": {"a": (boom, 1)}, "ranges": {"b": (0, 1)}}, "`b`, which is no part"),
        ({"parts": {"a": (boom, 1)}, "ranges": {"a": (1, 1)}}, "range of `a` must be"),
        ({"parts": {"a": (boom, 1)}, "ranges": {"a": (0, math.inf)}}, "range of `a`"),
        ({"parts": {"a": (boom, 1)}, "ranges": {"a": (math.nan, 1)}}, "range of `a`"),
        ({"parts": {"a": (boom, 1)}, "ranges": {"a": (-1e308, 1e308)}}, "range of `a`"),
    ],
)
def test_rubric_that_cannot_work_is_refused(kwargs, match):
    with pytest.raises(DefinitionError, match=match):
        Rubric(**kwargs)
