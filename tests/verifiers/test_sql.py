"""SqlMatch: what must be paid, what must not, and what must not happen."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace

import pytest

from llm_gym.errors import DefinitionError, EnvironmentFault
from llm_gym.verifiers import _sql_engine, sql
from llm_gym.verifiers.sql import SqlMatch, query_of, run_query, same_rows

SHOP = """
CREATE TABLE shops (id INTEGER PRIMARY KEY, town TEXT);
CREATE TABLE sales (id INTEGER PRIMARY KEY, shop INTEGER, amount REAL, note TEXT);
INSERT INTO shops VALUES (1, 'Ash'), (2, 'Elm'), (3, 'Oak');
INSERT INTO sales VALUES (1, 1, 0.1, 'a'), (2, 1, 0.2, NULL), (3, 2, 5, 'b'),
  (4, 1, 0.3, 'a');
"""
OTHER = SHOP.replace("(3, 2, 5, 'b')", "(3, 3, 7.5, 'c')")
GOLD = {
    "query": "SELECT s.town, sum(amount) FROM shops s JOIN sales x ON x.shop = s.id "
    "GROUP BY s.id",
    "databases": [OTHER],
}
ORDERED = {"query": "SELECT town FROM shops ORDER BY town DESC", "ordered": True}

HONEST = [
    (GOLD["query"], GOLD),
    (GOLD["query"] + ";", GOLD),
    (f"```sql\n{GOLD['query']}\n```", GOLD),
    (f"Here it is:\n```SQL\n{GOLD['query']}\n```\nIt joins.", GOLD),
    (GOLD["query"] + " ORDER BY 2", GOLD),
    (GOLD["query"].lower().replace("'", "'"), GOLD),
    (
        "SELECT town, (SELECT sum(amount) FROM sales WHERE shop = shops.id) AS t "
        "FROM shops WHERE t IS NOT NULL",
        GOLD,
    ),
    (
        "SELECT town, total(amount) FROM (SELECT * FROM sales ORDER BY id DESC) x, "
        "shops WHERE shops.id = shop GROUP BY shop",
        GOLD,
    ),
    (
        "WITH t AS (SELECT shop, sum(amount) a FROM sales GROUP BY 1) "
        "SELECT town, a FROM t JOIN shops ON shops.id = t.shop",
        GOLD,
    ),
    (ORDERED["query"], ORDERED),
    ("SELECT town AS anything FROM shops ORDER BY id DESC", ORDERED),
    ("SELECT 3.0", {"query": "SELECT count(*) FROM shops"}),
    ("SELECT note FROM sales", {"query": "SELECT note FROM sales ORDER BY id DESC"}),
    ("SELECT -(-9e999), x'00'", {"query": "SELECT 9e999, x'00'"}),
]
HACKS = [
    "",
    " \n",
    "nan",
    "1e999",
    "[]",
    "{}",
    "True",
    "score: 1.0",
    "SELECT 1",
    "SELECT 'Ash', 0.6 UNION ALL SELECT 'Elm', 5.0",  # right on the first alone
    "SELECT * FROM shops",
    "SELECT town, sum(amount) FROM shops, sales GROUP BY town",
    GOLD["query"] + " LIMIT 1",
    GOLD["query"] + " LIMIT 0",
    GOLD["query"][:-1],
    GOLD["query"] + "; " + GOLD["query"],
    GOLD["query"] + " UNION ALL " + GOLD["query"],
    f"```sql\n{GOLD['query']}\n```\n```sql\nSELECT 1\n```",
    f"```sql\nSELECT 1\n```\n{GOLD['query']}",
    f"```\n{GOLD['query']}\n```",
    f"The query is {GOLD['query']}",
    GOLD["query"].replace("SELECT s.town,", "SELECT DISTINCT s.id,"),
    GOLD["query"].replace("s.town, sum(amount)", "sum(amount), s.town"),
    GOLD["query"].replace("sum(amount)", "CAST(sum(amount) AS TEXT)"),
    GOLD["query"].replace("s.town", "s.town, 1"),
    "DELETE FROM sales",
    "DROP TABLE sales",
    "UPDATE shops SET town = 'x'",
    "CREATE TEMP TABLE shops AS SELECT 1",
    "EXPLAIN " + GOLD["query"],
    "x" * 1_000_000,
    "(" * 9_000,
    "SELECT\0 1",
    "SELЕCT 1",  # a Cyrillic letter
    "SELECT '\ud800'",
]


@pytest.mark.parametrize(("text", "answer"), HONEST)
def test_honest_query_is_paid(text, answer):
    assert SqlMatch(SHOP).score(text, answer).value == 1.0


@pytest.mark.parametrize("text", HACKS, ids=lambda text: text[:40])
def test_hack_is_not_paid(text):
    score = SqlMatch(SHOP).score(text, GOLD)
    assert score.value == 0.0
    assert score.reason


def test_a_query_that_was_only_thought_of_is_none():
    right = HONEST[0][0]
    assert SqlMatch(SHOP).score(f"<think>{right}</think>", HONEST[0][1]).value == 0.0
    text = f"<think>SELECT 1</think>\n{right}"
    assert SqlMatch(SHOP).score(text, HONEST[0][1]).value == 1.0


@pytest.mark.parametrize(
    "text", ["SELECT town FROM shops", "SELECT town FROM shops ORDER BY town"]
)
def test_order_counts_where_it_is_asked_for(text):
    assert SqlMatch(SHOP).score(text, ORDERED).value == 0.0


REFUSED = {
    "ATTACH 'x.db' AS x": "not authorized",
    "DETACH main": "not authorized",
    "PRAGMA query_only = 0": "not authorized",
    "PRAGMA table_info(sales)": "not authorized",
    "VACUUM INTO 'copy.db'": "denied",
    "INSERT INTO shops VALUES (9, 'x')": "not authorized",
    "BEGIN": "not authorized",
    "SELECT load_extension('x')": "load_extension",
    "SELECT fts3_tokenizer('simple')": "fts3_tokenizer",
    "SELECT readfile('/etc/passwd')": "no such function",
    "SELECT printf('%.*c', 900000000, 'x')": "printf",
    "SELECT format('%.*c', 900000000, 'x')": "format",
    "SELECT zeroblob(900000000)": "zeroblob",
    "SELECT randomblob(900000000)": "randomblob",
    "SELECT random()": "random",
    "SELECT date('now')": "clock",
    "SELECT datetime()": "clock",
    "SELECT current_timestamp": "(?i)current_timestamp",
    "SELECT sqlite_compileoption_get(1)": "not authorized",
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
    "SELECT max(x) FROM c": "interrupted",
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
    "SELECT x FROM c": "larger than 10000 rows",
    "WITH RECURSIVE c(x) AS (SELECT 'aaaa' UNION ALL SELECT x || x FROM c) "
    "SELECT length(x) FROM c": "too big",
    "WITH RECURSIVE c(x, n) AS (SELECT hex('aaaaaaaa'), 0 UNION ALL SELECT x || x, "
    "n + 1 FROM c WHERE n < 15) SELECT a.x FROM c a, c b": "larger than",
    "SELECT " + "+".join(["1"] * 300): "(?i)depth",
    "SELECT " + ",".join(["1"] * 300): "too many columns",
    "SELECT 1 UNION ALL " * 60 + "SELECT 1": "too many terms",
    "SELECT 1; SELECT 2": "one statement",
    "-- nothing": "no result",
    "SELECT * FROM nowhere": "no such table",
}


@pytest.mark.parametrize("query", REFUSED, ids=lambda query: query[:40])
def test_what_no_query_needs_is_refused(query):
    result = run_query(SHOP, query)
    assert result.rows == ()
    with pytest.raises(AssertionError, match=REFUSED[query]):
        raise AssertionError(result.error)


def test_query_beyond_its_seconds_is_killed_and_earns_nothing(monkeypatch):
    # `instr` looks at each place for each character, within one instruction.
    monkeypatch.setattr(
        "llm_gym.verifiers.sql._WORKER", replace(sql._WORKER, seconds=0.1)
    )
    big = f"CREATE TABLE t (x, y); INSERT INTO t VALUES ('{'a' * 500_000}', "
    big += f"'{'a' * 200_000}b');"
    result = run_query(big, "SELECT instr(x, y) FROM t")
    assert "longer than" in result.error


def test_file_of_a_database_does_not_change(tmp_path):
    path = tmp_path / "what is it? 100%.db"
    connection = sqlite3.connect(path)
    connection.executescript(SHOP)
    connection.close()
    before = path.read_bytes()
    assert run_query(path, "SELECT count(*) FROM shops").rows == ((3,),)
    assert run_query(str(path), "DELETE FROM shops").error
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_threads_may_share_a_verifier():
    verifier, values = SqlMatch(SHOP), []
    threads = [
        threading.Thread(
            target=lambda: values.append(verifier.score(GOLD["query"], GOLD).value)
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == [1.0] * 8


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        ("SELECT 1", "must be {"),
        ({"query": "SELECT 1", "sorted": True}, "must be {"),
        ({"query": 1}, "`query` must be a str"),
        ({"query": "SELECT 1", "ordered": 1}, "`ordered` a bool"),
        ({"query": "SELECT 1", "databases": SHOP}, "list of scripts"),
        ({"query": "SELECT 1 FROM nowhere"}, "the gold query .* fails: no such table"),
        ({"query": "SELECT 1", "databases": ["CREATE TABLE t(a"]}, "script is wrong"),
        ({"query": "SELECT 1", "databases": ["nowhere.db"]}, "no database file"),
        ({"query": "SELECT 1", "databases": ["CREATE TABLE t(a); SELECT x"]}, "wrong"),
    ],
)
def test_authors_mistake_is_no_score(answer, match):
    with pytest.raises(DefinitionError, match=match):
        SqlMatch(SHOP).score("SELECT 1", answer)


def test_no_database_at_all_is_said():
    with pytest.raises(DefinitionError, match="no database to judge on"):
        SqlMatch().score("SELECT 1", {"query": "SELECT 1"})


def test_file_that_is_no_database_is_a_fault(tmp_path):
    path = tmp_path / "text.db"
    path.write_text("not a database" * 100)
    with pytest.raises(EnvironmentFault, match="not a database"):
        run_query(path, "SELECT 1")


def test_rows_are_compared_by_type_and_number():
    assert same_rows([(1, None)], [(1.0, None)], ordered=True)
    assert same_rows([(0.1 + 0.2,)], [(0.3,)], ordered=False)
    assert not same_rows([("1",)], [(1,)], ordered=True)
    assert not same_rows([(None,)], [(0,)], ordered=True)
    assert not same_rows([(1,), (1,)], [(1,)], ordered=False)
    assert not same_rows([(2**60,)], [(2**60 + 1,)], ordered=True)
    assert not same_rows([(1, 2)], [(1,)], ordered=True)
    assert same_rows([(1,), ("a",), (None,)], [(None,), (1,), ("a",)], ordered=False)


@pytest.mark.parametrize("text", ["", "``` x", "```sql\n\n```", "a ```py\nx\n```"])
def test_reply_without_a_query_has_none(text):
    assert query_of(text) is None


def test_engine_proves_itself():
    _sql_engine.warm_up()
    assert _sql_engine.run_query(":memory:", "SELECT 1")["rows"] == [[1]]
