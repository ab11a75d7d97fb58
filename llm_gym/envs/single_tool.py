"""`SingleToolEnv`: one request, one tool, one call with the right arguments."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

import numpy as np

from llm_gym import jsontext
from llm_gym.env import ToolEnv
from llm_gym.envs import _spoken
from llm_gym.envs._spoken import WEEKDAYS, Said, Weekday, in_words
from llm_gym.errors import ToolError
from llm_gym.messages import call_text
from llm_gym.tasks import GeneratedTasks, Task
from llm_gym.tools import tool
from llm_gym.trajectory import Score, Trajectory

__all__ = ["SingleToolEnv", "make_task"]

Room = Literal["kitchen", "bedroom", "bathroom", "office", "hall"]
Currency = Literal["EUR", "USD", "GBP", "CHF", "JPY"]


@dataclass(frozen=True, slots=True)
class Moment:
    """A date, `YYYY-MM-DD`, and a time, `HH:MM` of 24 hours."""

    date: str
    time: str


class Item(TypedDict):
    """How many of what."""

    name: str
    count: int


_Draw = Callable[[np.random.Generator], Said]


@dataclass(frozen=True, slots=True)
class _Request:
    """A request.

    Attributes:
        call: The arguments it asks for.
        wording: With `{name}` for each of the values that it says.
        right: What it says by name.
        wrong: What it says instead where it goes on to correct itself.
    """

    call: dict[str, Any]
    wording: str
    right: dict[str, Said]
    wrong: dict[str, Said]


_DAY_SETS = (
    Said(list(WEEKDAYS[:5]), "from monday to friday", "on weekdays"),
    Said(list(WEEKDAYS[5:]), "on saturday and sunday", "at the weekend"),
    Said(list(WEEKDAYS[:6]), "from monday to saturday", "every day but sunday"),
)
_ROOMS = (
    Said("kitchen", "the kitchen", "the room with the stove"),
    Said("bedroom", "the bedroom", "the room where I sleep"),
    Said("bathroom", "the bathroom", "the room with the shower"),
    Said("office", "the office", "the room where I work"),
    Said("hall", "the hall", "the room behind the front door"),
)
_CURRENCIES = (
    Said("EUR", "EUR", "euros"),
    Said("USD", "USD", "US dollars"),
    Said("GBP", "GBP", "British pounds"),
    Said("CHF", "CHF", "Swiss francs"),
    Said("JPY", "JPY", "Japanese yen"),
)
_SEATING = (
    Said(True, "outdoors", "on the terrace"),
    Said(False, "indoors", "inside where it is warm"),
)
_HOURS = (6, 7, 8, 9, 10, 13, 14, 15, 16, 17, 18, 19, 20, 21)  # never in doubt
_NAMES = (
    *("Ada", "Boris", "Carla", "Deniz", "Emil", "Fatima", "Goran", "Heidi", "Igor"),
    *("Jana", "Kofi", "Lena", "Marco", "Nora", "Otto", "Paula", "Ravi", "Selma"),
)
_COLOURS = ("Amber", "Blue", "Copper", "Golden", "Green", "Ivory", "Red", "Silver")
_SIGNS = ("Badger", "Crane", "Dolphin", "Falcon", "Heron", "Lantern", "Otter", "Raven")
_GOODS = (
    *("lemons", "onions", "candles", "batteries", "apples", "notebooks", "carrots"),
    *("pencils", "bananas", "envelopes", "tomatoes", "napkins", "oranges", "screws"),
)
_PLEAS = (
    *("please call me back", "bring an umbrella", "do not wait for us"),
    *("save me a seat", "ask for Mr Lund at the desk", "feed the cat first"),
)
_CHATTER = (
    "I have been up since {number} o'clock and my coffee is cold.",
    "{name} told me a joke about {number} penguins, I will tell you later.",
    "Yesterday I lost {number} games of chess to {name}.",
)
_SLIPS = ("{}, no wait, {}", "{} (sorry, I mean {})", "{}, or rather {}")


def _one_of(options: Sequence[Said]) -> _Draw:
    return lambda rng: options[int(rng.integers(len(options)))]


def _draw_name(rng: np.random.Generator) -> Said:
    name = str(rng.choice(_NAMES))
    return Said(name, name, name)


def _draw_restaurant(rng: np.random.Generator) -> Said:
    name = f"{rng.choice(_COLOURS)} {rng.choice(_SIGNS)}"
    return Said(name, f"the {name}", f"the {name}")


def _draw_time(rng: np.random.Generator) -> Said:
    return _spoken.said_time(int(rng.choice(_HOURS)), 5 * int(rng.integers(12)))


def _draw_date(today: datetime.date) -> _Draw:
    return lambda rng: _spoken.said_date(
        today, int(rng.integers(1, 14)), by_weekday=bool(rng.random() < 0.5)
    )


def _draw_half(low: int, high: int, unit: str = "") -> _Draw:
    return lambda rng: _spoken.said_half(int(rng.integers(2 * low, 2 * high + 1)), unit)


def _draw_count(what: str) -> _Draw:
    return lambda rng: _spoken.said_count(int(rng.integers(2, 25)), what)


def _draw_people(rng: np.random.Generator) -> Said:
    count = int(rng.integers(3, 13))
    spoken = (f"{in_words(count)} people", f"me and {in_words(count - 1)} friends")
    return Said(count, f"{count} people", str(rng.choice(spoken)))


def _draw_days(rng: np.random.Generator) -> Said:
    if rng.random() < 0.5:
        return _one_of(_DAY_SETS)(rng)
    chosen = rng.choice(7, size=int(rng.integers(1, 4)), replace=False)
    days = [WEEKDAYS[day] for day in sorted(chosen)]
    listed = _spoken.listed(days)
    return Said(days, f"on {listed}", f"every {listed}")


def _request(
    rng: np.random.Generator, wordings: Sequence[str], **draws: _Draw
) -> _Request:
    """Draw the values of a request, and for each a wrong one."""
    right, wrong = {}, {}
    for name, draw in draws.items():
        right[name] = wrong[name] = draw(rng)
        while wrong[name].value == right[name].value:
            wrong[name] = draw(rng)
    call = {name: said.value for name, said in right.items()}
    return _Request(call, str(rng.choice(wordings)), right, wrong)


def _alarm(rng: np.random.Generator, today: datetime.date) -> _Request:
    if rng.random() < 0.3:
        wordings = ("Set an alarm at {time}.", "Wake me up at {time}, just once.")
        return _request(rng, wordings, time=_draw_time)
    wordings = ("Set an alarm at {time} {weekdays}.", "Wake me {weekdays} at {time}.")
    return _request(rng, wordings, time=_draw_time, weekdays=_draw_days)


def _message(rng: np.random.Generator, today: datetime.date) -> _Request:
    wordings = ("Send {to} a message at {time}", "Write to {to} at {time}")
    request = _request(rng, wordings, to=_draw_name, time=_draw_time)
    about = f"we have {int(rng.integers(2, 100))} {rng.choice(_GOODS)}"
    request.call["text"] = text = f"{about}, {rng.choice(_PLEAS)}"
    wording = f'{request.wording}: "{text}".'
    if rng.random() < 0.5:
        request.call["urgent"] = True
        wording += " Mark it as urgent."
    return replace(request, wording=wording)


def _conversion(rng: np.random.Generator, today: datetime.date) -> _Request:
    wordings = (
        "Convert {amount} {source} to {to}.",
        "How much are {amount} {source} in {to}?",
    )
    currencies = [_CURRENCIES[int(n)] for n in rng.permutation(len(_CURRENCIES))]
    return _request(
        rng,
        wordings,
        amount=_draw_half(2, 9999),
        source=_one_of(currencies[:2]),  # never a currency that the other may be
        to=_one_of(currencies[2:]),
    )


def _thermostat(rng: np.random.Generator, today: datetime.date) -> _Request:
    draws = {"room": _one_of(_ROOMS), "celsius": _draw_half(15, 25, " degrees")}
    wordings = ("Heat {room} to {celsius}", "Make it {celsius} in {room}")
    ending = "."
    if rng.random() < 0.7:
        draws["until"] = _draw_time
        ending = " until {until}."
    return _request(rng, [wording + ending for wording in wordings], **draws)


def _table(rng: np.random.Generator, today: datetime.date) -> _Request:
    wordings = (
        "Book a table for {people} at {place} {date} at {time}, {outdoor}.",
        "We eat {outdoor} at {place} {date} at {time}: a table for {people}.",
    )
    request = _request(
        rng,
        wordings,
        place=_draw_restaurant,
        people=_draw_people,
        date=_draw_date(today),
        time=_draw_time,
        outdoor=_one_of(_SEATING),
    )
    call = request.call
    call["at"] = {"date": call.pop("date"), "time": call.pop("time")}
    return request


def _shopping(rng: np.random.Generator, today: datetime.date) -> _Request:
    names = rng.choice(_GOODS, size=int(rng.integers(1, 4)), replace=False).tolist()
    listed = _spoken.listed([f"{{{name}}}" for name in names])
    wordings = (f"Put {listed} on my shopping list.", f"I need to buy {listed}.")
    request = _request(rng, wordings, **{name: _draw_count(name) for name in names})
    items = [{"name": name, "count": count} for name, count in request.call.items()]
    return replace(request, call={"items": items})


_REQUESTS = {
    "set_alarm": _alarm,
    "send_message": _message,
    "convert_currency": _conversion,
    "heat_room": _thermostat,
    "book_table": _table,
    "add_items": _shopping,
}


def make_task(rng: np.random.Generator, level: int) -> Task:
    """Draw a request, said as its level has it."""
    today = datetime.date(2030, 1, 1) + datetime.timedelta(int(rng.integers(3650)))
    name = str(rng.choice(list(_REQUESTS)))
    request = _REQUESTS[name](rng, today)
    weekday = WEEKDAYS[today.weekday()].capitalize()
    return Task(
        prompt=f"Today is {weekday}, {today.isoformat()}.\n{_say(rng, request, level)}",
        data={"today": today.isoformat()},
        answer={"tool": name, "arguments": request.call},
    )


def _say(rng: np.random.Generator, request: _Request, level: int) -> str:
    spoken = {k: s.spoken if level else s.literal for k, s in request.right.items()}
    if level < 2:
        return request.wording.format(**spoken)
    aside = str(rng.choice(_CHATTER)).format(
        name=rng.choice(_NAMES), number=in_words(int(rng.integers(3, 12)))
    )
    slipped = str(rng.choice(list(spoken)))
    right, wrong = spoken[slipped], request.wrong[slipped].spoken
    if rng.random() < 0.5:
        spoken[slipped] = str(rng.choice(_SLIPS)).format(wrong, right)
        return f"{aside} {request.wording.format(**spoken)}"
    spoken[slipped] = wrong
    wording = request.wording.format(**spoken)
    return f"{wording} {aside} Oh, I got something wrong: {right}, not {wrong}."


_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


class SingleToolEnv(ToolEnv):
    """Carry a request out with one call of the right tool.

    Task:
        A request to an assistant, in plain words, that fixes a tool and its arguments.

    Tools:
        `set_alarm`, `send_message`, `convert_currency`, `heat_room`,
        `book_table`, `add_items`. Each ends the episode. A call that does not fit the
        schema, or whose time, date or number makes no sense, is refused, and the
        episode goes on.

    Observation:
        Today's date and the request; then the refusals.

    Reply:
        One tool call.

    Reward:
        1.0 for the right tool with the right arguments, 0.0 else or if any reply held
        more than one call. A refused call costs nothing: a refusal tells nothing of
        what was asked for. Types are strict; what is left out has its default; a list's
        order does not count, nor do outer spaces, nor, but in a message's text, the
        case of ASCII letters; `7:05` is `07:05`. Parts: `tool`, `arguments` (the share
        that is right), `one_call`, `first_try` (the value, if nothing was refused).

    Episode end:
        A call that is not refused; a reply without a call, which scores 0.0; three
        replies.

    Levels:
        0: values are said as the tools take them. 1: they must be converted, such as
        "half past seven in the evening" or "me and two friends". 2: besides, one of
        them is corrected and there is a remark that does not matter.

    Floors:
        oracle 1.000, null 0.000, constant 0.000, random 0.000 (1,000 episodes, seed 0)

    Data and licence:
        Generated; Apache-2.0, as the package.

    Arguments:
        Those of `ToolEnv`.

    Version history:
        v0: first version.
    """

    tasks = GeneratedTasks(make_task, levels=3)
    max_turns = 3
    system_prompt = "Carry out the user's request with exactly one tool call."

    @tool(ends_episode=True)
    def set_alarm(self, time: str, weekdays: list[Weekday] | None = None) -> str:
        """Set an alarm.

        Args:
            time: `HH:MM`, 24 hours.
            weekdays: The days on which it rings; left out, it rings once.
        """
        _check_time(time)
        return "Done."

    @tool(ends_episode=True)
    def send_message(self, to: str, text: str, time: str, urgent: bool = False) -> str:
        """Send a message to someone at a time.

        Args:
            to: The person's name.
            text: The message, word for word.
            time: `HH:MM`, 24 hours.
            urgent: Whether it is marked as urgent.
        """
        _check_time(time)
        _check(text.strip() and to.strip(), "a message needs a text and a receiver")
        return "Done."

    @tool(ends_episode=True)
    def convert_currency(self, amount: float, source: Currency, to: Currency) -> str:
        """Convert an amount of money.

        Args:
            amount: How much.
            source: The currency that it is in.
            to: The currency to convert it to.
        """
        _check(amount > 0, "the amount must be above 0")
        return "Done."

    @tool(ends_episode=True)
    def heat_room(self, room: Room, celsius: float, until: str | None = None) -> str:
        """Set the temperature of a room.

        Args:
            room: The room.
            celsius: Degrees, from 5 to 30.
            until: When it ends, `HH:MM`, 24 hours; left out, it stays so.
        """
        _check(5 <= celsius <= 30, "the temperature must be from 5 to 30 degrees")
        if until is not None:
            _check_time(until)
        return "Done."

    @tool(ends_episode=True)
    def book_table(self, place: str, people: int, at: Moment, outdoor: bool) -> str:
        """Book a table in a restaurant.

        Args:
            place: The restaurant's name, without `the`.
            people: How many will come, the user included.
            at: When: `date` as `YYYY-MM-DD` and `time` as `HH:MM`, 24 hours.
            outdoor: Whether the table is outdoors.
        """
        _check_time(at.time)
        _check(_is_date(at.date), f"a date is YYYY-MM-DD, not {at.date[:40]!r}")
        today = self.task.data["today"]
        _check(at.date >= today, f"{at.date} is in the past: today is {today}")
        _check(1 <= people <= 50, "a table is for 1 to 50 people")
        return "Done."

    @tool(ends_episode=True)
    def add_items(self, items: list[Item]) -> str:
        """Put items on the shopping list.

        Args:
            items: What to buy, each `name` as the user says it, such as `apples`.
        """
        _check(items, "there must be at least one item")
        _check(all(item["count"] > 0 for item in items), "a count must be above 0")
        return "Done."

    def verify(self, trajectory: Trajectory) -> Score:
        """Compare the one call that was not refused with the one asked for."""
        answer = trajectory.task.answer
        one_call = all(len(turn.calls) < 2 for turn in trajectory.turns)
        made = next((call for call in trajectory.calls if call.status == "ok"), None)
        right_tool = made is not None and made.name == answer["tool"]
        share = 0.0
        if made is not None and right_tool:
            properties = self.tool_specs[made.name].parameters["properties"]
            share = _share(properties, made.arguments or {}, answer["arguments"])
        value = float(one_call and share == 1.0)
        parts = {
            "tool": float(right_tool),
            "arguments": share,
            "one_call": float(one_call),
            "first_try": value if len(trajectory.turns) == 1 else 0.0,
        }
        checks = {
            "no call was carried out": made is not None,
            "a reply held more than one call": one_call,
            "it is the wrong tool": right_tool,
            "an argument is wrong": share == 1.0,
        }
        wrong = next((reason for reason, fine in checks.items() if not fine), None)
        return Score(value, parts, wrong or "the call is right")

    def oracle(self) -> str:
        """Make the call that was asked for."""
        name, wanted = self.task.answer["tool"], self.task.answer["arguments"]
        order = self.tool_specs[name].parameters["properties"]
        return call_text(name, {key: wanted[key] for key in order if key in wanted})


def _check(fine: object, problem: str) -> None:
    if not fine:
        raise ToolError(problem)


def _check_time(text: str) -> None:
    problem = f"a time is HH:MM, from 00:00 to 23:59, not {text[:40]!r}"
    _check(_TIME.fullmatch(text.strip()), problem)


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _share(
    properties: Mapping[str, Mapping[str, Any]],
    given: Mapping[str, Any],
    wanted: Mapping[str, Any],
) -> float:
    """Return the share of the arguments that mean the same, defaults filled in."""
    same = 0
    for name, schema in properties.items():
        default = schema.get("default")
        pair = (_normal(name, call.get(name, default)) for call in (given, wanted))
        same += len({jsontext.canonical(value) for value in pair}) == 1
    return same / len(properties)


def _normal(name: str, value: Any) -> Any:
    """Return what an argument means, as JSON of which each meaning has one form."""
    if isinstance(value, dict):
        return {key: _normal(key, inner) for key, inner in value.items()}
    if isinstance(value, list):
        inner = (_normal(name, item) for item in value)
        return sorted(inner, key=jsontext.canonical) or None
    if isinstance(value, str):
        return _normal_text(name, value)
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _normal_text(name: str, text: str) -> str:
    text = text.strip()
    if name in ("time", "until"):
        return text.zfill(5)
    # Beyond ASCII, changing case makes some letters those of another script.
    return text.lower() if text.isascii() and name != "text" else text
