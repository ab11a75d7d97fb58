"""A policy that samples with vLLM, in this process's charge.

Knows requests, settings and replies. The engine is in `engine`, prompts and
replies as token ids come from `llm_gym.tokens.chat_tokens`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llm_gym.errors import require
from llm_gym.messages import ChatRequest, Reply, Usage
from llm_gym.policies.checkpoints import eos_ids, name_of, place_of
from llm_gym.policies.embedded import ModelNotFoundError, embedded_model_path
from llm_gym.policies.sampling import RowKeys, Sampling
from llm_gym.policies.vllm.engine import Engine, EngineStateError
from llm_gym.policies.vllm.parsers import ParsingTokenizer
from llm_gym.policies.vllm.weights import Weights, weights_folder
from llm_gym.tokens.chat_tokens import ChatTokens
from llm_gym.tokens.trace import TokenTrace

__all__ = ["EngineStateError", "VLLMPolicy"]

_LEAST_TEMPERATURE = 0.01
"""vLLM takes this for anything between it and 0."""


class VLLMPolicy:
    """Replies with a causal language model that vLLM runs.

    vLLM's async engine starts with the policy, in processes of its own, and batches by
    itself: calls reach it as they come, from any number of event loops and threads.
    Prompts go in as token ids and replies come out as token ids; where a trace is
    given, both are appended to it.

    Same seed, prompts and model: same replies. What a reply draws depends on the seed,
    on its prompt and on how often that prompt came before, up to the rounding of the
    model's arithmetic, which depends on the batch.

    The engine's processes are spawned: a script that makes a policy needs the usual
    `if __name__ == "__main__":`.

    Args:
        model: A folder or a hub's name; None takes the embedded SmolLM2-135M-Instruct.
        sampling: The settings of sampling.
        tokenizer: The tokenizer; None takes the one beside the model.
        name: The model's name, for records; None takes the folder's or the hub's.
        tool_parser: The name of one of vLLM's tool parsers ("hermes", "llama3_json",
            ...). None leaves replies to the tokenizer's own parser, or to the
            environment where it has none.
        engine_args: More arguments of vLLM's `AsyncEngineArgs`. Without them, a CPU
            computes in float32, without compilation, and reads each prompt at once.
            `logprobs_mode` may be "processed_logprobs" for those of the distribution
            that was drawn from; else they are the model's own, at temperature 1.

    Attributes:
        name: The model's name.
        tokenizer: The tokenizer.
        tokens: How its token ids become prompts and replies.
        tokens_sampled: The tokens sampled so far, by all replies.

    Raises:
        ModelNotFoundError: There is no such folder, or no tokenizer in it.
        ChatTemplateError: The tokenizer has no usable chat template.
        ValueError: vLLM cannot sample so, or refuses an argument.
        PolicyFault: The engine did not start.
        MissingDependencyError: vLLM is not installed.

    Example:
        >>> with VLLMPolicy("path/to/model", tool_parser="hermes") as policy:
        ...     for trajectory in llm_gym.rollout(env_id, policy, episodes=64):
        ...         print(trajectory.episode_return)
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        sampling: Sampling | None = None,
        tokenizer: Any | None = None,
        name: str | None = None,
        tool_parser: str | None = None,
        engine_args: Mapping[str, Any] | None = None,
    ) -> None:
        self._vllm = require("vllm", extra="vllm")
        self._sampling = Sampling() if sampling is None else sampling
        _check(self._sampling)
        engine_args = _with_defaults(engine_args or {})
        place = place_of(embedded_model_path() if model is None else model)
        self.name = name_of(place) if name is None else name
        self.tokenizer = (
            _tokenizer(place, engine_args) if tokenizer is None else tokenizer
        )
        self.tokens_sampled = 0
        self._keys = RowKeys(self._sampling.seed)
        reader = self.tokenizer
        if tool_parser is not None:
            reader = ParsingTokenizer(reader, tool_parser)
        self.tokens = ChatTokens(reader, self.name, _stop_ids(place, engine_args))
        self._engine = Engine({**engine_args, "model": place}, self.name)

    @property
    def version(self) -> int:
        """How often `update_weights` has changed weights."""
        return self._engine.version

    async def reply(
        self, request: ChatRequest, trace: TokenTrace | None = None
    ) -> Reply:
        """Reply to a request. To cancel the call aborts the engine's work on it.

        Args:
            request: The observation.
            trace: The episode's tokens, to which prompt and reply are appended.

        Returns:
            The reply with its ids and log-probabilities. One that a token limit cut
            off has the finish reason "length"; so has the empty reply to a prompt that
            fills the model's context, of which nothing is appended to the trace.

        Raises:
            ChatTemplateError: The chat template refuses the conversation.
            ValueError: The engine refuses the prompt: an id that the model has not.
            EngineStateError: The policy is closed or asleep.
            PolicyFault: The engine failed or died.
        """
        prompt = self.tokens.prompt(request, trace)
        ids = prompt.ids
        room = min(self._sampling.max_new_tokens, self._engine.max_model_len - len(ids))
        if room < 1:
            return Reply("", "length", Usage(len(ids), 0))
        params = self._params(room, self._keys.next(ids))
        done = await self._engine.generate(ids, params)
        self.tokens_sampled += len(done.ids)
        return self.tokens.reply(
            request, prompt, done.ids, logprobs=done.logprobs, trace=trace
        )

    def with_sampling(self, sampling: Sampling) -> VLLMPolicy:
        """Return a policy of the same engine that samples otherwise.

        It counts prompts and tokens afresh. To close one of the two closes both.

        Args:
            sampling: The settings of sampling.

        Raises:
            ValueError: vLLM cannot sample so.
        """
        _check(sampling)
        policy = copy.copy(self)
        policy._sampling = sampling
        policy._keys = RowKeys(sampling.seed)
        policy.tokens_sampled = 0
        return policy

    def sleep(self, level: int = 1) -> None:
        """Wait for the replies under way, then free the engine's memory.

        It needs `engine_args={"enable_sleep_mode": True}` and an accelerator.

        Args:
            level: 1 keeps the weights in main memory, 2 drops them: after waking up
                they have to be loaded with `update_weights`.

        Raises:
            ValueError: There is no such level.
            EngineStateError: The engine cannot sleep: not started for it, or on a CPU.
            PolicyFault: The engine failed.
        """
        if level not in (1, 2):
            raise ValueError(f"`level` must be 1 or 2, not {level!r}")
        self._engine.sleep(level)

    def wake_up(self, tags: Sequence[str] | None = None) -> None:
        """Take the memory again; replies are possible when all of it is there.

        Args:
            tags: "weights" or "kv_cache", to have one before the other; None for both.

        Raises:
            PolicyFault: The engine failed.
        """
        self._engine.wake_up(tags)

    def update_weights(self, weights: str | Path | Weights) -> None:
        """Replace weights, between two replies: those under way are finished first.

        Later replies read their whole prompt with the new weights.

        Args:
            weights: A folder of safetensors, or tensors by the checkpoint's names, as
                `model.state_dict()` or `model.named_parameters()` gives them. What is
                left out stays as it was. Where the engine has several machines, all of
                them must see the folder.

        Raises:
            ModelNotFoundError: There is no such folder, or no safetensors in it.
            PolicyFault: They could not be loaded. As some of them may have been, the
                policy is closed.
        """
        with weights_folder(weights) as folder:
            self._engine.load_weights(folder)

    def close(self) -> None:
        """End the engine and its processes; replies under way are a `PolicyFault`."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _params(self, room: int, seed: int) -> Any:
        """Return vLLM's settings for one reply, which the checkpoint's do not bend."""
        sampling = self._sampling
        return self._vllm.SamplingParams(
            max_tokens=room,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            seed=seed,
            ignore_eos=True,  # all that ends a reply is listed
            stop_token_ids=sorted(self.tokens.stop_ids),
            logprobs=0,  # that of the sampled token alone
            detokenize=False,
            output_kind=_final_only(),
        )


def _final_only() -> Any:
    kinds = require("vllm.sampling_params", extra="vllm").RequestOutputKind
    return kinds.FINAL_ONLY


def _check(sampling: Sampling) -> None:
    """Refuse what vLLM would do otherwise, or not at all."""
    if 0 < sampling.temperature < _LEAST_TEMPERATURE:
        raise ValueError(
            f"vLLM samples with a `temperature` of 0 or of {_LEAST_TEMPERATURE} and "
            f"more, not {sampling.temperature!r}"
        )
    settings = {field.name for field in fields(sampling)} - {"stop"}
    sampling.require_only(*settings, engine="VLLMPolicy, which ends replies at tokens,")


def _with_defaults(engine_args: Mapping[str, Any]) -> dict[str, Any]:
    if "model" in engine_args:
        raise ValueError(
            "`engine_args` must not name the `model`: it is the policy's first argument"
        )
    defaults: dict[str, Any] = {
        "disable_log_stats": True,
        "skip_tokenizer_init": True,  # the engine sees ids alone
    }
    if require("vllm.platforms", extra="vllm").current_platform.is_cpu():
        if engine_args.get("enable_chunked_prefill"):
            raise ValueError(
                "`enable_chunked_prefill` must not be set on a CPU: there vLLM dies of "
                "a seeded request whose prompt it reads in parts"
            )
        defaults |= {
            "dtype": "float32",
            "enforce_eager": True,
            "enable_chunked_prefill": False,
        }
    return defaults | dict(engine_args)


def _hub_options(engine_args: Mapping[str, Any]) -> dict[str, Any]:
    known = ("revision", "trust_remote_code")
    return {name: engine_args[name] for name in known if name in engine_args}


def _tokenizer(place: str, engine_args: Mapping[str, Any]) -> Any:
    transformers = require("transformers", extra="vllm")
    source = engine_args.get("tokenizer") or place
    try:
        return transformers.AutoTokenizer.from_pretrained(
            source, **_hub_options(engine_args)
        )
    except (OSError, ValueError) as err:
        reason = (str(err).splitlines() or [""])[0]
        raise ModelNotFoundError(
            f"no tokenizer could be loaded from {str(source)!r}, which must be a "
            f"folder with a causal language model or the hub's name of one: {reason}"
        ) from err


def _stop_ids(place: str, engine_args: Mapping[str, Any]) -> set[int]:
    """Return the tokens that end a reply, as the checkpoint says."""
    transformers = require("transformers", extra="vllm")
    options = _hub_options(engine_args)
    try:
        config = transformers.GenerationConfig.from_pretrained(place, **options)
    except OSError:  # not every checkpoint has one
        return set()
    return eos_ids(config)
