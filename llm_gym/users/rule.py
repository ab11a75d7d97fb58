"""A simulated user made of rules: deterministic, quick, without a model."""

from __future__ import annotations

from collections.abc import Sequence

from llm_gym.users.protocol import Cue, Line, Speech, phrase
from llm_gym.users.scenario import Fact, Scenario

__all__ = ["RuleUser"]


class RuleUser:
    """Says what its cue asks for, in one of a few wordings, and no more.

    The same conversation always gets the same answer, so it may be shared, pickled and
    replayed. An answer to what it does not understand names, without telling them, what
    it can be asked for.
    """

    blocking = False

    def speak(
        self, scenario: Scenario, talk: Sequence[Line], cue: Cue, attempt: int
    ) -> Speech:
        """Say the next message; see `User.speak`."""
        turn = len(talk)
        if cue.spent:
            return Speech(phrase(_LEAVING, scenario.seed, turn), leaves=True)
        parts = [_tell(scenario, fact, turn) for fact in cue.tell]
        if cue.move is not None:
            parts.append(phrase(cue.move.says, scenario.seed, turn))
        if parts:
            return Speech(" ".join(parts))
        if cue.may_leave:
            return Speech(phrase(_GOODBYES, scenario.seed, turn), leaves=True)
        return Speech(_small_answer(scenario, cue, turn))


def _tell(scenario: Scenario, fact: Fact, turn: int) -> str:
    return phrase(fact.says, scenario.seed, turn).replace("{}", fact.value)


def _small_answer(scenario: Scenario, cue: Cue, turn: int) -> str:
    """Answer what brings up nothing new."""
    if cue.repeat:
        told = " ".join(_tell(scenario, fact, turn) for fact in cue.repeat)
        return f"As I said: {told}"
    if cue.confirm:
        return phrase(_YES, scenario.seed, turn)
    if cue.closing:
        return phrase(_OPEN, scenario.seed, turn)
    hint = f" You can ask me for {' or '.join(cue.offers)}." if cue.offers else ""
    said = _UNKNOWN if cue.question else _WAITING
    return f"{phrase(said, scenario.seed, turn)}{hint}"


_LEAVING = (
    "This leads nowhere. Goodbye.",
    "I have to go now. Goodbye.",
    "That takes too long for me. Goodbye.",
)
_GOODBYES = (
    "No, that is all. Thank you, goodbye.",
    "That was everything. Goodbye.",
    "No, thanks. Have a good day.",
)
_YES = ("Yes, please.", "Yes, go ahead.", "Yes, that is right.")
_OPEN = (
    "You have not told me yet what comes of it.",
    "First I want to know what comes of my wish.",
)
_UNKNOWN = ("I do not know.", "I cannot tell you that.", "That I do not know.")
_WAITING = ("I see.", "Alright.", "Hm. And now?")
