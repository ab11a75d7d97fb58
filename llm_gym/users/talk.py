"""A conversation with a simulated user: what it may say next, and whether it keeps to.

From the visible conversation alone, rules decide what the user is asked and what it may
and must say in its next message: its `Cue`. A `User` words that message. What it wrote
is held to the contracts before anyone sees it. So a rule-based user and a language
model differ in their words only, and what is told when is the same for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

from llm_gym.errors import UserFault
from llm_gym.users.contracts import broken_contract
from llm_gym.users.listening import (
    asks_to_confirm,
    closes,
    is_question,
    mentions,
    refuses,
    requests,
    visible_text,
)
from llm_gym.users.protocol import Cue, Line, Speech, User, phrase
from llm_gym.users.scenario import Fact, Move, Scenario, When

__all__ = ["MOST_HEARD", "TalkState", "cue_for", "hear", "open_talk"]


MOST_HEARD = 8_000
"""Characters of a message that a user reads."""


class TalkState(TypedDict):
    """Where a conversation stands: plain data, to be kept in an environment's state.

    Attributes:
        talk: All that was said aloud.
        asked: Names of the facts that may be told, in the order of asking.
        told: Names of the facts that were told.
        made: Names of the moves that were made.
        settled: Names of the moves that were visibly dealt with.
        confirmed: How often the user was asked whether to go ahead, and said yes.
        stalled: Replies in a row that brought nothing on.
        left: Whether the user has left.
    """

    talk: list[Line]
    asked: list[str]
    told: list[str]
    made: list[str]
    settled: list[str]
    confirmed: int
    stalled: int
    left: bool


def open_talk(scenario: Scenario) -> TalkState:
    """Begin a conversation with the first move, in a wording of the scenario's own."""
    first = scenario.moves[0]
    text = phrase(first.says, scenario.seed, 0)
    return {
        "talk": [{"role": "user", "content": text}],
        "asked": [],
        "told": [],
        "made": [first.name],
        "settled": [],
        "confirmed": 0,
        "stalled": 0,
        "left": False,
    }


def hear(
    user: User, scenario: Scenario, state: TalkState, said: str, *, retries: int = 2
) -> Speech:
    """Let a user answer what the agent said aloud, and note it in the state.

    Args:
        user: The user.
        scenario: Who it is.
        state: Where the conversation stands. It changes only if an answer comes.
        said: The content of the agent's message. Thinking and calls in it are cut out,
            and what is beyond `MOST_HEARD` characters; its reasoning, its tool calls
            and their results have no way in.
        retries: How many further samples are asked for when one breaks a contract.

    Returns:
        The user's answer, which keeps every contract.

    Raises:
        UserFault: Each sample broke a contract.
        ValueError: The user has left already.
    """
    if state["left"]:
        raise ValueError("the user has left: begin another conversation")
    said = visible_text(said)[:MOST_HEARD]
    cue = cue_for(scenario, state, said)
    talk: list[Line] = [*state["talk"], {"role": "agent", "content": said}]
    problem, text = "", ""
    for attempt in range(retries + 1):
        speech = user.speak(scenario, talk, cue, attempt)
        problem, text = broken_contract(speech, scenario, talk, cue) or "", speech.text
        if not problem:
            break
    else:
        raise UserFault(
            f"the user broke its contract in each of {retries + 1} samples, at last: "
            f"{problem} ({text[:200]!r})"
        )
    speech = Speech(speech.text.strip(), speech.leaves or cue.spent)
    settled = _settled(scenario, state, said)
    state["stalled"] = 0 if settled or _moved_on(cue) else state["stalled"] + 1
    state["settled"] += settled
    _note(state, talk, cue, speech)
    return speech


def cue_for(scenario: Scenario, state: TalkState, said: str) -> Cue:
    """Decide what the user may and must say to what the agent said aloud."""
    asking = list(requests(said))
    asked = _asked(scenario, state, asking)
    tell = tuple(fact for fact in asked if fact.name not in state["told"])
    confirm = not tell and any(map(asks_to_confirm, asking))
    again = () if confirm else tuple(fact for fact in asked if fact not in tell)
    dealt = {*state["settled"], *_settled(scenario, state, said)}
    move = _next_move(scenario, state, dealt, said, confirm=confirm)
    ends = closes(said) and move is None and not tell
    cue = Cue(
        tell=tell,
        repeat=again,
        known=_known(scenario, state, asked),
        move=move,
        confirm=confirm and move is None,
        closing=closes(said),
        may_leave=ends and _complete(scenario, state, dealt),
        question=bool(asking) or is_question(said),
        offers=_offers(scenario, state),
    )
    turns = sum(line["role"] == "user" for line in state["talk"]) + 1
    stalled = 0 if len(dealt) > len(state["settled"]) or _moved_on(cue) else 1
    wait = stalled and state["stalled"] + stalled >= scenario.patience
    if turns < scenario.max_turns and not wait:
        return cue
    return Cue(known=cue.known, closing=cue.closing, may_leave=True, spent=True)


def _asked(scenario: Scenario, state: TalkState, asking: Sequence[str]) -> list[Fact]:
    """Return the facts that sentences ask for, of those that can be asked by now."""
    return [
        fact
        for fact in _askable(scenario, state)
        if any(mentions(sentence, fact.asked_by) for sentence in asking)
    ]


def _offers(scenario: Scenario, state: TalkState) -> tuple[str, ...]:
    """Name what can be asked for by now and has not been told, without telling it."""
    askable = _askable(scenario, state)
    return tuple(f.about for f in askable if f.about and f.name not in state["told"])


def _askable(scenario: Scenario, state: TalkState) -> list[Fact]:
    before = {*state["made"], *state["told"]}
    return [fact for fact in _true(scenario, state) if set(fact.after) <= before]


def _known(
    scenario: Scenario, state: TalkState, asked: Sequence[Fact]
) -> tuple[Fact, ...]:
    names = {*state["asked"], *(fact.name for fact in asked)}
    return tuple(fact for fact in _true(scenario, state) if fact.name in names)


def _true(scenario: Scenario, state: TalkState) -> Iterator[Fact]:
    """Yield the facts that no change of mind has overtaken."""
    gone = {
        name
        for move in scenario.moves
        if move.name in state["made"]
        for name in move.drops
    }
    return (fact for fact in scenario.facts if fact.name not in gone)


def _next_move(
    scenario: Scenario, state: TalkState, dealt: set[str], said: str, *, confirm: bool
) -> Move | None:
    """Return the first move that is due: nothing is brought up twice."""
    happens: dict[When, bool] = {
        "opening": False,
        "confirm": confirm,
        "refused": refuses(said),
        "closing": closes(said) and _all_settled(scenario, state, dealt),
    }
    before = {*state["made"], *state["told"]}
    for move in scenario.moves:
        due = move.name not in state["made"] and set(move.after) <= before
        if due and happens[move.when]:
            return move
    return None


def _settled(scenario: Scenario, state: TalkState, said: str) -> list[str]:
    """Return the made moves that this message shows to be dealt with."""
    return [
        move.name
        for move in scenario.moves
        if move.name in state["made"]
        and move.name not in state["settled"]
        and mentions(said, move.settled_by)
    ]


def _all_settled(scenario: Scenario, state: TalkState, dealt: set[str]) -> bool:
    """Say whether nothing that was brought up is open."""
    return all(
        not move.settled_by or move.name in dealt
        for move in scenario.moves
        if move.name in state["made"]
    )


def _complete(scenario: Scenario, state: TalkState, dealt: set[str]) -> bool:
    """Say whether all wishes were brought up and dealt with: the goal, as far as seen.

    What is brought up only if something happens may never have to be.
    """
    wishes = [m.name for m in scenario.moves if m.when in ("opening", "closing")]
    return set(wishes) <= set(state["made"]) and _all_settled(scenario, state, dealt)


def _moved_on(cue: Cue) -> bool:
    return bool(cue.tell or cue.move or cue.may_leave)


def _note(state: TalkState, talk: list[Line], cue: Cue, speech: Speech) -> None:
    state["talk"] = [*talk, {"role": "user", "content": speech.text}]
    known = [fact.name for fact in cue.known]
    state["asked"] += [name for name in known if name not in state["asked"]]
    state["told"] += [fact.name for fact in cue.tell]
    if cue.move is not None:
        state["made"].append(cue.move.name)
    state["confirmed"] += cue.confirm
    state["left"] = speech.leaves
