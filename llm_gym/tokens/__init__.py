"""Exact tokens: what was read and sampled, kept so that training uses the same."""

from llm_gym.tokens.trace import Sample, Segment, Span, TokenRecord, TokenTrace

__all__ = ["Sample", "Segment", "Span", "TokenRecord", "TokenTrace"]
