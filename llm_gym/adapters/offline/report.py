"""What an export came to: how much was read, used and dropped, and why."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tabulate import tabulate

from llm_gym.adapters.offline.reading import RunFile
from llm_gym.adapters.offline.selection import Dropped

__all__ = ["Report"]


@dataclass(frozen=True, slots=True)
class Report:
    """What an export came to; `read` is `used` and all of `dropped`, to the last.

    Attributes:
        kind: What was made: `sft`, `dpo`, `kto`, `reward-model` or `grpo`.
        out: Where the rows are, None where none was left and nothing was written.
        path: Where the report is.
        rows: How many rows there are.
        columns: Their columns.
        files: What was read.
        read: How many episodes were read.
        used: How many of them became data.
        tasks: Of how many tasks these are.
        mean_reward: The mean return of those; NaN for none.
        dropped: Every other episode, with the reason.
        options: What was asked for.
        notes: What else a person should know.
    """

    kind: str
    out: str | None
    path: str
    rows: int
    columns: tuple[str, ...]
    files: tuple[RunFile, ...]
    read: int
    used: int
    tasks: int
    mean_reward: float
    dropped: tuple[Dropped, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def reasons(self) -> dict[str, int]:
        """How many were dropped for each reason, the most frequent first."""
        counts: dict[str, int] = {}
        for one in self.dropped:
            counts[one.why] = counts.get(one.why, 0) + 1
        return dict(sorted(counts.items(), key=lambda pair: -pair[1]))

    def table(self) -> str:
        """Return the report as a table for people."""
        mean = "" if math.isnan(self.mean_reward) else f"{self.mean_reward:.3f}"
        rows = [
            ("episodes read", f"{self.read}"),
            *((f"  dropped: {why}", f"{n}") for why, n in self.reasons.items()),
            ("episodes used", f"{self.used}"),
            ("  of tasks", f"{self.tasks}"),
            ("  mean reward", mean),
            ("rows", f"{self.rows}"),
        ]
        lines = [tabulate(rows, tablefmt="rounded_outline", disable_numparse=True)]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        data = asdict(self)
        if math.isnan(self.mean_reward):
            data["mean_reward"] = None
        return {**data, "options": dict(self.options), "reasons": self.reasons}

    def write(self) -> None:
        """Write the report as JSON, to its path."""
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_json(), indent=1, allow_nan=False)
        path.write_text(text + "\n", encoding="ascii")
