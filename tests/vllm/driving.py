"""Asking policies, and what transformers makes of the same tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from llm_gym.messages import ChatRequest, Reply

torch = pytest.importorskip("torch")
torch.set_num_threads(1)


def replies(policy: Any, requests: Sequence[ChatRequest]) -> list[Reply]:
    """Return the replies to requests that are made at once, in a new event loop."""

    async def main() -> list[Reply]:
        return await asyncio.gather(*(policy.reply(request) for request in requests))

    return asyncio.run(main())


def logprobs_by_transformers(model: Any, ids: Sequence[int]) -> list[float]:
    """Return the log-probability of each id after the first, given those before it."""
    with torch.no_grad():
        logits = model(torch.tensor([list(ids)])).logits[0, :-1]
    every = logits.float().log_softmax(-1)
    return every.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
