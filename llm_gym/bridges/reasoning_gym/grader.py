"""Scoring by a dataset's own scorer, in a process that can be killed.

The scorers work on what a model wrote with sympy and even `eval`: they may hang,
explode or do as they are told. So they run in a worker that has given up the network,
other processes and writing.
"""

from __future__ import annotations

import base64
import math
import pickle
from functools import lru_cache
from typing import Any

from llm_gym.bridges.reasoning_gym.library import dataset, gold, item, library
from llm_gym.errors import EnvironmentFault
from llm_gym.workers import KillableWorker, WorkerCrash, WorkerError, WorkerTimeout

__all__ = ["Unscored", "call_scorer", "score_text", "warm_up"]


class Unscored(Exception):  # it is caught and told as a reason
    """The dataset's scorer raises or hangs on a text, and not on a right answer."""


def warm_up() -> None:
    """Load in the worker what calls need."""
    library()


def call_scorer(name: str, config: str, entry: str, text: str) -> float:
    """Score a text in the worker.

    Args:
        name: The dataset.
        config: Its configuration, as JSON.
        entry: The item, pickled and as base64: JSON would make lists of its tuples,
            and rearc's and arc_agi's scorers compare with those.
        text: The answer.
    """
    found = pickle.loads(base64.b64decode(entry))  # noqa: S301  # our own bytes
    score = float(dataset(name, config).score_answer(text, found))
    return score if math.isfinite(score) else 0.0


_WORKER = KillableWorker(
    "llm_gym.bridges.reasoning_gym.grader:call_scorer",
    seconds=4.0,  # the first call of a dataset makes it, which takes up to one
    memory_bytes=2**30,
)


def score_text(name: str, config: str, index: int, text: str) -> float:
    """Return what a dataset pays for a text.

    Raises:
        Unscored: Its scorer fails on this text.
        EnvironmentFault: It fails on a right answer too.
    """
    try:
        return float(_WORKER.call(name, config, _packed(name, config, index), text))
    except (WorkerTimeout, WorkerCrash, WorkerError) as err:
        problem = _problem(name, config, index)
        if problem:
            raise EnvironmentFault(
                f"the scorer of {name!r} fails on its own answer to the item {index}: "
                f"{problem}"
            ) from err
        what = "takes too long" if isinstance(err, WorkerTimeout) else "fails"
        raise Unscored(f"scoring the answer {what}") from err


@lru_cache(maxsize=64)
def _packed(name: str, config: str, index: int) -> str:
    return base64.b64encode(pickle.dumps(item(name, config, index))).decode()


@lru_cache(maxsize=1_024)
def _problem(name: str, config: str, index: int) -> str:
    """Say why a right answer cannot be scored, "" if it can or none is known."""
    right: Any = gold(name, item(name, config, index))
    if right is None:
        return ""
    try:
        _WORKER.call(name, config, _packed(name, config, index), right)
    except (WorkerTimeout, WorkerCrash, WorkerError) as err:
        return str(err)
    return ""
