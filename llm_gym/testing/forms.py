"""Requests and answers of the APIs that the local server speaks.

Knows JSON; knows no HTTP. Sources: OpenAI's references of chat completions,
completions and Responses; for token ids vLLM's `entrypoints/openai`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llm_gym.testing.speech import Codec, Spoken

__all__ = ["Api", "Asked", "answer", "asked"]

Api = Literal["chat", "completions", "responses"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks.

    Attributes:
        last_user: The user's last words, to be echoed.
        turns: How many replies the conversation holds; None where that cannot be told.
        prompt_ids: The prompt as token ids.
        most_tokens: The most tokens of the reply, None for no limit.
    """

    last_user: str
    turns: int | None
    prompt_ids: list[int]
    most_tokens: int | None


def asked(api: Api, body: Mapping[str, Any], codec: Codec) -> Asked:
    """Read a request.

    Raises:
        ValueError: It is none of this API; the message says why.
    """
    if body.get("stream"):
        raise ValueError("this server does not stream")
    most = next((body[name] for name in _MOST if body.get(name) is not None), None)
    if api == "completions":
        prompt = body.get("prompt")
        if isinstance(prompt, str):
            return Asked(prompt, None, codec.encode(prompt), most)
        if isinstance(prompt, list) and all(type(i) is int for i in prompt):
            return Asked(codec.decode(prompt), None, prompt, most)
        raise ValueError("`prompt` must be a text or a list of token ids")
    items = body.get("messages" if api == "chat" else "input")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if not isinstance(items, list) or not all(isinstance(i, dict) for i in items):
        raise ValueError("`messages` must be a list of messages")
    users = [str(item.get("content")) for item in items if item.get("role") == "user"]
    told = "".join(
        f"{_author(i)}: {i.get('content', i.get('output'))}\n" for i in items
    )
    return Asked(users[-1] if users else "", _turns(items), codec.encode(told), most)


def answer(api: Api, spoken: Spoken, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a request."""
    return _ANSWERS[api](spoken, body)


_MOST = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_SPOKEN_TYPES = frozenset({"function_call", "reasoning"})


def _author(item: Mapping[str, Any]) -> str:
    if item.get("type") in _SPOKEN_TYPES:
        return "assistant"
    return str(item.get("role", item.get("type")))


def _turns(items: Sequence[Mapping[str, Any]]) -> int:
    """Count replies; items of one reply follow each other in the Responses API."""
    authors = [_author(item) for item in items]
    before = ["", *authors]
    return sum(
        now == "assistant" and (was != "assistant" or "role" in item)
        for was, now, item in zip(before, authors, items, strict=False)
    )


def _usage(spoken: Spoken, prompt: str, completion: str) -> dict[str, int]:
    read, wrote = len(spoken.prompt_ids), len(spoken.ids)
    return {prompt: read, completion: wrote, "total_tokens": read + wrote}


def _chat(spoken: Spoken, body: Mapping[str, Any]) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": 0,
        "message": spoken.message,
        "finish_reason": spoken.finish_reason,
        "logprobs": None,
    }
    if body.get("logprobs"):
        choice["logprobs"] = {
            "content": [{"token": "", "logprob": p} for p in spoken.logprobs]
        }
    whole: dict[str, Any] = {
        "id": "chatcmpl-local",
        "object": "chat.completion",
        "model": body.get("model"),
        "choices": [choice],
        "usage": _usage(spoken, "prompt_tokens", "completion_tokens"),
    }
    if body.get("return_token_ids"):
        whole["prompt_token_ids"] = spoken.prompt_ids
        choice["token_ids"] = spoken.ids
    return whole


def _completions(spoken: Spoken, body: Mapping[str, Any]) -> dict[str, Any]:
    reason = "length" if spoken.finish_reason == "length" else "stop"
    choice: dict[str, Any] = {"index": 0, "text": spoken.text, "finish_reason": reason}
    if body.get("logprobs") is not None:
        choice["logprobs"] = {"token_logprobs": spoken.logprobs}
    if body.get("return_token_ids"):
        choice["prompt_token_ids"] = spoken.prompt_ids
        choice["token_ids"] = spoken.ids
    return {
        "id": "cmpl-local",
        "object": "text_completion",
        "model": body.get("model"),
        "choices": [choice],
        "usage": _usage(spoken, "prompt_tokens", "completion_tokens"),
    }


def _responses(spoken: Spoken, body: Mapping[str, Any]) -> dict[str, Any]:
    message = spoken.message
    output: list[dict[str, Any]] = []
    if message.get("reasoning_content"):
        part = {"type": "summary_text", "text": message["reasoning_content"]}
        output.append({"type": "reasoning", "id": "rs_local", "summary": [part]})
    if message["content"] or not message.get("tool_calls"):
        text = {"type": "output_text", "text": message["content"], "annotations": []}
        output.append({"type": "message", "role": "assistant", "content": [text]})
    for call in message.get("tool_calls", ()):
        item = {"type": "function_call", "call_id": call["id"], **call["function"]}
        output.append(item)
    cut = {"length": "max_output_tokens"}.get(spoken.finish_reason)
    if spoken.finish_reason == "content_filter":
        cut = "content_filter"
    return {
        "id": "resp_local",
        "object": "response",
        "model": body.get("model"),
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": cut} if cut else None,
        "error": None,
        "output": output,
        "usage": _usage(spoken, "input_tokens", "output_tokens"),
    }


_ANSWERS = {"chat": _chat, "completions": _completions, "responses": _responses}
