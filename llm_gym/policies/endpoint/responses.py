"""The Responses API: a conversation as items, in and out.

Stateless (`store` is false): each request holds the whole conversation. Source:
OpenAI's reference of the Responses API and its guide to moving from chat completions;
`reasoning_text` as vLLM's server writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_gym.messages import ChatRequest, Message, Reply, ToolSchema
from llm_gym.policies.endpoint.options import EndpointBody
from llm_gym.policies.endpoint.wire import (
    Call,
    WireError,
    sampling_fields,
    shorten,
    usage_in,
)
from llm_gym.policies.sampling import Sampling
from llm_gym.tokens.trace import TokenTrace

__all__ = ["ResponsesForm"]


class ResponsesForm:
    """Observations as the input of the Responses API, and its output as replies.

    Args:
        model: The model's name.
        sampling: How to sample; this API has no seed, no stop texts, no penalties.
        body: What else the body holds.

    Raises:
        ValueError: A setting of `sampling` is not in this API.
    """

    path = "/responses"
    seeded = False

    def __init__(self, model: str, sampling: Sampling, body: EndpointBody) -> None:
        sampling.require_only(
            "max_new_tokens", "temperature", "top_p", engine="the Responses API"
        )
        settings = sampling_fields(sampling, body.omit, "max_output_tokens")
        self._fixed = {"model": model, "store": False, **settings, **body.extra}
        self._send_reasoning = body.send_reasoning
        self._most_tokens = sampling.max_new_tokens

    def call(self, request: ChatRequest, trace: TokenTrace | None) -> Call:
        """Return the call for an observation."""
        items = list(_items(request["messages"], self._send_reasoning))
        body: dict[str, Any] = {**self._fixed, "input": items}
        if request.get("tools"):
            body["tools"] = [_tool(schema) for schema in request["tools"]]
        return Call(body, read_response, self._most_tokens)


def _items(messages: Sequence[Message], send_reasoning: bool) -> Iterator[Any]:
    for number, message in enumerate(messages):
        if message["role"] == "tool":
            yield {
                "type": "function_call_output",
                "call_id": message["tool_call_id"],
                "output": message["content"],
            }
            continue
        reasoning = message.get("reasoning_content")
        if reasoning and send_reasoning:
            yield {
                "type": "reasoning",
                "id": f"rs_{number}",
                "summary": [],
                "content": [{"type": "reasoning_text", "text": reasoning}],
            }
        calls = message.get("tool_calls", ())
        if message["content"] or not calls:
            yield {"role": message["role"], "content": message["content"]}
        for call in calls:
            function = call["function"]
            yield {"type": "function_call", "call_id": call["id"], **function}


def _tool(schema: ToolSchema) -> dict[str, Any]:
    # Without `strict` the server would rewrite the schema into its stricter dialect.
    return {"type": "function", **schema["function"], "strict": False}


_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}


def read_response(answer: Any) -> Reply:
    """Read a response.

    Raises:
        WireError: It is none, or it failed.
    """
    output = answer.get("output") if isinstance(answer, dict) else None
    if not isinstance(output, list):
        raise WireError(f"expected a list of output items, came {shorten(answer)}")
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Any] = []
    for item in output:
        if not isinstance(item, dict):
            raise WireError(f"expected an object as an item, came {shorten(item)}")
        if item.get("type") == "message":
            texts += _texts(item.get("content"), "text", "refusal")
        elif item.get("type") == "reasoning":
            told = _texts(item.get("content"), "text")
            thoughts += told or _texts(item.get("summary"), "text")
        elif item.get("type") == "function_call":
            calls.append(_call(item))
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts)}
    if calls:
        message["tool_calls"] = calls
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    finish_reason = _finish_reason(answer, bool(calls))
    if not (calls or texts or thoughts) and finish_reason == "stop":
        raise WireError(f"expected output items, came {shorten(output)}")
    usage = usage_in(answer, "input_tokens", "output_tokens")
    return Reply(message, finish_reason, usage)


def _finish_reason(answer: Mapping[str, Any], calls: bool) -> str:
    status = answer.get("status", "completed")
    if status == "completed":
        return "tool_calls" if calls else "stop"
    if status == "incomplete":
        details = answer.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        if isinstance(reason, str) and reason in _INCOMPLETE:
            return _INCOMPLETE[reason]
    told = answer.get("error") or answer.get("incomplete_details")
    raise WireError(f"the response is {shorten(status)}: {shorten(told)}")


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    return {"id": item.get("call_id"), "type": "function", "function": function}


def _texts(parts: object, *names: str) -> list[str]:
    """Return the texts of parts, each under one of these names."""
    if parts is None:
        return []
    if not isinstance(parts, list):
        raise WireError(f"expected a list of parts, came {shorten(parts)}")
    texts = []
    for part in parts:
        told = [part.get(name) for name in names] if isinstance(part, dict) else []
        text = next((text for text in told if isinstance(text, str)), None)
        if text is None:
            raise WireError(f"expected a part with a text, came {shorten(part)}")
        texts.append(text)
    return texts
