"""The relational databases of `llmgym/Sql-v0`: themes, and filling them with rows.

A theme is three tables in a chain: a top table, a middle one that refers to it and a
bottom one that refers to the middle. Names and values are this package's own.
"""

# the script is put together from our own words
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np

from llm_gym.envs._draws import pick

__all__ = ["THEMES", "Column", "Table", "Theme", "script"]

Rng = np.random.Generator
Kind = Literal["key", "name", "choice", "whole", "money", "date", "ref"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: Its name in the database.
        kind: What it holds.
        words: What a question calls it.
        values: The choices or names; the bounds of a number.
    """

    name: str
    kind: Kind
    words: str = ""
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        name: Its name in the database.
        one: What a question calls a row.
        many: What it calls several.
        columns: Its columns, the key first; `name` is unique within the table.
        rows: The fewest and the most rows.
    """

    name: str
    one: str
    many: str
    columns: tuple[Column, ...]
    rows: tuple[int, int]

    def of_kind(self, *kinds: Kind) -> list[Column]:
        """Return its columns of some kinds."""
        return [column for column in self.columns if column.kind in kinds]

    @property
    def key(self) -> str:
        """The name of its key."""
        return self.columns[0].name

    @property
    def label(self) -> str:
        """The name of the column that names a row."""
        return self.of_kind("name")[0].name


@dataclass(frozen=True, slots=True)
class Theme:
    """Three tables in a chain.

    Attributes:
        top: What nothing is above.
        middle: Refers to the top table.
        bottom: Refers to the middle one.
    """

    top: Table
    middle: Table
    bottom: Table

    @property
    def tables(self) -> tuple[Table, Table, Table]:
        """The tables, the one that others refer to first."""
        return (self.top, self.middle, self.bottom)


def _key(name: str) -> Column:
    return Column(name, "key")


def _names(words: str) -> tuple[str, ...]:
    return tuple(words.split(", "))


_PLACES = _names(
    "Alder Bay, Birkholm, Copper Hill, Dunmere, Eastvale, Fernside, Glasford, "
    "Hollow Ridge"
)
_PEOPLE = _names(
    "Ada Brandt, Bo Castell, Cleo Duarte, Dina Egede, Emil Farkas, Fay Gallo, Gus "
    "Hamid, Hana Iversen, Ivo Jansen, June Kowal, Kai Lindqvist, Lea Moreau, Milo "
    "Novak, Nina Okafor, Otto Pereira, Pia Quist, Remy Sato, Sara Toma, Theo Urban, "
    "Uma Voss, Vera Wolff, Wim Xanthos, Yara Zeman, Zane Abbott"
)
_GOODS = _names(
    "Anvil, Bellows, Candle, Drill, Easel, Funnel, Gasket, Hammer, Inkwell, Jigsaw, "
    "Kettle, Lantern, Mallet, Notebook, Oilcan, Pulley, Quill, Ratchet, Spanner, "
    "Thimble, Vise, Winch, Yardstick, Zipper"
)
_TITLES = _names(
    "Amber Tide, Broken Compass, Cold Harvest, Distant Drums, Early Frost, Far "
    "Lanterns, Grey Meadow, Hidden Stairs, Iron Garden, Jade River, Kindred, Long "
    "Winter, Mirror Lake, North Window, Old Orchard, Paper Moon, Quiet Engine, Red "
    "Ladder, Salt Road, Tall Grass, Under Ice, Velvet Hour, White Noise, Young Hill"
)

THEMES = (
    Theme(
        Table(
            "warehouses",
            "warehouse",
            "warehouses",
            (
                _key("warehouse_id"),
                Column("city", "name", "city", _PLACES),
                Column("region", "choice", "region", ("north", "south", "west")),
                Column("docks", "whole", "number of docks", (2, 12)),
            ),
            (5, 7),
        ),
        Table(
            "products",
            "product",
            "products",
            (
                _key("product_id"),
                Column("warehouse_id", "ref"),
                Column("title", "name", "title", _GOODS),
                Column("category", "choice", "category", ("tool", "office", "kitchen")),
                Column("price", "money", "price", (3, 90)),
                Column("added_on", "date", "date of addition", (2021, 2023)),
            ),
            (14, 20),
        ),
        Table(
            "sales",
            "sale",
            "sales",
            (
                _key("sale_id"),
                Column("product_id", "ref"),
                Column("code", "name", "code"),
                Column("channel", "choice", "channel", ("web", "shop", "phone")),
                Column("quantity", "whole", "quantity", (1, 15)),
                Column("sold_on", "date", "date of sale", (2023, 2024)),
            ),
            (30, 45),
        ),
    ),
    Theme(
        Table(
            "clinics",
            "clinic",
            "clinics",
            (
                _key("clinic_id"),
                Column("town", "name", "town", _PLACES),
                Column("kind", "choice", "kind", ("public", "private", "mobile")),
                Column("beds", "whole", "number of beds", (4, 60)),
            ),
            (5, 7),
        ),
        Table(
            "doctors",
            "doctor",
            "doctors",
            (
                _key("doctor_id"),
                Column("clinic_id", "ref"),
                Column("full_name", "name", "full name", _PEOPLE),
                Column(
                    "field", "choice", "field", ("surgery", "eyes", "skin", "heart")
                ),
                Column("fee", "money", "fee", (20, 200)),
                Column("hired_on", "date", "date of hiring", (2010, 2020)),
            ),
            (14, 20),
        ),
        Table(
            "visits",
            "visit",
            "visits",
            (
                _key("visit_id"),
                Column("doctor_id", "ref"),
                Column("number", "name", "number"),
                Column("urgency", "choice", "urgency", ("low", "normal", "high")),
                Column("minutes", "whole", "length in minutes", (5, 90)),
                Column("visited_on", "date", "date", (2022, 2023)),
            ),
            (30, 45),
        ),
    ),
    Theme(
        Table(
            "bands",
            "band",
            "bands",
            (
                _key("band_id"),
                Column("band_name", "name", "name", _PLACES),
                Column("genre", "choice", "genre", ("folk", "jazz", "rock")),
                Column("members", "whole", "number of members", (2, 9)),
            ),
            (5, 7),
        ),
        Table(
            "albums",
            "album",
            "albums",
            (
                _key("album_id"),
                Column("band_id", "ref"),
                Column("title", "name", "title", _TITLES),
                Column("format", "choice", "format", ("vinyl", "disc", "tape")),
                Column("price", "money", "price", (5, 40)),
                Column("released_on", "date", "release date", (2005, 2020)),
            ),
            (14, 20),
        ),
        Table(
            "reviews",
            "review",
            "reviews",
            (
                _key("review_id"),
                Column("album_id", "ref"),
                Column("reference", "name", "reference"),
                Column("source", "choice", "source", ("paper", "radio", "blog")),
                Column("stars", "whole", "number of stars", (1, 10)),
                Column("written_on", "date", "date of writing", (2020, 2022)),
            ),
            (30, 45),
        ),
    ),
)


def script(rng: Rng, theme: Theme) -> str:
    """Return the script of a database of a theme, with rows drawn anew.

    The last row of the upper tables is referred to by none, so that joins that lose
    rows show.
    """
    lines, above = [], 0
    for table in theme.tables:
        count = int(rng.integers(table.rows[0], table.rows[1] + 1))
        lines.append(_create(table, theme))
        rows = _rows(rng, table, count, max(1, above - 1))
        lines.append(f"INSERT INTO {table.name} VALUES\n  " + ",\n  ".join(rows) + ";")
        above = count
    return "\n".join(lines)


_TYPES = {"whole": "INTEGER", "ref": "INTEGER", "money": "REAL"}


def _create(table: Table, theme: Theme) -> str:
    columns = []
    for column in table.columns:
        kind = _TYPES.get(column.kind, "TEXT")
        text = f"{column.name} {kind} NOT NULL"
        if column.kind == "key":
            text = f"{column.name} INTEGER PRIMARY KEY"
        if column.kind == "ref":
            target = next(t.name for t in theme.tables if t.key == column.name)
            text += f" REFERENCES {target}"
        columns.append(text)
    return f"CREATE TABLE {table.name} (\n  " + ",\n  ".join(columns) + "\n);"


def _rows(rng: Rng, table: Table, count: int, above: int) -> list[str]:
    names = _labels(rng, table, count)
    rows = []
    for number in range(count):
        values = [_value(rng, column, number, names, above) for column in table.columns]
        rows.append(f"({', '.join(values)})")
    return rows


def _labels(rng: Rng, table: Table, count: int) -> Sequence[str]:
    words = table.of_kind("name")[0].values
    if not words:
        return [
            f"{table.one[0].upper()}{n:03}" for n in rng.permutation(900)[:count] + 100
        ]
    return [words[int(i)] for i in rng.permutation(len(words))[:count]]


def _value(
    rng: Rng, column: Column, number: int, names: Sequence[str], above: int
) -> str:
    if column.kind == "key":
        return str(number + 1)
    if column.kind == "ref":
        return str(int(rng.integers(1, above + 1)))
    if column.kind == "name":
        return f"'{names[number]}'"
    if column.kind == "choice":
        return f"'{pick(rng, column.values)}'"
    low, high = column.values
    if column.kind == "whole":
        return str(int(rng.integers(low, high + 1)))
    if column.kind == "money":
        return f"{int(rng.integers(low * 100, high * 100)) / 100:.2f}"
    days = (date(high, 12, 31) - date(low, 1, 1)).days
    return f"'{date(low, 1, 1) + timedelta(int(rng.integers(days)))}'"
