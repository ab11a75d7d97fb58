"""A module of `llmgym/CodeRepair-v0`'s repositories, and what can be wrong in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Module", "Rng", "ints", "size"]

Rng = np.random.Generator
Arguments = Callable[[Rng], list[Any]]


@dataclass(frozen=True, slots=True)
class Module:
    """A module.

    Attributes:
        name: Its name.
        source: Its right code; `<A>` and `<B>` are constants, `<package>` the package.
        functions: For each function that is tested, what makes its arguments.
        bugs: Pairs of a text and what stands there instead.
        needs: The module that it imports, "" for none.
    """

    name: str
    source: str
    functions: tuple[tuple[str, Arguments], ...]
    bugs: tuple[tuple[str, str], ...]
    needs: str = ""


def ints(rng: Rng, low: int, high: int, size: int) -> list[int]:
    """Return random numbers from `low` to `high`."""
    return [int(x) for x in rng.integers(low, high + 1, size)]


def size(rng: Rng, most: int) -> int:
    """Return a random size from 0 to `most`."""
    return int(rng.integers(0, most + 1))
