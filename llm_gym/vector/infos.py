"""Gymnasium's batched `info`, without its losses, and the plain list beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["batch_infos"]

_NUMBERS: tuple[type, ...] = (bool, int, float)


def batch_infos(infos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Batch the `info` of each slot.

    Args:
        infos: One for each slot; an empty one for a slot that took no part.

    Returns:
        For each key an array `(N,)` and under `"_" + key` the mask of the slots that
        have it, dicts within dicts alike. An array holds numbers where all its values
        are of one type, else the objects themselves: nothing is converted. Under
        `"infos"` stands the list itself.
    """
    rows = {slot: info for slot, info in enumerate(infos) if info}
    batched = _columns(rows, len(infos))
    batched["infos"] = list(infos)
    return batched


def _columns(rows: Mapping[int, Mapping[str, Any]], size: int) -> dict[str, Any]:
    columns: dict[str, dict[int, Any]] = {}
    for slot, row in rows.items():
        for key, value in row.items():
            columns.setdefault(key, {})[slot] = value
    batched: dict[str, Any] = {}
    for key, values in columns.items():
        if f"_{key}" not in columns:  # else that is its mask's place: the list has it
            batched[key] = _column(values, size)
            batched[f"_{key}"] = _mask(values, size)
    return batched


def _column(values: Mapping[int, Any], size: int) -> Any:
    types = set(map(type, values.values()))
    kind = types.pop()
    if not types and kind is dict:
        return _columns(values, size)
    if not types and (kind in _NUMBERS or issubclass(kind, np.number)):
        numbers: np.ndarray[Any, Any] = np.zeros(size, dtype=kind)
        try:
            numbers[list(values)] = list(values.values())
        except OverflowError:  # an int that needs more than 64 bits
            pass
        else:
            return numbers
    objects = np.full(size, None, dtype=object)
    for slot, value in values.items():
        objects[slot] = value
    return objects


def _mask(slots: Mapping[int, Any], size: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    mask = np.zeros(size, dtype=np.bool_)
    mask[list(slots)] = True
    return mask
