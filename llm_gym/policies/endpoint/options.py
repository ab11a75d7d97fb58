"""What a user may set about an endpoint, besides how replies are sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_gym.errors import LLMGymError

__all__ = ["AzureOptions", "EndpointBody", "EndpointError", "EndpointLimits"]


class EndpointError(LLMGymError, ValueError):
    """A server refuses what only the caller can mend: a key, an address, a setting."""


@dataclass(frozen=True, slots=True)
class AzureOptions:
    """Where a model is on Azure OpenAI.

    The paths are those of the data plane's reference of inference,
    https://learn.microsoft.com/azure/ai-foundry/openai/reference. Its newer "v1" API
    needs none of this: give it as the `base_url`, with the key in a header of its own,
    `headers={"api-key": Key.from_env(...)}`.

    Attributes:
        deployment: The deployment's name.
        api_version: The API's version, such as "2024-10-21".
        bearer: Whether the policy's key is a token of Entra, sent as
            `Authorization: Bearer`; else it is sent as `api-key`.
    """

    deployment: str
    api_version: str
    bearer: bool = False


_OURS = frozenset(
    {
        *("model", "messages", "prompt", "input", "tools", "stream", "n"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "stop", "seed"),
        *("temperature", "top_p", "top_k", "min_p"),
        *("presence_penalty", "frequency_penalty"),
    }
)
_MAY_BE_OMITTED = ("temperature", "top_p", "seed")


@dataclass(frozen=True, slots=True)
class EndpointBody:
    """What the body of a request holds, where servers differ.

    Attributes:
        extra: Fields to add as they are, such as `{"tool_choice": "required"}`,
            `{"reasoning_effort": "low"}` or vLLM's `{"return_token_ids": True,
            "logprobs": True}`.
        omit: Fields that the server refuses, to be left out: any of "temperature",
            "top_p" and "seed", which must then have their defaults in `Sampling`.
        length_field: What the chat API calls the most tokens of a reply. None takes
            "max_completion_tokens" for OpenAI and Azure, whose newer models know only
            that, and "max_tokens" for all others, some of which know only this.
        send_reasoning: Whether replies' `reasoning_content` is sent back with the
            history. OpenAI's own servers refuse the field.

    Raises:
        ValueError: A field may not be added or left out.
    """

    extra: Mapping[str, Any] = field(default_factory=dict)
    omit: tuple[str, ...] = ()
    length_field: str | None = None
    send_reasoning: bool = False

    def __post_init__(self) -> None:
        taken = sorted(self.extra.keys() & _OURS)
        if taken:
            raise ValueError(
                f"`extra` may not hold {taken}, which the policy writes itself: "
                "see `Sampling` and the policy's arguments"
            )
        unknown = sorted(set(self.omit) - set(_MAY_BE_OMITTED))
        if unknown:
            raise ValueError(f"`omit` may hold {list(_MAY_BE_OMITTED)}, not {unknown}")


@dataclass(frozen=True, slots=True)
class EndpointLimits:
    """How much is asked at once, how long is waited, and how often it is tried again.

    Attributes:
        connections: The most requests that are under way at once in one event loop;
            others wait, in their order. Each takes a file descriptor.
        attempts: The most requests for one reply.
        connect_seconds: The longest wait for a connection.
        attempt_seconds: The longest time of one request, its body's last byte included.
        reply_seconds: The longest time of all attempts for one reply and of the waits
            between; waiting for one of the `connections` does not count.
        backoff_seconds: The wait before the second attempt; it doubles each time, and
            a random part of up to a half is taken off.
        most_wait_seconds: The longest wait between attempts, whatever a server asks.
        body_bytes: The longest answer that is read.
        seed: Where the random parts of waits start; None for different ones each time.

    Raises:
        ValueError: A limit is not above 0.
    """

    connections: int = 512
    attempts: int = 6
    connect_seconds: float = 10.0
    attempt_seconds: float = 300.0
    reply_seconds: float = 900.0
    backoff_seconds: float = 0.5
    most_wait_seconds: float = 60.0
    body_bytes: int = 32 * 2**20
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if name != "seed" and not getattr(self, name) > 0:
                raise ValueError(
                    f"`{name}` must be above 0, not {getattr(self, name)!r}"
                )
