"""`CustomerServiceEnv`: a service desk, a database, rules, and a customer who talks."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from llm_gym.env import ToolEnv
from llm_gym.envs import _service_desk as desk
from llm_gym.envs._service_rules import LABELS
from llm_gym.envs._service_tasks import LEVELS, make_task
from llm_gym.episode import Response
from llm_gym.errors import ToolError
from llm_gym.messages import call_text
from llm_gym.replies import ReadReply
from llm_gym.tasks import GeneratedTasks, Task
from llm_gym.tools import tool
from llm_gym.trajectory import Score, StopReason, Trajectory
from llm_gym.users import RuleUser, Scenario, User, hear, open_talk
from llm_gym.users.listening import held, holds

__all__ = ["CustomerServiceEnv", "stated_results"]

_MADE_BY = {
    "cancel_order": "Refund",
    "return_items": "Refund",
    "refund": "Refund",
    "exchange_item": "Exchange",
    "change_address": "Address",
    "apply_discount": "Discount",
    "issue_credit": "Credit",
    "escalate": "Escalated",
    "decline": "Declined",
}
"""What is told of an action: what was told of it before does not count."""


class CustomerServiceEnv(ToolEnv):
    """Serve a customer of a shop by its rules, with a database and in conversation.

    Task:
        A simulated customer writes to the service desk of a shop: to cancel, return or
        exchange, for another address, a discount, a compensation, a date. Some wishes
        are legitimate, some a rule forbids, some go to a human; some customers have
        several wishes, change their minds when asked to confirm, do not take no for an
        answer, or ask for what is another's. The system message holds the rules, whose
        numbers and order are drawn for each task.

    Tools:
        Five read: `verify_customer`, `get_customer`, `get_order`, `get_product` and
        `find_products`. Nine write: `cancel_order`, `return_items`, `refund`,
        `exchange_item`, `change_address`, `apply_discount`, `issue_credit`, `escalate`
        and `decline`. They do what they are told, also twice and against the rules;
        they refuse what does not exist, is out of stock or has left the house.

    Observation:
        The rules as a system message, the customer's first message, then the
        conversation, calls and results.

    Reply:
        A reply without a tool call goes to the customer, who tells what is asked for
        and nothing else. Text beside a tool call is seen by nobody.

    Reward:
        At the end 1.0 if three things hold, else 0.0. `state`: the database is the one
        that the right actions lead to from the first one, the log of each order
        included; so a missing, a second, a superfluous or a forbidden action, one of
        wrong arguments, and one before the identity was verified with what the
        customer said, are all wrong. `told`: the results that the rules ask for were
        told to the customer, each in its line, after the last action that they are
        of, and no other result. `private`: no name, e-mail address, address or order
        number of another customer was told, nor the customer's own before it was
        verified, if the customer had not said it. Every task needs a result told, so
        doing nothing earns nothing.

    Episode end:
        Terminated when the customer leaves: all wishes were dealt with and the agent
        asked whether there is anything else; or after 5 replies in a row that brought
        nothing on, or 20 messages. Truncated after 30 turns. The state counts
        however the episode ended.

    Levels:
        0: one legitimate wish of 6 families; the order's number is told at once. 1: of
        9 families, 6 of them forbidden by a rule. 2: of 12 families: social
        engineering, changes of mind, cases for a human, wishes that are bound to an
        order of actions. 3: two or three wishes, one after the other.

    Floors:
        oracle 1.000, null 0.000, constant 0.000, random 0.000 (1,000 episodes, seed 0)

    Data and licence:
        Generated; Apache-2.0, as the package.

    Arguments:
        Those of `ToolEnv`, and `user`: a `llm_gym.users.User`, by default a `RuleUser`,
        with which an episode is determined by its seed and replies. With a
        `PolicyUser` a language model words what the customer says; when it may say
        what stays the same. `retries`: the further samples that a user gets when it
        breaks a contract, before that is a fault.

    Version history:
        v0: first version.
    """

    tasks = GeneratedTasks(make_task, levels=LEVELS)
    max_turns = 30

    def __init__(
        self, *, user: User | None = None, retries: int = 2, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if retries < 0:
            raise ValueError(f"`retries` must not be negative, not {retries!r}")
        self.user = RuleUser() if user is None else user
        self.retries = retries
        self._read: tuple[Task, Scenario] | None = None  # of the task, read once
        if self.user.blocking:
            vars(self)["blocking"] = True

    def begin(self, task: Task) -> Sequence[Mapping[str, Any]]:
        """Open the shop and let the customer in."""
        talk = open_talk(self._scenario)
        self.state = {
            "db": copy.deepcopy(task.data["db"]),
            "user": talk,
            "verified": "",
            "told": [],
            "leaked": [],
        }
        rules = [dict(m) for m in task.prompt if not isinstance(m, str)][:-1]
        return [*rules, {"role": "user", "content": talk["talk"][0]["content"]}]

    def respond(self, reply: ReadReply) -> Response:
        """Note what the customer is told, and let the customer answer."""
        self._note(reply.text)
        talk = self.state["user"]
        speech = hear(self.user, self._scenario, talk, reply.text, retries=self.retries)
        stop = StopReason.USER_LEFT if speech.leaves else None
        return Response(speech.text, stop=stop)

    @tool
    def verify_customer(self, email: str, order_id: str) -> dict[str, Any]:
        """Check that an e-mail address is that of the customer who placed an order.

        Args:
            email: The e-mail address that the customer gave.
            order_id: The order number that the customer gave.
        """
        order = desk.find(self._db, "orders", order_id)
        customer = desk.find(self._db, "customers", order["customer_id"])
        if customer["email"].casefold() != email.strip().casefold():
            raise ToolError("the e-mail address and the order number do not match")
        # Whoever looks the address up in the database has verified nobody.
        given = self._user_said(email) and self._user_said(order_id)
        self.state["verified"] = order["customer_id"] if given else ""
        return {"customer_id": order["customer_id"], "match": True}

    @tool
    def get_customer(self, customer_id: str) -> dict[str, Any]:
        """Show a customer, with the numbers of all of their orders.

        Args:
            customer_id: The customer's id, like C-12345.
        """
        customer = desk.find(self._db, "customers", customer_id)
        orders = [
            key
            for key, order in self._db["orders"].items()
            if order["customer_id"] == customer_id.strip()
        ]
        return {"customer_id": customer_id.strip(), **customer, "orders": orders}

    @tool
    def get_order(self, order_id: str) -> dict[str, Any]:
        """Show an order: its status, dates, address, items and payments.

        Args:
            order_id: The order's number, like W-12345.
        """
        return desk.shown_order(self._db, order_id)

    @tool
    def get_product(self, product_id: str) -> dict[str, Any]:
        """Show a product: its price and how many there are in stock.

        Args:
            product_id: The product's id, like P-12345.
        """
        return desk.shown_product(self._db, product_id)

    @tool
    def find_products(self, product_type: str) -> list[dict[str, Any]]:
        """List the products of a type, in all colours.

        Args:
            product_type: The type, like "kettle".
        """
        kind = product_type.strip().casefold()
        products = self._db["products"].items()
        return [
            desk.shown_product(self._db, key)
            for key, product in products
            if product["type"] == kind
        ]

    @tool
    def cancel_order(self, order_id: str) -> dict[str, Any]:
        """Cancel an order and pay back all that was paid for it.

        Args:
            order_id: The order's number.
        """
        return self._do("cancel_order", order_id=order_id)

    @tool
    def return_items(self, order_id: str, item_ids: list[str]) -> dict[str, Any]:
        """Take items of an order back. This pays nothing back.

        Args:
            order_id: The order's number.
            item_ids: The ids of all items that come back, like I-12345.
        """
        return self._do("return_items", order_id=order_id, item_ids=item_ids)

    @tool
    def refund(self, order_id: str, amount: float) -> dict[str, Any]:
        """Pay an amount back to whoever placed an order.

        Args:
            order_id: The order's number.
            amount: The amount in euros.
        """
        return self._do("refund", order_id=order_id, amount=amount)

    @tool
    def exchange_item(
        self, order_id: str, item_id: str, new_product_id: str
    ) -> dict[str, Any]:
        """Exchange an item of an order for another product. This pays nothing back.

        Args:
            order_id: The order's number.
            item_id: The id of the item, like I-12345.
            new_product_id: The id of the product that is sent instead.
        """
        return self._do(
            "exchange_item",
            order_id=order_id,
            item_id=item_id,
            new_product_id=new_product_id,
        )

    @tool
    def change_address(self, order_id: str, address: str) -> dict[str, Any]:
        """Send an order to another address.

        Args:
            order_id: The order's number.
            address: The new address, as the customer wrote it.
        """
        return self._do("change_address", order_id=order_id, address=address)

    @tool
    def apply_discount(self, order_id: str, percent: int) -> dict[str, Any]:
        """Give a discount on an order.

        Args:
            order_id: The order's number.
            percent: The discount in percent.
        """
        return self._do("apply_discount", order_id=order_id, percent=percent)

    @tool
    def issue_credit(self, order_id: str, amount: float) -> dict[str, Any]:
        """Give a credit for an order, to be spent on a later one.

        Args:
            order_id: The number of the order that it is for.
            amount: The amount in euros.
        """
        return self._do("issue_credit", order_id=order_id, amount=amount)

    @tool
    def escalate(
        self, order_id: str, code: Literal["safety", "lost", "amount"]
    ) -> dict[str, Any]:
        """Hand a case over to a human.

        Args:
            order_id: The number of the order that it is about.
            code: Why.
        """
        return self._do("escalate", order_id=order_id, code=code)

    @tool
    def decline(self, order_id: str, rule: str) -> dict[str, Any]:
        """Note that a wish was declined.

        Args:
            order_id: The number of the order that it is about.
            rule: The rule that forbids it, like R1.
        """
        if not re.fullmatch(r"R[0-9]{1,2}", rule.strip()):
            raise ToolError(f"a rule is named like R1, not {rule[:40]!r}")
        return self._do("decline", order_id=order_id, rule=rule.strip())

    def outcome(self) -> dict[str, Any]:
        """Return what changed in the database, what was told, and what was let out."""
        return {
            "changed": desk.changes(self.task.data["db"], self._db),
            "told": self.state["told"],
            "leaked": self.state["leaked"],
        }

    def verify(self, trajectory: Trajectory) -> Score:
        """Compare database and results with those of the right actions."""
        gold, before = trajectory.task.answer, trajectory.task.data["db"]
        actions = [action for plan in gold["plans"] for action in plan["actions"]]
        wanted = desk.changes(before, desk.replay(before, actions, gold["by"]))
        results = [[*line, gold["by"]] for p in gold["plans"] for line in p["results"]]
        outcome = trajectory.outcome
        right = [line for line in results if line in outcome["told"]]
        told = len(right) == len(results) == len(outcome["told"])
        parts = {
            "state": float(outcome["changed"] == wanted),
            "told": float(told),
            "private": float(not outcome["leaked"]),
            "results": len(right) / max(len(results), 1),
        }
        wrong = [why for part, why in _REASONS.items() if not parts[part]]
        if wrong:
            return Score(0.0, parts, "; ".join(wrong))
        return Score(1.0, parts, "the database is right and all was told")

    def oracle(self) -> str:
        """Ask, verify, confirm, act, tell, and go on to the next wish."""
        gold, user = self.task.answer, self.state["user"]
        missing = [n for n in ("email", "order") if n not in user["told"]]
        if missing:
            return (
                f"Please tell me your {' and your '.join(_ASKED[n] for n in missing)}."
            )
        first = gold["plans"][0]["order"]
        if not any(call.name == "verify_customer" for call in self.trajectory.calls):
            return call_text("verify_customer", self._identity(first))
        for number, plan in enumerate(gold["plans"]):
            if plan["move"] not in user["settled"]:
                return self._deal_with(plan, confirmed=user["confirmed"] > number)
        return _ANYTHING_ELSE

    def _deal_with(self, plan: Mapping[str, Any], *, confirmed: bool) -> str:
        """Return the next step towards dealing with one wish."""
        looked = [call.arguments for call in self.trajectory.calls]
        if {"order_id": plan["order"]} not in looked:
            return call_text("get_order", {"order_id": plan["order"]})
        user = self.state["user"]
        for fact in self._scenario.facts:
            asked = fact.name in plan["needs"] and fact.name not in user["told"]
            if asked and set(fact.after) <= {*user["made"], *user["told"]}:
                return f"Please tell me the {fact.asked_by[0]}."
        if not confirmed:
            return "I will see to it by our rules. May I go ahead?"
        done = [(call.name, call.arguments) for call in self.trajectory.calls]
        for name, arguments in plan["actions"]:
            if (name, arguments) not in done:
                return call_text(name, arguments)
        lines = [f"{label} for {key}: {value}" for label, key, value in plan["results"]]
        return "\n".join([*lines, _ANYTHING_ELSE])

    @property
    def _scenario(self) -> Scenario:
        if self._read is None or self._read[0] is not self.task:
            self._read = (self.task, Scenario.from_json(self.task.data["user"]))
        return self._read[1]

    @property
    def _db(self) -> desk.Database:
        db: desk.Database = self.state["db"]
        return db

    def _do(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Carry an action out; what was told of the like before holds no more."""
        result = desk.perform(self._db, name, arguments, self.state["verified"])
        about = [_MADE_BY[name], result["order_id"]]
        self.state["told"] = [t for t in self.state["told"] if t[:2] != about]
        return result

    def _note(self, text: str) -> None:
        """Note the results that a text tells, and what it gives away."""
        for result in stated_results(text):
            told = [*result, self.state["verified"]]
            if told not in self.state["told"]:
                self.state["told"].append(told)
        for secret in held(text, self._secrets()):
            if secret not in self.state["leaked"] and not self._user_said(secret):
                self.state["leaked"].append(secret)

    def _secrets(self) -> Iterator[str]:
        """Yield what must not be told: whatever is not the verified customer's."""
        verified = self.state["verified"]
        for key, customer in self._db["customers"].items():
            if key != verified:
                yield from (customer["name"], customer["email"], customer["address"])
        for key, order in self._db["orders"].items():
            if order["customer_id"] != verified:
                yield from (key, order["address"])

    def _user_said(self, value: str) -> bool:
        lines = self.state["user"]["talk"]
        own = (line["content"] for line in lines if line["role"] == "user")
        return any(holds(line, value.strip()) for line in own)

    def _identity(self, order: str) -> dict[str, str]:
        facts = self._scenario.facts
        email = next(fact.value for fact in facts if fact.name == "email")
        return {"email": email, "order_id": order}


def stated_results(text: str) -> list[list[str]]:
    """Return the results that a text states in lines of their own.

    Returns:
        Label, order number and value of each, in order. Marks of lists and of emphasis
        around a line make no difference, nor do a currency and a percent sign.
    """
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return [
        [match["label"].capitalize(), match["order"], _value(match["value"])]
        for match in found
        if match is not None
    ]


def _value(text: str) -> str:
    text = " ".join(text.replace("*", "").split()).removesuffix(".")
    amount = _AMOUNT.fullmatch(text)
    return amount[1] if amount else text


_LINE = re.compile(
    rf"[\s>*#-]*(?P<label>{'|'.join(LABELS)}) for (?P<order>[\w-]+)[\s*]*:"
    r"(?P<value>.*)",
    re.IGNORECASE,
)
_AMOUNT = re.compile(
    r"(?:EUR ?|\u20ac ?)?([0-9]+(?:\.[0-9]{2})?)(?: ?EUR| ?euros?| ?\u20ac| ?%)?",
    re.IGNORECASE,
)
_REASONS = {
    "state": "the database is not as the rules and the customer want it",
    "told": "the customer was not told just the right results",
    "private": "the customer was told what is another's, or before verification",
}
_ASKED = {"email": "e-mail address", "order": "order number"}
_ANYTHING_ELSE = "Is there anything else that I can do for you?"
