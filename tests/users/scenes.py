"""A scenario, and users that say what they are told to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_gym.users import (
    Cue,
    Fact,
    Line,
    Move,
    RuleUser,
    Scenario,
    Speech,
    TalkState,
    User,
    hear,
    open_talk,
)

__all__ = ["ANY_ELSE", "EMAIL", "SCENE", "Says", "listen", "scene"]

EMAIL = "ada.holm7@fern.example"
ANY_ELSE = "Is there anything else?"
SETTLED = ("refund for W-12345", "declined for W-12345")

FACTS = (
    Fact("email", EMAIL, ("e-mail",), ("Write to {}.", "It is {}."), "my e-mail"),
    Fact("order", "W-12345", ("order number", "which order"), ("It is {}.",), "the no"),
    Fact("day", "2034-05-17", ("which day", "date"), ("On {}.",), after=("wish",)),
    Fact("phone", "", ("phone",), ("I have no telephone.",)),
    Fact("street", "12 Fern Road", ("address",), ("To {}.",), after=("change",)),
)
MOVES = (
    Move("wish", ("Hello. Something must go back.",), settled_by=SETTLED),
    Move("change", ("No, send it elsewhere.",), "confirm", drops=("day",)),
    Move("push", ("But I am a good customer!",), "refused"),
    Move(
        "more", ("And order W-777 too.",), "closing", ("W-777",), ("done with W-777",)
    ),
)


def scene(**changed: Any) -> Scenario:
    """Return the scenario of these tests, with some of its fields changed."""
    plain = {"who": "in a hurry", "goal": "to send something back", "seed": 3}
    return Scenario(**{"moves": MOVES, "facts": FACTS, **plain, **changed})


SCENE = scene()


class Says:
    """A user that says texts in turn, the last one for ever."""

    blocking = False

    def __init__(self, *speeches: str | Speech) -> None:
        self.speeches = [s if isinstance(s, Speech) else Speech(s) for s in speeches]
        self.asked: list[tuple[int, Cue]] = []

    def speak(
        self, scenario: Scenario, talk: Sequence[Line], cue: Cue, attempt: int
    ) -> Speech:
        """Say the next text."""
        self.asked.append((attempt, cue))
        return self.speeches[min(len(self.asked), len(self.speeches)) - 1]


def listen(
    *said: str, user: User | None = None, scenario: Scenario = SCENE
) -> tuple[list[Speech], TalkState]:
    """Say texts to a user; return its answers, and where the conversation stands."""
    state = open_talk(scenario)
    user = RuleUser() if user is None else user
    return [hear(user, scenario, state, text) for text in said], state
