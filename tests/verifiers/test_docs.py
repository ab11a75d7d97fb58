"""The examples of docs/verifiers.md run, and give what stands beside them."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "verifiers.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def examples(code: str) -> list[tuple[str, str]]:
    """Return expressions and what the comment behind each says that they give."""
    lines = code.splitlines()
    found = []
    for node in ast.parse(code).body:
        comment = lines[node.end_lineno - 1][node.end_col_offset :]
        if isinstance(node, ast.Expr) and comment:
            found.append((ast.unparse(node), comment.removeprefix("  # ")))
    return found


def test_examples_of_the_page_give_what_it_says() -> None:
    names: dict[str, Any] = {"__name__": "docs"}
    count = 0
    for block in BLOCKS:
        exec(block, names)
        for expression, said in examples(block):
            assert repr(eval(expression, names)) == said, expression
            count += 1
    assert count >= 20


@pytest.mark.parametrize("name", re.findall(r"\]\(#([a-z0-9-]+)\)", PAGE))
def test_links_of_the_page_lead_to_a_heading(name: str) -> None:
    headings = re.findall(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    assert name in [heading.lower().replace(" ", "-") for heading in headings]
