"""A policy that samples from a causal language model of transformers.

Knows models, tokens and batches. Prompts come from `chat_template`, draws from
`sampling`, batches from `gather`, the default model from `embedded`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_gym.errors import require
from llm_gym.messages import ChatRequest, Reply, Usage
from llm_gym.policies.embedded import ModelNotFoundError, embedded_model_path
from llm_gym.policies.gather import Call, Gatherer
from llm_gym.policies.prefill import batch_inputs
from llm_gym.policies.sampling import RowKeys, RowSampler, Sampling
from llm_gym.tokens.chat_template import ChatTemplate
from llm_gym.tokens.trace import TokenTrace

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
        >>> request = {"messages": [{"role": "user", "content": "Hello!"}]}
        >>> reply = asyncio.run(policy.reply(request))
    """

    def __init__(
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
            raise ValueError(
                f"`max_batch_size` must be at least 1, not {max_batch_size!r}"
            )
        self._torch = require("torch", extra="transformers")
        self._transformers = require("transformers", extra="transformers")
        if model is None or isinstance(model, (str, Path)):
            source = embedded_model_path() if model is None else model
            model, own_tokenizer = _load(source, device, dtype)
            tokenizer = own_tokenizer if tokenizer is None else tokenizer
        elif tokenizer is None:
            raise ValueError("a loaded `model` needs its `tokenizer`, which is None")
        self.model: Any = model
        self.tokenizer: Any = tokenizer
        self.name = _name_of(model)
        self.tokens_sampled = 0
        self._sampling = Sampling() if sampling is None else sampling
        self._keys = RowKeys(self._sampling.seed)
        self._template = ChatTemplate(tokenizer, self.name)
        self._stop_ids = _stop_ids(model, tokenizer) | self._template.end_of_turn()
        self._context = _context_of(model)
        self._gatherer: Gatherer[_Row, list[int]] = Gatherer(
            self._generate, limit=max_batch_size, name=self.name
        )

    async def reply(
        self, request: ChatRequest, trace: TokenTrace | None = None
    ) -> Reply:
        """Reply to a request.

        Args:
            request: The observation.
            trace: Not used yet: this policy keeps no record of token ids.

        Returns:
            The reply. One that a token limit cut off has the finish reason "length";
            so has the empty reply to a prompt that fills the model's context.

        Raises:
            ChatTemplateError: The chat template refuses the conversation.
            PolicyFault: The model failed, on this prompt or another of its batch.
        """
        prompt = self._template.render(request)
        ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        room = min(self._sampling.max_new_tokens, self._context - len(ids))
        if room < 1:
            return Reply("", "length", Usage(len(ids), 0))
        row = _Row(ids, room, self._keys.next(ids))
        sampled = await self._gatherer.ask(row)
        stopped = bool(sampled) and sampled[-1] in self._stop_ids
        finish_reason = "stop" if stopped else "length"
        text = self._decode(sampled[:-1] if stopped else sampled)
        message: Mapping[str, Any] | str = text
        parsed = self._template.parse(
            self._decode(sampled), prompt, request.get("tools") or []
        )
        if parsed is not None:
            message = parsed
            if stopped and parsed.get("tool_calls"):
                finish_reason = "tool_calls"
        return Reply(message, finish_reason, Usage(len(ids), len(sampled)))

    def _decode(self, ids: list[int]) -> str:
        """Write tokens as text with every mark in it: some models mark calls so."""
        text: str = self.tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def _generate(self, calls: Sequence[Call[_Row, list[int]]]) -> list[list[int]]:
        """Answer a batch, in the gatherer's thread.

        Rows near the end of the context have less room than the others: each room is
        a `generate` of its own, so that no row runs past the context.
        """
        sampled: list[list[int]] = [[]] * len(calls)
        for room in sorted({call.item.room for call in calls}, reverse=True):
            rows = [i for i, call in enumerate(calls) if call.item.room == room]
            output = self._generate_rows([calls[i] for i in rows], room)
            for i, ids in zip(rows, output, strict=True):
                sampled[i] = self._cut(ids)
        self.tokens_sampled += sum(map(len, sampled))
        return sampled

    def _generate_rows(
        self, calls: Sequence[Call[_Row, list[int]]], room: int
    ) -> list[list[int]]:
        """Return the new tokens of each row, padded to one length."""
        pad = self._pad_id()
        training = self.model.training
        if training:
            self.model.eval()
        try:
            inputs = batch_inputs(self.model, [call.item.ids for call in calls], pad)
            output = self.model.generate(
                **inputs,
                generation_config=self._generation_config(room, pad),
                **self._hooks(calls),
            )
        finally:
            if training:
                self.model.train()
        new: list[list[int]] = output[:, inputs["input_ids"].shape[1] :].tolist()
        return new

    def _hooks(self, calls: Sequence[Call[_Row, list[int]]]) -> dict[str, Any]:
        """Return the sampler, and what ends rows that nobody waits for any more."""
        device = self.model.device

        def abandoned(*_: object, **__: object) -> torch.Tensor:
            return self._torch.tensor([c.abandoned for c in calls], device=device)

        stopping = self._transformers.StoppingCriteriaList([abandoned])
        if self._sampling.temperature == 0:
            return {"stopping_criteria": stopping}
        seeds = [call.item.seed for call in calls]
        sampler = RowSampler(self._sampling, seeds, device)
        processors = self._transformers.LogitsProcessorList([sampler])
        return {"stopping_criteria": stopping, "logits_processor": processors}

    def _generation_config(self, room: int, pad: int) -> Any:
        """Return settings that leave the model's distribution as it is.

        Checkpoints come with settings of their own (a repetition penalty, say), which
        would fill any that is not set here.
        """
        return self._transformers.GenerationConfig(
            max_new_tokens=room,
            eos_token_id=sorted(self._stop_ids),
            pad_token_id=pad,
            use_cache=True,
            num_beams=1,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            do_sample=False,  # the sampler draws
            # Without `do_sample` these do nothing; the library's own values, which
            # raise no warning, in place of the checkpoint's.
            temperature=1.0,
            top_p=1.0,
            top_k=50,
        )

    def _pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return min(self._stop_ids, default=0) if pad is None else int(pad)

    def _cut(self, ids: list[int]) -> list[int]:
        """Cut a row after the token that ended it."""
        ends = (i for i, token in enumerate(ids, 1) if token in self._stop_ids)
        return ids[: next(ends, None)]


def _load(
    source: str | Path, device: str | torch.device | None, dtype: Any
) -> tuple[Any, Any]:
    """Load a model and its tokenizer from a folder or the hub."""
    torch = require("torch", extra="transformers")
    transformers = require("transformers", extra="transformers")
    safetensors = require("safetensors", extra="transformers")
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype is None:
        dtype = torch.float32 if torch.device(device).type == "cpu" else "auto"
    place = _place_of(source)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(place)
        model = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=dtype)
    except (OSError, ValueError, safetensors.SafetensorError) as err:
        reason = (str(err).splitlines() or [""])[0]
        raise ModelNotFoundError(
            f"no model could be loaded from {str(source)!r}, which must be a folder "
            f"with a causal language model or the hub's name of one: {reason}"
        ) from err
    return model.to(device), tokenizer


def _place_of(source: str | Path) -> str:
    """Return a folder's path, or a hub's name as it is."""
    path = Path(source).expanduser()
    if path.is_dir():
        return str(path)
    text = str(source)
    if (
        isinstance(source, Path)
        or text[:1] in {".", "~", os.sep}
        or text.count("/") > 1
    ):
        raise ModelNotFoundError(f"there is no folder {text!r} to load a model from")
    return text


def _name_of(model: Any) -> str:
    """Return a folder's last part or a hub's name, the class's name for neither."""
    path = str(getattr(model, "name_or_path", "") or "")
    if not path:
        return type(model).__name__
    return Path(path).name if Path(path).is_dir() else path


def _stop_ids(model: Any, tokenizer: Any) -> set[int]:
    """Return the tokens that end a reply, as the checkpoint and the tokenizer say."""
    listed = getattr(model.generation_config, "eos_token_id", None)
    ids = listed if isinstance(listed, list) else [listed]
    return {i for i in (*ids, tokenizer.eos_token_id) if i is not None}


def _context_of(model: Any) -> int:
    """Return the most tokens that the model reads, a huge number if it says none."""
    config = model.config.get_text_config()
    return getattr(config, "max_position_embeddings", None) or sys.maxsize
