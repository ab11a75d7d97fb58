"""The chat-completions API, as OpenAI, Azure, vLLM and many others speak it.

Sources: OpenAI's reference of chat completions; for `reasoning_content` (or
`reasoning`), `prompt_token_ids`, `token_ids` and `top_k` vLLM's
`entrypoints/openai/chat_completion/protocol.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_gym.messages import ChatRequest, Message, Reply
from llm_gym.policies.endpoint.options import EndpointBody
from llm_gym.policies.endpoint.wire import (
    Call,
    WireError,
    finish_reason_in,
    ids_in,
    logprobs_in,
    one_choice,
    sampling_fields,
    shorten,
    text_in,
    usage_in,
)
from llm_gym.policies.sampling import Sampling
from llm_gym.tokens.trace import TokenTrace

__all__ = ["ChatForm"]


class ChatForm:
    """Observations as bodies of chat completions: nearly what they are already.

    Args:
        model: The model's name.
        sampling: How to sample.
        body: What else the body holds.
        length_field: What the server calls the most tokens of a reply.
    """

    path = "/chat/completions"

    def __init__(
        self, model: str, sampling: Sampling, body: EndpointBody, length_field: str
    ) -> None:
        settings = sampling_fields(sampling, body.omit, length_field)
        self.seeded = "seed" not in body.omit
        self._fixed = {"model": model, **settings, **body.extra}
        self._send_reasoning = body.send_reasoning
        self._most_tokens = sampling.max_new_tokens

    def call(self, request: ChatRequest, trace: TokenTrace | None) -> Call:
        """Return the call for an observation."""
        messages = request["messages"]
        if not self._send_reasoning:
            messages = [without_reasoning(message) for message in messages]
        body: dict[str, Any] = {**self._fixed, "messages": messages}
        if request.get("tools"):
            body["tools"] = request["tools"]
        return Call(body, read_chat, self._most_tokens)


def without_reasoning(message: Message) -> Message:
    """Return a message without its thinking, a copy only where it had some."""
    if "reasoning_content" not in message:
        return message
    kept: Any = {k: v for k, v in message.items() if k != "reasoning_content"}
    return kept  # type: ignore[no-any-return]


def read_chat(answer: Any) -> Reply:
    """Read a chat completion.

    Raises:
        WireError: It is none.
    """
    choice = one_choice(answer)
    finish_reason = finish_reason_in(choice)
    message = _message_in(choice)
    prompt_ids = answer.get("prompt_token_ids")
    sampled_ids = choice.get("token_ids")
    logprobs = _logprobs_in(choice.get("logprobs"))
    if sampled_ids is not None:
        sampled_ids = ids_in(sampled_ids, "token_ids")
        if logprobs is not None and len(logprobs) != len(sampled_ids):
            raise WireError(
                f"expected a log-probability for each of {len(sampled_ids)} ids, "
                f"came {len(logprobs)}"
            )
    return Reply(
        message,
        finish_reason,
        usage_in(answer, "prompt_tokens", "completion_tokens"),
        None if prompt_ids is None else ids_in(prompt_ids, "prompt_token_ids"),
        sampled_ids,
        logprobs,
    )


def _message_in(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return the assistant's message; what its calls hold is read by `read_reply`."""
    given = choice.get("message")
    if not isinstance(given, dict) or given.get("role", "assistant") != "assistant":
        raise WireError(f"expected an assistant's message, came {shorten(given)}")
    # A refusal is what the model said, in a field of its own.
    text = text_in(given.get("content")) or text_in(given.get("refusal"))
    message: dict[str, Any] = {"role": "assistant", "content": text}
    calls = given.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise WireError(f"expected a list of tool calls, came {shorten(calls)}")
    if calls:
        message["tool_calls"] = calls
    reasoning = given.get("reasoning_content") or given.get("reasoning")
    if isinstance(reasoning, str):
        message["reasoning_content"] = reasoning
    return message


def _logprobs_in(told: object) -> list[float] | None:
    content = told.get("content") if isinstance(told, dict) else None
    if not isinstance(content, list):
        return None
    values = [one.get("logprob") if isinstance(one, dict) else one for one in content]
    return logprobs_in(values, "logprobs")
