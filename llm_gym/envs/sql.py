"""Questions over generated relational databases, answered by a query on real SQLite."""

# ruff: noqa: S608  # a table that the database itself named
from __future__ import annotations

import sqlite3

import numpy as np

from llm_gym import jsontext
from llm_gym.env import ToolEnv
from llm_gym.envs._draws import pick
from llm_gym.envs._sql_questions import QUESTIONS, Question
from llm_gym.envs._sql_schemas import THEMES, script
from llm_gym.errors import DefinitionError, ToolError
from llm_gym.tasks import GeneratedTasks, Task
from llm_gym.tools import tool
from llm_gym.trajectory import Score, Trajectory
from llm_gym.verifiers.sql import SqlMatch, run_query

__all__ = ["SqlEnv", "generate"]

HIDDEN = 2
"""Databases beside the visible one that a query is judged on."""

_SHOWN_ROWS = 40
_DRAWS = 50

Rng = np.random.Generator


def generate(rng: Rng, level: int) -> Task:
    """Make a database, a question and the query that answers it.

    Args:
        rng: Where the randomness comes from.
        level: 0 one table; 1 groups and order; 2 joins; 3 windows and joins in joins.
    """
    for _ in range(_DRAWS):
        theme = pick(rng, THEMES)
        question = pick(rng, QUESTIONS[level])(rng, theme)
        databases = [script(rng, theme) for _ in range(1 + HIDDEN)]
        if _telling(question, databases):
            return _task(question, databases)
    raise DefinitionError(f"no question of level {level} tells databases apart")


def _telling(question: Question, databases: list[str]) -> bool:
    """Say whether each database answers, and no two of them alike."""
    results = []
    for database in databases:
        connection = sqlite3.connect(":memory:")
        connection.executescript(database)
        results.append(connection.execute(question.query).fetchall())
        connection.close()
    different = {repr(sorted(rows)) for rows in results}
    return all(results) and len(different) == len(results)


def _task(question: Question, databases: list[str]) -> Task:
    return Task(
        prompt=question.text,
        data={"database": databases[0]},
        answer={
            "query": question.query,
            "ordered": question.ordered,
            "databases": databases[1:],
        },
    )


class SqlEnv(ToolEnv):
    """Answer a question over a relational database by one SQL query.

    Task:
        A generated database of three tables that refer to each other (warehouses,
        clinics or bands) and a question. The answer is a query, not a value: it is
        judged on databases of the same form with other rows too.

    Tools:
        `list_tables`, `describe_table`, `run_query`: the last runs one SELECT on the
        visible database and shows at most 40 rows.

    Observation:
        A system message with the rules, the question as the user's message.

    Reply:
        One SQLite SELECT statement: the whole reply, or its only ```sql block. Columns
        in the order in which the question names them; their names do not matter.

    Reward:
        At the end 1.0 if the query returns the right rows on the visible database and
        on two hidden ones, else 0.0. The order of rows counts where the question gives
        one. Numbers may differ by a billionth. `SqlMatch` judges; a query runs on a
        database opened read-only, within bounds of work, memory and size.

    Episode end:
        Terminated by a reply without a tool call; truncated after 12 turns or if the
        reply was cut off by its length limit.

    Levels:
        0: one table. 1: groups, order and limits. 2: joins. 3: windows, subqueries and
        groups over joins.

    Floors:
        oracle 1.000, null 0.000, constant 0.000, random 0.000 (1,000 episodes, seed 0)

    Data and licence:
        Generated; Apache-2.0, as the package.

    Arguments:
        Those of `ToolEnv`.

    Version history:
        v0: first version.
    """

    tasks = GeneratedTasks(generate, levels=len(QUESTIONS))
    verifier = SqlMatch()
    max_turns = 12
    blocking = True
    system_prompt = """\
You answer questions over a SQLite database by writing a query. Look at the tables \
with the tools first. Then reply with one SELECT statement and nothing else, bare or \
in one ```sql block. It must be right for any rows that such a database could hold, \
not only for those that you see. Give the columns in the order in which the question \
names them."""

    def begin(self, task: Task) -> str:
        """Show the question; the database is there for the tools."""
        self.state = {}
        return str(task.prompt)

    @tool
    def list_tables(self) -> str:
        """List the tables of the database and how many rows each has."""
        return "\n".join(
            f"{name}: {self._ask(f'SELECT count(*) FROM {name}')[0][0]} rows"
            for name in self._tables()
        )

    @tool
    def describe_table(self, table: str) -> str:
        """Show how a table was created, and its first rows.

        Args:
            table: The table's name.
        """
        tables = self._tables()
        if table not in tables:
            raise ToolError(f"there is no table {table!r}; there are {list(tables)}")
        rows = self._ask(f"SELECT * FROM {table} LIMIT 3")
        return "\n".join([tables[table], *map(jsontext.canonical, map(list, rows))])

    @tool
    def run_query(self, query: str) -> str:
        """Run one SELECT statement and show its rows, one JSON array a line.

        Args:
            query: The statement, for SQLite.
        """
        result = run_query(self.task.data["database"], query)
        if result.error:
            raise ToolError(result.error)
        lines = [jsontext.canonical(list(row)) for row in result.rows[:_SHOWN_ROWS]]
        if len(result.rows) > _SHOWN_ROWS:
            lines.append(f"... {len(result.rows)} rows in all")
        return "\n".join([jsontext.canonical(list(result.columns)), *lines])

    def verify(self, trajectory: Trajectory) -> Score:
        """Judge the query on every database."""
        return self.verifier.verify(trajectory)

    def oracle(self) -> str:
        """Return the right query."""
        query: str = self.task.answer["query"]
        return f"```sql\n{query}\n```"

    def _tables(self) -> dict[str, str]:
        """Return each table's statement of creation by its name."""
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name"
        return {str(name): str(text) for name, text in self._ask(query)}

    def _ask(self, query: str) -> tuple[tuple[object, ...], ...]:
        """Ask the database something that must work."""
        result = run_query(self.task.data["database"], query)
        if result.error:
            raise DefinitionError(f"the database does not answer: {result.error}")
        return result.rows
