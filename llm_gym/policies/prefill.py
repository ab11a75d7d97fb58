"""Laying prompts out as one batch, and reading what they share only once.

Episodes of one environment begin with the same system prompt and tools, rollouts of
one task with the same prompt: their keys and values are computed for one row and
repeated. Knows token ids and the cache of transformers; samples nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from llm_gym.errors import require

__all__ = ["batch_inputs", "shared_length"]

# Below this many tokens a separate pass for the shared part costs more than it saves.
_LEAST_SHARED = 32


def batch_inputs(model: Any, prompts: Sequence[list[int]], pad: int) -> dict[str, Any]:
    """Return the inputs of `generate` for a batch of prompts.

    Args:
        model: A causal language model of transformers.
        prompts: The token ids of each row, none empty.
        pad: The id that fills short rows; it is masked.

    Returns:
        `input_ids` and `attention_mask`, both `(B, T)` with `T` the longest prompt's
        length, and `past_key_values` where the rows share enough: they hold the shared
        part, and padding stands after it instead of at the left.
    """
    torch = require("torch", extra="transformers")
    shared = shared_length(prompts) if _can_share(model) else 0
    if shared < _LEAST_SHARED:
        shared = 0
    width = max(map(len, prompts))
    ids, mask = [], []
    for prompt in prompts:
        missing = width - len(prompt)
        ids.append([*prompt[:shared], *[pad] * missing, *prompt[shared:]])
        mask.append([1] * shared + [0] * missing + [1] * (len(prompt) - shared))
    inputs = {
        "input_ids": torch.tensor(ids, device=model.device),
        "attention_mask": torch.tensor(mask, device=model.device),
    }
    if shared:
        prefix = inputs["input_ids"][:1, :shared]
        inputs["past_key_values"] = _read(model, prefix, len(prompts))
    return inputs


def shared_length(prompts: Sequence[list[int]]) -> int:
    """Return how many tokens all rows begin with, at least one short of each row.

    A single row shares nothing.
    """
    if len(prompts) == 1:
        return 0
    low, high = min(prompts), max(prompts)  # all others lie between the two
    most = min(map(len, prompts)) - 1
    return next((i for i in range(most) if low[i] != high[i]), most)


def _can_share(model: Any) -> bool:
    """Whether the model's cache is plain enough to be repeated and padded after."""
    transformers = require("transformers", extra="transformers")
    config = model.config.get_text_config()
    if getattr(config, "_attn_implementation", None) not in {"eager", "sdpa"}:
        return False
    if getattr(model.generation_config, "cache_implementation", None) is not None:
        return False
    layers = transformers.DynamicCache(config=config).layers
    # No layer, where a release makes them lazily, tells nothing; a window would count
    # the padding, and a recurrent state would read it.
    return bool(layers) and all(type(x).__name__ == "DynamicLayer" for x in layers)


def _read(model: Any, prefix: Any, rows: int) -> Any:
    """Return a cache of the prefix's keys and values, for that many rows."""
    torch = require("torch", extra="transformers")
    transformers = require("transformers", extra="transformers")
    cache = transformers.DynamicCache(config=model.config.get_text_config())
    options = {"past_key_values": cache, "use_cache": True}
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        options["logits_to_keep"] = 1  # none is needed, and 0 means all
    with torch.no_grad():
        model(input_ids=prefix, **options)
    cache.batch_repeat_interleave(rows)
    return cache
