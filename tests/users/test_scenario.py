"""Scenarios: their plain form, and which cannot be kept to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llm_gym import jsontext
from llm_gym.errors import FormatError
from llm_gym.users import Fact, Move, Scenario
from tests.users.scenes import FACTS, MOVES, SCENE, scene


def test_scenario_json_round_trip_is_the_same() -> None:
    plain = jsontext.normalise(SCENE.to_json())
    assert Scenario.from_json(plain) == SCENE


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"moves": ()}, 'no other, must have `when` "opening"'),
        ({"moves": (MOVES[0], replace(MOVES[0], name="b"))}, "no other, must have"),
        ({"moves": (MOVES[1],), "facts": ()}, "no other, must have"),
        ({"facts": (*FACTS, FACTS[0])}, "needs a name of its own"),
        (
            {"facts": (replace(FACTS[0], after=("never",)),), "moves": MOVES[:1]},
            "after",
        ),
        ({"facts": (replace(FACTS[0], says=()),), "moves": MOVES[:1]}, "needs `says`"),
        ({"facts": (replace(FACTS[0], says=("No.",)),)}, "drops"),
        ({"facts": (replace(FACTS[2], says=("No.",)),)}, "must contain {}"),
        (
            {"moves": (Move("wish", ("Hi.",), must=("W-1",)),), "facts": ()},
            "its `must`",
        ),
        ({"who": "born on 2034-05-17"}, "'who' tells 'day', which must be asked for"),
        ({"goal": "return W-12345"}, "'goal' tells 'order'"),
        ({"moves": (Move("wish", ("It is w-12345.",)),), "facts": FACTS[:2]}, "tells"),
        ({"max_turns": 0}, "must be positive"),
    ],
)
def test_scenario_that_cannot_be_kept_raises(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match="cannot be kept to: ") as caught:
        scene(**changed)
    assert message in str(caught.value)


def test_scenario_opening_may_say_what_it_must() -> None:
    opening = Move("wish", ("It is W-12345.",), must=("W-12345",))
    assert scene(moves=(opening,), facts=FACTS[:2]).moves == (opening,)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"who": "x"}, "not a scenario: "),
        ({**SCENE.to_json(), "patience": "5"}, "not a scenario: "),
        ({**SCENE.to_json(), "patience": 0}, "not a scenario: .* must be positive"),
    ],
)
def test_scenario_from_other_data_raises(broken: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Scenario.from_json(broken)


def test_fact_without_value_is_what_the_user_does_not_know() -> None:
    unknown = Fact("age", "", ("how old",), ("I do not say that.",))
    assert scene(facts=(*FACTS, unknown)).facts[-1] == unknown
