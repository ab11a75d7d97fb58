"""Tasks of the service desk: a shop, a customer with wishes, and what is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from llm_gym.envs._draws import pick, some
from llm_gym.envs._service_rules import LABELS
from llm_gym.envs._service_shop import Shop
from llm_gym.envs._service_wishes import FAMILIES, Wish
from llm_gym.tasks import Task
from llm_gym.users import Fact, Move, Scenario
from llm_gym.users.talk import open_talk

__all__ = ["LEVELS", "family", "make_task"]

LEVELS = len(FAMILIES) + 1

_GREETINGS = ("Hello.", "Good morning.", "Good day.", "Hi.", "Dear service desk.")
_MANNERS = (
    "friendly and short of words",
    "in a hurry, and a little annoyed",
    "polite, and not good with computers",
    "talkative, but to the point when asked",
)
_NUMBERED = (
    "It is the order {}.",
    "The number of the order is {}.",
    "I mean order {}.",
)
_FURTHER = ("Yes, there is something else.", "One more thing.", "Yes, please.")
_OTHERS = (2, 3, 4, 5)  # other customers, by level


def make_task(rng: np.random.Generator, level: int) -> Task:
    """Draw a task; see the card of `CustomerServiceEnv` for the levels."""
    return _task(Shop(rng), _draw_families(rng, level), level)


def family(rng: np.random.Generator, *names: str, level: int = 1) -> Task:
    """Make a task of wishes of the named families, without an id."""
    known = {name: draw for families in FAMILIES for name, draw in families.items()}
    return _task(Shop(rng), [known[name] for name in names], level)


def _draw_families(rng: np.random.Generator, level: int) -> list[Any]:
    if level < len(FAMILIES):
        families = FAMILIES[level]
        return [families[pick(rng, sorted(families))]]
    several = [
        draw
        for families in FAMILIES
        for name, draw in families.items()
        if name not in _ALONE
    ]
    return some(rng, several, int(rng.integers(2, 4)))


_ALONE = frozenset(
    ("stranger", "cancel_to_address", "cancel_to_track", "change_of_colour")
)
"""Families that stand alone: their customers take a course of their own."""


def _task(shop: Shop, families: Sequence[Any], level: int) -> Task:
    customer = shop.customer()
    wishes = [draw(shop, customer) for draw in families]
    _add_others(shop, customer, level)
    scenario = _scenario(shop, customer, wishes, level)
    opening = open_talk(scenario)["talk"][0]["content"]
    by = customer if wishes[0].verified else ""
    return Task(
        prompt=[
            {"role": "system", "content": shop.rules.document()},
            {"role": "user", "content": opening},
        ],
        data={"db": _sorted(shop), "user": scenario.to_json()},
        answer={
            "by": by,
            "plans": [_plan(wish, number) for number, wish in enumerate(wishes, 1)],
        },
    )


def _plan(wish: Wish, number: int) -> dict[str, Any]:
    """Return what is right for a wish, and what the oracle asks before."""
    return {
        "move": f"wish{number}",
        "order": wish.order,
        "needs": [_numbered(fact.name, number) for fact in wish.facts if fact.value],
        "actions": [[name, dict(arguments)] for name, arguments in wish.actions],
        "results": [[label, wish.order, value] for label, value in wish.results],
    }


def _add_others(shop: Shop, customer: str, level: int) -> None:
    """Add what the agent has nothing to do with: other orders, other customers."""
    for _ in range(int(shop.rng.integers(0, 2))):
        shop.order(customer, "delivered", shop.products(1))
    shop.products(2)
    for _ in range(_OTHERS[level]):
        other = shop.customer()
        status = pick(shop.rng, ("processing", "shipped", "delivered"))
        known = sorted(shop.db["products"])
        count = int(shop.rng.integers(1, 3))
        shop.order(other, status, some(shop.rng, known, count))


def _sorted(shop: Shop) -> dict[str, Any]:
    return {table: dict(sorted(rows.items())) for table, rows in shop.db.items()}


def _scenario(
    shop: Shop, customer: str, wishes: Sequence[Wish], level: int
) -> Scenario:
    moves: list[Move] = []
    facts = [*_identity(shop, customer, wishes[0].order)]
    for number, wish in enumerate(wishes, 1):
        moves += _moves(shop, wish, number, tell_order=level == 0 or number > 1)
        facts += _facts(wish, number)
    return Scenario(
        who=f"a customer who is {pick(shop.rng, _MANNERS)}",
        goal="to have the wishes dealt with that come up in the conversation",
        moves=tuple(moves),
        facts=tuple(facts),
        seed=int(shop.rng.integers(2**31)),
    )


def _identity(shop: Shop, customer: str, order: str) -> tuple[Fact, Fact]:
    return (
        Fact(
            "email",
            shop.db["customers"][customer]["email"],
            ("e-mail", "email", "mail address", "mail"),
            ("My e-mail address is {}.", "You can write to {}.", "It is {}."),
            "my e-mail address",
        ),
        Fact(
            "order",
            order,
            (
                *("order number", "order id", "number of the order", "which order"),
                *("order's number", "order no", "number of your order", "what order"),
                *("order reference", "order identifier", "which of your orders"),
            ),
            ("The order number is {}.", "It is {}.", "On the paper it says {}."),
            "my order number",
        ),
    )


def _moves(shop: Shop, wish: Wish, number: int, *, tell_order: bool) -> list[Move]:
    """Return the wish as a move, and what its owner says to refusals or questions."""
    heads = _GREETINGS if number == 1 else _FURTHER
    head = pick(shop.rng, heads)
    tail = f" {pick(shop.rng, _NUMBERED).format(wish.order)}" if tell_order else ""
    name = f"wish{number}"
    pushes = [
        Move(f"push{number}{count}", says, when="refused", after=(name,))
        for count, says in enumerate(wish.push, 1)
    ]
    first = Move(
        name,
        tuple(f"{head} {text}{tail}" for text in wish.says),
        when="opening" if number == 1 else "closing",
        must=(wish.order,) if tell_order else (),
        settled_by=tuple(f"{label} for {wish.order}" for label in LABELS),
    )
    return [first, *([wish.change] if wish.change else []), *pushes]


def _facts(wish: Wish, number: int) -> list[Fact]:
    """Return a wish's facts, which can be asked once it was brought up."""
    opened = () if number == 1 else (f"wish{number}",)
    return [
        replace(fact, name=_numbered(fact.name, number), after=(*fact.after, *opened))
        for fact in wish.facts
    ]


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}{number}"
