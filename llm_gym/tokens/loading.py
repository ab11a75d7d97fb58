"""Tokenizers: a model's own, and a stand-in for a chat template that has none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from llm_gym.errors import LLMGymError, require

__all__ = ["TokenizerError", "load_tokenizer", "marks_of", "neutral_tokenizer"]


class TokenizerError(LLMGymError, ValueError):
    """There is no tokenizer where one was asked for."""


_MARK = re.compile(
    r"<\|[^|<>\s]+\|>"  # <|im_end|>
    r"|<\uff5c[^\uff5c<>\s]+\uff5c>"  # the wide bars of DeepSeek
    r"|<\|\w+>|<\w+\|>"  # <|turn> and <turn|>
    r"|<(?:start|end)_of_\w+>"
    r"|</?s>|<sop>|<eop>|\[gMASK\]"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|ARGS)\]"
)
_NAMES = {"bos_token": "<|bos|>", "eos_token": "<|eos|>", "pad_token": "<|pad|>"}


def load_tokenizer(source: str | Path) -> Any:
    """Load a model's tokenizer.

    Args:
        source: A folder, or a hub's name.

    Raises:
        TokenizerError: There is none, or it cannot be read.
        MissingDependencyError: transformers is not installed.
    """
    transformers = require("transformers", extra="transformers")
    try:
        return transformers.AutoTokenizer.from_pretrained(str(source))
    except Exception as err:  # what a hub, a disk and a parser raise has no root
        reason = (str(err).splitlines() or [type(err).__name__])[0]
        raise TokenizerError(
            f"no tokenizer could be loaded from {str(source)!r}, which must be a "
            f"model's folder or the hub's name of one: {reason}"
        ) from err


def marks_of(template: str) -> list[str]:
    """Return the marks in a template that look like special tokens, sorted."""
    return sorted(set(_MARK.findall(template)))


def neutral_tokenizer(template: str) -> Any:
    """Return a tokenizer for trying a template out; its ids are no model's.

    It knows every byte and, as one token each, the marks that the template writes.

    Raises:
        MissingDependencyError: transformers is not installed.
    """
    transformers = require("transformers", extra="transformers")
    tokenizers = require("tokenizers", extra="transformers")
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(letters)}
    core = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    core.add_special_tokens([*marks_of(template), *_NAMES.values()])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, **_NAMES)
    tokenizer.chat_template = template
    return tokenizer
