"""A language model of half a million parameters, its words and its chat template.

Made from nothing on the spot: the words are those of the environment's own texts, and a
code such as `YGMUR` is three of them (`Y`, `GM`, `UR`), so that to copy one is to copy
three. No weight, no vocabulary and no text comes from anywhere else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

__all__ = ["make_model", "make_tokenizer"]

SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")

TEMPLATE = """\
{% if tools %}<|tools|>{% endif %}{% for m in messages %}<|{{ m.role }}|>\
{{ m.content or '' }}{% for c in m.tool_calls or [] %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|end|>{% endfor %}\
{% if add_generation_prompt %}<|assistant|>{% endif %}"""
"""Tools are announced and not described: they are always the same, and a model this
small learns them by their names."""

RESPONSE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|assistant|>",
    "fields": {
        "tool_calls": {
            "open": "<tool_call>",
            "close_pattern": r"</tool_call>\s*",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"<\|end\|>\s*", "content": "text"},
    },
}
"""How transformers reads a reply of that template; TRL's own tool loop needs it."""

_SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_SYNTAX = (
    '<tool_call>\n{"name": "',
    '", "arguments": {"',
    '"}}\n</tool_call>',
    '": "',
    '", "',
    '{"',
    '"}',
)


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Make a tokenizer whose words are those of some texts, and all codes.

    Args:
        texts: Conversations as the template shows them.
    """
    splitter = _splitter()
    words = {word for text in texts for word, _ in splitter.pre_tokenize_str(text)}
    pairs = ("".join(pair) for pair in itertools.product(_SIGNS, repeat=2))
    known = dict.fromkeys(
        [
            *SPECIAL,
            "<|tools|>",
            "<|unknown|>",
            *_SYNTAX,
            *sorted(words),
            *_SIGNS,
            *pairs,
        ]
    )
    vocabulary = {word: number for number, word in enumerate(known)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unknown|>"))
    core.pre_tokenizer = splitter
    core.decoder = decoders.Fuse()
    core.add_special_tokens([*SPECIAL, "<|tools|>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        unk_token="<|unknown|>",
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.response_template = RESPONSE
    return tokenizer


def _splitter() -> Any:
    """Split syntax, the three parts of a code, and words with the blank before them."""
    sign = f"[{_SIGNS}]"
    parts = [
        *map(_escaped, _SYNTAX),
        rf"(?<=\b){sign}(?={sign}{{4}}\b)",
        rf"(?<=\b{sign}){sign}{{2}}(?={sign}{{2}}\b)",
        rf"(?<=\b{sign}{{3}}){sign}{{2}}\b",
        rf" ?(?!{sign}{{5}}\b)[A-Za-z_]+",
        r"[\s\S]",
    ]
    return pre_tokenizers.Split(Regex("|".join(parts)), "isolated")


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in '{}[]()|"/.' else c for c in text)


def make_model(tokenizer: Any, seed: int, *, width: int = 64, layers: int = 2) -> Any:
    """Make a Llama of random weights.

    Args:
        tokenizer: Whose vocabulary it speaks.
        seed: Decides the weights.
        width: The size of a hidden state.
        layers: How many layers.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)
