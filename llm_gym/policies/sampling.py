"""How a token is drawn: the settings, and a sampler whose rows do not know each other.

Knows logits and seeds; knows nothing of models, prompts' text or batching.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llm_gym.errors import require

if TYPE_CHECKING:
    import torch

__all__ = ["RowKeys", "RowSampler", "Sampling"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are sampled.

    Attributes:
        max_new_tokens: The most tokens of one reply; more is cut ("length").
        temperature: What logits are divided by; 0 takes the likeliest token.
        top_p: Tokens outside the smallest set of this probability are never drawn.
        seed: Where the draws start, a non-negative integer.
    """

    max_new_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.max_new_tokens >= 1, "max_new_tokens", "at least 1", self)
        _check(0 <= self.temperature < float("inf"), "temperature", "0 or more", self)
        _check(0 < self.top_p <= 1, "top_p", "above 0 and at most 1", self)
        _check(self.seed >= 0, "seed", "0 or more", self)


def _check(holds: bool, field: str, expected: str, sampling: Sampling) -> None:
    if not holds:
        value = getattr(sampling, field)
        raise ValueError(f"`{field}` must be {expected}, not {value!r}")


class RowKeys:
    """Gives each prompt the seed of its own noise.

    The seed follows from the policy's seed, the prompt and how often this prompt came
    before: it does not depend on the batch, nor on other prompts' order. Takes about
    100 bytes for each different prompt.

    Args:
        seed: The policy's seed.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._seen: Counter[bytes] = Counter()

    def next(self, ids: Sequence[int]) -> int:
        """Return the seed for the next reply to a prompt, given as its token ids."""
        # Little-endian on every machine, for the same seeds everywhere.
        prompt = _digest(np.asarray(ids, dtype="<i8").tobytes())
        count = self._seen[prompt]
        self._seen[prompt] += 1
        mixed = _digest(f"{self._seed} {count} ".encode() + prompt)
        return int.from_bytes(mixed, "little") >> 1  # 63 bits: torch's seeds are signed


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


class RowSampler:
    """A logits processor that makes greedy decoding draw samples.

    It adds Gumbel noise to each row, from that row's own generator: the likeliest
    token of the sum is a draw from the row's distribution (the Gumbel-max trick,
    Gumbel 1954). Rows do not depend on each other, a rounding error of the logits
    changes a draw about as rarely as it changes a greedy choice, and the global
    generators are left alone.

    Args:
        sampling: The settings; the temperature is above 0.
        seeds: One seed per row.
        device: Where the logits are. Draws differ between kinds of device.
    """

    def __init__(
        self, sampling: Sampling, seeds: Sequence[int], device: torch.device
    ) -> None:
        self._torch = require("torch", extra="transformers")
        self._sampling = sampling
        self._generators = [
            self._torch.Generator(device).manual_seed(seed) for seed in seeds
        ]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the logits `(B, V)` with noise, for `B` rows and `V` tokens."""
        scores = scores / self._sampling.temperature
        if self._sampling.top_p < 1:
            scores = self._nucleus(scores)
        noise = self._torch.empty_like(scores)
        for row, generator in zip(noise, self._generators, strict=True):
            row.uniform_(generator=generator)  # four times as fast as exponential_()
        return scores - noise.log_().neg_().log_()  # of 0 it makes -inf, of 1 nothing

    def _nucleus(self, scores: torch.Tensor) -> torch.Tensor:
        """Rule out all but the smallest set of tokens that holds `top_p`."""
        ordered, order = scores.sort(dim=-1, descending=True)
        shares = ordered.softmax(dim=-1)
        before = shares.cumsum(dim=-1) - shares  # 0 for the first, which stays
        ordered = ordered.masked_fill(before >= self._sampling.top_p, -float("inf"))
        return scores.scatter(-1, order, ordered)
