"""The whole final state, its types included."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given

from llm_gym import DefinitionError, Rubric, Task
from llm_gym.verifiers.state import StateMatch
from tests.json_values import json_values
from tests.verifiers.kit import answered, called, ended_with, stored

GOLD = {
    "orders": [{"id": 1, "open": False, "price": 12.0, "at": "9:00"}],
    "name": "Ada",
    "count": 1,
    "log": ["a"],
}
STRICT = StateMatch()
LAX = StateMatch(ignore=["$.log", "$.orders.*.at"])


def changed(**values):
    return {**copy.deepcopy(GOLD), **values}


def order(**values):
    return changed(orders=[{**GOLD["orders"][0], **values}])


def double(task: Task) -> dict:
    """Carry out the gold actions: put the sum of two numbers."""
    return {"sum": task.answer[0] + task.answer[1]}


HONEST = {
    "same": (STRICT, GOLD),
    "other_key_order": (STRICT, dict(reversed(GOLD.items()))),
    "whole_number_for_a_float": (STRICT, order(price=12)),
    "ignored_other": (LAX, changed(log=["b", "c"])),
    "ignored_missing": (LAX, {k: v for k, v in GOLD.items() if k != "log"}),
    "ignored_deep": (LAX, order(at="10:00")),
    "ignored_place": (StateMatch(ignore="$.log.0"), changed(log=["b"])),
    "ignored_all_places": (StateMatch(ignore="$.log.*"), changed(log=["z"])),
    "ignored_everywhere": (StateMatch(ignore="$.*"), {}),
    "ignored_and_not_there": (StateMatch(ignore="$.name.first.x"), GOLD),
}


@pytest.mark.parametrize(("verifier", "state"), HONEST.values(), ids=HONEST)
def test_honest_state_scores_one(verifier, state):
    score = verifier.verify(ended_with(state, GOLD))
    assert score.value == 1.0, score.reason
    assert score.parts == {"state": 1.0, "differences": 0.0}


HACKS = {
    "nothing_was_made": (STRICT, {}),
    "number_for_a_flag": (STRICT, order(open=0)),
    "flag_for_a_number": (STRICT, changed(count=True)),
    "text_for_a_number": (STRICT, changed(count="1")),
    "float_for_a_number": (STRICT, changed(count=1.0)),
    "null": (STRICT, changed(name=None)),
    "other_case": (STRICT, changed(name="ada")),
    "cyrillic": (STRICT, changed(name="\u0410da")),
    "gold_and_junk": (STRICT, changed(extra=None)),
    "key_missing": (STRICT, {k: v for k, v in GOLD.items() if k != "name"}),
    "order_made_twice": (STRICT, changed(orders=GOLD["orders"] * 2)),
    "late_write": (STRICT, changed(log=["a", "b"])),
    "list_as_an_object": (STRICT, changed(log={"0": "a"})),
    "all_states_in_one": (STRICT, {"states": [GOLD, {}]}),
    "other_order": (LAX, order(price=12.5)),
    "another_key_beside_the_ignored": (LAX, order(At="9:00")),
    "ignored_one_longer": (StateMatch(ignore="$.log.*"), changed(log=["a", "b"])),
    "ignored_of_another_place": (StateMatch(ignore="$.log.1"), changed(log=["b"])),
}


@pytest.mark.parametrize(("verifier", "state"), HACKS.values(), ids=HACKS)
def test_wrong_state_scores_zero(verifier, state):
    score = verifier.verify(ended_with(state, GOLD))
    assert score.value == 0.0
    assert score.reason.startswith("the final state is not right: `$.")
    assert score.parts["differences"] >= 1


def test_the_reason_names_the_first_differences_and_never_what_is_right():
    state = {"a": 1, "b": 2, "c": 3, "d": 4}
    score = STRICT.compare(state, {"a": 77, "b": 88, "e": 99})
    assert score.reason == (
        "the final state is not right: `$.a` is another value: 1; "
        "`$.b` is another value: 2; `$.e` is missing and 2 more"
    )


def test_differences_are_counted_up_to_a_hundred():
    score = STRICT.compare({"a": list(range(500))}, {"a": list(range(1, 501))})
    assert score.parts["differences"] == 100.0


def test_gold_actions_may_be_replayed():
    verifier = StateMatch(replay=double)
    assert verifier.verify(ended_with({"sum": 5}, [2, 3])).value == 1.0
    assert verifier.verify(ended_with({"sum": 4}, [2, 3])).value == 0.0


def test_a_replay_that_fails_is_no_zero():
    with pytest.raises(TypeError):
        StateMatch(replay=double).verify(ended_with({"sum": 5}, None))


@pytest.mark.parametrize("gold", [None, {1, 2}, {"a": float("nan")}])
def test_a_gold_that_is_no_state_is_never_a_zero(gold):
    with pytest.raises(DefinitionError, match=r"the gold state, of `task\.answer` or"):
        STRICT.compare(GOLD, gold)


def test_a_state_that_was_not_recorded_is_never_a_zero():
    with pytest.raises(DefinitionError, match="the final state, which `outcome"):
        STRICT.verify(answered("done", GOLD))


@pytest.mark.parametrize("path", ["log", "$", "$.", "$..a", "", 5])
def test_a_path_must_have_its_form(path):
    with pytest.raises(DefinitionError, match=r"a path of `ignore` must have the form"):
        StateMatch(ignore=[path])


def test_a_replay_must_be_a_function():
    with pytest.raises(DefinitionError, match="`replay` must be a function of a task"):
        StateMatch(replay="double")


def test_the_record_is_not_changed():
    trajectory = ended_with(GOLD, GOLD)
    LAX.verify(trajectory)
    assert trajectory.outcome == trajectory.task.answer == GOLD


@given(json_values)
def test_a_state_is_itself(value):
    if value is not None:
        assert STRICT.compare(value, copy.deepcopy(value)).value == 1.0


def test_it_works_in_a_rubric_stored_and_pickled():
    for made in (LAX, StateMatch(replay=double)):
        assert pickle.loads(pickle.dumps(made)) == made
    rubric = Rubric({"state": (LAX, 1)})
    assert rubric.verify(stored(ended_with(GOLD, GOLD))).value == 1.0


def test_a_truncated_episode_is_judged_by_its_state_too():
    trajectory = called([("put", {"key": "a", "value": 1})] * 400, {"a": 1})
    assert not trajectory.stop_reason.terminated
    assert STRICT.verify(trajectory).value == 1.0
