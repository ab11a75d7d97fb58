"""Counting tokens, by a function or by a tokenizer."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llm_gym.messages import ChatRequest, Message
from llm_gym.tokens.chat_template import ChatTemplate
from llm_gym.tokens.chat_text import text_messages

__all__ = ["TokenizerCount", "request_counter", "text_counter", "whole", "written"]


class TokenizerCount:
    """Counts a request's tokens as an engine with this tokenizer reads them.

    Args:
        tokenizer: A tokenizer of transformers that has a chat template.

    Raises:
        ChatTemplateError: It has none, or it fails on one user message.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer, type(tokenizer).__name__)

    def __call__(self, request: ChatRequest) -> int:
        """Return the number of tokens of the prompt."""
        text = self._template.render(request)
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def request_counter(count_tokens: Any) -> Callable[[ChatRequest], int]:
    """Return what counts a request's tokens.

    Raises:
        TypeError: It is neither a tokenizer nor callable.
    """
    if hasattr(count_tokens, "apply_chat_template"):
        return TokenizerCount(count_tokens)
    return _checked(count_tokens)


def text_counter(count_tokens: Any) -> Callable[[str], int]:
    """Return what counts a text's tokens.

    Raises:
        TypeError: It is neither a tokenizer nor callable.
    """
    if hasattr(count_tokens, "encode"):
        return _TextCount(count_tokens)
    return _checked(count_tokens)


def whole(count: Any) -> int:
    """Return a count as a whole number.

    Raises:
        TypeError: It is none.
    """
    try:
        return operator.index(count)
    except TypeError as err:
        raise TypeError(
            f"`count_tokens` must return a whole number, not {count!r}"
        ) from err


def written(message: Message) -> str:
    """Return what a model wrote, in the canonical text form, thinking included."""
    content: str = text_messages([message], ())[0]["content"]
    thought = message.get("reasoning_content")
    return f"<think>{thought}</think>{content}" if thought else content


class _TextCount:
    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))


def _checked(count_tokens: Any) -> Callable[[Any], int]:
    if not callable(count_tokens):
        raise TypeError(
            f"`count_tokens` must be a function or a tokenizer, not {count_tokens!r}"
        )
    count: Callable[[Any], int] = count_tokens
    return count
