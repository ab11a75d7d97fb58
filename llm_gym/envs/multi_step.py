"""`MultiStepEnv`: a chain of look-ups, each argument being the result before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from llm_gym.env import ToolEnv
from llm_gym.errors import ToolError
from llm_gym.messages import call_text
from llm_gym.tasks import GeneratedTasks, Task
from llm_gym.tools import tool
from llm_gym.trajectory import Score, Trajectory

__all__ = ["MultiStepEnv", "make_task"]


@dataclass(frozen=True, slots=True)
class _Hop:
    """One look-up of the chain.

    Attributes:
        tool: The tool that makes it.
        table: What it looks up; the name of its argument and of a table in the data.
        onward: The field that leads to the next hop.
        phrase: How a question speaks of it, `{}` being what has it.
        side: The field that does not.
    """

    tool: str
    table: str
    onward: str
    phrase: str
    side: str


_HOPS = (
    _Hop("find_customer", "name", "customer", "customer {}", "manager"),
    _Hop("get_customer", "customer", "order", "the order of {}", "invoice"),
    _Hop("get_order", "order", "parcel", "the parcel of {}", "supplier"),
    _Hop("track_parcel", "parcel", "truck", "the truck with {}", "seal"),
    _Hop("get_truck", "truck", "depot", "the depot of {}", "driver"),
    _Hop("get_depot", "depot", "keeper", "the keeper of {}", "gate"),
    _Hop("get_employee", "employee", "badge", "the badge of {}", "locker"),
)
_STAFF = ("manager", "driver")  # side fields that name an employee
_QUESTIONS = (
    "Find the code of {}.",
    "What is the code of {}?",
    "Please look up the code of {}.",
    "I need the code of {}.",
)
_FIRST = (
    *("Ada", "Bela", "Cem", "Dora", "Edo", "Fay", "Gil", "Hana", "Ivo", "Juno"),
    *("Kira", "Lars", "Mara", "Nils", "Oya", "Pia", "Quinn", "Rosa", "Sven", "Tara"),
    *("Uma", "Vito", "Wilma", "Xenia", "Yara", "Zeno", "Anouk", "Bruno", "Clio"),
    *("Dario", "Elif", "Femi", "Greta", "Hugo", "Ines", "Jamal", "Katja", "Lior"),
)
_LAST = (
    *("Abel", "Brandt", "Costa", "Dahl", "Ekman", "Farkas", "Grimm", "Holt", "Isik"),
    *("Jansen", "Keller", "Lind", "Moreau", "Novak", "Okafor", "Petrov", "Rossi"),
    *(
        "Sato",
        "Toth",
        "Ueda",
        "Varga",
        "Weber",
        "Ximenes",
        "Yilmaz",
        "Zeman",
        "Adeyemi",
    ),
    *("Berger", "Castro", "Duarte", "Eriksen", "Fischer", "Gruber", "Haas", "Ilves"),
)
_SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that is taken for another
_CHOICES = (24, 32, 32, 32, 32)  # a letter first: a code never looks like a number


def make_task(rng: np.random.Generator, level: int) -> Task:
    """Draw a world and a question whose answer is `level + 1` look-ups away."""
    count = level + 2
    data = _world(rng, count)
    start = int(rng.integers(len(_HOPS) - level))
    hops = _HOPS[start : start + level + 1]
    key = list(data[hops[0].table])[int(rng.integers(count))]
    aside = bool(rng.random() < 0.5)

    about = key if start == 0 else f"{hops[0].table} {key}"
    steps = []
    for hop in hops:
        steps.append({"tool": hop.tool, "arguments": {hop.table: key}})
        record = data[hop.table][key]
        if aside and hop is hops[-1]:
            about, key = f"the {hop.side} of {about}", record[hop.side]
        else:
            about, key = hop.phrase.format(about), record[hop.onward]
    question = str(rng.choice(_QUESTIONS)).format(about)
    return Task(
        prompt=f"{question} Submit it with the tool `submit`.",
        data=data,
        answer={"code": key, "steps": steps},
    )


def _world(rng: np.random.Generator, count: int) -> dict[str, dict[str, Any]]:
    """Draw all tables; what hangs together has the same place in each."""
    codes = _codes(rng, 2 * len(_HOPS) * count)
    keys = {hop.table: list(islice(codes, count)) for hop in _HOPS[1:]}
    first = rng.choice(_FIRST, size=count, replace=False)
    keys["name"] = [
        f"{a} {b}" for a, b in zip(first, rng.choice(_LAST, count), strict=True)
    ]
    data: dict[str, dict[str, Any]] = {}
    for hop, after in zip(_HOPS, (*_HOPS[1:], None), strict=True):
        onward = list(islice(codes, count)) if after is None else keys[after.table]
        side = list(islice(codes, count))
        if hop.side in _STAFF:  # of another chain, so that no side leads to the end
            turned = 1 + _STAFF.index(hop.side) % (count - 1)
            side = keys["employee"][turned:] + keys["employee"][:turned]
        if hop.side in _DEAD_ENDS:
            data[hop.side] = {code: _DEAD_ENDS[hop.side](rng) for code in side}
        rows = zip(keys[hop.table], onward, side, strict=True)
        data[hop.table] = {key: {hop.onward: a, hop.side: b} for key, a, b in rows}
    return data


def _codes(rng: np.random.Generator, count: int) -> Iterator[str]:
    """Draw codes, none of them twice."""
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        rows = rng.integers(_CHOICES, size=(count, len(_CHOICES))).tolist()
        drawn.update(dict.fromkeys("".join(_SIGNS[n] for n in row) for row in rows))
    return iter(drawn)


def _invoice(rng: np.random.Generator) -> dict[str, Any]:
    return {"euros": int(rng.integers(5, 900)), "paid": bool(rng.random() < 0.5)}


def _supplier(rng: np.random.Generator) -> dict[str, Any]:
    cities = ("Aarhus", "Bari", "Cork", "Delft", "Graz", "Lyon", "Porto", "Turku")
    return {"city": str(rng.choice(cities)), "rating": int(rng.integers(1, 6))}


_DEAD_ENDS = {"invoice": _invoice, "supplier": _supplier}


class MultiStepEnv(ToolEnv):
    """Follow a chain of codes through the records of a parcel service.

    Task:
        A question asks for one code, such as that of the truck with the parcel of an
        order. Each record names the next by a random code, so the only way is to look
        one record up after the other and to submit the code that the last one gives.

    Tools:
        `find_customer`, `get_customer`, `get_order`, `track_parcel`, `get_truck`,
        `get_depot`, `get_employee`: a record each, with the code that leads on and one
        that does not. `get_invoice`, `get_supplier`: never needed. `submit`: hands the
        answer in and ends the episode.

    Observation:
        The question, then calls and results. Codes are a letter and four letters or
        digits, all different; 25 million are possible.

    Reply:
        Tool calls, several if one likes; each needs what the one before it returned.

    Reward:
        1.0 if exactly one answer was submitted and it is the code, character by
        character; else 0.0. A second `submit` in the same reply makes it 0.0. Parts:
        `answer` (the value) and `progress` (the share of the chain's look-ups made).
        That the chain was followed needs no other proof: its end cannot be guessed, and
        of the records within reach only the last of the chain names it.

    Episode end:
        `submit`; a reply without a tool call, which submits nothing and scores 0.0; 16
        replies.

    Levels:
        Level n, from 0 to 6, needs n + 2 calls, `submit` included (2 to 8), in a world
        of n + 2 customers with an order, a parcel, a truck, a depot and an employee
        each. Where in the chain a question starts, and which field of the last record
        it asks for, is random at each level.

    Floors:
        oracle 1.000, null 0.000, constant 0.000, random 0.000 (1,000 episodes, seed 0)

    Data and licence:
        Generated; Apache-2.0, as the package.

    Arguments:
        Those of `ToolEnv`.

    Version history:
        v0: first version.
    """

    tasks = GeneratedTasks(make_task, levels=len(_HOPS))
    max_turns = 16

    @tool
    def find_customer(self, name: str) -> dict[str, Any]:
        """Find a customer by name: the customer's code and that of the manager.

        Args:
            name: First and last name.
        """
        return self._look_up("name", name)

    @tool
    def get_customer(self, customer: str) -> dict[str, Any]:
        """Look up a customer: the order and the invoice.

        Args:
            customer: The customer's code.
        """
        return self._look_up("customer", customer)

    @tool
    def get_order(self, order: str) -> dict[str, Any]:
        """Look up an order: its parcel and its supplier.

        Args:
            order: The order's code.
        """
        return self._look_up("order", order)

    @tool
    def track_parcel(self, parcel: str) -> dict[str, Any]:
        """Look up a parcel: its truck and its seal.

        Args:
            parcel: The parcel's code.
        """
        return self._look_up("parcel", parcel)

    @tool
    def get_truck(self, truck: str) -> dict[str, Any]:
        """Look up a truck: its depot and its driver, an employee.

        Args:
            truck: The truck's code.
        """
        return self._look_up("truck", truck)

    @tool
    def get_depot(self, depot: str) -> dict[str, Any]:
        """Look up a depot: its keeper, an employee, and its gate.

        Args:
            depot: The depot's code.
        """
        return self._look_up("depot", depot)

    @tool
    def get_employee(self, employee: str) -> dict[str, Any]:
        """Look up an employee (manager, driver or keeper): the badge and the locker.

        Args:
            employee: The employee's code.
        """
        return self._look_up("employee", employee)

    @tool
    def get_invoice(self, invoice: str) -> dict[str, Any]:
        """Look up an invoice: the sum and whether it is paid.

        Args:
            invoice: The invoice's code.
        """
        return self._look_up("invoice", invoice)

    @tool
    def get_supplier(self, supplier: str) -> dict[str, Any]:
        """Look up a supplier: the city and the rating.

        Args:
            supplier: The supplier's code.
        """
        return self._look_up("supplier", supplier)

    @tool(ends_episode=True)
    def submit(self, answer: str) -> str:
        """Submit the code that was asked for. It can be done once.

        Args:
            answer: The code.
        """
        return "The answer was submitted."

    def begin(self, task: Task) -> str | Sequence[Mapping[str, Any]]:
        """Ask the question; nothing in this world changes."""
        self.state = {}
        return task.prompt

    def verify(self, trajectory: Trajectory) -> Score:
        """Compare the one submitted answer with the code."""
        steps = _steps_made(trajectory)
        progress = sum(steps) / len(steps)
        submitted = [
            call
            for call in trajectory.calls
            if call.name == "submit" and call.status in ("ok", "not_run")
        ]
        given = [call.arguments for call in submitted if call.status == "ok"]
        value = 0.0
        if not given:
            reason = "no answer was submitted"
        elif len(submitted) > 1:
            reason = "more than one answer was submitted"
        elif given[0] != {"answer": trajectory.task.answer["code"]}:
            reason = "the submitted answer is wrong"
        else:
            value, reason = 1.0, "the submitted answer is right"
        return Score(value, {"answer": value, "progress": progress}, reason)

    def oracle(self) -> str:
        """Make the first look-up that is not made yet, then submit."""
        answer = self.task.answer
        made = _steps_made(self.trajectory)
        for step, done in zip(answer["steps"], made, strict=True):
            if not done:
                return call_text(step["tool"], step["arguments"])
        return call_text("submit", {"answer": answer["code"]})

    def _look_up(self, table: str, key: str) -> dict[str, Any]:
        record: dict[str, Any] | None = self.task.data[table].get(key)
        if record is None:
            hint = "names are written as in the question"
            if table != "name":
                hint = "codes are taken from the question or from another record"
            what = "customer" if table == "name" else table
            raise ToolError(f"there is no {what} {key[:40]!r}; {hint}")
        return record


def _steps_made(trajectory: Trajectory) -> list[bool]:
    """Say of each look-up of the chain whether it was made."""
    made = [(c.name, c.arguments) for c in trajectory.calls if c.status == "ok"]
    return [
        (step["tool"], step["arguments"]) in made
        for step in trajectory.task.answer["steps"]
    ]
