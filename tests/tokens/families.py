"""Chat templates of many families, and a tokenizer for each that is trained here."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from llm_gym.tokens.loading import marks_of
from tests.policies import tiny

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

_TEXTS = ["hello there, how do you do", "two plus two", "the tool result is a text"]


def trl_templates() -> dict[str, str]:
    """Return the templates that TRL ships, by file name; none where it is not there.

    TRL is not imported: it wants more than its files need.
    """
    spec = importlib.util.find_spec("trl")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [p for f in folders for p in Path(f, "chat_templates").glob("*.jinja")]
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(files)}


OWN = {
    "plain": tiny.PLAIN,
    "hermes": tiny.HERMES,
    "thinking": tiny.THINKING,
    "strict": tiny.STRICT,
    "results": tiny.RESULTS,
    # The end of a reply is the beginning of what follows.
    "endless": "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    "{# <|user|><|system|><|tool|><|assistant|> #}",
    # Of all thoughts only the last is kept.
    "last thought": "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content and loop.index > messages | length - 2 %}<think>"
    "{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    # The number of messages stands at the start.
    "counting": "{{ messages | length }}\n" + tiny.PLAIN,
}

# What these models' settings name as ends: the marks of whoever speaks next.
STOPS = {
    "endless": ("<|user|>",),
    "glm4moe": ("<|user|>", "<|observation|>"),
    "glm4moe_training": ("<|user|>", "<|observation|>"),
}

TEMPLATES = {**OWN, **trl_templates()}


def trained_tokenizer(template: str, **options: Any) -> Any:
    """Return a tokenizer whose special tokens are the template's marks."""
    names = {"bos_token": "<|bos|>", "eos_token": "<|eos|>", **options}
    special = [*marks_of(template), *sorted({*names.values()} - {*marks_of(template)})]
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=340,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special,
        show_progress=False,
    )
    core.train_from_iterator(_TEXTS, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, additional_special_tokens=special, **names
    )
    tokenizer.chat_template = template
    if "<|channel|>" in template and "<|call|>" in template:
        tokenizer.response_schema = {"type": "object"}
        tokenizer.parse_response = harmony
    return tokenizer


def harmony(text: str) -> dict[str, Any]:
    """Read a reply in the form of gpt-oss, as far as its template writes it."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    for part in text.removeprefix("<|start|>assistant").split("<|start|>assistant"):
        head, _, rest = part.partition("<|message|>")
        said = re.split(r"<\|(?:end|return|call)\|>", rest)[0]
        if "to=functions." in head:
            name = head.partition("to=functions.")[2].partition("<")[0]
            function = {"name": name, "arguments": said}
            call = {"id": "call_0", "type": "function", "function": function}
            message["tool_calls"] = [call]
        elif "analysis" in head:
            message["reasoning_content"] = said
        else:
            message["content"] = said or head
    return message
