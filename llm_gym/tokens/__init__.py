"""Exact tokens: what was read and sampled, kept so that training uses the same."""

from llm_gym.tokens.chat_tokens import ChatTokens, Prompt
from llm_gym.tokens.trace import Sample, Segment, Span, TokenRecord, TokenTrace

__all__ = [
    "ChatTokens",
    "Prompt",
    "Sample",
    "Segment",
    "Span",
    "TokenRecord",
    "TokenTrace",
]
