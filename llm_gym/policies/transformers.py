"""A policy that samples from a causal language model of transformers.

Knows models, tokens and batches. Prompts come from `chat_template`, draws from
`sampling`, batches from `gather`, the default model from `embedded`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_gym.errors import require
from llm_gym.messages import ChatRequest, Reply, ToolSchema, Usage
from llm_gym.policies.chat_template import ChatTemplate
from llm_gym.policies.embedded import ModelNotFoundError, embedded_model_path
from llm_gym.policies.gather import Call, Gatherer
from llm_gym.policies.sampling import RowKeys, RowSampler, Sampling

if TYPE_CHECKING:
    import torch

__all__ = ["ModelNotFoundError", "Sampling", "TransformersPolicy"]


@dataclass(frozen=True, slots=True)
class _Row:
    """One prompt on its way through a batch.

    Attributes:
        ids: The prompt's tokens.
        room: The most tokens that may follow.
        seed: Where its draws start.
    """

    ids: list[int]
    room: int
    seed: int


class TransformersPolicy:
    """Replies with a causal language model, on this machine.

    Calls that wait in the event loop at the same time are answered by one batched
    `generate`, which runs in a thread. Where the tokenizer has a parser for replies,
    a reply is the parsed message, else it is the text as it was sampled. A model whose
    chat template has no tools, or writes calls in a form that cannot be read back, is
    told of its tools in the system prompt.

    Same seed, prompts and model: same replies. What a row draws depends on the seed,
    on its prompt and on how often that prompt came before, not on its batch, up to the
    rounding of the model's arithmetic: in float32 that changes nothing in practice, in
    bfloat16 it can.

    Args:
        model: A folder, a hub's name, or a model that is loaded already; None takes
            the embedded SmolLM2-135M-Instruct.
        tokenizer: The tokenizer; needed with a loaded model, else found beside it.
        sampling: The settings of sampling.
        max_batch_size: The most replies of one `generate`.
        device: Where the model runs; None takes the first GPU, else the CPU. A loaded
            model stays where it is.
        dtype: The numbers that it computes with, as a torch type or its name; None
            takes the checkpoint's own on a GPU and float32 on the CPU.

    Attributes:
        name: The model's name, for records.
        model: The model. It may be trained while no reply is waited for.
        tokenizer: The tokenizer.
        tokens_sampled: The tokens sampled so far, by all replies.

    Raises:
        ModelNotFoundError: There is no such model, or none of that form.
        ChatTemplateError: The tokenizer has no usable chat template.
        MissingDependencyError: torch or transformers is not installed.

    Example:
        >>> policy = TransformersPolicy(sampling=Sampling(temperature=0.7, seed=1))
        >>> reply = await policy.reply({"messages": [{"role": "user", "content": "Hi"}]})
    """

    def __init__(  # noqa: PLR0913  what it samples from, how, and where: all optional
        self,
        model: str | Path | Any | None = None,
        *,
        tokenizer: Any | None = None,
        sampling: Sampling | None = None,
        max_batch_size: int = 32,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> None:
        if max_batch_size < 1:
            raise ValueError(f"`max_batch_size` must be at least 1, not {max_batch_size!r}")
        self._torch = require("torch", extra="transformers")
        self._transformers = require("transformers", extra="transformers")
        if model is None or isinstance(model, (str, Path)):
            source = embedded_model_path() if model is None else model
            loaded = self._load(source, device, dtype)
            self.name = Path(source).name
            self.model, own_tokenizer = loaded
            self.tokenizer = tokenizer or own_tokenizer
        else:
            self.name = _name_of(model)
            self.model = model
            self.tokenizer = tokenizer
        ...
