"""A language model of a few thousand parameters, its tokenizer, and chat templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from llm_gym.messages import ChatRequest, ToolSchema
from llm_gym.policies.sampling import RowSampler, Sampling

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

END = "<|im_end|>"

# What many small models have: any role is printed as it comes, tools are ignored.
PLAIN = """\
{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# Knows tools, calls and results; a call is JSON in `<tool_call>`.
HERMES = """\
{% if tools %}<|im_start|>system
{% for t in tools %}{{ t | tojson }}
{% endfor %}<|im_end|>
{% endif %}{% for m in messages %}{% if m.role == 'tool' %}<|im_start|>user
<tool_response>{{ m.content }}</tool_response><|im_end|>
{% else %}<|im_start|>{{ m.role }}
{{ m.content }}{% for c in m.tool_calls or [] %}
<tool_call>{"name": "{{ c.function.name }}", \
"arguments": {{ c.function.arguments | tojson }}}</tool_call>{% endfor %}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# The same, with a thought that the prompt opens.
THINKING = HERMES.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")

# Knows tools, but writes calls in a way that only its own parser reads.
CALLS_APART = HERMES.replace("<tool_call>", "[CALL]").replace("</tool_call>", "[/CALL]")

# Takes no system message and insists on turns.
STRICT = """\
{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) \
or m.role not in ['user', 'assistant'] %}{{ raise_exception('roles must alternate') }}\
{% endif %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# Knows results, but neither tools nor calls.
RESULTS = PLAIN.replace(
    "{% for m in messages %}",
    "{% for m in messages %}{% if m.role == 'tool' %}<|im_start|>ipython\n"
    "{{ m.content }}<|im_end|>\n{% continue %}{% endif %}",
)

# A parser of the tokenizer's own, for the calls of CALLS_APART.
RESPONSE_TEMPLATE = {
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "content": {"close": END},
        "thinking": {"open": "<think>", "close": "</think>"},
        "tool_calls": {
            "open": "[CALL]",
            "close": "[/CALL]",
            "content": "json",
            "repeats": True,
            "transform": {"type": "function", "function": "{content}"},
        },
    },
}

ADD: ToolSchema = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two whole numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}


def tiny_tokenizer(template: str | None = PLAIN, **options: Any) -> Any:
    """Return a tokenizer of bytes with chat marks; `<|call|>` is a special token."""
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    special = ["<|im_start|>", END, "<pad>", "<|call|>"]
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=alphabet,
        special_tokens=special,
        show_progress=False,
    )
    core.train_from_iterator(["hello there, how do you do", "two plus two"], trainer)
    names = {"eos_token": END, "pad_token": "<pad>", **options}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, additional_special_tokens=special, **names
    )
    tokenizer.chat_template = template
    return tokenizer


def tiny_model(tokenizer: Any, **options: Any) -> Any:
    """Return a Llama of random weights, large enough to prefer some tokens."""
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 2048,
        "initializer_range": 0.5,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        **options,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.LlamaForCausalLM(
            transformers.LlamaConfig(**settings)
        ).eval()


def tiny_window_model(tokenizer: Any, **options: Any) -> Any:
    """Return a model whose attention has a window: its cache is not a plain one."""
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "sliding_window": 16,
        "max_position_embeddings": 2048,
        "initializer_range": 0.5,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        **options,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.MistralConfig(**settings)
        return transformers.MistralForCausalLM(config).eval()


def sampled_alone(
    model: Any, ids: Sequence[int], seed: int, sampling: Sampling, stop_ids: set[int]
) -> tuple[list[int], list[float]]:
    """Sample one row the slow way: the whole of it is read again for each token."""
    sampler = RowSampler(sampling, torch.device("cpu"), [seed])
    row, logprobs = list(ids), []
    while len(logprobs) < sampling.max_new_tokens:
        with torch.no_grad():
            logits = model(torch.tensor([row])).logits[:, -1]
        token, logprob = sampler.draw(logits)
        row.append(int(token))
        logprobs.append(float(logprob))
        if row[-1] in stop_ids:
            break
    return row[len(ids) :], logprobs


class ScriptedGenerate:
    """Stands in for a model's `generate`: writes given texts, row by row, in order.

    Attributes:
        batches: The prompts of each call, as text.
    """

    def __init__(self, tokenizer: Any, texts: Sequence[str]) -> None:
        self.batches: list[list[str]] = []
        self._tokenizer = tokenizer
        self._texts = list(texts)

    def __call__(self, input_ids: Any, attention_mask: Any, **options: Any) -> Any:
        rows = zip(input_ids, attention_mask, strict=True)
        prompts = [self._tokenizer.decode(ids[mask.bool()]) for ids, mask in rows]
        self.batches.append(prompts)
        pad = self._tokenizer.pad_token_id
        room = options["generation_config"].max_new_tokens
        written = [
            self._tokenizer(self._texts.pop(0), add_special_tokens=False)["input_ids"]
            for _ in prompts
        ]
        width = min(room, max(map(len, written)))
        new = [[*ids, *[pad] * width][:width] for ids in written]
        for _ in range(width):  # it is told what to write, but draws as others do
            options["logits_processor"](input_ids, torch.zeros(len(new), 300))
        return torch.cat([input_ids, torch.tensor(new)], dim=1)


def ask(text: str, *tools: ToolSchema, system: str | None = None) -> ChatRequest:
    """Return a request of one user message."""
    request: ChatRequest = {"messages": [{"role": "user", "content": text}]}
    if system is not None:
        request["messages"].insert(0, {"role": "system", "content": system})
    if tools:
        request["tools"] = list(tools)
    return request
