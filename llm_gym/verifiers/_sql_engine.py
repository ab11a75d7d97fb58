"""Running one query that nobody trusts on a SQLite database that nothing may change.

The functions here run in a `KillableWorker`: some functions of SQLite work for long
inside one instruction, where no handler of its own can stop them.
"""

from __future__ import annotations

import math
import re
import sqlite3
from typing import Any

__all__ = ["MAX_ROWS", "run_query", "warm_up"]

MAX_ROWS = 10_000
"""Rows beyond which a result is refused."""

_MAX_BYTES = 4 * 2**20
_HEAP_BYTES = 128 * 2**20
_STEP = 1_000
_MOST_STEPS = 20_000
"""Together: a query may take twenty million instructions of SQLite's machine. They are
counted, not timed, so that the same query has the same end on every machine."""

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 2**20,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 10_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 20,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}

_ACTIONS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}

# What has the same value whenever it is called, and needs no more room than its
# arguments. Left out: random and the clock, printf, format and zeroblob (any length in
# one instruction), load_extension, fts3_tokenizer.
_NAMES = """
    abs avg ceil ceiling coalesce count cume_dist date dense_rank exp first_value floor
    glob group_concat hex ifnull iif instr julianday lag last_value lead length like
    likelihood likely ln log log10 log2 lower ltrim max min mod nth_value ntile nullif
    percent_rank pow power quote rank replace round row_number rtrim sign sqrt
    strftime string_agg substr substring sum time datetime total trim trunc typeof
    unicode unlikely upper unixepoch char concat concat_ws timediff
"""
_FUNCTIONS = frozenset(_NAMES.split())
_CLOCK = re.compile(
    r"'now'|'localtime'|\b(?:date|time|datetime|julianday|unixepoch)\s*\(\s*\)", re.I
)


def run_query(path: str, query: str) -> dict[str, Any]:
    """Run a query on a database file that is opened read-only.

    Args:
        path: The database's file.
        query: One SELECT statement.

    Returns:
        `{"columns": [...], "rows": [[...], ...]}` with values as `_plain` makes them,
        or `{"error": why}` where the query is the one to blame.

    Raises:
        sqlite3.Error: The database cannot be opened: the query is not to blame.
    """
    connection = _open(path)
    try:
        return _fetch(connection, query)
    except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError) as err:
        return {"error": str(err) or type(err).__name__}
    finally:
        connection.close()


def warm_up() -> None:
    """Raise unless queries run, and what must be refused is refused."""
    connection = _guarded(sqlite3.connect(":memory:"))
    try:
        found = _fetch(connection, "SELECT 1 + 1, upper('a'), 9e999")
        if found["rows"] != [[2, "A", {"float": "inf"}]]:
            raise RuntimeError(
                f"SQLite answers {found!r} to the question that it is asked"
            )
        for query in ("ATTACH ':memory:' AS b", "SELECT load_extension('x')"):
            _expect_refusal(connection, query)
    finally:
        connection.close()


def _expect_refusal(connection: sqlite3.Connection, query: str) -> None:
    try:
        _fetch(connection, query)
    except (sqlite3.Error, ValueError):
        return
    raise RuntimeError(f"this SQLite ran {query!r}, which it must refuse")


def _open(path: str) -> sqlite3.Connection:
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    uri = f"file:{quoted}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.execute("SELECT count(*) FROM sqlite_master")  # it is a database
    return _guarded(connection)


def _guarded(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Put every limit on; what comes after is a stranger's."""
    connection.execute(f"PRAGMA hard_heap_limit={_HEAP_BYTES}")
    connection.execute("PRAGMA query_only=1")
    connection.execute("PRAGMA trusted_schema=0")
    connection.execute("PRAGMA temp_store=MEMORY")
    for limit, most in _LIMITS.items():
        connection.setlimit(limit, most)
    connection.set_authorizer(_authorize)
    steps = iter(range(_MOST_STEPS))
    connection.set_progress_handler(lambda: next(steps, None) is None, _STEP)
    return connection


def _authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
    if action in _ACTIONS:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _fetch(connection: sqlite3.Connection, query: str) -> dict[str, Any]:
    if _CLOCK.search(query):
        raise ValueError("the clock may not be asked: write the date that is meant")
    cursor = connection.execute(query)
    if cursor.description is None:
        raise ValueError("the statement gives no result: write one SELECT")
    columns = [column[0] for column in cursor.description]
    rows: list[list[Any]] = []
    size = 0
    for row in cursor:
        rows.append([_plain(value) for value in row])
        size += sum(len(v) if isinstance(v, (str, bytes)) else 8 for v in row)
        if len(rows) > MAX_ROWS or size > _MAX_BYTES:
            raise ValueError(
                f"the result is larger than {MAX_ROWS} rows or {_MAX_BYTES} bytes"
            )
    return {"columns": columns, "rows": rows}


def _plain(value: Any) -> Any:
    """Return a value as JSON can carry it: a blob and an infinity as objects."""
    if isinstance(value, bytes):
        return {"blob": value.hex()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value
