"""`SessionStateEnv`: change a calendar; the state that is left at the end is judged."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from llm_gym.env import ToolEnv
from llm_gym.errors import ToolError
from llm_gym.messages import call_text
from llm_gym.tasks import GeneratedTasks, Task
from llm_gym.tools import tool
from llm_gym.trajectory import Score, Trajectory

__all__ = ["SessionStateEnv", "make_task"]

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday"]
Room = Literal["oak", "elm", "fir", "yew"]
Event = dict[str, Any]  # title, day, hour, room, guests
Calendar = dict[str, Event]

_DAYS: tuple[Day, ...] = get_args(Day)
_ROOMS: tuple[Room, ...] = get_args(Room)
_HOURS = range(8, 18)
_SLOTS = [
    {"day": day, "hour": hour, "room": room}
    for day in _DAYS
    for hour in _HOURS
    for room in _ROOMS
]
_LONGEST_TITLE = 80

_TOPICS = (
    *("Budget", "Garden", "Harbour", "Website", "Choir", "Payroll", "Library"),
    *("Bridge", "Rooftop", "Archive", "Festival", "Kitchen", "Safety", "Museum"),
)
_KINDS = (
    *("review", "workshop", "lunch", "interview", "rehearsal", "planning"),
    *("briefing", "inspection", "retrospective", "tasting", "kickoff", "debate"),
)
_TITLES = [f"{topic} {kind}" for topic in _TOPICS for kind in _KINDS]
_PEOPLE = (
    *("Abel", "Bianca", "Chen", "Dalia", "Esra", "Floris", "Gwen", "Hamid", "Ilse"),
    *("Jonas", "Kemal", "Leila", "Milo", "Nadia", "Oskar", "Petra", "Rune", "Sofia"),
)


@dataclass
class _Draft:
    """A calendar while changes to it are drawn.

    Attributes:
        rng: Where the randomness comes from.
        by_slot: Whether events may be spoken of by their place in the calendar.
        people: Who can be invited.
        titles: Titles that no event has had, in random order.
        slots: Slots that no event has or will have, in random order.
        events: The events as they will be.
        untouched: Those that no change has touched, in random order.
    """

    rng: np.random.Generator
    by_slot: bool
    people: list[str]
    titles: list[str]
    slots: list[dict[str, Any]]
    events: list[Event]
    untouched: list[Event]

    def name(self, event: Event) -> str:
        """Say which event is meant; before it is changed."""
        if self.by_slot and self.rng.random() < 0.5:
            return f"the event on {_where(event)}"
        return f'"{event["title"]}"'


def _draft(rng: np.random.Generator, count: int, by_slot: bool) -> _Draft:
    titles = rng.permutation(_TITLES).tolist()
    slots = [_SLOTS[int(n)] for n in rng.permutation(len(_SLOTS))]
    people = rng.choice(_PEOPLE, size=6, replace=False).tolist()
    events = []
    for _ in range(count):
        guests = rng.choice(people, size=int(rng.integers(1, 4)), replace=False)
        events.append({"title": titles.pop(), **slots.pop(), "guests": guests.tolist()})
    return _Draft(rng, by_slot, people, titles, slots, events, list(events))


def _where(event: Mapping[str, Any]) -> str:
    return f"{event['day']} at {event['hour']}:00 in the {event['room']} room"


def _move(draft: _Draft) -> str:
    event = draft.untouched.pop()
    name = draft.name(event)
    event.update(draft.slots.pop())
    return f"Move {name} to {_where(event)}."


def _change_room(draft: _Draft) -> str:
    event = draft.untouched[-1]
    there = [
        s for s in draft.slots if (s["day"], s["hour"]) == (event["day"], event["hour"])
    ]
    if not there:
        return _move(draft)
    name = draft.name(draft.untouched.pop())
    draft.slots.remove(there[0])
    event.update(there[0])
    return f"Put {name} into the {event['room']} room, at the same day and hour."


def _cancel(draft: _Draft) -> str:
    event = draft.untouched.pop()
    draft.events.remove(event)
    return f"Cancel {draft.name(event)}."


def _create(draft: _Draft) -> str:
    guests = draft.rng.permutation(draft.people)[: int(draft.rng.integers(3))].tolist()
    event = {"title": draft.titles.pop(), **draft.slots.pop(), "guests": guests}
    draft.events.append(event)
    company = f"with {' and '.join(guests)}" if guests else "without guests"
    return f'Create "{event["title"]}" on {_where(event)}, {company}.'


def _invite(draft: _Draft) -> str:
    event = draft.untouched.pop()
    others = [person for person in draft.people if person not in event["guests"]]
    event["guests"].append(str(draft.rng.choice(others)))
    return f"Invite {event['guests'][-1]} to {draft.name(event)}."


def _uninvite(draft: _Draft) -> str:
    event = draft.untouched.pop()
    leaving = event["guests"].pop(int(draft.rng.integers(len(event["guests"]))))
    return f"Take {leaving} off the guests of {draft.name(event)}."


def _swap(draft: _Draft) -> str:
    one, other = draft.untouched.pop(), draft.untouched.pop()
    for key in ("day", "hour", "room"):
        one[key], other[key] = other[key], one[key]
    titles = f'"{one["title"]}" and "{other["title"]}"'
    return f"Let {titles} swap places: day, hour and room."


def _replace(draft: _Draft) -> str:
    old = draft.untouched.pop()
    new = {**old, "title": draft.titles.pop(), "guests": []}
    draft.events.remove(old)
    draft.events.append(new)
    return (
        f'Cancel "{old["title"]}" and create "{new["title"]}" in its place, '
        "without guests."
    )


_SIMPLE = (_move, _change_room, _cancel, _create, _invite, _uninvite)
_SIZES = (3, 5, 8, 12)  # how many events a calendar has, by level


def make_task(rng: np.random.Generator, level: int) -> Task:
    """Draw a calendar and changes to it, no two of the same event."""
    draft = _draft(rng, _SIZES[level], by_slot=level > 1)
    numbers = (rng.choice(90_000, size=_SIZES[level], replace=False) + 10_000).tolist()
    numbered = zip(numbers, copy.deepcopy(draft.events), strict=True)
    changes = [_SIMPLE[int(n)] for n in rng.integers(len(_SIMPLE), size=level + 1)]
    if level == 3:
        changes[:2] = [_swap, _replace]
    requests = [change(draft) for change in changes]
    lines = [
        f"{n}. {requests[int(i)]}"
        for n, i in enumerate(rng.permutation(len(requests)), 1)
    ]
    return Task(
        prompt="\n".join([_INTRO, *lines, _OUTRO]),
        data={
            "events": {f"ev{number}": event for number, event in numbered},
            "people": draft.people,
        },
        answer=_by_title(draft.events),
    )


_INTRO = "Make these changes to the team's calendar, and no others:"
_OUTRO = "Use the tools. When all is done, answer with a short text."


def _by_title(events: Iterable[Event]) -> Calendar:
    """Return a calendar in the one form that is compared: no ids, guests sorted."""
    return {
        event["title"]: {**event, "guests": sorted(event["guests"])} for event in events
    }


class SessionStateEnv(ToolEnv):
    """Make the asked-for changes to a team's calendar, and no others.

    Task:
        A week's calendar of five days, ten hours and four rooms, and a numbered list of
        changes: move, cancel, create, invite and the like.

    Tools:
        `list_events` and `free_rooms` read; `create_event`, `move_event`, `invite`,
        `uninvite` and `cancel_event` write. A room that is taken, an unknown event or
        person, a guest twice, a title twice, an hour outside of 8 to 17 are refused.

    Observation:
        The list of changes, then calls and results. Events have random ids, which only
        the reading tools show.

    Reply:
        Tool calls; a text when all is done.

    Reward:
        1.0 if the calendar at the end, however the episode ended, is the one that the
        changes lead to, else 0.0: one unrequested change is as bad as a missing one.
        Which way led there does not count, nor do ids and the order of guests. Parts:
        `goal` (the share of the events to be changed that are as requested),
        `untouched` (whether all else is as it was) and `finished` (whether the episode
        ended with a text).

    Episode end:
        A reply without a tool call; 24 replies.

    Levels:
        0: one change among 3 events. 1: two among 5. 2: three among 8, and an event may
        be named by its day, hour and room. 3: four among 12, of which one swaps two
        events, each in the other's way, and one puts a new event in the place of
        another.

    Floors:
        oracle 1.000, null 0.000, constant 0.000, random 0.000 (1,000 episodes, seed 0)

    Data and licence:
        Generated; Apache-2.0, as the package.

    Arguments:
        Those of `ToolEnv`.

    Version history:
        v0: first version.
    """

    tasks = GeneratedTasks(make_task, levels=len(_SIZES))
    max_turns = 24

    @tool
    def list_events(self, day: Day | None = None) -> list[Event]:
        """List the events with their ids, in order of time.

        Args:
            day: Only those of this day; left out, those of the whole week.
        """
        events = self.state["events"].items()
        shown = [_shown(key, e) for key, e in events if day in (None, e["day"])]
        return sorted(
            shown, key=lambda e: (_DAYS.index(e["day"]), e["hour"], e["room"])
        )

    @tool
    def free_rooms(self, day: Day, hour: int) -> list[Room]:
        """List the rooms that are free at a time.

        Args:
            day: The day.
            hour: The hour at which the event would start, 8 to 17.
        """
        _check_hour(hour)
        time = {"day": day, "hour": hour}
        return [r for r in _ROOMS if self._taken({**time, "room": r}) is None]

    @tool
    def create_event(
        self,
        title: str,
        day: Day,
        hour: int,
        room: Room,
        guests: list[str] | None = None,
    ) -> Event:
        """Create an event of one hour.

        Args:
            title: Its title, which no other event has.
            day: The day.
            hour: The hour at which it starts, 8 to 17.
            room: The room.
            guests: Who is invited; left out, nobody.
        """
        title, guests = title.strip(), guests or []
        if not 0 < len(title) <= _LONGEST_TITLE:
            raise ToolError(f"a title has 1 to {_LONGEST_TITLE} characters")
        if any(event["title"] == title for event in self.state["events"].values()):
            raise ToolError(f"there is already an event {title!r}")
        for person in guests:
            self._check_person(person)
        if len(dict.fromkeys(guests)) < len(guests):
            raise ToolError("a guest can be invited once")
        slot = {"day": day, "hour": hour, "room": room}
        self._check_slot(slot)
        self.state["created"] += 1
        event_id = f"new{self.state['created']}"
        self.state["events"][event_id] = {"title": title, **slot, "guests": guests}
        return _shown(event_id, self.state["events"][event_id])

    @tool
    def move_event(
        self,
        event_id: str,
        day: Day | None = None,
        hour: int | None = None,
        room: Room | None = None,
    ) -> Event:
        """Move an event. What is left out stays as it is.

        Args:
            event_id: The event's id.
            day: The new day.
            hour: The new hour, 8 to 17.
            room: The new room.
        """
        event = self._event(event_id)
        given = {"day": day, "hour": hour, "room": room}
        slot = {key: event[key] if new is None else new for key, new in given.items()}
        self._check_slot(slot, but=event_id)
        event.update(slot)
        return _shown(event_id, event)

    @tool
    def invite(self, event_id: str, person: str) -> Event:
        """Invite a person to an event.

        Args:
            event_id: The event's id.
            person: The person's name.
        """
        event = self._event(event_id)
        self._check_person(person)
        if person in event["guests"]:
            raise ToolError(f"{person} is a guest already")
        event["guests"].append(person)
        return _shown(event_id, event)

    @tool
    def uninvite(self, event_id: str, person: str) -> Event:
        """Take a person off the guests of an event.

        Args:
            event_id: The event's id.
            person: The person's name.
        """
        event = self._event(event_id)
        if person not in event["guests"]:
            named = ", ".join(event["guests"]) or "nobody"
            raise ToolError(f"{person[:40]!r} is not a guest; the guests: {named}")
        event["guests"].remove(person)
        return _shown(event_id, event)

    @tool
    def cancel_event(self, event_id: str) -> str:
        """Cancel an event.

        Args:
            event_id: The event's id.
        """
        self._event(event_id)
        del self.state["events"][event_id]
        return "The event was cancelled."

    def begin(self, task: Task) -> str | Sequence[Mapping[str, Any]]:
        """Open the calendar."""
        self.state = {"events": copy.deepcopy(task.data["events"]), "created": 0}
        return task.prompt

    def outcome(self) -> Calendar:
        """Return the calendar as it is."""
        return _by_title(self.state["events"].values())

    def verify(self, trajectory: Trajectory) -> Score:
        """Compare the calendar with what the changes lead to."""
        before = _by_title(trajectory.task.data["events"].values())
        wanted: Calendar = trajectory.task.answer
        final: Calendar = trajectory.outcome
        changed = [t for t in before | wanted if before.get(t) != wanted.get(t)]
        reached = sum(final.get(t) == wanted.get(t) for t in changed)
        others = [t for t in before | final if t not in changed]
        untouched = all(final.get(t) == before.get(t) for t in others)
        parts = {
            "goal": reached / max(len(changed), 1),
            "untouched": float(untouched),
            "finished": float(trajectory.answer is not None),
        }
        if final == wanted:
            return Score(1.0, parts, "the calendar is as it should be")
        if untouched:
            return Score(0.0, parts, "a requested change is missing or wrong")
        return Score(0.0, parts, "something was changed that should not have been")

    def oracle(self) -> str:
        """Look, make the next change, say when all is done."""
        calls = self.trajectory.calls
        looked = [(c.name, c.status, c.arguments) for c in calls]
        if ("list_events", "ok", {}) not in looked:
            return call_text("list_events", {})
        call = _next_call(self.state["events"], self.task.answer)
        return "All changes are made." if call is None else call_text(*call)

    def _event(self, event_id: str) -> Event:
        event: Event | None = self.state["events"].get(event_id)
        if event is None:
            raise ToolError(
                f"there is no event with the id {event_id[:40]!r}; `list_events` shows "
                "the ids"
            )
        return event

    def _check_person(self, person: str) -> None:
        people = self.task.data["people"]
        if person not in people:
            raise ToolError(
                f"there is no {person[:40]!r} in the team: {', '.join(people)}"
            )

    def _check_slot(self, slot: Mapping[str, Any], but: str | None = None) -> None:
        _check_hour(slot["hour"])
        title = self._taken(slot, but)
        if title is not None:
            raise ToolError(f"on {_where(slot)} there is {title!r}")

    def _taken(self, slot: Mapping[str, Any], but: str | None = None) -> str | None:
        """Return the title of the event that has the slot, None if it is free."""
        for event_id, event in self.state["events"].items():
            if event_id != but and slot.items() <= event.items():
                title: str = event["title"]
                return title
        return None


def _shown(event_id: str, event: Event) -> Event:
    return {"id": event_id, **event}


def _check_hour(hour: int) -> None:
    if hour not in _HOURS:
        raise ToolError(
            f"an event starts at an hour from {_HOURS[0]} to {_HOURS[-1]}, not {hour}"
        )


_Call = tuple[str, dict[str, Any]]


def _next_call(events: Calendar, wanted: Calendar) -> _Call | None:
    """Return a call that brings a calendar nearer to the wanted one, None if none."""
    for event_id, event in events.items():
        target = wanted.get(event["title"])
        if target is None:
            return "cancel_event", {"event_id": event_id}
        for person in event["guests"]:
            if person not in target["guests"]:
                return "uninvite", {"event_id": event_id, "person": person}
        for person in target["guests"]:
            if person not in event["guests"]:
                return "invite", {"event_id": event_id, "person": person}
    moved = _next_move(events, wanted)
    if moved is not None:
        return moved
    titles = [event["title"] for event in events.values()]
    missing = (event for title, event in wanted.items() if title not in titles)
    return next((("create_event", dict(event)) for event in missing), None)


def _next_move(events: Calendar, wanted: Calendar) -> _Call | None:
    """Return a move to where an event should be, or out of the way if none can be."""
    taken = [_slot(event) for event in events.values()]
    moves = {i: (_slot(e), _slot(wanted[e["title"]])) for i, e in events.items()}
    misplaced = {i: move for i, move in moves.items() if move[0] != move[1]}
    if not misplaced:
        return None
    free = {i: move for i, move in misplaced.items() if move[1] not in taken}
    event_id, (here, there) = next(iter((free or misplaced).items()))
    if not free:
        there = next(slot for slot in _SLOTS if slot not in taken)
    changes = {key: there[key] for key in there if there[key] != here[key]}
    return "move_event", {"event_id": event_id, **changes}


def _slot(event: Event) -> dict[str, Any]:
    return {key: event[key] for key in ("day", "hour", "room")}
