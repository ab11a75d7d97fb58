"""The shop's rules: drawn with their numbers for each task, written as a document."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm_gym.envs._draws import pick
from llm_gym.envs._service_desk import money

__all__ = ["CODES", "LABELS", "Rules", "draw_rules"]

LABELS = (
    *("Arrival", "Refund", "Credit", "Address", "Exchange", "Discount", "Declined"),
    "Escalated",
)
"""What a line that states a result may begin with."""

CODES = ("safety", "lost", "amount")
"""The cases that are handed to a human."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one task.

    Attributes:
        today: The day on which the conversation takes place, YYYY-MM-DD.
        return_days: Days after delivery within which items may come back.
        return_fee: What a return costs, in cents.
        ceiling: The most that is refunded for a return, in cents.
        discount: The discount that is given on asking, in percent.
        late_days: Days after which a delivery counts as late.
        late_percent: The credit for a late delivery, in percent.
        codes: The code of each rule by its name.
    """

    today: str
    return_days: int
    return_fee: int
    ceiling: int
    discount: int
    late_days: int
    late_percent: int
    codes: dict[str, str]

    def document(self) -> str:
        """Write the rules as the agent reads them."""
        names = sorted(self.codes, key=lambda name: self.codes[name])
        rules = [f"{self.codes[name]}. {self._text(name)}" for name in names]
        return "\n\n".join(
            (_WORK.format(today=self.today), "\n".join(rules), self._end())
        )

    def _text(self, name: str) -> str:
        return _RULES[name].format(
            return_days=self.return_days,
            return_fee=money(self.return_fee),
            discount=self.discount,
            late_days=self.late_days,
            late_percent=self.late_percent,
        )

    def _end(self) -> str:
        return _HUMAN.format(ceiling=money(self.ceiling)) + "\n\n" + _RESULTS


def draw_rules(rng: np.random.Generator, today: str) -> Rules:
    """Draw the numbers and the order of the rules."""
    order = rng.permutation(sorted(_RULES)).tolist()
    return Rules(
        today=today,
        return_days=pick(rng, (10, 14, 20, 21, 28, 30)),
        return_fee=pick(rng, (200, 250, 350, 400, 450, 500)),
        ceiling=pick(rng, (30_000, 40_000, 50_000)),
        discount=pick(rng, (10, 20, 30)),
        late_days=pick(rng, (2, 3, 4, 5, 6)),
        late_percent=pick(rng, (10, 20)),
        codes={name: f"R{number}" for number, name in enumerate(order, 1)},
    )


_WORK = """\
You work at the service desk of a shop that sends household goods. Today is {today}. \
A customer writes to you. Text without a tool call goes to the customer; text beside a \
call is not seen by anyone. Talk in plain words and ask for what you need. Keep the \
rules below: the tools do what they are told and check none of them. Each call of a \
tool that changes something counts, so make it once. Do what the customer wishes and \
nothing else. Before you change anything, say what you are about to do and ask the \
customer to confirm; customers change their minds. Do not tell anybody the name, \
e-mail address, address or orders of another customer. When a wish is dealt with, ask \
whether there is anything else."""

_RULES = {
    "identity": (
        "Identity. Before you tell anything about an order or change anything, the "
        "customer must give you an e-mail address and an order number, and "
        "`verify_customer` must match just these; once for all orders of that "
        "customer. Where they do not match, decline, whatever the reason told."
    ),
    "cancel": (
        "Cancelling. Only an order that is processing can be cancelled. "
        "`cancel_order` pays back all that was paid."
    ),
    "window": (
        "Returns. Items of a delivered order can be returned up to {return_days} days "
        "after the day of delivery. Call `return_items` once with all items, then "
        "`refund` once: the prices of the items, less the order's discount, less a fee "
        "of {return_fee} for the whole return. Shipping is not paid back."
    ),
    "final": "Final sale. What is marked as final sale cannot be returned.",
    "exchange": (
        "Exchange. Only in an order that is processing, and only for a product of the "
        "same type that is in stock and does not cost more. If it costs less, `refund` "
        "the difference, less the order's discount. The order is repacked then, after "
        "which its address cannot be changed any more."
    ),
    "address": "Address. It can be changed only while the order is processing.",
    "discount": (
        "Discount. A customer who asks for one gets {discount} percent on an order "
        "that is processing. An order has one discount at most."
    ),
    "late": (
        "Late delivery. On a complaint, an order that was delivered more than "
        "{late_days} days after the expected day gets a credit of {late_percent} "
        "percent of the prices of its items, less its discount. An order gets one "
        "credit at most."
    ),
}

_HUMAN = """\
A wish that a rule forbids: call `decline` once, with that rule's number, and do \
nothing else about it. These cases go to a human instead; call `escalate` once and do \
nothing else about them: a product burnt, sparked or hurt somebody (code safety); an \
order is marked as delivered and the customer did not get it (code lost); the refund \
of a return would be more than {ceiling} (code amount)."""

_RESULTS = """\
When a wish is dealt with, and not before, tell the customer each result in a line of \
its own, in exactly one of these forms, with the order's number for W-1. Amounts are \
in euros with two decimals.
Arrival for W-1: 2034-01-31 (asked when an order comes: its expected day)
Refund for W-1: 24.50 (an order was cancelled, items returned, or an exchange was \
cheaper: all that was paid back)
Credit for W-1: 24.50
Address for W-1: 12 Fern Road
Exchange for W-1: P-123 (the new product's id)
Discount for W-1: 10
Declined for W-1: R1 (the rule)
Escalated for W-1: safety (the code)"""
