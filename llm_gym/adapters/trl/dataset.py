"""The rows that a trainer draws from: a prompt and the start of its episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_gym.adapters.trl.starts import COLUMN, Start
from llm_gym.errors import require
from llm_gym.messages import Message

__all__ = ["make_dataset"]


def make_dataset(
    starts: Sequence[tuple[Start, list[Message]]], *, in_message: bool, named: bool
) -> Any:
    """Return a `datasets.Dataset` with a row for each group.

    Args:
        starts: Starts, and what the model is first shown at each.
        in_message: Whether the start also rides in a key of the last message, as a
            rollout function is given nothing but the prompt.
        named: Whether a column `environment` chooses among several.

    Raises:
        ValueError: A first message is more than a role and a text.
        MissingDependencyError: datasets is not installed.
    """
    datasets = require("datasets", extra="trl")
    rows = []
    for start, messages in starts:
        text = start.to_text()
        prompt = [_plain(message) for message in messages]
        if in_message:  # in all, or Arrow would put it there as None
            prompt = [{**message, COLUMN: text} for message in prompt]
        row = {"prompt": prompt, COLUMN: text}
        rows.append({**row, "environment": start.env} if named else row)
    return datasets.Dataset.from_list(rows)


def _plain(message: Message) -> dict[str, str]:
    if set(message) != {"role", "content"}:
        raise ValueError(
            "TRL's prompts are messages of a role and a content alone, an environment "
            f"began with one that has {sorted(message)}"
        )
    return {"role": message["role"], "content": message["content"]}
