"""Verdicts a second of each verifier, beside what a user would write instead.

Each row has one task, a right answer that both accept, and the same hacks for both:
replies that do not answer and should be paid nothing. A verifier is timed on the right
answer; the slowest hack says what a hostile model can make it cost. Stand-ins get at
most two seconds a hack, in a process of their own, and are then called stuck.

Run: make bench
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import re
import sqlite3
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jsonschema
from tabulate import tabulate

from llm_gym.verifiers.choice import ChoiceMatch
from llm_gym.verifiers.exact import ExactMatch
from llm_gym.verifiers.json_schema import JsonSchemaMatch
from llm_gym.verifiers.numeric import NumericMatch
from llm_gym.verifiers.regex import RegexMatch
from llm_gym.verifiers.sets import F1Match, SetMatch
from llm_gym.verifiers.state import StateMatch

SECONDS = 0.5
STUCK_SECONDS = 2.0
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^(a+)+$"}},
    "required": ["name"],
    "additionalProperties": False,
}
STATE = {"orders": [{"id": n, "open": False, "price": 1.5} for n in range(50)]}
ROWS = "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (42);"
COMMON = [
    "",
    " ",
    "nan",
    "[]",
    "{}",
    "True",
    "score: 1.0",
    "\u0664\u0662",
    "9" * 10_000,
]


@dataclass(frozen=True)
class Row:
    """A verifier, what a user would write instead, and what both are asked."""

    name: str
    ours: Callable[[Any], float]
    other_name: str
    other: Callable[[Any], float]
    right: Any
    hacks: list[Any]


def last_number(text: str) -> float:
    """Take the last number of a reply, as many graders do."""
    found = re.findall(r"-?\d+(?:\.\d+)?", text)
    return float(bool(found) and float(found[-1]) == 42)


def last_letter(text: str) -> float:
    """Take the last capital letter that stands alone."""
    found = re.findall(r"\b([A-D])\b", text)
    return float(bool(found) and found[-1] == "B")


def by_jsonschema(text: str) -> float:
    """Validate with `jsonschema`."""
    jsonschema.validate(json.loads(text), SCHEMA)
    return 1.0


def by_math_verify(text: str) -> float:
    """Grade with math-verify as its page shows it."""
    import math_verify

    return float(math_verify.verify(math_verify.parse("42"), math_verify.parse(text)))


def by_sqlite(text: str) -> float:
    """Run the query as it is."""
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(ROWS)
        return float(connection.execute(text).fetchall() == [(42,)])


def scored(verifier: Any, gold: Any = None) -> Callable[[Any], float]:
    """Return a verifier as a function of a reply."""
    return lambda text: verifier.score(text, gold).value


def simple_rows() -> list[Row]:
    """Return the rows that need nothing but the package and google-re2."""
    numbers = [*COMMON, "40 41 42", "I try 1, then 42", "41 or 42", "1e42 42", "142 42"]
    letters = [*COMMON, "A B C D, or B", "Answer: A\nB", "not A, but not B"]
    lists = [*COMMON, '["a", "b", "b"]', '["b", "a", "c"]', '[["a", "b"]]']
    evil = ["a" * 60, "a" * 200_000]
    json_hacks = [
        *COMMON,
        '{"name": "a", "name": "a"}',
        json.dumps({"name": evil[0] + "!"}),
    ]
    states: list[Any] = [
        {},
        [],
        {"orders": []},
        json.loads(json.dumps(STATE).replace("false", "0")),
    ]
    items = ["a", "b"]
    return [
        Row("ExactMatch", scored(ExactMatch(), "Rome"), "strip, ==",
            lambda t: float(t.strip() == "Rome"), "Rome", [*COMMON, "R\u043eme"]),
        Row("NumericMatch", scored(NumericMatch(), 42), "last number by `re`",
            last_number, "42", numbers),
        Row("ChoiceMatch", scored(ChoiceMatch(options=4), "B"), "last letter by `re`",
            last_letter, "Answer: B", letters),
        Row("RegexMatch, re2", scored(RegexMatch(pattern="(a+)+b", engine="re2")),
            "re.fullmatch", lambda t: float(re.fullmatch("(a+)+b", t) is not None),
            "aab", [*COMMON, *evil]),
        Row("RegexMatch, re, 1 s", scored(RegexMatch(pattern="(a+)+b", seconds=1.0)),
            "re.fullmatch", lambda t: float(re.fullmatch("(a+)+b", t) is not None),
            "aab", [*COMMON, *evil]),
        Row("JsonSchemaMatch", scored(JsonSchemaMatch(schema=SCHEMA)),
            "jsonschema.validate", by_jsonschema, '{"name": "aa"}', json_hacks),
        Row("SetMatch", scored(SetMatch(), items), "set(json.loads)",
            lambda t: float(set(json.loads(t)) == set(items)), '["b", "a"]', lists),
        Row("F1Match", scored(F1Match(at_least=0.9), items), "recall of json.loads",
            lambda t: len(set(items) & set(json.loads(t))) / 2, '["b", "a"]', lists),
        Row("StateMatch, 50 rows", lambda s: StateMatch().compare(s, STATE).value,
            "==", lambda s: float(s == STATE), STATE, states),
    ]  # fmt: skip


def heavy_rows() -> list[Row]:
    """Return the rows of verifiers with libraries of their own, where they are."""
    bombs = ["9**9**9", "\\boxed{41} \\boxed{42}", "{40, 41, 42}", "41 or 42"]
    dumps = ["SELECT 42 UNION SELECT 1", "ATTACH ':memory:' AS x", "DROP TABLE t"]
    rows = []
    try:
        from llm_gym.verifiers.math import MathMatch

        ours = scored(MathMatch(extract="whole"), "42")
        hacks = [*COMMON, *bombs]
        rows.append(Row("MathMatch", ours, "math-verify", by_math_verify, "42", hacks))
        half = scored(MathMatch(extract="whole"), "\\frac{\\sqrt{3}}{2}")
        right = "\\sqrt{3}/2"
        rows.append(Row("MathMatch, radicals", half, "", by_math_verify, right, hacks))
    except ImportError as err:
        print(f"MathMatch: left out, {err}\n")
    try:
        from llm_gym.verifiers.sql import SqlMatch

        ours = scored(SqlMatch(ROWS), {"query": "SELECT a FROM t WHERE a > 2"})
        right = "SELECT max(a) FROM t"
        hacks = [*COMMON, *dumps]
        rows.append(Row("SqlMatch", ours, "sqlite3, as it is", by_sqlite, right, hacks))
    except ImportError as err:
        print(f"SqlMatch: left out, {err}\n")
    return rows


def rate(judge: Callable[[Any], float], right: Any) -> float:
    """Return verdicts a second on the right answer, the median of three."""
    if judge(right) != 1.0:
        raise SystemExit(f"{right!r} was not paid")
    rates = []
    for _ in range(3):
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS / 3:
            judge(right)
            count += 1
        rates.append(count / (time.perf_counter() - began))
    return statistics.median(rates)


def hacked(
    judge: Callable[[Any], float], hacks: list[Any], right: Any
) -> tuple[str, str]:
    """Return what was paid or raised of the hacks, and the slowest one's time."""
    paid = raised = stuck = 0
    slowest = 0.0
    for hack in hacks:
        outcome, seconds = _alone(judge, hack, right)
        paid += outcome == "paid"
        raised += outcome == "raised"
        stuck += outcome == "stuck"
        slowest = max(slowest, seconds)
    words = [f"{paid} of {len(hacks)}"]
    words += [f"{n} {word}" for n, word in ((raised, "raise"), (stuck, "stuck")) if n]
    return ", ".join(words), "stuck" if stuck else f"{slowest * 1e3:.1f} ms"


def _alone(judge: Callable[[Any], float], hack: Any, right: Any) -> tuple[str, float]:
    """Judge a hack in a forked process that is killed after `STUCK_SECONDS`."""
    ours, theirs = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(
        target=_report, args=(judge, hack, right, theirs)
    )
    child.start()
    ours.recv()  # it has warmed up
    result = ours.recv() if ours.poll(STUCK_SECONDS) else ("stuck", STUCK_SECONDS)
    child.kill()
    child.join()
    return result


def _report(judge: Callable[[Any], float], hack: Any, right: Any, pipe: Any) -> None:
    judge(right)  # a forked process starts workers of its own
    pipe.send("ready")
    began = time.perf_counter()
    try:
        outcome = "paid" if judge(hack) > 0 else "zero"
    except Exception:  # noqa: BLE001  # a stand-in may raise anything
        outcome = "raised"
    pipe.send((outcome, time.perf_counter() - began))
    os._exit(0)


def main() -> None:
    """Print the table."""
    names = ("llm-gym", "jsonschema", "google-re2", "math-verify")
    packages = ", ".join(f"{name} {_version(name)}" for name in names)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {packages}\n")
    table = []
    for row in [*simple_rows(), *heavy_rows()]:
        line = [
            row.name,
            f"{rate(row.ours, row.right):,.0f}",
            *hacked(row.ours, row.hacks, row.right),
        ]
        if row.other_name:
            theirs = hacked(row.other, row.hacks, row.right)
            line += [row.other_name, f"{rate(row.other, row.right):,.0f}", *theirs]
        table.append(line)
    heads = ("verifier", "verdicts/s", "hacks paid", "slowest hack")
    heads += ("instead", "verdicts/s", "hacks paid", "slowest hack")
    print(tabulate(table, headers=heads, tablefmt="github"))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
