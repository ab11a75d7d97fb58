"""Keys and values of rows that come and go: one slot for each, without padding.

A row's tokens stand in its slot from column 0 on, so a row may be of any length, and
what stands behind its end is masked. New tokens are written in place, where the usual
cache of transformers copies all that it holds at each step. Knows transformers'
interface of a cache; knows no tokens and no sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_gym.errors import require

if TYPE_CHECKING:
    import torch

__all__ = ["SlotCache", "StoredRow", "has_plain_cache"]

# Columns are added by whole blocks, or by a quarter where that is more, so that rows
# that grow are rarely copied.
_COLUMNS = 64


@dataclass(frozen=True, slots=True)
class StoredRow:
    """The keys and values of one row, out of its slot.

    Attributes:
        layers: For each layer the keys and the values, `(H, T, D)` each, for `H` heads,
            `T` tokens and heads of size `D`.
    """

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]


@dataclass(slots=True)
class _Place:
    """Where the tokens of one forward pass go, and what it sees.

    Attributes:
        first: The first slot.
        last: One past the last slot.
        width: How many columns are seen.
        columns: The column of each token, `(B, T)`.
        slots: The slot of each row, `(B, 1)`.
    """

    first: int
    last: int
    width: int
    columns: torch.Tensor
    slots: torch.Tensor


class _SlotLayer:
    """One layer's keys and values, in the form that `transformers.Cache` drives."""

    is_compileable = False
    is_croppable = False
    is_sliding = False

    def __init__(self, owner: SlotCache) -> None:
        self._owner = owner
        self.keys: Any = None
        self.values: Any = None

    @property
    def is_initialized(self) -> bool:
        return self.keys is not None

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new keys and values `(B, H, T, D)`, return all that is seen."""
        place = self._owner.place
        if self.keys is None:
            slots, columns = self._owner.size
            self.keys = keys.new_zeros(slots, keys.shape[1], columns, keys.shape[3])
            self.values = values.new_zeros(
                slots, values.shape[1], columns, values.shape[3]
            )
        seen = []
        for held, new in ((self.keys, keys), (self.values, values)):
            held.transpose(1, 2)[place.slots, place.columns] = new.transpose(1, 2)
            seen.append(held[place.first : place.last, :, : place.width])
        return seen[0], seen[1]

    def get_seq_length(self) -> int:
        return self._owner.place.width

    def get_mask_sizes(self, *_: object) -> tuple[int, int]:
        return self._owner.place.width, 0

    def get_max_cache_shape(self) -> int:
        return -1

    def get_max_length(self) -> int:
        return -1

    def grow(self, slots: int, columns: int) -> None:
        """Enlarge what is held; zeros, as anything that is no number would spread."""
        if self.keys is None:
            return
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros(slots, old.shape[1], columns, old.shape[3])
            new[: old.shape[0], :, : old.shape[2]] = old
            setattr(self, name, new)


class SlotCache:
    """The keys and values of up to `limit` rows, for all layers of a model.

    Args:
        model: A causal language model for which `has_plain_cache` holds.
        limit: The most rows.

    Attributes:
        cache: What the model is given as `past_key_values`.
        size: The slots and the columns that there is memory for.
        place: Where the present forward pass writes; set by `aim`.
    """

    def __init__(self, model: Any, limit: int) -> None:
        self._torch = require("torch", extra="transformers")
        transformers = require("transformers", extra="transformers")
        self._limit = limit
        self._device = model.device
        transformers.cache_utils.CacheLayerMixin.register(_SlotLayer)
        self._layers = [_SlotLayer(self) for _ in _own_layers(model)]
        self.cache = transformers.Cache(layers=list(self._layers))
        self.size = (0, 0)
        self.place = _Place(0, 0, 0, self._torch.empty(0), self._torch.empty(0))

    def reserve(self, slots: int, columns: int) -> None:
        """See to it that there is memory for so many slots and columns."""
        has_slots, has_columns = self.size
        if slots <= has_slots and columns <= has_columns:
            return
        if slots > has_slots:
            slots = min(self._limit, max(slots, 2 * has_slots))
        if columns > has_columns:
            columns = max(columns, has_columns * 5 // 4)
            columns = -(-columns // _COLUMNS) * _COLUMNS
        self.size = (max(slots, has_slots), max(columns, has_columns))
        for layer in self._layers:
            layer.grow(*self.size)

    def aim(
        self, first: int, starts: Sequence[int], lengths: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Choose where the next forward pass writes: a row a slot, from `first` on.

        Args:
            first: The first row's slot.
            starts: How many tokens each row has already.
            lengths: How many each gets; the longest sets the width of the pass, whose
                surplus tokens write behind their row's end.

        Returns:
            The place of each token in its row, `(B, T)`, and what each may look at,
            `(B, 1, T, W)` of bool.
        """
        torch, device = self._torch, self._device
        tokens = max(lengths)
        self.reserve(first + len(starts), max(starts) + tokens)
        columns = torch.tensor(starts, device=device)[:, None] + torch.arange(
            tokens, device=device
        )
        ends = (start + length for start, length in zip(starts, lengths, strict=True))
        width = max(ends)
        last = first + len(starts)
        slots = torch.arange(first, last, device=device)[:, None]
        self.place = _Place(first, last, width, columns, slots)
        seen = torch.arange(width, device=device) <= columns[:, :, None]
        return columns, seen[:, None]

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copy the first tokens of one slot into another."""
        self.reserve(target + 1, tokens)
        for layer in self._layers:
            for held in (layer.keys, layer.values):
                held[target, :, :tokens] = held[source, :, :tokens]

    def take(self, slot: int, tokens: int) -> StoredRow:
        """Return a copy of a slot's first tokens."""
        layers = (
            (x.keys[slot, :, :tokens].clone(), x.values[slot, :, :tokens].clone())
            for x in self._layers
        )
        return StoredRow(tuple(layers))

    def put(self, row: StoredRow, slot: int, tokens: int) -> None:
        """Write the first tokens of a stored row into a slot."""
        self.reserve(slot + 1, tokens)
        for layer, (keys, values) in zip(self._layers, row.layers, strict=True):
            if layer.keys is None:
                shape = (self.size[0], keys.shape[0], self.size[1], keys.shape[2])
                layer.keys = keys.new_zeros(shape)
                layer.values = values.new_zeros((*shape[:3], values.shape[2]))
            layer.keys[slot, :, :tokens] = keys[:, :tokens]
            layer.values[slot, :, :tokens] = values[:, :tokens]


def has_plain_cache(model: Any) -> bool:
    """Whether each layer keeps the keys and values of all tokens and nothing else.

    Windows count columns, recurrent states read padding, and other kernels of attention
    take no mask of our own.
    """
    config = model.config.get_text_config()
    if model.config.is_encoder_decoder:
        return False
    if getattr(config, "_attn_implementation", None) not in {"eager", "sdpa"}:
        return False
    if getattr(model.generation_config, "cache_implementation", None) is not None:
        return False
    layers = _own_layers(model)
    # No layer, where a release makes them lazily, tells nothing.
    return bool(layers) and all(type(x).__name__ == "DynamicLayer" for x in layers)


def _own_layers(model: Any) -> list[Any]:
    """Return the layers of the cache that the model would make for itself."""
    transformers = require("transformers", extra="transformers")
    config = model.config.get_text_config()
    layers: list[Any] = transformers.DynamicCache(config=config).layers
    return layers
