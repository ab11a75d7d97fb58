"""reasoning-gym's datasets: made once, and asked for an item by its index.

An item depends on the dataset, its configuration and the index, and on nothing else:
not on the global random generators, which two datasets draw from, and which are left as
they were.
"""

from __future__ import annotations

import io
import json
import random
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    redirect_stdout,
)
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from llm_gym import jsontext
from llm_gym.errors import require

__all__ = ["count", "dataset", "gold", "item", "library", "read_config"]

_SEED = 0
_INDICES = 2**31 - 1  # seed and index together stay below 2**32
_SIZES = {
    "acre": 2_000,  # it makes all of them at once
    "gsm_symbolic": 100_000,  # these two keep a list as long as their size
    "list_functions": 100_000,
    "word_ladder": 10_000,
}
"""Sizes of datasets that cannot be as large as one likes."""

_LOCK = threading.RLock()


@cache
def library() -> ModuleType:
    """Import reasoning-gym.

    Raises:
        MissingDependencyError: It is not installed.
    """
    with warnings.catch_warnings():  # one of its dependencies warns when compiled
        warnings.simplefilter("ignore")
        return require("reasoning_gym.factory", extra="reasoning-gym")


def read_config(name: str, config: Mapping[str, Any] | None) -> str:
    """Return a dataset's configuration as JSON, having made the dataset with it.

    Args:
        name: The dataset.
        config: What differs from the dataset's default, without `seed` and `size`.

    Raises:
        ValueError: There is no such dataset, or the configuration is none of its.
    """
    if name not in library().DATASETS:
        raise ValueError(f"reasoning-gym has no dataset {name!r}")
    given = dict(config or {})
    fixed = sorted({"seed", "size"} & set(given))
    if fixed:
        raise ValueError(
            f"`config` must not hold `{fixed[0]}`: tasks are told apart by their index"
        )
    text = jsontext.canonical(given)
    try:
        dataset(name, text)
    except (AssertionError, TypeError, ValueError) as err:
        raise ValueError(
            f"`config` must be what the dataset {name!r} takes, not {given!r}: {err}"
        ) from err
    return text


def count(name: str) -> int:
    """Return how many items a dataset has."""
    return _SIZES.get(name, _INDICES)


@lru_cache(maxsize=128)
def dataset(name: str, config: str) -> Any:
    """Return the dataset of a name and a configuration, as JSON."""
    given = json.loads(config)
    with _LOCK, _own_generators(0), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # arc_agi leaves a file open
        return library().create_dataset(name, seed=_SEED, size=count(name), **given)


@lru_cache(maxsize=64)
def item(name: str, config: str, index: int) -> dict[str, Any]:
    """Return an item of a dataset, which is not to be changed.

    Returns:
        Its `question`, its `answer` (None if it tells none) and its `metadata`.

    Raises:
        Exception: The dataset cannot make an item of that index; a few are so.
    """
    made = dataset(name, config)
    with _LOCK, _own_generators(index), _silence(name):
        try:
            found: dict[str, Any] = made[index]
        finally:
            made.size = count(name)  # word_ladder lowers it where it finds no item
    return found


def gold(name: str, found: Mapping[str, Any]) -> str | None:
    """Return a right answer to an item, None if the dataset tells none."""
    facts = found["metadata"]
    if name == "graph_color":
        return json.dumps(facts["possible_answer"])
    if name == "propositional_logic":
        return str(facts["example_answer"])
    if name == "rubiks_cube":
        return str(facts["example_correct_answer"])
    answer = found["answer"]
    return None if answer is None else str(answer)


def _silence(name: str) -> AbstractContextManager[object]:
    """Swallow what two datasets print while they make an item."""
    return redirect_stdout(io.StringIO()) if name in ("bf", "codeio") else nullcontext()


@contextmanager
def _own_generators(seed: int) -> Iterator[None]:
    """Seed the global generators, and put them back as they were."""
    before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
