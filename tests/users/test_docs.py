"""The code of docs/users.md runs, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "users.md").read_text()


def test_code_of_the_page_runs() -> None:
    names: dict[str, object] = {"__name__": "users_page"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
