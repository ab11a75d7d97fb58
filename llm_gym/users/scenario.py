"""Who a simulated user is, what it knows, and when it may say which part of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from llm_gym.errors import FormatError
from llm_gym.shapes import Shape, dump, shape_of
from llm_gym.users.listening import holds
from llm_gym.validation import SchemaValidator

__all__ = ["Fact", "Move", "Scenario", "When"]

When = Literal["opening", "confirm", "refused", "closing"]
"""What brings a move about: the start; a question whether to go ahead; a refusal; a
question whether there is anything else."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a user knows and tells when it is asked.

    Attributes:
        name: Unique in its scenario.
        value: What is told, letter for letter; "" for what the user does not know.
        asked_by: The phrases that ask for it, in a question or a request.
        says: How it is told, with `{}` for the value; one is chosen for each telling.
        about: What the user calls it without telling it, such as "my order number".
        after: Moves that must have been made, and facts told, before it can be asked.
    """

    name: str
    value: str
    asked_by: tuple[str, ...]
    says: tuple[str, ...]
    about: str = ""
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """Something that a user brings up of its own accord, once.

    Attributes:
        name: Unique in its scenario.
        says: How it is said; one is chosen.
        when: What brings it about.
        must: What each way of saying it contains, letter for letter; it may be said
            from then on.
        settled_by: Phrases of the agent of which one shows that this was dealt with; a
            user does not leave before. Empty where nothing need come of it.
        after: Moves that must have been made, and facts told, before.
        drops: Facts that hold no more once it was made.
    """

    name: str
    says: tuple[str, ...]
    when: When = "opening"
    must: tuple[str, ...] = ()
    settled_by: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that a simulated user is made of; plain data, part of a task.

    Attributes:
        who: The user's manner, without anything that must be asked for.
        goal: What it wants, without anything that must be asked for.
        moves: What it brings up; the first one opens the conversation.
        facts: What it knows.
        never: Texts that it must not say, in any case of letters.
        max_turns: Messages of the user until it leaves.
        patience: Replies in a row that bring nothing on, until it leaves.
        max_chars: Characters that a message may have.
        seed: Decides which phrasings are chosen.

    Raises:
        ValueError: The scenario cannot be kept to: it has no opening, a name twice, a
            condition that nothing meets, or tells in `who`, `goal` or a move what must
            be asked for.
    """

    who: str
    goal: str
    moves: tuple[Move, ...]
    facts: tuple[Fact, ...] = ()
    never: tuple[str, ...] = ()
    max_turns: int = 20
    patience: int = 5
    max_chars: int = 600
    seed: int = 0

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ValueError(f"the scenario cannot be kept to: {problem}")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Scenario:
        """Build a scenario from plain data.

        Raises:
            FormatError: The data is not what `to_json` returns.
        """
        validator, shape = _form()
        problem = validator.error(value)
        if problem is not None or shape.build is None:
            raise FormatError(f"not a scenario: {problem}")
        try:
            scenario: Scenario = shape.build(value)
        except ValueError as err:
            raise FormatError(f"not a scenario: {err}") from err
        return scenario

    def to_json(self) -> dict[str, Any]:
        """Return the scenario as plain data, for a task."""
        plain: dict[str, Any] = dump(self)
        return plain

    def _problems(self) -> Iterator[str]:
        openings = [move.name for move in self.moves if move.when == "opening"]
        if not self.moves or openings != [self.moves[0].name]:
            yield 'the first move, and no other, must have `when` "opening"'
        items: list[Move | Fact] = [*self.moves, *self.facts]
        names = [item.name for item in items]
        if len(set(names)) < len(names):
            yield f"each move and fact needs a name of its own, not {names}"
        for item in items:
            if not item.says or not set(item.after) <= set(names) - {item.name}:
                yield f"{item.name!r} needs `says`, and `after` names other items"
        for move in self.moves:
            yield from self._loose_ends(move)
        for fact in self.facts:
            if fact.value and any("{}" not in text for text in fact.says):
                yield f"each way of telling {fact.name!r} must contain {{}}"
            yield from self._told_too_early(fact)
        if min(self.max_turns, self.patience, self.max_chars) < 1:
            yield "`max_turns`, `patience` and `max_chars` must be positive"

    def _loose_ends(self, move: Move) -> Iterator[str]:
        if not set(move.drops) <= {fact.name for fact in self.facts}:
            yield f"`drops` of {move.name!r} must name facts, not {move.drops}"
        if any(part not in text for part in move.must for text in move.says):
            yield f"each way of saying {move.name!r} must contain its `must`"

    def _told_too_early(self, fact: Fact) -> Iterator[str]:
        texts: dict[str, Sequence[str]] = {"who": [self.who], "goal": [self.goal]}
        for move in self.moves:
            if not any(holds(part, fact.value) for part in move.must):
                texts[move.name] = move.says
        for where, said in texts.items():
            if any(holds(text, fact.value) for text in said):
                yield f"{where!r} tells {fact.name!r}, which must be asked for"


@cache
def _form() -> tuple[SchemaValidator, Shape]:
    shape = shape_of(Scenario, "a scenario")
    return SchemaValidator(shape.schema), shape  # not at import, which must be quick
