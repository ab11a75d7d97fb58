"""The space of any text, for observations and actions that are plain strings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gymnasium import spaces

__all__ = ["TextSpace"]


class TextSpace(spaces.Space[str]):
    """Any `str`; its samples are those of another space, written as texts.

    Gymnasium's own `Text` knows a fixed set of characters and a greatest length, and
    is copied wrongly through shared memory.

    Args:
        inner: The space whose samples are written.
        write: Writes one of them.
    """

    def __init__(self, inner: spaces.Space[Any], write: Callable[[Any], str]) -> None:
        self.inner = inner
        self.write = write
        super().__init__(None, None, None)

    @property
    def is_np_flattenable(self) -> bool:
        """Whether numpy can hold it: no."""
        return False

    def seed(self, seed: int | None = None) -> Any:
        """Seed `sample`."""
        return self.inner.seed(seed)

    def contains(self, x: Any) -> bool:
        """Say whether `x` is a text."""
        return isinstance(x, str)

    def sample(self, mask: None = None, probability: None = None) -> str:
        """Return a text that the other space's sample makes."""
        return self.write(self.inner.sample())

    def to_jsonable(self, sample_n: Iterable[str]) -> list[Any]:
        """Return samples as plain data, which they are."""
        return list(sample_n)

    def from_jsonable(self, sample_n: list[Any]) -> list[str]:
        """Return samples from plain data."""
        return list(sample_n)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TextSpace)
            and other.inner == self.inner
            and other.write == self.write
        )

    def __repr__(self) -> str:
        return f"TextSpace({self.inner!r})"
