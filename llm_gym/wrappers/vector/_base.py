"""What the wrappers of vector environments share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

from llm_gym.vector import ChatVectorEnv
from llm_gym.vector.starts import Seeds

__all__ = ["ChatVectorWrapper", "SlotSeeds"]

Wrapper = VectorWrapper[
    tuple[Any, ...],
    Sequence[Any],
    tuple[Any, ...],
    Sequence[Any],
    np.ndarray[Any, np.dtype[Any]],
]


class ChatVectorWrapper(Wrapper):
    """A wrapper around a `ChatVectorEnv`, perhaps with others between.

    Args:
        envs: The vector environment.

    Raises:
        TypeError: There is no `ChatVectorEnv` within it.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(envs)
        inner = envs.unwrapped
        if not isinstance(inner, ChatVectorEnv):
            raise TypeError(
                f"`{type(self).__name__}` wraps a ChatVectorEnv, as `gym.make_vec` of "
                f"an id of ours makes it without a `vectorization_mode`, not {inner!r}"
            )
        self.chat_envs = inner

    @property
    def active(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which slots' episodes run, `(N,)`."""
        return self.chat_envs.active

    @property
    def infos(self) -> list[dict[str, Any]]:
        """For each slot the `info` of its last reset or turn."""
        return self.chat_envs.infos


class SlotSeeds:
    """Gives a seed to each slot that was given none, always the same after a seed."""

    def __init__(self) -> None:
        self._random: np.random.Generator | None = None

    def fill(self, seeds: Sequence[int | None], given: Seeds) -> list[int]:
        """Return seeds of which none is None.

        Args:
            seeds: What is to be filled.
            given: What `reset` was given: if anything, drawing starts from there.
        """
        known = [seed for seed in seeds if seed is not None]
        if self._random is None or (given is not None and known):
            self._random = np.random.default_rng(known or None)
        draw = self._random.integers
        return [int(draw(2**31)) if seed is None else seed for seed in seeds]
