"""The class docstring is the environment's card."""

from __future__ import annotations

import inspect
import re

from llm_gym.checks.card_floors import read_floors
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import demand

__all__ = ["SECTIONS", "check_card"]

SECTIONS = (
    "Task",
    "Tools",
    "Observation",
    "Reply",
    "Reward",
    "Episode end",
    "Levels",
    "Floors",
    "Data and licence",
    "Arguments",
    "Version history",
)
"""The sections of a card, in their order."""


def check_card(subject: Subject) -> str:
    """The class has a docstring; one of this package has every section of a card."""
    kind = subject.kind
    text = inspect.cleandoc(vars(kind).get("__doc__") or "")
    demand(text, f"`{kind.__qualname__}` has no docstring")
    if kind.__module__.partition(".")[0] != "llm_gym":
        return "a docstring"
    summary, _, rest = text.partition("\n")
    demand(
        rest.startswith("\n"),
        f"the card begins with a summary of one line and an empty one, not {summary!r}",
    )
    titles = re.findall(r"^([A-Z][a-z ]+):", text, flags=re.MULTILINE)
    found = [title for title in titles if title in SECTIONS]
    missing = [title for title in SECTIONS if title not in found]
    demand(not missing, f"the card lacks the sections {missing}")
    demand(
        tuple(found) == SECTIONS,
        f"expected the sections {list(SECTIONS)} in this order, came {found}",
    )
    demand(
        read_floors(text),
        "`Floors:` must be a line like `oracle 1.000, null 0.000, constant 0.000, "
        "random 0.012 (1,000 episodes, seed 0)`; `llm-gym check ID --floors` measures "
        "it",
    )
    return f"{len(SECTIONS)} sections"
