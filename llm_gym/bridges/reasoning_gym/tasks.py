"""Tasks from a dataset of reasoning-gym, apart by split.

reasoning-gym's seeds overlap (`seed=1` begins with the second item of `seed=0`), so
there is one seed, and the items are told apart by hashed indices.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np

from llm_gym.bridges.reasoning_gym.library import count, gold, item
from llm_gym.errors import DefinitionError, UnknownTaskError
from llm_gym.tasks import Split, Task, TaskSource

__all__ = ["DatasetTasks", "prompt_of"]

_FORMAT = (
    "Think as long as you need. Then write the final answer, and nothing else, "
    "between the tags <answer> and </answer>."
)


def prompt_of(found: dict[str, Any]) -> str:
    """Return the prompt of an item."""
    return f"{found['question']}\n\n{_FORMAT}"


class DatasetTasks(TaskSource):
    """Tasks without end from a dataset; the same id always gives the same task.

    No question is in two splits: its hash says in which one it is, and an item of
    another split is passed over, as is one that cannot be generated. Five datasets are
    too slow for that; there the hash of the index says it, and that their questions are
    apart rests on their being many.

    Args:
        name: The dataset.
        config: Its configuration, as JSON.
    """

    def __init__(self, name: str, config: str) -> None:
        self._name = name
        self._config = config
        self._split: Split = "train"

    def sample(self, rng: np.random.Generator) -> Task:
        """Draw a task of the selected split."""
        return self.get(f"{self._split}-0-{rng.integers(2**40)}")

    def get(self, task_id: str) -> Task:
        """Make the task of an id."""
        match = _TASK_ID.fullmatch(task_id)
        if match is None:
            raise UnknownTaskError(
                "a task id must be `train-0-`, `validation-0-` or `test-0-` and a "
                f"number, not {task_id!r}"
            )
        split: Split = match[1]  # type: ignore[assignment]  # the pattern holds it
        return self._make(task_id, split, int(match[2]))

    def select(self, split: Split, level: int | None) -> DatasetTasks:
        """Return the source narrowed to a split; there is one level, 0."""
        if split not in _SPLITS:
            raise ValueError(f"`split` must be one of {_SPLITS}, not {split!r}")
        if level not in (None, 0):
            raise ValueError(f"`level` must be None or 0, not {level!r}")
        narrowed = DatasetTasks(self._name, self._config)
        narrowed._split = split
        return narrowed

    def _make(self, task_id: str, split: Split, number: int) -> Task:
        seed = np.random.SeedSequence([_SPLITS.index(split), number])
        rng = np.random.Generator(np.random.PCG64(seed))
        for _ in range(_MOST_DRAWS):
            index = int(rng.integers(count(self._name)))
            found = self._item(index, split)
            if found is not None:
                return Task(
                    id=task_id,
                    prompt=prompt_of(found),
                    data={
                        "dataset": self._name,
                        "config": self._config,
                        "index": index,
                    },
                    answer=gold(self._name, found),
                    split=split,
                )
        raise DefinitionError(
            f"none of {_MOST_DRAWS} items of {self._name!r} fell in the split {split!r}"
        )

    def _item(self, index: int, split: Split) -> dict[str, Any] | None:
        """Return an item, None if it is of another split or cannot be answered."""
        by_index = self._name in _SLOW
        if by_index and _split_of(str(index)) != split:
            return None
        try:
            found = item(self._name, self._config, index)
        except Exception:  # noqa: BLE001  # the boundary: a generator may find no item
            return None
        if gold(self._name, found) == "":  # there is no way to write it in the tags
            return None
        if not by_index and _split_of(found["question"]) != split:
            return None
        return found


_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_TASK_ID = re.compile(r"(train|validation|test)-0-([0-9]{1,15})")
_MOST_DRAWS = 1000

_SLOW = frozenset(
    {
        "countdown",
        "futoshiki",
        "knight_swap",
        "sokoban",
        "zebra_puzzles",
    }
)
"""Datasets that take from 0.1 to 3 seconds for an item."""


def _split_of(text: str) -> Split:
    """Say the split of a text: train for eight in ten, one in ten for each other."""
    bucket = hashlib.sha256(text.encode(errors="surrogatepass")).digest()[0] % 10
    return {8: "validation", 9: "test"}.get(bucket, "train")  # type: ignore[return-value]
