"""Continuous batching over a model's forward pass: rows join and leave at every step.

A row that is admitted has its prompt read, but for the last token; that one is read
with the running rows' last tokens, in the step that samples. A row that ends leaves
its slot to another. Rows know nothing of each other. Knows tokens; knows no chats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from llm_gym.policies.decoding.cache import SlotCache
from llm_gym.policies.decoding.model import (
    DecodeCall,
    DecodeSettings,
    EvalMode,
    Sampled,
    forward,
)
from llm_gym.policies.decoding.prefill import (
    LEAST_SHARED,
    as_ids,
    buckets,
    common_length,
    split_round,
)
from llm_gym.policies.decoding.reuse import ReuseStore
from llm_gym.policies.decoding.weights import fingerprint
from llm_gym.policies.sampling import RowSampler

__all__ = ["SlotEngine"]

# The most tokens, with padding, of one pass over prompts: bounds its memory.
_PASS_TOKENS = 4096
# New rows wait until there is more than one for so many rows under way, or so many
# steps have passed.
_GROUP = 8
_PATIENCE = 8


class _Running:
    """A row under way.

    Attributes:
        call: Who waits for it.
        prompt: The prompt.
        ids: The prompt, then what was sampled.
        read: How many of them the model has read: its keys and values are in the slot.
        logprobs: One for each sampled token.
    """

    __slots__ = ("call", "ids", "logprobs", "prompt", "read")

    def __init__(self, call: DecodeCall) -> None:
        self.call = call
        self.prompt = as_ids(call.item.ids)
        self.ids = list(call.item.ids)
        self.read = 0
        self.logprobs: list[float] = []

    @property
    def unread(self) -> int:
        """How many tokens are to be read before the last."""
        return len(self.ids) - 1 - self.read

    def sampled(self) -> Sampled:
        return Sampled(self.ids[len(self.prompt) :], self.logprobs)


class SlotEngine:
    """Decodes rows in slots; see `llm_gym.policies.gather.Engine`.

    Args:
        model: A model for which `takes_slots` holds.
        settings: How rows are decoded.
    """

    def __init__(self, model: Any, settings: DecodeSettings) -> None:
        self._model = model
        self._settings = settings
        self._mode = EvalMode(model)
        self._rows: list[_Running] = []  # a row's index is its slot
        self._store = ReuseStore(settings.reuse_tokens)
        self._weights: object = None
        self._patience = _PATIENCE
        self._rest()

    def room(self, waiting: int) -> int:
        """Return how many more rows there are slots for.

        Reading one prompt costs nearly what reading several does, so few new rows wait
        a few steps for others if many are under way.
        """
        free = self._settings.max_batch_size - len(self._rows)
        ready = min(waiting, free)
        if ready and self._patience and ready <= len(self._rows) // _GROUP:
            self._patience -= 1
            return 0
        self._patience = _PATIENCE
        return free

    def idle(self) -> bool:
        """Whether no row is under way."""
        return not self._rows

    def admit(self, calls: Sequence[DecodeCall]) -> None:
        """Read the prompts of new rows."""
        if not self._rows:
            self._start()
        waiting = sorted(map(_Running, calls), key=lambda row: row.ids)
        while waiting:
            known = [max(length for length, _ in self._sources(r)) for r in waiting]
            now = split_round([row.prompt for row in waiting], known)
            chosen = zip(waiting, known, now, strict=True)
            unread = [(r, len(r.prompt) - length) for r, length, yes in chosen if yes]
            for group in buckets(unread, lambda pair: pair[1], _PASS_TOKENS):
                self._open([row for row, _ in group])
            waiting = [r for r, yes in zip(waiting, now, strict=True) if not yes]

    def step(self) -> list[tuple[DecodeCall, Sampled]]:
        """Sample one token for each row, and let those that ended leave."""
        self._leave([i for i, row in enumerate(self._rows) if row.call.abandoned])
        ended: list[int] = []
        if self._rows:
            self._sample()
            ended = [i for i, row in enumerate(self._rows) if self._has_ended(row)]
        answers = [(self._rows[i].call, self._rows[i].sampled()) for i in ended]
        for i in ended:
            self._keep(i)
        self._leave(ended)
        if not self._rows:
            self._rest()
        return answers

    def clear(self) -> list[DecodeCall]:
        """Give up all rows, and what is kept of earlier ones."""
        calls = [row.call for row in self._rows]
        self.forget()
        self._rest()
        return calls

    def forget(self) -> None:
        """Forget the keys and values of finished rows: the weights have changed."""
        self._store.clear()

    def _start(self) -> None:
        """Put the model to work; forget what other weights have computed."""
        self._mode.enter()
        if len(self._store):
            weights = fingerprint(self._model)
            if weights != self._weights:
                self.forget()

    def _rest(self) -> None:
        """Free the slots, for whoever uses the machine between batches."""
        if len(self._store):
            self._weights = fingerprint(self._model)
        self._rows = []
        self._slots = SlotCache(self._model, self._settings.max_batch_size)
        self._sampler = RowSampler(self._settings.sampling, self._model.device)
        self._mode.leave()

    def _sources(self, row: _Running) -> list[tuple[int, int | None]]:
        """Return what has read how much of a prompt: a slot, or the store (None)."""
        wanted = row.prompt[:-1]
        lengths = [common_length(wanted, r.prompt[: r.read]) for r in self._rows]
        best = max(lengths, default=0)
        slot = lengths.index(best) if best else 0
        sources = [(best, slot), (self._store.longest(wanted), None)]
        return [(0, 0), *(pair for pair in sources if pair[0] >= LEAST_SHARED)]

    def _open(self, rows: Sequence[_Running]) -> None:
        """Give rows a slot each, and read their prompts into them."""
        first = len(self._rows)
        for slot, row in enumerate(rows, first):
            row.read, source = max(self._sources(row), key=lambda pair: pair[0])
            if source is None:
                stored = self._store.take(row.prompt[:-1])
                self._slots.put(stored, slot, row.read)
            elif row.read:
                self._slots.copy(source, slot, row.read)
            self._rows.append(row)
        self._sampler.add([row.call.item.seed for row in rows])
        self._read(first)

    def _read(self, first: int) -> None:
        """Read the prompts of the rows from a slot on, but for their last tokens."""
        rows = self._rows[first:]
        width = max(1, _PASS_TOKENS // len(rows))
        while any(row.unread for row in rows):
            ends = [row.read + min(row.unread, width) for row in rows]
            tokens = [
                row.ids[row.read : end] for row, end in zip(rows, ends, strict=True)
            ]
            self._forward(tokens, rows, first)
            for row, end in zip(rows, ends, strict=True):
                row.read = end

    def _forward(
        self, tokens: Sequence[Sequence[int]], rows: Sequence[_Running], first: int
    ) -> Any:
        starts = [row.read for row in rows]
        context = self._settings.context
        return forward(
            self._model, self._slots, tokens, starts, first=first, context=context
        )

    def _sample(self) -> None:
        """Read each row's last token and draw the next."""
        last = [row.ids[-1:] for row in self._rows]
        logits = self._forward(last, self._rows, 0)
        tokens, logprobs = self._sampler.draw(logits)
        drawn = zip(self._rows, tokens.tolist(), logprobs.tolist(), strict=True)
        for row, token, logprob in drawn:
            if math.isnan(logprob):
                raise ArithmeticError("the model's logits are no numbers")
            row.read += 1
            row.ids.append(token)
            row.logprobs.append(logprob)

    def _has_ended(self, row: _Running) -> bool:
        stopped = row.ids[-1] in self._settings.stop_ids
        return stopped or len(row.logprobs) == row.call.item.room

    def _keep(self, slot: int) -> None:
        """Keep what was computed for a row, for prompts that go on from it."""
        row = self._rows[slot]
        if self._store.takes(row.read):
            self._store.add(row.ids[: row.read], self._slots.take(slot, row.read))

    def _leave(self, slots: Sequence[int]) -> None:
        """Close slots; the last rows move into the gaps."""
        if not slots:
            return
        order = list(range(len(self._rows)))
        for slot in reversed(slots):
            mover = order.pop()
            if slot < len(order):
                self._slots.copy(len(order), slot, self._rows[mover].read)
                order[slot] = mover
        self._rows = [self._rows[i] for i in order]
        self._sampler.keep(order)
