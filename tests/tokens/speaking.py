"""A policy that says given texts as token ids, and writes its trace."""

from __future__ import annotations

from collections.abc import Sequence

from llm_gym.messages import ChatRequest, Reply
from llm_gym.tokens import ChatTokens, TokenTrace

__all__ = ["SpeakingPolicy"]


class SpeakingPolicy:
    """Says its texts in turn, each with the token that ends a reply."""

    name = "speaking"

    def __init__(self, tokens: ChatTokens, texts: Sequence[str], end: str) -> None:
        self._tokens = tokens
        self._texts = list(texts)
        self._end = end

    async def reply(
        self, request: ChatRequest, trace: TokenTrace | None = None
    ) -> Reply:
        """Say the next text; what has no end mark was cut off."""
        turn = 0 if trace is None else trace.turns
        prompt = self._tokens.prompt(request, trace)
        text = self._texts[turn]
        sampled = self._tokens.encode(text.removesuffix("...") + self._end)
        if text.endswith("..."):
            sampled = sampled[:-1]
        told = [-1.0] * len(sampled)
        return self._tokens.reply(request, prompt, sampled, logprobs=told, trace=trace)
