"""What a simulated user is: it words what rules have decided that it may say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict

import numpy as np

from llm_gym.users.scenario import Fact, Move, Scenario

__all__ = ["Cue", "Line", "Speech", "User", "phrase"]


class Line(TypedDict):
    """A message of the visible conversation."""

    role: Literal["user", "agent"]
    content: str


@dataclass(frozen=True, slots=True)
class Cue:
    """What a user may and must say in its next message.

    Attributes:
        tell: Facts to be told now: asked for, and not told yet.
        repeat: Facts asked for again.
        known: All facts that may be told, these included.
        move: What to bring up now, None for nothing.
        confirm: Whether it was asked to go ahead, and should say yes.
        closing: Whether it was asked if there is anything else.
        may_leave: Whether all was brought up and dealt with, or the budget is spent.
        spent: Whether the budget is spent: this is its last message.
        question: Whether it was asked anything at all.
        offers: What it could be asked for and was not yet, as it calls these things.
    """

    tell: tuple[Fact, ...] = ()
    repeat: tuple[Fact, ...] = ()
    known: tuple[Fact, ...] = ()
    move: Move | None = None
    confirm: bool = False
    closing: bool = False
    may_leave: bool = False
    spent: bool = False
    question: bool = False
    offers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Speech:
    """A user's message.

    Attributes:
        text: What it says.
        leaves: Whether it ends the conversation with it.
    """

    text: str
    leaves: bool = False


class User(Protocol):
    """Words the messages of a person who wants something.

    It keeps nothing of a conversation itself: many share one user.

    Attributes:
        blocking: Whether `speak` waits, for a model say.
    """

    blocking: bool

    def speak(
        self, scenario: Scenario, talk: Sequence[Line], cue: Cue, attempt: int
    ) -> Speech:
        """Say the next message.

        Args:
            scenario: Who the user is; not to be told beyond what the cue allows.
            talk: The visible conversation; the agent's message is the last.
            cue: What may and must be said now.
            attempt: How many samples of this message broke a contract already.
        """
        ...


def phrase(options: Sequence[str], seed: int, turn: int) -> str:
    """Choose a wording; the same for the same seed and turn."""
    rng = np.random.default_rng([seed, turn])
    return options[int(rng.integers(len(options)))]
