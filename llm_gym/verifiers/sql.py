"""SQL queries judged by what they return, on databases that the model cannot change.

Knows SQLite databases as scripts or files, and how two results are compared; how a
query is run without harm stands in `_sql_engine`.
"""

from __future__ import annotations

import atexit
import hashlib
import math
import os
import re
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from llm_gym.errors import DefinitionError, EnvironmentFault
from llm_gym.trajectory import Score, Trajectory
from llm_gym.verifiers.answers import visible
from llm_gym.workers import KillableWorker, WorkerCrash, WorkerTimeout

__all__ = ["QueryResult", "SqlMatch", "query_of", "run_query", "same_rows"]

_MAX_QUERY = 10_000
_RELATIVE = 1e-9
_SECONDS = 5.0
_ENGINE = "llm_gym.verifiers._sql_engine"


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a query returned, or why it did not.

    Attributes:
        columns: The columns' names.
        rows: The rows; a blob is `{"blob": hex}`, an infinity `{"float": "inf"}`.
        error: Why there is no result, "" where there is one.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    error: str = ""


def run_query(database: str | Path, query: str) -> QueryResult:
    """Run one SELECT that nobody trusts on a database that is opened read-only.

    It may read tables and call SQLite's plain functions; `ATTACH`, `PRAGMA`, extensions
    and the clock are refused, and twenty million instructions, 10,000 rows, 4 MiB of
    result and 128 MiB of memory are the most that it gets.

    Args:
        database: A script that creates it, or the path of a SQLite file.
        query: The query.

    Raises:
        DefinitionError: The database's script is wrong, or there is no such file.
        EnvironmentFault: SQLite or its worker failed; the query is not to blame.
    """
    path = _file_of(database)
    if len(query) > _MAX_QUERY:
        return QueryResult(error=f"the query is longer than {_MAX_QUERY} characters")
    if "\0" in query:
        return QueryResult(error="the query holds a NUL character")
    if not query.isascii():
        query = query.encode(errors="replace").decode()
    try:
        found = _WORKER.call(str(path), query)
    except WorkerTimeout:
        return QueryResult(error=f"the query ran longer than {_SECONDS} seconds")
    except WorkerCrash:
        return QueryResult(error="the query needs more memory than it may have")
    if "error" in found:
        return QueryResult(error=found["error"])
    rows = tuple(tuple(row) for row in found["rows"])
    return QueryResult(tuple(found["columns"]), rows)


def same_rows(
    came: Sequence[Sequence[Any]], gold: Sequence[Sequence[Any]], *, ordered: bool
) -> bool:
    """Say whether two results hold the same rows, each as often.

    Columns count by their place, not by their name. Numbers are the same within a
    relative 1e-9, whole or not, for sums depend on their order; a text is never a
    number, and NULL only NULL.

    Args:
        came: The rows that came.
        gold: The rows that are right.
        ordered: Whether their order counts too.
    """
    if len(came) != len(gold):
        return False
    if not ordered:
        came, gold = sorted(came, key=_row_key), sorted(gold, key=_row_key)
    return all(
        len(a) == len(b) and all(map(_same_value, a, b))
        for a, b in zip(came, gold, strict=True)
    )


def query_of(text: str) -> str | None:
    """Return the one query of a reply: its only ```sql block, or all of it.

    Returns:
        The query; None if the reply is empty or holds several blocks.
    """
    blocks = _BLOCK.findall(text)
    if len(blocks) > 1 or not (text.strip() and (blocks or "```" not in text)):
        return None
    return (blocks[0] if blocks else text).strip() or None


_BLOCK = re.compile(r"```(?:sql|sqlite)[ \t]*\r?\n(.*?)```", re.DOTALL | re.IGNORECASE)


class SqlMatch:
    """Full marks for a query that returns what the gold query returns, everywhere.

    Both run on each of the task's databases. A query that names the rows of one
    database instead of asking for them (`SELECT 42`) fails on the next, as in Zhong et
    al. 2020, "Semantic Evaluation for Text-to-SQL with Distilled Test Suites"
    (arXiv:2010.02840). So give several, and show the model only the first.

    `task.answer` is `{"query": str}` with, where they are wanted, `"ordered": bool`
    (whether the rows' order counts, default false) and `"databases": [...]`, which are
    judged on beside the verifier's own.

    Example:
        >>> verifier = SqlMatch("CREATE TABLE t(a); INSERT INTO t VALUES (1), (2);")
        >>> verifier.score("SELECT max(a) FROM t", {"query": "SELECT 2"}).value
        1.0

    Args:
        database: A script or a file that every task is judged on; None where tasks
            bring their own in `task.data["database"]` or in the answer.
    """

    blocking: ClassVar[bool] = True

    def __init__(self, database: str | Path | None = None) -> None:
        self.database = database

    def verify(self, trajectory: Trajectory) -> Score:
        """Judge the query of the episode's answer; see `query_of`."""
        task = trajectory.task
        shown = self.database or task.data.get("database")
        text = trajectory.answer
        if text is None:
            return Score(0.0, reason="the episode ended without an answer")
        return self._judge(text, task.answer, [shown] if shown else [])

    def score(self, text: str, answer: Mapping[str, Any]) -> Score:
        """Judge a reply.

        Args:
            text: The reply.
            answer: What is right, as `task.answer` has it.

        Raises:
            DefinitionError: The answer has another form, or its query fails.
            EnvironmentFault: SQLite or its worker failed.
        """
        return self._judge(text, answer, [self.database] if self.database else [])

    def _judge(self, text: str, answer: Any, shown: Sequence[str | Path]) -> Score:
        gold, ordered, hidden = _read_answer(answer)
        databases = [*shown, *hidden]
        if not databases:
            raise DefinitionError(
                "there is no database to judge on: give `SqlMatch(database)`, "
                '`task.data["database"]` or `task.answer["databases"]`'
            )
        query = query_of(visible(text))
        if query is None:
            return Score(0.0, reason="the reply holds no single query")
        for number, database in enumerate(databases, 1):
            wanted = run_query(database, gold)
            if wanted.error:
                raise DefinitionError(f"the gold query {gold!r} fails: {wanted.error}")
            came = run_query(database, query)
            where = f"on database {number} of {len(databases)}"
            if came.error:
                return Score(0.0, reason=f"{where}: {came.error}")
            if not same_rows(came.rows, wanted.rows, ordered=ordered):
                return Score(0.0, reason=f"{where} it returns other rows")
        return Score(1.0, reason=f"the right rows on each of {len(databases)}")


def _read_answer(answer: Any) -> tuple[str, bool, list[str]]:
    known = {"query", "ordered", "databases"}
    if not isinstance(answer, Mapping) or not {"query"} <= answer.keys() <= known:
        raise DefinitionError(
            '`task.answer` must be {"query": str} with "ordered" and "databases" where '
            f"wanted, not {answer!r:.200}"
        )
    query, ordered = answer["query"], answer.get("ordered", False)
    databases = answer.get("databases", [])
    if not (isinstance(query, str) and isinstance(ordered, bool)):
        raise DefinitionError(
            "`query` must be a str and `ordered` a bool, not "
            f"{query!r:.100} and {ordered!r:.100}"
        )
    if not (isinstance(databases, list) and all(isinstance(d, str) for d in databases)):
        raise DefinitionError("`databases` must be a list of scripts or paths")
    return query, ordered, databases


def _row_key(row: Sequence[Any]) -> list[tuple[int, Any]]:
    """Order rows so that those that are the same within rounding stand alike."""
    return [_value_key(value) for value in row]


def _value_key(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    if isinstance(value, (int, float)):
        return (1, float(f"{value:.6g}") if abs(value) < 1e300 else float("inf"))
    if isinstance(value, str):
        return (2, value)
    return (3, str(value))


def _same_value(came: Any, gold: Any) -> bool:
    numbers = (int, float)
    if isinstance(came, numbers) and isinstance(gold, numbers):
        if isinstance(came, int) and isinstance(gold, int):
            return came == gold
        return math.isclose(came, gold, rel_tol=_RELATIVE, abs_tol=_RELATIVE)
    return type(came) is type(gold) and bool(came == gold)


# It reads the database's file, and is therefore not confined: the engine allows a query
# nothing but reading tables.
_WORKER = KillableWorker(f"{_ENGINE}:run_query", seconds=_SECONDS, confine=False)

_LOCK = threading.Lock()
_FILES: dict[str, Path] = {}
_MOST_FILES = 256


def _file_of(database: str | Path) -> Path:
    """Return the file of a database; one that is a script is made once a process."""
    if isinstance(database, Path) or not _SCRIPT.search(database):
        path = Path(database)
        if not path.is_file():
            raise DefinitionError(
                f"there is no database file {str(path)!r}; a script must hold "
                "`CREATE TABLE`"
            )
        return path.resolve()
    name = hashlib.sha256(database.encode(errors="surrogatepass")).hexdigest()
    key = f"{os.getpid()}-{name}"  # after a fork the parent's files are the parent's
    with _LOCK:
        path = _FILES.get(key) or _build(database, name)
        _FILES[key] = path
        while len(_FILES) > _MOST_FILES:
            _FILES.pop(next(iter(_FILES))).unlink(missing_ok=True)
    return path


_SCRIPT = re.compile(r"\bcreate\s+table\b", re.IGNORECASE)


def _build(script: str, name: str) -> Path:
    path = _folder() / f"{name}.sqlite"
    try:
        path.unlink(missing_ok=True)
        connection = sqlite3.connect(path)
        try:
            connection.executescript(
                f"PRAGMA journal_mode=MEMORY;\nBEGIN;{script};COMMIT;"
            )
        finally:
            connection.close()
    except sqlite3.OperationalError as err:
        if "disk" in str(err) or "unable to open" in str(err):
            raise EnvironmentFault(f"no database could be written: {err}") from err
        raise DefinitionError(f"the database's script is wrong: {err}") from err
    except sqlite3.Error as err:
        raise DefinitionError(f"the database's script is wrong: {err}") from err
    except OSError as err:
        raise EnvironmentFault(f"no database could be written: {err}") from err
    return path


_FOLDERS: dict[int, Path] = {}


def _folder() -> Path:
    """Return this process's folder of databases, removed when it ends."""
    folder = _FOLDERS.get(os.getpid())
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="llm_gym-sql-"))
        _FOLDERS[os.getpid()] = folder
        atexit.register(_remove, os.getpid(), folder)
    return folder


def _remove(owner: int, folder: Path) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
