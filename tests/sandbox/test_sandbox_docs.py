"""The specification names tests that exist, and its example does what it says."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from pathlib import Path

import pytest

from tests.sandbox.attacks.corpus import FAMILIES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sandbox.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def test_the_specification_names_many_tests():
    assert len(NAMED) >= 30


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_named_test_exists(path, name):
    tree = ast.parse((ROOT / path).read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert name in names


def test_every_promise_names_a_test():
    promises = PAGE.partition("## Promises")[2].partition("## What is not promised")[0]
    parts = re.split(r"\n\*\*\d+\. ", promises)[1:]
    assert len(parts) >= 8
    assert all("::test_" in part for part in parts)


def test_every_family_of_attacks_stands_for_a_promise():
    promises = PAGE.partition("## Promises")[2]
    assert [family for family in FAMILIES if f"`{family}`" not in promises] == []


def test_the_example_prints_what_the_page_says():
    example = re.search(
        r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", PAGE, re.S
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example[1], "docs/sandbox.md", "exec"), {})
    assert printed.getvalue() == example[2]


def test_the_providers_are_where_the_page_says():
    line = re.search(r"^from llm_gym\.sandbox\.providers import .*$", PAGE, re.M)[0]
    names: dict[str, object] = {}
    exec(line, names)
    assert {"open_bubblewrap", "open_docker", "open_monty"} <= names.keys()
