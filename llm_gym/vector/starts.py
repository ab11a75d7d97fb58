"""Reading what a vector environment's `reset` is given: seeds, tasks, masks."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from llm_gym.tasks import Task

__all__ = ["Seeds", "Start", "per_slot", "read_mask", "read_seeds", "read_starts"]

Seeds: TypeAlias = int | Sequence[int | None] | None
_OWN_OPTIONS = frozenset({"tasks", "task_ids", "envs", "reset_mask"})


@dataclass(frozen=True, slots=True)
class Start:
    """How one slot is to begin an episode.

    Attributes:
        slot: Its number.
        seed: For its environment, None to go on with the generator that it has.
        task: A task or an id, None to have one drawn.
        env: The environment of a mixture, by name or number; None to have one drawn.
    """

    slot: int
    seed: int | None
    task: Task | str | None
    env: Any


def read_starts(
    size: int, seed: Seeds, options: Mapping[str, Any] | None
) -> tuple[list[Start], dict[str, Any]]:
    """Read the arguments of `ChatVectorEnv.reset`.

    Args:
        size: The number of slots.
        seed: See there.
        options: See there.

    Returns:
        How each slot that is to be reset begins, and the options for all of them.

    Raises:
        TypeError: Something is of another type than it should be.
        ValueError: Something is not of one value for each slot.
    """
    options = dict(options or {})
    shared = {key: options[key] for key in options.keys() - _OWN_OPTIONS}
    tasks = _read_tasks(size, options)
    both = shared.keys() & {"task", "task_id"}
    if both and any(task is not None for task in tasks):
        raise ValueError("`options` must hold one task for all slots or one for each")
    seeds = read_seeds(size, seed)
    envs = per_slot("envs", options.get("envs"), size)
    mask = read_mask(options.get("reset_mask"), size)
    starts = [
        Start(slot, seeds[slot], tasks[slot], envs[slot])
        for slot in np.flatnonzero(mask).tolist()
    ]
    return starts, shared


def read_seeds(size: int, seed: Seeds) -> list[int | None]:
    """Return a seed for each slot.

    Args:
        size: The number of slots.
        seed: One for each; or one number, which the first gets, the second one more,
            and so on.

    Raises:
        TypeError: A seed is no whole number.
        ValueError: There are more or fewer than slots, or one is negative.
    """
    if seed is None:
        return [None] * size
    if isinstance(seed, Sequence | np.ndarray):
        given = per_slot("seed", seed, size)
        seeds = [None if one is None else operator.index(one) for one in given]
    else:
        first = operator.index(seed)
        seeds = [first + slot for slot in range(size)]
    negative = [one for one in seeds if one is not None and one < 0]
    if negative:
        raise ValueError(f"a seed must not be negative, came {negative[0]}")
    return seeds


def read_mask(mask: Any, size: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which slots are to be reset, all where `mask` is None.

    Raises:
        TypeError: It is no array of bools.
        ValueError: It has another shape, or no slot in it.
    """
    if mask is None:
        return np.ones(size, dtype=np.bool_)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(
            f"`options['reset_mask']` must be an array of np.bool_, not {mask!r}"
        )
    if mask.shape != (size,) or not mask.any():
        raise ValueError(
            f"`options['reset_mask']` must have the shape ({size},) and a True in it, "
            f"not {mask!r}"
        )
    return mask


def per_slot(name: str, values: Any, size: int) -> list[Any]:
    """Return one value for each slot, None for each where `values` is None.

    Raises:
        TypeError: It is no sequence.
        ValueError: It is of another length.
    """
    if values is None:
        return [None] * size
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
        raise TypeError(
            f"`{name}` must be a sequence of one for each slot, not {values!r}"
        )
    if len(values) != size:
        raise ValueError(
            f"`{name}` must hold one for each of {size} slots, came {len(values)}"
        )
    return list(values)


def _read_tasks(size: int, options: Mapping[str, Any]) -> list[Any]:
    if "tasks" in options and "task_ids" in options:
        raise ValueError("`options` must hold `tasks` or `task_ids`, not both")
    name = "task_ids" if "task_ids" in options else "tasks"
    if options.get(name) is None:
        return [None] * size
    tasks = per_slot(name, options[name], size)
    for task in tasks:
        if not isinstance(task, (Task, str, type(None))):
            raise TypeError(f"`{name}` must hold tasks, ids or None, not {task!r}")
    return tasks
