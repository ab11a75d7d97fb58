"""Chooses how a model is decoded: in slots where its cache allows, else in batches.

The choice is made when the first row comes, by trying the model out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_gym.policies.decoding.generate import GenerateEngine
from llm_gym.policies.decoding.model import (
    DecodeCall,
    DecodeSettings,
    EvalMode,
    Sampled,
    takes_slots,
)
from llm_gym.policies.decoding.slots import SlotEngine

__all__ = ["AnyEngine"]


class AnyEngine:
    """The engine that suits a model; see `llm_gym.policies.gather.Engine`.

    Args:
        model: A causal language model of transformers.
        settings: How rows are decoded.
    """

    def __init__(self, model: Any, settings: DecodeSettings) -> None:
        self._model = model
        self._settings = settings
        self._chosen: SlotEngine | GenerateEngine | None = None

    @property
    def continuous(self) -> bool | None:
        """Whether rows join and leave at every step; None before the first row."""
        return None if self._chosen is None else isinstance(self._chosen, SlotEngine)

    def room(self, waiting: int) -> int:
        """Return how many more rows it takes now, if so many wait."""
        if self._chosen is None:
            return self._settings.max_batch_size
        return self._chosen.room(waiting)

    def admit(self, calls: Sequence[DecodeCall]) -> None:
        """Take rows."""
        if self._chosen is None:
            self._chosen = self._choose()
        self._chosen.admit(calls)

    def step(self) -> list[tuple[DecodeCall, Sampled]]:
        """Work for a moment and return the rows that ended."""
        return [] if self._chosen is None else self._chosen.step()

    def idle(self) -> bool:
        """Whether no row is under way."""
        return self._chosen is None or self._chosen.idle()

    def clear(self) -> list[DecodeCall]:
        """Give up all rows."""
        return [] if self._chosen is None else self._chosen.clear()

    def forget(self) -> None:
        """Forget what the weights of before have computed."""
        if self._chosen is not None:
            self._chosen.forget()

    def _choose(self) -> SlotEngine | GenerateEngine:
        mode = EvalMode(self._model)
        mode.enter()
        try:
            suits = takes_slots(self._model)
        finally:
            mode.leave()
        kind = SlotEngine if suits else GenerateEngine
        return kind(self._model, self._settings)
