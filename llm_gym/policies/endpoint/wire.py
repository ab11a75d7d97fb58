"""What all forms of request and answer share.

A form turns an observation into a `Call`: a body to send, and what reads the answer.
Knows JSON; knows no HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llm_gym.errors import ActionError
from llm_gym.messages import ChatRequest, Reply, Usage
from llm_gym.policies.sampling import Sampling
from llm_gym.replies import text_of
from llm_gym.tokens.trace import TokenTrace

__all__ = [
    "Call",
    "Form",
    "WireError",
    "ids_in",
    "one_choice",
    "sampling_fields",
    "shorten",
    "text_in",
    "usage_in",
]


class WireError(ValueError):
    """An answer that is no reply in its API's form; another attempt may bring one."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request and how its answer is read.

    Attributes:
        body: The request's body.
        read: Turns the answer's JSON into a reply, or raises `WireError`.
        most_tokens: The most tokens of the reply.
        usage: What to tell of a prompt that the server refuses as too long.
    """

    body: dict[str, Any]
    read: Callable[[Any], Reply]
    most_tokens: int
    usage: Usage | None = None


class Form(Protocol):
    """One of the APIs.

    Attributes:
        path: The API's path below the base URL.
        seeded: Whether a body may hold a `seed`.
    """

    path: str
    seeded: bool

    def call(self, request: ChatRequest, trace: TokenTrace | None) -> Call:
        """Return the call for an observation."""
        ...


def sampling_fields(
    sampling: Sampling, omit: Sequence[str], length_field: str
) -> dict[str, Any]:
    """Return the fields of a body that say how to sample, the seed left out.

    Temperature and top_p are always told: a server may have defaults of its own.
    """
    told: dict[str, Any] = {length_field: sampling.max_new_tokens}
    for name in ("temperature", "top_p"):
        if name not in omit:
            told[name] = getattr(sampling, name)
    for name in ("top_k", "min_p", "presence_penalty", "frequency_penalty"):
        if getattr(sampling, name):
            told[name] = getattr(sampling, name)
    if sampling.stop:
        told["stop"] = list(sampling.stop)
    return told


def one_choice(answer: Any) -> Mapping[str, Any]:
    """Return the only choice of a completion.

    Raises:
        WireError: There is not exactly one.
    """
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not (isinstance(choices, list) and len(choices) == 1):
        raise WireError(f"expected one choice, came {shorten(answer)}")
    choice = choices[0]
    if not isinstance(choice, dict):
        raise WireError(f"expected an object as the choice, came {shorten(choice)}")
    return choice


_FINISH_REASONS = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
}


def finish_reason_in(choice: Mapping[str, Any]) -> str:
    """Return why the engine stopped, in `Reply`'s words.

    Raises:
        WireError: It did not finish: vLLM's "abort", say.
    """
    given = choice.get("finish_reason")
    known = _FINISH_REASONS.get(given) if isinstance(given, str) else None
    if known is None:
        raise WireError(f"expected a known finish reason, came {shorten(given)}")
    return known


def text_in(content: object) -> str:
    """Return a message's content as text.

    Raises:
        WireError: It is neither text, None nor a list of text parts.
    """
    try:
        return text_of(content)
    except ActionError as err:
        raise WireError(str(err)) from None


def usage_in(answer: Mapping[str, Any], prompt: str, completion: str) -> Usage | None:
    """Return the token counts of an answer, None where it tells none."""
    told = answer.get("usage")
    if not isinstance(told, dict):
        return None
    counts = told.get(prompt), told.get(completion)
    if not all(type(count) is int and count >= 0 for count in counts):
        return None
    return Usage(counts[0] or 0, counts[1] or 0)


def ids_in(value: object, name: str, vocabulary: float = math.inf) -> list[int]:
    """Return a list of token ids.

    Raises:
        WireError: It is something else, or an id is out of range.
    """
    if not isinstance(value, list):
        raise WireError(f"expected `{name}` as a list of ids, came {shorten(value)}")
    for token in value:
        if type(token) is not int or not 0 <= token < vocabulary:
            raise WireError(
                f"expected ids of the vocabulary in `{name}`, came {shorten(token)}"
            )
    return value


def logprobs_in(value: object, name: str) -> list[float]:
    """Return a list of log-probabilities.

    Raises:
        WireError: It is something else, or one is no finite number.
    """
    if not isinstance(value, list):
        raise WireError(f"expected `{name}` as a list, came {shorten(value)}")
    for one in value:
        if type(one) not in (int, float) or not math.isfinite(one):
            raise WireError(f"expected finite numbers in `{name}`, came {shorten(one)}")
    return value


def shorten(value: object, limit: int = 200) -> str:
    """Return a value's repr, cut to so many characters."""
    if isinstance(value, (str, bytes)):
        value = value[:limit]  # the repr of a giant body is a giant too
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= limit else f"{text[:limit]}..."
