"""The questions of `llmgym/Sql-v0`, each with the query that answers it.

A question is asked of a theme's columns by their kinds, so that each form fits every
theme. Where rows can tie, the question says how ties are broken.
"""

# ruff: noqa: S608  # the queries are put together from our own words
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from llm_gym.envs._draws import pick
from llm_gym.envs._sql_schemas import Column, Table, Theme

__all__ = ["QUESTIONS", "Question"]

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Question:
    """A question over a theme.

    Attributes:
        text: The question.
        query: What answers it.
        ordered: Whether the order of the rows counts.
    """

    text: str
    query: str
    ordered: bool = False


def _choice(rng: Rng, table: Table) -> tuple[Column, str]:
    column = pick(rng, table.of_kind("choice"))
    return column, pick(rng, column.values)


def _number(rng: Rng, table: Table) -> Column:
    return pick(rng, table.of_kind("whole", "money"))


def _threshold(rng: Rng, column: Column) -> int:
    low, high = column.values
    return int(rng.integers(low + (high - low) // 4, high - (high - low) // 4))


def _any(rng: Rng, theme: Theme) -> Table:
    return pick(rng, theme.tables)


def _count_where(rng: Rng, theme: Theme) -> Question:
    table = _any(rng, theme)
    column, value = _choice(rng, table)
    return Question(
        f"How many {table.many} have the {column.words} '{value}'?",
        f"SELECT count(*) FROM {table.name} WHERE {column.name} = '{value}'",
    )


def _list_above(rng: Rng, theme: Theme) -> Question:
    table = _any(rng, theme)
    column = _number(rng, table)
    least, label = _threshold(rng, column), table.of_kind("name")[0]
    return Question(
        f"Give the {label.words} of each {table.one} whose {column.words} is greater "
        f"than {least}.",
        f"SELECT {label.name} FROM {table.name} WHERE {column.name} > {least}",
    )


def _list_since(rng: Rng, theme: Theme) -> Question:
    table = pick(rng, theme.tables[1:])
    column = table.of_kind("date")[0]
    year = int(rng.integers(column.values[0], column.values[1] + 1))
    label = table.of_kind("name")[0]
    return Question(
        f"Give the {label.words} and the {column.words} of each {table.one} whose "
        f"{column.words} is in the year {year}, the earliest first, and for the same "
        f"day by {label.words}.",
        f"SELECT {label.name}, {column.name} FROM {table.name} "
        f"WHERE {column.name} BETWEEN '{year}-01-01' AND '{year}-12-31' "
        f"ORDER BY {column.name}, {label.name}",
        ordered=True,
    )


def _average_by(rng: Rng, theme: Theme) -> Question:
    table = pick(rng, theme.tables[1:])
    column, number = table.of_kind("choice")[0], _number(rng, table)
    return Question(
        f"For each {column.words} of {table.many}, give the {column.words} and the "
        f"average {number.words}, not rounded.",
        f"SELECT {column.name}, avg({number.name}) FROM {table.name} "
        f"GROUP BY {column.name}",
    )


def _top_few(rng: Rng, theme: Theme) -> Question:
    table = pick(rng, theme.tables[1:])
    number, label = _number(rng, table), table.of_kind("name")[0]
    count = int(rng.integers(2, 6))
    return Question(
        f"Give the {label.words} of the {count} {table.many} with the greatest "
        f"{number.words}, the greatest first; ties go by {label.words}, from A on.",
        f"SELECT {label.name} FROM {table.name} "
        f"ORDER BY {number.name} DESC, {label.name} LIMIT {count}",
        ordered=True,
    )


def _groups_with_many(rng: Rng, theme: Theme) -> Question:
    table = theme.bottom
    column, number = table.of_kind("choice")[0], table.of_kind("whole")[0]
    least, count = _threshold(rng, number), int(rng.integers(3, 8))
    return Question(
        f"Which values of {column.words} have more than {count} {table.many} with a "
        f"{number.words} of at least {least}?",
        f"SELECT {column.name} FROM {table.name} WHERE {number.name} >= {least} "
        f"GROUP BY {column.name} HAVING count(*) > {count}",
    )


def _pair(rng: Rng, theme: Theme) -> tuple[Table, Table]:
    """Return a table and the one whose rows refer to it."""
    upper = int(rng.integers(2))
    return theme.tables[upper], theme.tables[upper + 1]


def _children_of_each(rng: Rng, theme: Theme) -> Question:
    parent, child = _pair(rng, theme)
    label = parent.of_kind("name")[0]
    return Question(
        f"For each {parent.one}, also those with none, give its {label.words} and how "
        f"many {child.many} it has.",
        f"SELECT p.{label.name}, count(c.{child.key}) FROM {parent.name} p "
        f"LEFT JOIN {child.name} c ON c.{parent.key} = p.{parent.key} "
        f"GROUP BY p.{parent.key}",
    )


def _childless(rng: Rng, theme: Theme) -> Question:
    parent, child = _pair(rng, theme)
    label = parent.of_kind("name")[0]
    column, value = _choice(rng, child)
    return Question(
        f"Give the {label.words} of each {parent.one} that has no {child.one} with the "
        f"{column.words} '{value}'.",
        f"SELECT {label.name} FROM {parent.name} p WHERE NOT EXISTS (SELECT 1 "
        f"FROM {child.name} c WHERE c.{parent.key} = p.{parent.key} "
        f"AND c.{column.name} = '{value}')",
    )


def _total_where(rng: Rng, theme: Theme) -> Question:
    parent, child = _pair(rng, theme)
    column, value = _choice(rng, parent)
    number = _number(rng, child)
    return Question(
        f"What is the sum of the {number.words} over all {child.many} whose "
        f"{parent.one} has the {column.words} '{value}'? Give 0 if there is none.",
        f"SELECT coalesce(sum(c.{number.name}), 0) FROM {child.name} c "
        f"JOIN {parent.name} p ON p.{parent.key} = c.{parent.key} "
        f"WHERE p.{column.name} = '{value}'",
    )


def _two_hops(rng: Rng, theme: Theme) -> Question:
    top, middle, bottom = theme.tables
    label, number = top.of_kind("name")[0], bottom.of_kind("whole")[0]
    return Question(
        f"For each {top.one} that has any {bottom.many} through its {middle.many}, "
        f"give its {label.words} and the greatest {number.words} among them.",
        f"SELECT t.{label.name}, max(b.{number.name}) FROM {top.name} t "
        f"JOIN {middle.name} m ON m.{top.key} = t.{top.key} "
        f"JOIN {bottom.name} b ON b.{middle.key} = m.{middle.key} GROUP BY t.{top.key}",
    )


def _above_own_average(rng: Rng, theme: Theme) -> Question:
    parent, child = theme.middle, theme.bottom
    label, number = child.of_kind("name")[0], child.of_kind("whole")[0]
    return Question(
        f"Give the {label.words} of each {child.one} whose {number.words} is greater "
        f"than the average {number.words} over all {child.many} of the same "
        f"{parent.one}.",
        f"SELECT c.{label.name} FROM {child.name} c WHERE c.{number.name} > "
        f"(SELECT avg(o.{number.name}) FROM {child.name} o "
        f"WHERE o.{parent.key} = c.{parent.key})",
    )


def _best_of_each(rng: Rng, theme: Theme) -> Question:
    parent, child = theme.top, theme.middle
    group, label = parent.of_kind("name")[0], child.of_kind("name")[0]
    number = child.of_kind("money")[0]
    return Question(
        f"For each {parent.one} that has any {child.many}, give its {group.words} and "
        f"the {label.words} of its {child.one} with the greatest {number.words}; of "
        f"several the one whose {label.words} comes first from A on.",
        f"SELECT p.{group.name}, x.{label.name} FROM (SELECT c.*, row_number() OVER "
        f"(PARTITION BY c.{parent.key} ORDER BY c.{number.name} DESC, c.{label.name}) "
        f"AS place FROM {child.name} c) x JOIN {parent.name} p "
        f"ON p.{parent.key} = x.{parent.key} WHERE x.place = 1",
    )


def _share(rng: Rng, theme: Theme) -> Question:
    middle, bottom = theme.middle, theme.bottom
    column, value = _choice(rng, bottom)
    group = middle.of_kind("choice")[0]
    return Question(
        f"For each {group.words} of {middle.many} with any {bottom.many}, give the "
        f"{group.words} and which part of those {bottom.many}, from 0 to 1 and not "
        f"rounded, has the {column.words} '{value}'.",
        f"SELECT m.{group.name}, avg(b.{column.name} = '{value}') FROM {middle.name} m "
        f"JOIN {bottom.name} b ON b.{middle.key} = m.{middle.key} "
        f"GROUP BY m.{group.name}",
    )


def _by_month(rng: Rng, theme: Theme) -> Question:
    middle, bottom = theme.middle, theme.bottom
    day, (column, value) = bottom.of_kind("date")[0], _choice(rng, middle)
    year = int(rng.integers(day.values[0], day.values[1] + 1))
    return Question(
        f"Of the {bottom.many} whose {middle.one} has the {column.words} '{value}': "
        f"for each month of {year} with any, by {day.words}, give the month as two "
        f"digits and how many there are, the first month first.",
        f"SELECT substr(b.{day.name}, 6, 2), count(*) FROM {bottom.name} b "
        f"JOIN {middle.name} m ON m.{middle.key} = b.{middle.key} "
        f"WHERE m.{column.name} = '{value}' AND substr(b.{day.name}, 1, 4) = '{year}' "
        f"GROUP BY 1 ORDER BY 1",
        ordered=True,
    )


def _running_total(rng: Rng, theme: Theme) -> Question:
    table = theme.bottom
    day, number = table.of_kind("date")[0], table.of_kind("whole")[0]
    label, (column, value) = table.of_kind("name")[0], _choice(rng, table)
    return Question(
        f"List the {table.many} with the {column.words} '{value}' by {day.words}, for "
        f"the same day by {label.words}: for each its {label.words} and the sum of "
        f"{number.words} over the list up to and with it.",
        f"SELECT {label.name}, sum({number.name}) OVER (ORDER BY {day.name}, "
        f"{label.name}) FROM {table.name} WHERE {column.name} = '{value}' "
        f"ORDER BY {day.name}, {label.name}",
        ordered=True,
    )


Asker = Callable[[Rng, Theme], Question]
QUESTIONS: tuple[tuple[Asker, ...], ...] = (
    (_count_where, _list_above, _list_since),
    (_average_by, _top_few, _groups_with_many),
    (_children_of_each, _childless, _total_where, _two_hops),
    (_above_own_average, _best_of_each, _share, _by_month, _running_total),
)
"""The forms of question by level: one table; groups; joins; joins within joins."""
