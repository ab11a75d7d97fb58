"""A conversation with a user who tells a fact only when asked for it.

The user is a set of rules: which words ask for which fact, how many facts fit in one
message, when patience ends. There is no model behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_gym.env import ToolEnv
from llm_gym.envs._draws import (
    WORDS,
    clock,
    code,
    day,
    email,
    person,
    phone,
    pick,
    some,
)
from llm_gym.episode import Response
from llm_gym.errors import ToolError
from llm_gym.messages import call_text
from llm_gym.replies import ReadReply
from llm_gym.tasks import GeneratedTasks, Task
from llm_gym.tools import tool
from llm_gym.trajectory import Score, StopReason, Trajectory

__all__ = ["MultiTurnEnv", "asked_fields", "draw_values", "generate"]

LEVELS = 5
FACTS_PER_MESSAGE = 2
PATIENCE = 3

_GREETINGS = ("Hello.", "Good morning.", "Hi there.", "Good evening.", "Excuse me.")
_PLEAS = ("Can you help me?", "What can be done?", "Please help.", "I count on you.")
_ALL_STANDS = "Yes, everything that I said stands."


def _digits(count: int) -> Callable[[np.random.Generator], str]:
    return lambda rng: str(int(rng.integers(10 ** (count - 1), 10**count)))


def _code(letters: int, digits: int) -> Callable[[np.random.Generator], str]:
    return lambda rng: code(rng, letters, digits)


def _date(rng: np.random.Generator) -> str:
    return day(rng).isoformat()


def _address(rng: np.random.Generator) -> str:
    street = pick(rng, WORDS).capitalize()
    return f"{int(rng.integers(1, 400))} {street} {pick(rng, ('Road', 'Lane', 'Row'))}"


def _tag(rng: np.random.Generator) -> str:
    return "-".join(some(rng, WORDS, 3))


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that a form may ask for.

    Attributes:
        form: What the form says of its field.
        words: The words that ask for it, besides the field's name.
        says: How the user tells it.
        draw: Draws a value, one of at least 900.
    """

    form: str
    words: str
    says: str
    draw: Callable[[np.random.Generator], str]


TOPICS: dict[str, Topic] = {
    "name": Topic(
        "first and last name", "names called surname who whom", "I am {}.", person
    ),
    "date": Topic("YYYY-MM-DD", "dates day days when", "The date is {}.", _date),
    "time": Topic("HH:MM", "times hour hours clock when", "The time is {}.", clock),
    "phone": Topic(
        "a telephone number", "telephone mobile cell phones", "You can ring {}.", phone
    ),
    "email": Topic("an e-mail address", "mail emails inbox", "Write to {}.", email),
    "address": Topic(
        "number and street", "street where live location house", "It is {}.", _address
    ),
    "voucher": Topic(
        "like AB-01234", "vouchers coupon discount", "The paper says {}.", _code(2, 5)
    ),
    "serial": Topic(
        "like ABC-0123", "device model engraved", "On the back it says {}.", _code(3, 4)
    ),
    "tag": Topic(
        "three words, hyphens", "tags sticker ticket label", "It has the tag {}.", _tag
    ),
    "plate": Topic(
        "like ABC-012", "licence license registration car", "I drive {}.", _code(3, 3)
    ),
    "account": Topic(
        "eight digits", "customer contract client", "My account is {}.", _digits(8)
    ),
    "budget": Topic(
        "in crowns", "price cost costs spend money", "I can spend {}.", _digits(4)
    ),
    "weight": Topic(
        "in grams", "heavy weigh weighs grams", "It weighs {} grams.", _digits(4)
    ),
    "reading": Topic(
        "five digits", "meter display counter", "The display shows {}.", _digits(5)
    ),
    "room": Topic("four digits", "rooms door floor", "We had room {}.", _digits(4)),
    "guests": Topic(
        "a number", "guest people persons many", "We are {} people.", _digits(3)
    ),
}
"""What a form may ask for, by the name of its field."""

CONFIRM_WORDS = frozenset(
    ["confirm", "confirmation", "correct", "right", "check", "verify", "accurate"]
)
"""The words that ask the user to confirm."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A form, the wishes that it serves, and the fields that it may have."""

    purpose: str
    wishes: tuple[str, ...]
    fields: tuple[str, ...]


DESKS: dict[str, Desk] = {
    "table_booking": Desk(
        "keep a table in the restaurant",
        ("We want to eat at your place.", "I long for your famous dumplings again."),
        ("name", "date", "time", "phone", "email", "voucher", "budget"),
    ),
    "parcel_pickup": Desk(
        "have a parcel collected",
        ("I have a box that must go to my sister.", "Somebody should fetch a parcel."),
        ("name", "date", "time", "address", "weight", "phone", "account"),
    ),
    "repair_visit": Desk(
        "send a technician to a broken appliance",
        ("My washing machine howls.", "The oven has stopped working again."),
        ("serial", "date", "time", "address", "phone", "account", "email"),
    ),
    "luggage_search": Desk(
        "search for lost luggage",
        ("My suitcase never arrived.", "I stood at the belt, and my bag did not come."),
        ("name", "tag", "date", "time", "phone", "email", "address"),
    ),
    "usage_report": Desk(
        "report how much electricity or water was used",
        ("Your letter wants me to look into the cellar.", "I am to report my water."),
        ("account", "reading", "serial", "date", "name", "email", "address"),
    ),
    "parking_permit": Desk(
        "get a resident's permit for parking",
        ("I never find a place to park at home.", "I got a parking fine once more."),
        ("plate", "name", "address", "date", "email", "account", "phone"),
    ),
    "hall_rental": Desk(
        "rent the hall for a feast",
        ("We are planning a big feast.", "My parents marry again, and we need space."),
        ("guests", "date", "time", "name", "phone", "budget", "email"),
    ),
    "night_complaint": Desk(
        "complain about a night in the hotel",
        ("I could not sleep at all, the pipes sang.", "The bed in your hotel broke."),
        ("room", "name", "date", "time", "phone", "email", "voucher"),
    ),
}
"""The forms by name."""


def asked_fields(text: str) -> list[str]:
    """Return the fields that a text asks for, in the order of their first mention."""
    found = (field for word in _words(text) for field in _ASKED_BY.get(word, ()))
    return list(dict.fromkeys(found))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _asks_to_confirm(text: str) -> bool:
    return not CONFIRM_WORDS.isdisjoint(_words(text))


def _asked_by() -> dict[str, tuple[str, ...]]:
    by_word: dict[str, tuple[str, ...]] = {}
    for field, topic in TOPICS.items():
        for word in (field, *topic.words.split()):
            by_word[word] = (*by_word.get(word, ()), field)
    return by_word


_ASKED_BY = _asked_by()


def generate(rng: np.random.Generator, level: int) -> Task:
    """Make a task: three forms, of which one fits a wish, and the user's facts.

    Args:
        rng: Where the randomness comes from.
        level: There are `level + 2` facts; the user corrects one at the top level.
    """
    names = some(rng, list(DESKS), 3)
    wanted = names[0]
    forms = {
        name: {
            "purpose": DESKS[name].purpose,
            "fields": _draw_fields(rng, DESKS[name], level + 2),
        }
        for name in sorted(names)
    }
    fields = list(forms[wanted]["fields"])
    corrected = [pick(rng, fields)] if level == LEVELS - 1 else []
    values = draw_values(rng, [*fields, *corrected])
    facts = dict(zip(fields, values, strict=False))
    correction = dict(zip(corrected, values[len(fields) :], strict=True))
    wish = (pick(rng, _GREETINGS), pick(rng, DESKS[wanted].wishes))
    return Task(
        prompt=" ".join((*wish, pick(rng, _PLEAS))),
        data={"forms": forms, "facts": facts, "correction": correction},
        answer={"form": wanted, "fields": {**facts, **correction}},
    )


def _draw_fields(rng: np.random.Generator, desk: Desk, count: int) -> dict[str, str]:
    return {field: TOPICS[field].form for field in some(rng, desk.fields, count)}


def draw_values(rng: np.random.Generator, fields: Sequence[str]) -> list[str]:
    """Draw a value for each field, none of which is a part of another."""
    while True:
        values = [TOPICS[field].draw(rng) for field in fields]
        parts = sum(one in other for one in values for other in values)
        if parts == len(values):  # each is a part of itself only
            return values


class MultiTurnEnv(ToolEnv):
    """Ask a user for what a form needs, then submit it.

    Task:
        A user opens with a vague wish. The model finds the form that serves it, asks
        the user for the value of each of its fields, asks for a confirmation, and
        submits the form. Every value is one of at least 900, so none can be guessed.

    Tools:
        `list_forms()` names three forms, of which one fits. `show_form(form)` tells
        its fields. `submit_form(form, fields)` ends the episode; it refuses a form
        with fields missing, empty or unknown, and looks at no value.

    Observation:
        A system message, the user's wish, then the conversation.

    Reply:
        A reply without a tool call goes to the user, who is a set of rules. A word of
        it, whole and in any case, that stands for a field asks for it: "day" or "when"
        for the date. The user tells at most two facts in a message, the first asked
        that are not told yet; else repeats what was asked for again. A fact is never
        told unasked. Words such as "confirm" or "correct" ask for a confirmation, once
        all is told. Text beside a tool call is not seen by the user.

    Reward:
        At the end 1.0 if the right form was submitted and every value is, spaces
        around it apart, letter for letter what the user said last; else 0.0. Parts:
        `form` (the right one), `facts` (share of the values that are right).

    Episode end:
        Terminated when a form is submitted, or when the user leaves after three
        replies in a row that brought out nothing new. Truncated after 20 turns.

    Levels:
        0 to 4: two to six facts. At level 4 the user corrects one of them when asked
        to confirm, and a form submitted before that is wrong.

    Floors:
        oracle 1.000, null 0.000, constant 0.000, random 0.000 (1,000 episodes, seed 0)

    Data and licence:
        Generated; Apache-2.0, as the package.

    Arguments:
        Those of `ToolEnv`.

    Version history:
        v0: first version.
    """

    tasks = GeneratedTasks(generate, levels=LEVELS)
    max_turns = 20
    system_prompt = (
        "You work at a service desk. Find the form that fits the user's wish, and ask "
        "the user in plain words for what its fields need. The user answers only what "
        "you ask, two things at a time. When you have everything, ask the user to "
        "confirm, and mind corrections. Then submit the form with the values exactly "
        "as the user said them; it can be submitted only once."
    )

    def begin(self, task: Task) -> str:
        """Start an episode with the user's wish."""
        self.state = {
            "facts": dict(task.data["facts"]),
            "told": [],
            "confirmed": False,
            "unproductive": 0,
            "listed": False,
            "shown": [],
        }
        return str(task.prompt)

    @tool
    def list_forms(self) -> dict[str, str]:
        """List the forms, with what each one is for."""
        self.state["listed"] = True
        return {name: form["purpose"] for name, form in self._forms().items()}

    @tool
    def show_form(self, form: str) -> dict[str, str]:
        """Show the fields of a form, with how each one is to be filled in.

        Args:
            form: The form's name.
        """
        fields: dict[str, str] = self._form(form)["fields"]
        if form not in self.state["shown"]:
            self.state["shown"].append(form)
        return fields

    @tool(ends_episode=True)
    def submit_form(self, form: str, fields: dict[str, str]) -> str:
        """Submit a form with all of its fields. This ends your work.

        Args:
            form: The form's name.
            fields: The value of each field, by the field's name.
        """
        wanted = self._form(form)["fields"]
        missing = [field for field in wanted if not fields.get(field, "").strip()]
        if missing:
            raise ToolError(f"these fields of {form} are empty: {', '.join(missing)}")
        unknown = [field for field in fields if field not in wanted]
        if unknown:
            raise ToolError(
                f"{form} has no field {unknown[0][:80]!r}; it has {', '.join(wanted)}"
            )
        return "The form was submitted."

    def _forms(self) -> Mapping[str, Any]:
        forms: Mapping[str, Any] = self.task.data["forms"]
        return forms

    def _form(self, name: str) -> Mapping[str, Any]:
        forms = self._forms()
        if name not in forms:
            raise ToolError(
                f"there is no form {name[:80]!r}; it is {' or '.join(forms)}"
            )
        form: Mapping[str, Any] = forms[name]
        return form

    def respond(self, reply: ReadReply) -> Response:
        """Answer as the user, or leave."""
        news = self._news(reply.text)
        if news is not None:
            self.state["unproductive"] = 0
            return Response(news)
        self.state["unproductive"] += 1
        if self.state["unproductive"] >= PATIENCE:
            return Response("This leads nowhere. Goodbye.", stop=StopReason.USER_LEFT)
        return Response(self._nothing_new(reply.text))

    def _news(self, text: str) -> str | None:
        """Return what the user tells for the first time, None if it is nothing."""
        state = self.state
        new = [f for f in asked_fields(text) if f in self._untold()]
        if new:
            told = new[:FACTS_PER_MESSAGE]
            state["told"] += told
            return self._tell(told)
        if self._untold() or state["confirmed"] or not _asks_to_confirm(text):
            return None
        state["confirmed"] = True
        state["facts"].update(self.task.data["correction"])
        corrected = list(self.task.data["correction"])
        if corrected:
            return f"I must correct something. {self._tell(corrected)} The rest stands."
        return _ALL_STANDS

    def _nothing_new(self, text: str) -> str:
        asked = asked_fields(text)
        known = [field for field in asked if field in self.state["told"]]
        if _asks_to_confirm(text):
            return "You do not know everything yet." if self._untold() else _ALL_STANDS
        if known:
            return f"As I said: {self._tell(known[:FACTS_PER_MESSAGE])}"
        if asked:
            return "I can say nothing about that. What else do you need to know?"
        return "I am not sure what you mean. What do you need to know?"

    def _untold(self) -> list[str]:
        return [f for f in self.state["facts"] if f not in self.state["told"]]

    def _tell(self, fields: Sequence[str]) -> str:
        facts = self.state["facts"]
        return " ".join(TOPICS[f].says.format(facts[f]) for f in fields)

    def verify(self, trajectory: Trajectory) -> Score:
        """Compare the submitted form with what the user wants."""
        gold = trajectory.task.answer
        sent = [c for c in trajectory.calls if c.name == "submit_form"]
        done = next((c.arguments for c in sent if c.status == "ok"), None)
        if done is None:
            return Score(0.0, {"form": 0.0, "facts": 0.0}, "no form was submitted")
        values = {field: value.strip() for field, value in done["fields"].items()}
        wrong = [f for f, v in gold["fields"].items() if values.get(f) != v]
        parts = {
            "form": float(done["form"] == gold["form"]),
            "facts": 1.0 - len(wrong) / len(gold["fields"]),
        }
        if not parts["form"]:
            return Score(0.0, parts, "a form was submitted that does not fit the wish")
        if wrong or len(values) != len(gold["fields"]):
            return Score(0.0, parts, f"wrong on the form: {', '.join(wrong)}")
        return Score(1.0, parts, "the right form was submitted, all values right")

    def oracle(self) -> str:
        """Return the next step: find the form, ask, confirm, submit."""
        gold, state = self.task.answer, self.state
        if not state["listed"]:
            return call_text("list_forms", {})
        if gold["form"] not in state["shown"]:
            return call_text("show_form", {"form": gold["form"]})
        untold = self._untold()[:FACTS_PER_MESSAGE]
        if untold:
            return f"Please tell me the {' and the '.join(untold)}."
        if not state["confirmed"]:
            return "Can you confirm that all of this is correct?"
        fields = {field: gold["fields"][field] for field in state["facts"]}
        return call_text("submit_form", {"form": gold["form"], "fields": fields})
