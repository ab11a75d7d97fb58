"""A language model of 100,000 parameters, its words and its chat template.

Made from nothing on the spot. The words are cut out of the environment's own texts:
each sign of a code such as `YGMUR` is one, a name is two, and what stands between codes
and names is one, however long, but for the two of a question that say what is asked. No
weight, no vocabulary and no text comes from anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

__all__ = ["SIGNS", "load", "make_model", "make_tokenizer", "save"]

SPECIAL = (
    *("<|pad|>", "<|end|>", "<|unknown|>"),
    *("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|tools|>"),
)

TEMPLATE = """\
{% if tools %}<|tools|>{{ tools | map(attribute='function.name') | sort | join(' ') }}\
{% endif %}{% for m in messages %}<|{{ m.role }}|>\
{{ m.content or '' }}{% for c in m.tool_calls or [] %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|end|>{% endfor %}\
{% if add_generation_prompt %}<|assistant|>{% endif %}"""
"""Tools are named and not described: they are always the same, and a model this small
learns what they do by trying."""

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

SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_SIGN = f"[{SIGNS}]"
_CUTS = (
    rf"\b[A-Z]{_SIGN}{{4}}\b",  # a code, and the signs of one
    rf"{_SIGN}(?={_SIGN}*$)",
    r"\b[A-Z][a-z]+ [A-Z][a-z]+\b",  # a name, and the first half of one
    r"^[A-Z][a-z]+(?= [A-Z][a-z]+$)",
    r"^.* the code of ",  # how a question begins, and of what it has the code
    r" [a-z]+ $",
    r"\b(?:not|the|first|but|second) ",  # see `learn.warm_start.SAYS`
)


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Make a tokenizer whose words are those of some texts, and all codes.

    Args:
        texts: What is read and said, without the marks of the template.
    """
    splitter = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(cut), "isolated") for cut in _CUTS]
    )
    words = {word for text in texts for word, _ in splitter.pre_tokenize_str(text)}
    known = dict.fromkeys([*SPECIAL, *sorted(words), *SIGNS])
    vocabulary = {word: number for number, word in enumerate(known)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unknown|>"))
    core.pre_tokenizer = splitter
    core.decoder = decoders.Fuse()
    core.add_special_tokens(list(SPECIAL))
    return _dressed(core)


def _dressed(core: Tokenizer) -> PreTrainedTokenizerFast:
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
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        rope_parameters={"rope_type": "default", "rope_theta": 100.0},
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        # Words that differ more from the start, and few wide heads: with both, copying
        # is learned in a third of the steps (tried at 160 steps, one seed each).
        model.model.embed_tokens.weight.mul_(5.0)
    return model


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a model and its tokenizer, to be read by `load`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "weights.pt")
    model.config.save_pretrained(folder)
    tokenizer.backend_tokenizer.save(str(folder / "words.json"))


def load(folder: Path) -> tuple[Any, Any]:
    """Read what `save` wrote, with any version of transformers.

    Returns:
        The model and the tokenizer.
    """
    tokenizer = _dressed(Tokenizer.from_file(str(folder / "words.json")))
    model = LlamaForCausalLM(LlamaConfig.from_pretrained(folder))
    model.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return model.eval(), tokenizer
