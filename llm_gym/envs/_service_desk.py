"""The shop's database and what the desk can do to it.

The actions check that what they work on exists, and no rule of the shop: those are the
agent's to keep. The tools of the environment and the replay of gold actions both come
here. Money is in cents inside.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llm_gym.errors import ToolError

__all__ = [
    "ACTIONS",
    "Database",
    "cents",
    "changes",
    "find",
    "money",
    "perform",
    "replay",
    "shown_order",
    "shown_product",
]

Database = dict[str, dict[str, dict[str, Any]]]
"""Records by table (`customers`, `orders`, `products`) and id."""

Record = dict[str, Any]
_MOST_CENTS = 100_000_000
_LONGEST_ADDRESS = 200


def money(amount: int) -> str:
    """Write an amount of cents as it is said: 2450 is "24.50"."""
    return f"{amount // 100}.{amount % 100:02d}"


def cents(amount: float) -> int:
    """Return an amount in euros as cents.

    Raises:
        ToolError: It is not positive, not of whole cents, or beyond all reason.
    """
    if not 0 < amount * 100 <= _MOST_CENTS or abs(
        amount * 100 - round(amount * 100)
    ) > (1e-6):
        raise ToolError(f"an amount is positive and in whole cents, not {amount:.6g}")
    return round(amount * 100)


def find(db: Database, table: str, key: str) -> Record:
    """Return a record.

    Raises:
        ToolError: There is none.
    """
    record = db[table].get(key.strip())
    if record is None:
        raise ToolError(f"there is no {table[:-1]} {key[:40]!r}")
    return record


def shown_order(db: Database, order_id: str) -> Record:
    """Return an order as the desk shows it."""
    order = find(db, "orders", order_id)
    hidden = ("items", "shipping_fee", "refunds", "credits", "log", "discounts")
    items = [_shown_item(db, item) for item in order["items"]]
    return {
        "order_id": order_id.strip(),
        **{key: value for key, value in order.items() if key not in hidden},
        "items": items,
        "discount_percent": sum(order["discounts"]),
        "shipping_fee": money(order["shipping_fee"]),
        "refunds": [money(amount) for amount in order["refunds"]],
        "credits": [money(amount) for amount in order["credits"]],
    }


def shown_product(db: Database, product_id: str) -> Record:
    """Return a product as the desk shows it."""
    product = find(db, "products", product_id)
    return {
        "product_id": product_id.strip(),
        **product,
        "price": money(product["price"]),
    }


def perform(
    db: Database, name: str, arguments: Mapping[str, Any], by: str
) -> dict[str, Any]:
    """Carry out an action and note it in the order's log.

    Args:
        db: The database, which changes.
        name: One of `ACTIONS`.
        arguments: The action's, with `order_id`.
        by: The customer whose identity was verified, "" for nobody.

    Returns:
        What came of it, for the model to read.

    Raises:
        ToolError: What it works on does not exist; nothing has changed.
    """
    rest = {key: value for key, value in arguments.items() if key != "order_id"}
    order = find(db, "orders", arguments["order_id"])
    noted, result = ACTIONS[name](db, order, **rest)
    order["log"].append({"action": name, **noted, "by": by})
    return {"order_id": arguments["order_id"].strip(), **result}


def replay(
    db: Database, actions: Sequence[tuple[str, Mapping[str, Any]]], by: str
) -> Database:
    """Return the database as actions leave it."""
    db = copy.deepcopy(db)
    for name, arguments in actions:
        perform(db, name, arguments, by)
    return db


def changes(before: Database, after: Database) -> dict[str, Any]:
    """Return the records that differ, as they are after, by `table/id`.

    An order's log is compared without its order: where the order of two actions
    matters, what they work on shows it.
    """
    return {
        f"{table}/{key}": _unordered(record)
        for table, records in after.items()
        for key, record in records.items()
        if record != before[table].get(key)
    }


def _unordered(record: Record) -> Record:
    if "log" not in record:
        return record
    lists = ("log", "refunds", "credits", "discounts")
    return {**record, **{key: sorted(record[key], key=repr) for key in lists}}


def _shown_item(db: Database, item: Record) -> Record:
    product = db["products"][item["product_id"]]
    return {
        **item,
        "price": money(item["price"]),
        "name": product["name"],
        "final_sale": product["final_sale"],
    }


Outcome = tuple[dict[str, Any], dict[str, Any]]  # what the log notes, what is shown


def _cancel(db: Database, order: Record) -> Outcome:
    _refuse_state(order, ("delivered",), "cancelled")
    amount = total(order)
    order["status"] = "cancelled"
    order["refunds"].append(amount)
    for item in order["items"]:
        db["products"][item["product_id"]]["stock"] += 1
    return {}, {"status": "cancelled", "refunded": money(amount)}


def _return(db: Database, order: Record, item_ids: Sequence[str]) -> Outcome:
    if order["status"] != "delivered":
        raise ToolError(f"the order is {order['status']}: nothing can come back of it")
    wanted = sorted({item_id.strip() for item_id in item_ids})
    if not wanted:
        raise ToolError("`item_ids` names no item")
    items = [_item(order, item_id) for item_id in wanted]
    for item in items:
        item["returned"] = True
    return {"item_ids": wanted}, {"returned": wanted}


def _refund(db: Database, order: Record, amount: float) -> Outcome:
    paid = cents(amount)
    order["refunds"].append(paid)
    return {"amount": paid}, {"refunded": money(paid)}


def _exchange(
    db: Database, order: Record, item_id: str, new_product_id: str
) -> Outcome:
    item = _item(order, item_id)
    product = find(db, "products", new_product_id)
    _refuse_state(order, ("cancelled", "shipped"), "repacked")
    if product["stock"] < 1:
        raise ToolError(f"{product['name']} is out of stock")
    product["stock"] -= 1
    db["products"][item["product_id"]]["stock"] += 1
    item["product_id"], item["price"] = new_product_id.strip(), product["price"]
    if order["status"] == "processing":
        order["status"] = "repacked"
    noted = {"item_id": item_id.strip(), "new_product_id": item["product_id"]}
    return noted, {"status": order["status"], "now": product["name"]}


def _change_address(db: Database, order: Record, address: str) -> Outcome:
    address = " ".join(address.split())
    if not 0 < len(address) <= _LONGEST_ADDRESS:
        raise ToolError(f"an address has 1 to {_LONGEST_ADDRESS} characters")
    _refuse_state(order, ("delivered", "cancelled", "repacked"), "sent elsewhere")
    order["address"] = address
    return {"address": address}, {"address": address}


def _discount(db: Database, order: Record, percent: int) -> Outcome:
    if not 1 <= percent <= 100:
        raise ToolError(f"`percent` is from 1 to 100, not {percent}")
    order["discounts"].append(percent)
    return {"percent": percent}, {"discount_percent": sum(order["discounts"])}


def _credit(db: Database, order: Record, amount: float) -> Outcome:
    given = cents(amount)
    order["credits"].append(given)
    return {"amount": given}, {"credited": money(given)}


def _escalate(db: Database, order: Record, code: str) -> Outcome:
    return {"code": code}, {"handed_over": code}


def _decline(db: Database, order: Record, rule: str) -> Outcome:
    return {"rule": rule}, {"declined_by": rule}


ACTIONS: dict[str, Callable[..., Outcome]] = {
    "cancel_order": _cancel,
    "return_items": _return,
    "refund": _refund,
    "exchange_item": _exchange,
    "change_address": _change_address,
    "apply_discount": _discount,
    "issue_credit": _credit,
    "escalate": _escalate,
    "decline": _decline,
}
"""What writes to the database, by the tool's name."""


def total(order: Record) -> int:
    """Return what was paid for an order, in cents: discount off, shipping included."""
    return reduced(order, sum(i["price"] for i in order["items"])) + int(
        order["shipping_fee"]
    )


def reduced(order: Record, amount: int) -> int:
    """Take an order's discount off an amount in cents."""
    return amount * (100 - min(sum(order["discounts"]), 100)) // 100


def _item(order: Record, item_id: str) -> Record:
    for item in order["items"]:
        if item["item_id"] == item_id.strip():
            found: Record = item
            return found
    there = ", ".join(item["item_id"] for item in order["items"])
    raise ToolError(f"the order has no item {item_id[:40]!r}; its items: {there}")


def _refuse_state(order: Record, states: Sequence[str], what: str) -> None:
    if order["status"] in states:
        raise ToolError(f"the order is {order['status']} and cannot be {what}")
