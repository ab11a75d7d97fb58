"""What both ways of decoding share: rows, and how a model is put to work and to rest.

Knows models of transformers; knows no chats.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from llm_gym.errors import require
from llm_gym.policies.decoding.cache import SlotCache, has_plain_cache
from llm_gym.policies.gather import Call
from llm_gym.policies.sampling import Sampling

__all__ = [
    "DecodeCall",
    "DecodeSettings",
    "EvalMode",
    "Row",
    "Sampled",
    "forward",
    "takes_slots",
]


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt that is to be answered.

    Attributes:
        ids: The prompt's tokens.
        room: The most tokens that may follow.
        seed: Where its draws start.
    """

    ids: list[int]
    room: int
    seed: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """What was sampled after a prompt.

    Attributes:
        ids: The tokens, with the one that ended them.
        logprobs: The log-probability of each, in the model's own distribution.
    """

    ids: list[int]
    logprobs: list[float]


DecodeCall: TypeAlias = Call[Row, Sampled]


@dataclass(frozen=True, slots=True)
class DecodeSettings:
    """How rows are decoded.

    Attributes:
        sampling: The settings of sampling.
        stop_ids: The tokens that end a row; the set may change between calls.
        pad_id: What fills short rows.
        context: The most tokens that the model reads.
        max_batch_size: The most rows at once.
        reuse_tokens: The most tokens of finished rows that are kept for later prompts.
    """

    sampling: Sampling
    stop_ids: set[int]
    pad_id: int
    context: int
    max_batch_size: int
    reuse_tokens: int


class EvalMode:
    """Puts a model into evaluation mode, and back into training if it came from there.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._was_training = False

    def enter(self) -> None:
        """Switch dropout and the like off."""
        if self._model.training:
            self._was_training = True
            self._model.eval()

    def leave(self) -> None:
        """Restore what `enter` found."""
        if self._was_training:
            self._was_training = False
            self._model.train()


def forward(
    model: Any,
    slots: SlotCache,
    tokens: Sequence[Sequence[int]],
    starts: Sequence[int],
    *,
    first: int,
    context: int,
) -> Any:
    """Let a model read tokens into slots.

    Args:
        model: The model.
        slots: The keys and values of its rows.
        tokens: What each row reads next; short ones are filled up.
        starts: How many tokens each row has already.
        first: The first row's slot.
        context: The most tokens that the model reads.

    Returns:
        The logits of the pass's last column, `(B, V)`.
    """
    torch = require("torch", extra="transformers")
    lengths = [len(row) for row in tokens]
    columns, seen = slots.aim(first, starts, lengths)
    if model.config.get_text_config()._attn_implementation == "eager":
        barred = torch.finfo(model.dtype).min
        seen = torch.where(seen, 0.0, barred).to(model.dtype)
    width = max(lengths)
    padded = [[*row, *[0] * (width - len(row))] for row in tokens]
    with torch.no_grad():
        output = model(
            input_ids=torch.tensor(padded, device=model.device),
            attention_mask=seen,
            position_ids=columns.clamp(max=context - 1),  # what fills rows goes beyond
            past_key_values=slots.cache,
            use_cache=True,
            **_last_logits_only(model),
        )
    return output.logits[:, -1]


def _last_logits_only(model: Any) -> dict[str, int]:
    """Ask for the last column's logits, where the model can be asked."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = inspect.signature(inner.forward).parameters
    return {"logits_to_keep": 1} if "logits_to_keep" in known else {}


def takes_slots(model: Any) -> bool:
    """Whether rows in slots give what the model gives by itself; it is tried out.

    Two short rows are read in two passes and compared with each row read alone.
    """
    if not has_plain_cache(model):
        return False
    torch = require("torch", extra="transformers")
    vocabulary = model.config.get_text_config().vocab_size
    rows = [[i % vocabulary for i in row] for row in ([5, 7, 11, 13, 17], [19, 23])]
    slots = SlotCache(model, len(rows))
    try:
        forward(model, slots, [row[:-1] for row in rows], [0, 0], first=0, context=8)
        starts = [len(row) - 1 for row in rows]
        ends = [row[-1:] for row in rows]
        got = forward(model, slots, ends, starts, first=0, context=8)
    except Exception:  # noqa: BLE001  a model may refuse this in any way
        return False
    with torch.no_grad():
        alone = [model(torch.tensor([r], device=model.device)).logits for r in rows]
    expected = torch.stack([logits[0, -1] for logits in alone]).float()
    # Rounding is far below this, a wrong position or a wrong mask far above.
    return bool((got.float() - expected).abs().mean() < 0.05 * expected.std())
