"""llmgym/Sql-v0: real databases, questions with one right answer."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from llm_gym.envs.sql import generate
from llm_gym.policies import OraclePolicy
from tests.envs.driving import call, drive, make, play

ENV = "llmgym/Sql-v0"


@pytest.fixture
def env():
    env = make(ENV)
    yield env
    env.close()


@pytest.mark.parametrize("level", range(4))
def test_oracle_is_right_on_every_database(level):
    env = make(ENV, level=level)
    for seed in range(12):
        assert drive(env, OraclePolicy(), seed=seed).score.value == 1.0
    env.close()


def test_tools_tell_what_is_there(env):
    play(env, [call("list_tables")], seed=1)
    tables = [
        line.split(":")[0]
        for line in env.trajectory.turns[0].calls[0].result.splitlines()
    ]
    assert len(tables) == 3
    env.step("".join(call("describe_table", table=table) for table in tables))
    shown = [record.result for record in env.trajectory.turns[1].calls]
    assert all(text.startswith("CREATE TABLE") for text in shown)
    assert all(len(text.splitlines()[-1]) > 5 for text in shown)


def test_query_tool_shows_rows_or_the_error(env):
    play(env, [call("list_tables")], seed=1)
    table = env.trajectory.turns[0].calls[0].result.split(":")[0]
    env.step(call("run_query", query="SELECT 1 AS a, 'ü' UNION ALL SELECT 2, NULL"))
    record = env.trajectory.turns[1].calls[0]
    assert (record.status, record.result) == (
        "ok",
        '["a","\'\\u00fc\'"]\n[1,"\\u00fc"]\n[2,null]',
    )
    env.step(call("run_query", query=f"DELETE FROM {table}"))
    assert env.trajectory.turns[2].calls[0].status == "tool_error"
    assert "not authorized" in env.trajectory.turns[2].calls[0].result
    env.step(call("describe_table", table="sqlite_master"))
    assert "there is no table" in env.trajectory.turns[3].calls[0].result


def test_long_result_is_cut_and_says_so(env):
    many = (
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 90) "
    )
    trajectory = play(env, [call("run_query", query=many + "SELECT x FROM c")], seed=1)
    lines = trajectory.turns[0].calls[0].result.splitlines()
    assert len(lines) == 42
    assert lines[-1] == "... 90 rows in all"


def test_rows_of_the_visible_database_are_not_the_answer(env):
    for seed in range(8):
        env.reset(seed=seed)
        query, ordered = env.task.answer["query"], env.task.answer["ordered"]
        connection = sqlite3.connect(":memory:")
        connection.executescript(env.task.data["database"])
        rows = connection.execute(query).fetchall()
        connection.close()
        values = ", ".join("(" + ", ".join(map(_literal, row)) + ")" for row in rows)
        hack = f"SELECT * FROM (VALUES {values})"
        *_, reward, _, _, info = env.step(hack)
        assert (reward, ordered in (True, False)) == (0.0, True)
        assert "on database 2 of 3" in info["score"]["reason"]


def _literal(value):
    return f"'{value}'" if isinstance(value, str) else repr(value)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "SELECT 1",
        "SELECT count(*) FROM sqlite_master",
        "42",
        "SELECT * FROM products",
        "```sql\nSELECT 1\n```\n```sql\nSELECT 2\n```",
    ],
)
def test_hack_earns_nothing(env, reply):
    for seed in range(6):
        assert play(env, [reply], seed=seed).score.value == 0.0


@pytest.mark.parametrize(
    "change", [("count(*)", "count(*) + 1"), (" DESC", ""), (">", ">=")]
)
def test_query_that_is_a_little_wrong_earns_nothing_somewhere(env, change):
    wrong = 0
    for seed in range(40):
        env.reset(seed=seed)
        query = env.task.answer["query"]
        if change[0] in query:
            wrong += env.step(query.replace(*change))[1] == 0.0
    assert wrong


def test_every_form_of_question_has_an_answer_that_varies():
    texts = set()
    for level in range(4):
        for seed in range(30):
            task = generate(np.random.default_rng(seed), level)
            texts.add(task.prompt)
            assert len(task.answer["databases"]) == 2
    assert len(texts) > 70
