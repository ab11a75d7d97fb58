"""A policy that samples from a causal language model of transformers.

Knows models and where they are loaded from. Prompts come from `ChatTokens`, draws from
`sampling`, batches from `decoding`, the default model from `embedded`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_gym.errors import require
from llm_gym.messages import ChatRequest, Reply, Usage
from llm_gym.policies.checkpoints import eos_ids, name_of, place_of
from llm_gym.policies.decoding.engine import AnyEngine
from llm_gym.policies.decoding.model import DecodeSettings, Row, Sampled
from llm_gym.policies.decoding.weights import check_state, write_weights
from llm_gym.policies.embedded import ModelNotFoundError, embedded_model_path
from llm_gym.policies.gather import Gatherer
from llm_gym.policies.sampling import RowKeys, Sampling
from llm_gym.tokens.chat_tokens import ChatTokens
from llm_gym.tokens.trace import TokenTrace

if TYPE_CHECKING:
    import torch

__all__ = ["ModelNotFoundError", "Sampling", "TransformersPolicy"]


class TransformersPolicy:
    """Replies with a causal language model, on this machine.

    Calls that wait at the same time are decoded together, in one thread. Where the
    model keeps plain keys and values, batching is continuous: a call joins the rows
    under way at their next token, and has its answer as soon as its own row ends. What
    rows have in common at their start is read once, and an episode's next prompt is
    read only as far as it is new. Any other model (windows, recurrent states, its own
    attention kernels) is served with `generate`, batch by batch.

    Where the tokenizer has a parser for replies, a reply is the parsed message, else it
    is the text as it was sampled. A model whose chat template has no tools, or writes
    calls in a form that cannot be read back, is told of its tools in the system prompt.

    Same seed, prompts and model: same replies. What a row draws depends on the seed,
    on its prompt and on how often that prompt came before, not on its batch, up to the
    rounding of the model's arithmetic: in float32 that changes nothing in practice, in
    bfloat16 it can.

    Log-probabilities are those of the model's own distribution, at temperature 1 and
    with nothing ruled out, as vLLM's `raw_logprobs`. They are the ones that were drawn
    from if the sampling is left at temperature 1, `top_p` 1, `top_k` 0 and `min_p` 0.

    Args:
        model: A folder, a hub's name, or a model that is loaded already; None takes
            the embedded SmolLM2-135M-Instruct.
        tokenizer: The tokenizer; needed with a loaded model, else found beside it.
        sampling: The settings of sampling; stop texts and penalties are not supported.
        max_batch_size: The most replies that are under way at once.
        reuse_tokens: The most tokens of finished replies and their prompts of which
            keys and values are kept for prompts that go on from them; 0 for none.
            SmolLM2-135M in float32 takes 46 kB for each.
        device: Where the model runs; None takes the first GPU (CUDA, then MPS), else
            the CPU. A loaded model stays where it is.
        dtype: The numbers that it computes with, as a torch type or its name; None
            takes the checkpoint's own on a GPU and float32 on the CPU.

    Attributes:
        name: The model's name, for records.
        model: The model. It may be trained while no reply is waited for.
        tokenizer: The tokenizer.
        tokens: How requests become prompts and what was sampled becomes replies.
        tokens_sampled: The tokens sampled so far, by all replies.
        version: How often `load_state_dict` and `update_weights` have changed weights.

    Raises:
        ModelNotFoundError: There is no such model, or none of that form.
        ChatTemplateError: The tokenizer has no usable chat template.
        MissingDependencyError: torch or transformers is not installed.
        ValueError: An argument is out of range, or a setting is not supported.

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
        reuse_tokens: int = 16_384,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> None:
        self._sampling = Sampling() if sampling is None else sampling
        _check_options(self._sampling, max_batch_size, reuse_tokens)
        require("torch", extra="transformers")
        require("transformers", extra="transformers")
        if model is None or isinstance(model, (str, Path)):
            source = embedded_model_path() if model is None else model
            model, own_tokenizer = _load(source, device, dtype)
            tokenizer = own_tokenizer if tokenizer is None else tokenizer
        elif tokenizer is None:
            raise ValueError("a loaded `model` needs its `tokenizer`, which is None")
        self.model: Any = model
        self.tokenizer: Any = tokenizer
        self.name = _name_of(model)
        ends = eos_ids(getattr(model, "generation_config", None))
        self.tokens = ChatTokens(tokenizer, self.name, ends)
        self.tokens_sampled = 0
        self.version = 0
        self._keys = RowKeys(self._sampling.seed)
        self._context = _context_of(model)
        settings = DecodeSettings(
            sampling=self._sampling,
            stop_ids=self.tokens.stop_ids,
            pad_id=_pad_id(tokenizer, self.tokens.stop_ids),
            context=self._context,
            max_batch_size=max_batch_size,
            reuse_tokens=reuse_tokens,
        )
        self._engine = AnyEngine(model, settings)
        self._gatherer: Gatherer[Row, Sampled] = Gatherer(self._engine, name=self.name)

    async def reply(
        self, request: ChatRequest, trace: TokenTrace | None = None
    ) -> Reply:
        """Reply to a request.

        Args:
            request: The observation.
            trace: The episode's tokens: what was sampled before is gone on from, and
                what is read and sampled now is appended. None renders the whole
                conversation anew.

        Returns:
            The reply. One that a token limit cut off has the finish reason "length";
            so has the empty reply to a prompt that fills the model's context, which
            the model never reads: it has no ids and leaves the trace as it was.

        Raises:
            ChatTemplateError: The chat template refuses the conversation.
            PolicyFault: The model failed, on this prompt or another of its batch.
        """
        prompt = self.tokens.prompt(request, trace)
        room = min(self._room(request), self._context - len(prompt.ids))
        if room < 1:
            return Reply("", "length", Usage(len(prompt.ids), 0))
        row = Row(prompt.ids, room, self._keys.next(prompt.ids))
        sampled = await self._gatherer.ask(row)
        self.tokens_sampled += len(sampled.ids)
        return self.tokens.reply(
            request, prompt, sampled.ids, logprobs=sampled.logprobs, trace=trace
        )

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Write a trainer's weights into the model.

        Safe while replies are waited for: those under way are finished with the old
        weights, those that wait are sampled with the new ones, none with both. It
        blocks until the weights are written; in an event loop that is to go on
        meanwhile, `await asyncio.to_thread(policy.load_state_dict, state)`.

        Args:
            state: A tensor for each of the model's, as from its `state_dict()`; they
                may be on another device and of another type of numbers. One that
                shares another's memory may be missing.

        Raises:
            ValueError: A tensor is missing or unknown, or its shape differs; nothing is
                written then.
        """
        check_state(self.model, state)
        self.update_weights(state)

    def update_weights(
        self,
        weights: Mapping[str, torch.Tensor] | Iterable[tuple[str, torch.Tensor]],
    ) -> None:
        """Write some of a trainer's weights into the model, one after the other.

        For weights that are to be streamed, or of which only a part has changed; as
        safe as `load_state_dict`, and it blocks as well.

        Args:
            weights: Tensors by name, or pairs of both, which are drawn one by one in
                the policy's own thread.

        Raises:
            ValueError: A name is unknown or a shape differs; what came before it is
                written.
        """
        pairs = weights.items() if isinstance(weights, Mapping) else weights

        def write() -> None:
            self.version += 1
            self._engine.forget()
            write_weights(self.model, pairs)

        self._gatherer.run_alone(write)

    def _room(self, request: ChatRequest) -> int:
        """Return the most tokens of the reply to a request."""
        return self._sampling.max_new_tokens


def _check_options(sampling: Sampling, max_batch_size: int, reuse_tokens: int) -> None:
    sampling.require_only(
        *("max_new_tokens", "temperature", "top_p", "top_k", "min_p", "seed"),
        engine="`TransformersPolicy`",
    )
    if max_batch_size < 1:
        raise ValueError(f"`max_batch_size` must be at least 1, not {max_batch_size!r}")
    if reuse_tokens < 0:
        raise ValueError(f"`reuse_tokens` must be 0 or more, not {reuse_tokens!r}")


def _pad_id(tokenizer: Any, stop_ids: set[int]) -> int:
    pad = tokenizer.pad_token_id
    return min(stop_ids, default=0) if pad is None else int(pad)


def _load(
    source: str | Path, device: str | torch.device | None, dtype: Any
) -> tuple[Any, Any]:
    """Load a model and its tokenizer from a folder or the hub."""
    torch = require("torch", extra="transformers")
    transformers = require("transformers", extra="transformers")
    safetensors = require("safetensors", extra="transformers")
    if device is None:
        device = _best_device(torch)
    if dtype is None:
        dtype = torch.float32 if torch.device(device).type == "cpu" else "auto"
    place = place_of(source)
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


def _name_of(model: Any) -> str:
    """Return a folder's last part or a hub's name, the class's name for neither."""
    path = str(getattr(model, "name_or_path", "") or "")
    if not path:
        return type(model).__name__
    return name_of(path)


def _best_device(torch: Any) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _context_of(model: Any) -> int:
    """Return the most tokens that the model reads, a huge number if it says none."""
    config = model.config.get_text_config()
    return getattr(config, "max_position_embeddings", None) or sys.maxsize
