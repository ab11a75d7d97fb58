"""A shop that is being made up: customers, products and orders, drawn one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from llm_gym.envs._draws import WORDS, day, person, pick, some, town
from llm_gym.envs._service_desk import Database
from llm_gym.envs._service_rules import Rules, draw_rules

__all__ = ["COLOURS", "Days", "Shop"]

COLOURS = ("red", "blue", "green", "white", "black", "yellow", "grey", "orange")
_TYPES = (
    *("kettle", "lamp", "blanket", "teapot", "backpack", "toaster", "clock", "mirror"),
    *("umbrella", "basket", "stool", "heater", "vase", "radio", "fan", "tray"),
    *("cushion", "ladder", "candle", "curtain", "bucket", "kitchen scale", "jug"),
)
_STREETS = ("Road", "Lane", "Row", "Street", "Hill")
_USUAL = {"processing": (0, 1, 2), "shipped": (3, 4, 5), "delivered": (6, 7, 8, 9)}


@dataclass(frozen=True, slots=True)
class Days:
    """When things happened to an order, in days from today.

    Attributes:
        expected: When it is or was to arrive.
        delivered: When it did, None if it has not.
    """

    expected: int
    delivered: int | None = None


class Shop:
    """Draws records into a database.

    Args:
        rng: Where the randomness comes from.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.today: date = day(rng)
        self.rules: Rules = draw_rules(rng, self.today.isoformat())
        self.db: Database = {"customers": {}, "orders": {}, "products": {}}
        self._streets = some(rng, WORDS, len(WORDS))
        self._types = some(rng, _TYPES, len(_TYPES))
        self._numbers = some(rng, range(10_000, 99_999), 120)

    def customer(self) -> str:
        """Add a customer whose name and addresses nobody shares; return the id."""
        name = person(self.rng)
        while any(c["name"] == name for c in self.db["customers"].values()):
            name = person(self.rng)
        first, last = name.lower().split()
        number = self._numbers.pop()
        customer_id = f"C-{number}"
        self.db["customers"][customer_id] = {
            "name": name,
            "email": f"{first}.{last}{number % 1000}@{pick(self.rng, WORDS)}.example",
            "address": self.address(),
        }
        return customer_id

    def address(self) -> str:
        """Draw an address; each street occurs once."""
        street = f"{self._streets.pop().capitalize()} {pick(self.rng, _STREETS)}"
        return f"{int(self.rng.integers(1, 300))} {street}, {town(self.rng)}"

    def new_type(self) -> str:
        """Return a type of product that there is not yet."""
        return self._types.pop()

    def product(
        self,
        kind: str,
        colour: str,
        price: int,
        *,
        stock: int | None = None,
        final_sale: bool = False,
    ) -> str:
        """Add a product; return the id. The price is in cents."""
        product_id = f"P-{self._numbers.pop()}"
        self.db["products"][product_id] = {
            "name": f"{colour} {kind}",
            "type": kind,
            "price": price,
            "stock": int(self.rng.integers(1, 40)) if stock is None else stock,
            "final_sale": final_sale,
        }
        return product_id

    def price(self, low: int = 10, high: int = 80) -> int:
        """Draw a price in cents; any discount of whole tens leaves whole cents."""
        return int(self.rng.integers(2 * low, 2 * high)) * 50

    def products(self, count: int, *, low: int = 10, high: int = 80) -> list[str]:
        """Add products of new types."""
        return [
            self.product(
                self.new_type(), pick(self.rng, COLOURS), self.price(low, high)
            )
            for _ in range(count)
        ]

    def order(
        self,
        customer: str,
        status: str,
        products: Sequence[str],
        days: Days | None = None,
        *,
        discount: int = 0,
    ) -> str:
        """Add an order; return its number."""
        days = days or self.days(status)
        first = min(0, days.expected, days.delivered or 0)
        placed = first - pick(self.rng, _USUAL[status])
        order_id = f"W-{self._numbers.pop()}"
        delivered = None if days.delivered is None else self.on(days.delivered)
        self.db["orders"][order_id] = {
            "customer_id": customer,
            "status": status,
            "ordered_on": self.on(placed),
            "expected_on": self.on(days.expected),
            "delivered_on": delivered,
            "address": self.db["customers"][customer]["address"],
            "items": [self._item(product_id) for product_id in products],
            "shipping_fee": pick(self.rng, (0, 390, 450, 590)),
            "discounts": [discount] if discount else [],
            "refunds": [],
            "credits": [],
            "log": [],
        }
        return order_id

    def days(self, status: str) -> Days:
        """Draw when an order of a status is expected and delivered: never late."""
        if status == "delivered":
            delivered = -int(self.rng.integers(1, 9))
            return Days(delivered + int(self.rng.integers(0, 2)), delivered)
        return Days(int(self.rng.integers(1, 10)))

    def on(self, days: int) -> str:
        """Return the date so many days from today, YYYY-MM-DD."""
        return (self.today + timedelta(days=days)).isoformat()

    def name(self, product_id: str) -> str:
        """Return a product's name."""
        return str(self.db["products"][product_id]["name"])

    def _item(self, product_id: str) -> dict[str, object]:
        price = self.db["products"][product_id]["price"]
        return {
            "item_id": f"I-{self._numbers.pop()}",
            "product_id": product_id,
            "price": price,
            "returned": False,
        }
