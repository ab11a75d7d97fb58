"""The completions API of vLLM's server, with token ids in and out.

Prompts are lists of ids, and `return_token_ids` brings back what was read and what was
sampled, so that nothing is decoded and encoded again. Source: vLLM's
`entrypoints/openai/completion/protocol.py` (`return_token_ids` since 0.10.2).

vLLM tells log-probabilities of the model's own distribution, before the temperature,
unless it was started with `--logprobs-mode processed_logprobs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_gym.messages import ChatRequest, Reply, Usage
from llm_gym.policies.endpoint.options import EndpointBody
from llm_gym.policies.endpoint.wire import (
    Call,
    WireError,
    finish_reason_in,
    ids_in,
    logprobs_in,
    one_choice,
    sampling_fields,
)
from llm_gym.policies.sampling import Sampling
from llm_gym.tokens.chat_tokens import ChatTokens, Prompt
from llm_gym.tokens.trace import TokenTrace

__all__ = ["TokenForm"]


class TokenForm:
    """Observations as token ids, and replies read from token ids.

    Args:
        model: The model's name.
        sampling: How to sample. Stop texts would end a reply in the middle of a token.
        body: What else the body holds.
        tokenizer: The model's own tokenizer, with its chat template.

    Raises:
        ValueError: `sampling` has stop texts.
        ChatTemplateError: The tokenizer has no usable chat template.
    """

    path = "/completions"

    def __init__(
        self, model: str, sampling: Sampling, body: EndpointBody, tokenizer: Any
    ) -> None:
        sampling.require_only(
            *(name for name in sampling.__slots__ if name != "stop"),
            engine="an endpoint that speaks token ids",
        )
        self.tokens = ChatTokens(tokenizer, model)
        self.seeded = "seed" not in body.omit
        self._vocabulary = len(tokenizer)
        self._fixed = {
            "model": model,
            **sampling_fields(sampling, body.omit, "max_tokens"),
            "stop_token_ids": sorted(self.tokens.stop_ids),
            "logprobs": 0,
            "return_token_ids": True,
            **body.extra,
        }

    def call(self, request: ChatRequest, trace: TokenTrace | None) -> Call:
        """Return the call for an observation."""
        prompt = self.tokens.prompt(request, trace)

        def read(answer: Any) -> Reply:
            return self._read(answer, request, prompt, trace)

        body = {**self._fixed, "prompt": prompt.ids}
        return Call(body, read, self._fixed["max_tokens"], Usage(len(prompt.ids)))

    def _read(
        self,
        answer: Any,
        request: ChatRequest,
        prompt: Prompt,
        trace: TokenTrace | None,
    ) -> Reply:
        choice = one_choice(answer)
        finish_reason = finish_reason_in(choice)
        self._check_prompt(choice, prompt)
        sampled = ids_in(choice.get("token_ids"), "token_ids", self._vocabulary)
        logprobs = _logprobs_in(choice, len(sampled))
        if finish_reason == "stop" and sampled:
            # The server knows this end from the model's own settings.
            self.tokens.stop_ids.add(sampled[-1])
        return self.tokens.reply(
            request, prompt, sampled, logprobs=logprobs, trace=trace
        )

    def _check_prompt(self, choice: Mapping[str, Any], prompt: Prompt) -> None:
        echoed = choice.get("prompt_token_ids")
        if echoed is None:
            raise WireError(
                "no `prompt_token_ids` came back: the server does not know "
                "`return_token_ids`, which vLLM has since 0.10.2"
            )
        echoed = ids_in(echoed, "prompt_token_ids", self._vocabulary)
        if echoed == prompt.ids:
            return
        pairs = enumerate(zip(echoed, prompt.ids, strict=False))
        first = next((i for i, (a, b) in pairs if a != b), None)
        where = "" if first is None else f", the first that differs is number {first}"
        raise WireError(
            f"the server read {len(echoed)} prompt ids instead of the "
            f"{len(prompt.ids)} that were sent{where}"
        )


def _logprobs_in(choice: Mapping[str, Any], count: int) -> list[float]:
    told = choice.get("logprobs")
    values = told.get("token_logprobs") if isinstance(told, dict) else None
    if values is None and count == 0:
        return []
    logprobs = logprobs_in(values, "token_logprobs")
    if len(logprobs) != count:
        raise WireError(
            f"expected a log-probability for each of {count} sampled ids, "
            f"came {len(logprobs)}"
        )
    return logprobs
