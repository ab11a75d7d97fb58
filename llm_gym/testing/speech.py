"""What the local server says: from a line of a script to text, message and tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llm_gym.messages import Reply, call_text

__all__ = ["Bytes", "Codec", "Line", "Script", "Spoken", "as_codec", "speak"]

Line = str | Mapping[str, Any] | Reply
Script = Sequence[Line] | Callable[[Mapping[str, Any]], Line] | None


class Codec(Protocol):
    """Turns text into token ids and back.

    Attributes:
        end_id: The id that ends a reply, None for none.
    """

    end_id: int | None

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        ...


class Bytes:
    """A vocabulary of 256 bytes and an end."""

    end_id: int | None = 256

    def encode(self, text: str) -> list[int]:
        """Return the UTF-8 bytes of a text."""
        return list(text.encode(errors="replace"))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of bytes."""
        return bytes(i for i in ids if i < 256).decode(errors="replace")


class _OfTransformers:
    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.end_id: int | None = tokenizer.eos_token_id

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text


def as_codec(tokenizer: Any | None) -> Codec:
    """Return a codec for a tokenizer of transformers; bytes for None."""
    return Bytes() if tokenizer is None else _OfTransformers(tokenizer)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A reply in all the forms that the APIs need.

    Attributes:
        message: The assistant's message.
        text: What a model would have sampled, calls in the canonical text form.
        finish_reason: See `Reply`.
        prompt_ids: What was read.
        ids: What was sampled.
        logprobs: One for each of `ids`; made up, but always the same.
    """

    message: dict[str, Any]
    text: str
    finish_reason: str
    prompt_ids: list[int]
    ids: list[int]
    logprobs: list[float]


def speak(
    line: Line, prompt_ids: list[int], codec: Codec, most_tokens: int | None
) -> Spoken:
    """Say a line of a script.

    Args:
        line: The line.
        prompt_ids: What was read.
        codec: Makes ids.
        most_tokens: What is longer is cut off, with the finish reason "length".
    """
    reply = line if isinstance(line, Reply) else Reply(line)
    message = _message(reply.message)
    text = _as_sampled(message)
    finish_reason = reply.finish_reason
    if finish_reason == "stop" and message.get("tool_calls"):
        finish_reason = "tool_calls"
    if reply.sampled_ids is not None:
        ids = list(reply.sampled_ids)
    else:
        ended = finish_reason != "length" and codec.end_id is not None
        ids = codec.encode(text) + ([codec.end_id] if ended else [])  # type: ignore[list-item]
    if most_tokens is not None and len(ids) > most_tokens:
        ids = ids[:most_tokens]
        text, finish_reason = codec.decode(ids), "length"
        message = {"role": "assistant", "content": text}
    logprobs = list(reply.logprobs or [-(1 + i % 7) / 8 for i in ids])[: len(ids)]
    return Spoken(message, text, finish_reason, prompt_ids, ids, logprobs)


def _message(given: Mapping[str, Any] | str) -> dict[str, Any]:
    if isinstance(given, str):
        return {"role": "assistant", "content": given}
    return {"role": "assistant", "content": "", **given}


def _as_sampled(message: Mapping[str, Any]) -> str:
    parts = [message["content"] or ""]
    if message.get("reasoning_content"):
        parts.insert(0, f"<think>{message['reasoning_content']}</think>")
    for call in message.get("tool_calls", ()):
        function = call["function"]
        try:
            parts.append(call_text(function["name"], json.loads(function["arguments"])))
        except (TypeError, ValueError):  # as a model may write it
            parts.append(f"<tool_call>{function}</tool_call>")
    return "".join(parts)
