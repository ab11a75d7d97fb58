"""How a token is drawn: the settings, and a sampler whose rows do not know each other.

Knows logits and seeds; knows nothing of models, prompts' text or batching.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from llm_gym.errors import require

if TYPE_CHECKING:
    import torch

__all__ = ["RowKeys", "RowSampler", "Sampling"]

# How many of the likeliest tokens are looked at first for `top_p`.
_SHORTLIST = 512


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are sampled.

    Attributes:
        max_new_tokens: The most tokens of one reply; more is cut ("length").
        temperature: What logits are divided by; 0 takes the likeliest token.
        top_p: Tokens outside the smallest set of this probability are never drawn.
        seed: Where the draws start, a non-negative integer.
        top_k: Only so many of the likeliest tokens are drawn; 0 for all.
        min_p: Tokens less likely than this share of the likeliest are never drawn.
        stop: Texts that end a reply and are not part of it.
        presence_penalty: Taken from the logits of tokens that the reply holds already.
        frequency_penalty: The same, times how often it holds them.

    No engine can do them all; one that cannot raises rather than drop a setting.

    Raises:
        ValueError: A setting is out of range.
    """

    max_new_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    top_k: int = 0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    def __post_init__(self) -> None:
        _check(self.max_new_tokens >= 1, "max_new_tokens", "at least 1", self)
        _check(0 <= self.temperature < float("inf"), "temperature", "0 or more", self)
        _check(0 < self.top_p <= 1, "top_p", "above 0 and at most 1", self)
        _check(self.seed >= 0, "seed", "0 or more", self)
        _check(self.top_k >= 0, "top_k", "0 or more", self)
        _check(0 <= self.min_p < 1, "min_p", "0 or more and below 1", self)
        texts = isinstance(self.stop, tuple) and all(
            isinstance(text, str) and text for text in self.stop
        )
        _check(texts, "stop", "a tuple of texts", self)
        for name in ("presence_penalty", "frequency_penalty"):
            _check(-2 <= getattr(self, name) <= 2, name, "between -2 and 2", self)

    def require_only(self, *names: str, engine: str) -> None:
        """Refuse settings that an engine cannot do.

        Args:
            names: The fields that it can.
            engine: What the error calls it.

        Raises:
            ValueError: Another field differs from its default.
        """
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.name not in names and value != setting.default:
                raise ValueError(
                    f"{engine} cannot do `{setting.name}`={value!r} of `Sampling`, "
                    f"which must be {setting.default!r}"
                )


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
    """Draws a token for each row, from that row's own generator.

    It adds Gumbel noise to each row: the likeliest token of the sum is a draw from the
    row's distribution (the Gumbel-max trick, Gumbel 1954). Rows do not depend on each
    other, a rounding error of the logits changes a draw about as rarely as it changes a
    greedy choice, and the global generators are left alone.

    Temperature comes first, then `min_p`, then `top_k`, then `top_p`, each on what the
    one before has left.

    Args:
        sampling: The settings; at temperature 0 the likeliest token is taken.
        device: Where the logits are. Draws differ between kinds of device.
        seeds: One seed for each row.
    """

    def __init__(
        self, sampling: Sampling, device: torch.device, seeds: Sequence[int] = ()
    ) -> None:
        self._torch = require("torch", extra="transformers")
        self._sampling = sampling
        self._device = device
        self._generators: list[torch.Generator] = []
        self.add(seeds)

    def add(self, seeds: Sequence[int]) -> None:
        """Append rows."""
        generators = map(self._torch.Generator, [self._device] * len(seeds))
        self._generators += [
            generator.manual_seed(seed)
            for generator, seed in zip(generators, seeds, strict=True)
        ]

    def keep(self, rows: Sequence[int]) -> None:
        """Keep the given rows, in the given order, and no other."""
        self._generators = [self._generators[row] for row in rows]

    def draw(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a token for each row.

        Args:
            logits: What the model gives out, `(B, V)`, for `B` rows and `V` tokens.

        Returns:
            The tokens, `(B,)`, and their log-probabilities, `(B,)`, in the model's own
            distribution: at temperature 1, with nothing ruled out.
        """
        logits = logits.float()
        tokens = self._scores(logits).argmax(dim=-1)
        chosen = logits.gather(-1, tokens[:, None])[:, 0]
        return tokens, chosen - logits.logsumexp(dim=-1)

    def _scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits with noise; the largest of a row is its draw."""
        sampling = self._sampling
        if sampling.temperature == 0:
            return logits
        scores = logits / sampling.temperature
        if sampling.min_p > 0:
            least = scores.amax(dim=-1, keepdim=True) + math.log(sampling.min_p)
            scores = scores.masked_fill(scores < least, -math.inf)
        if sampling.top_k > 0:
            most = min(sampling.top_k, scores.shape[-1])
            likeliest = scores.topk(most, dim=-1)
            scores = self._only(scores, likeliest.indices, likeliest.values)
        if sampling.top_p < 1:
            scores = self._nucleus(scores)
        noise = self._torch.empty_like(scores)
        for row, generator in zip(noise, self._generators, strict=True):
            row.uniform_(generator=generator)  # four times as fast as exponential_()
        return scores - noise.log_().neg_().log_()  # of 0 it makes -inf, of 1 nothing

    def _nucleus(self, scores: torch.Tensor) -> torch.Tensor:
        """Rule out all but the smallest set of tokens that holds `top_p`."""
        top_p = self._sampling.top_p
        total = scores.logsumexp(dim=-1, keepdim=True)
        for most in (_SHORTLIST, scores.shape[-1]):  # sorting all of them takes long
            ordered, order = scores.topk(min(most, scores.shape[-1]), dim=-1)
            shares = (ordered - total).exp()
            before = shares.cumsum(dim=-1) - shares  # 0 for the first, which stays
            if bool((before[:, -1] >= top_p).all()):
                break
        ordered = ordered.masked_fill(before >= top_p, -math.inf)
        return self._only(scores, order, ordered)

    def _only(
        self, scores: torch.Tensor, tokens: torch.Tensor, kept: torch.Tensor
    ) -> torch.Tensor:
        """Return the kept scores of some tokens, and minus infinity for all others."""
        barred = self._torch.full_like(scores, -math.inf)
        return barred.scatter(-1, tokens, kept)
