"""Reads the rollout rows of NVIDIA's NeMo Gym.

A row is one JSON object: what was asked in the form of OpenAI's Responses API
(`responses_create_params`), all that came of it in one list (`response.output`: the
replies' reasoning, texts and calls, the tools' results, and what users said), a
`reward`, and whatever the resources server added. The form was read from NeMo Gym's
repository (Apache-2.0, its example rollouts and `nemo_gym/openai_utils.py`, August
2026); no code of it is used here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_gym import jsontext
from llm_gym.adapters.offline.episodes import (
    ChatMessage,
    Episode,
    chat_call,
    up_to_last_reply,
)
from llm_gym.errors import FormatError
from llm_gym.messages import ToolSchema, wire_name
from llm_gym.tokens.trace import TokenRecord, TokenTrace

__all__ = ["episode_of_row"]

_TASK_KEYS = ("task_id", "problem_id", "instance_id", "uuid", "_ng_task_index")
"""Where a row says which task it is of, the most telling first."""
_ROW_KEYS = frozenset({"reward", "response", "responses_create_params", "agent_ref"})


def episode_of_row(row: object) -> Episode:
    """Return the episode of a rollout row.

    Args:
        row: The parsed line of a rollouts file.

    Raises:
        FormatError: It is no rollout row, or holds what is no text, such as an image.
    """
    params, response = _halves(row)
    rollout: Mapping[str, Any] = row  # type: ignore[assignment]  # _halves checked it
    reader = _Reader()
    asked = _asked(params)
    reader.read(asked)
    begun = len(reader.messages)
    for item in _output(response, asked):
        reader.read([item])
    reader.close_reply()
    if begun == 0:  # what was asked stands in the output alone
        begun = next(
            (i for i, m in enumerate(reader.messages) if m["role"] == "assistant"),
            len(reader.messages),
        )
    completion = up_to_last_reply(reader.messages[begun:])
    return Episode(
        prompt=reader.messages[:begun],
        completion=completion,
        tools=[_tool(tool) for tool in params.get("tools") or ()],
        facts=_facts(rollout, response, completion, reader.unreadable),
        record=_record(rollout, response),
        problem=_problem(rollout, response, completion),
        unlike=_unlike(response, reader.unreadable),
        tokens=_tokens(response),
    )


def _halves(row: object) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    if not isinstance(row, dict) or not isinstance(
        row.get("responses_create_params"), dict
    ):
        raise FormatError(
            "neither a trajectory of llm_gym nor a rollout row of NeMo Gym, which has "
            "`responses_create_params`"
        )
    response = row.get("response")
    if response is None and "_ng_failure_class" in row:
        response = {}
    if not isinstance(response, dict):
        raise FormatError("a task row of NeMo Gym: it has no `response`, no rollout")
    return row["responses_create_params"], response


def _asked(params: Mapping[str, Any]) -> list[Any]:
    asked = params.get("input") or []
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    if params.get("instructions"):
        return [{"role": "system", "content": params["instructions"]}, *asked]
    return list(asked)


def _output(response: Mapping[str, Any], asked: Sequence[Any]) -> list[Any]:
    """Return what came of it; some agents list the whole conversation after each step.

    Then the last list is the longest, and what had been asked stands in it too.
    """
    output = response.get("output") or []
    if not output or not all(isinstance(item, list) for item in output):
        return list(output)
    last = list(output[-1])
    return last[len(asked) :] if last[: len(asked)] == list(asked) else last


@dataclass(slots=True)
class _Reader:
    """Turns a list of the Responses API into chat messages.

    There each reply is several items in a row: its reasoning, its text, its calls.

    Attributes:
        messages: What has been read.
        unreadable: Calls whose arguments are no JSON object.
    """

    messages: list[ChatMessage] = field(default_factory=list)
    unreadable: int = 0
    _reply: ChatMessage | None = None
    _calls: dict[str, str] = field(default_factory=dict)

    def read(self, items: Iterable[Any]) -> None:
        for item in items:
            if not isinstance(item, dict):
                raise FormatError(f"an item of a conversation is {item!r:.80}")
            kind = item.get("type") or "message"
            if kind == "message":
                self._message(item)
            elif kind == "reasoning":
                self._reasoning(item)
            elif kind == "function_call":
                self._call(item)
            elif kind == "function_call_output":
                self._result(item)
            else:
                raise FormatError(f"an item of a conversation is of type {kind!r:.40}")

    def close_reply(self) -> None:
        """What comes next is of another reply, or of nobody's."""
        if self._reply is not None:
            self.messages.append(self._reply)
        self._reply = None

    def _message(self, item: Mapping[str, Any]) -> None:
        role = item.get("role")
        text = _text(item.get("content"))
        if role != "assistant":
            self.close_reply()
            if role not in ("user", "system", "developer", "tool"):
                raise FormatError(f"a message of the role {role!r:.40}")
            role = "system" if role == "developer" else role
            self.messages.append({"role": role, "content": text})
            return
        if self._reply is not None and self._reply["content"]:
            self.close_reply()  # it has said its text: this is another reply
        self._open()["content"] = text
        for call in item.get("tool_calls") or ():  # rows that came from chat servers
            function = call.get("function") or {}
            self._call({**function, "call_id": call.get("id")})

    def _reasoning(self, item: Mapping[str, Any]) -> None:
        reply = self._reply
        if reply is not None and reply["content"] and "tool_calls" not in reply:
            self.close_reply()  # a reply begins with its thoughts
        parts = [*(item.get("summary") or ()), *(item.get("content") or ())]
        text = _text(parts)
        if text:
            reply = self._open()
            before = reply.get("reasoning_content")
            reply["reasoning_content"] = f"{before}\n{text}" if before else text

    def _call(self, item: Mapping[str, Any]) -> None:
        raw = item.get("arguments")
        try:
            value = jsontext.loads(raw) if isinstance(raw, str) else raw
        except ValueError:
            value = None
        if not isinstance(value, dict):
            self.unreadable += 1
            value = {}
        calls = self._open().setdefault("tool_calls", [])
        call_id = str(item.get("call_id") or f"call_{len(self._calls)}")
        name = wire_name(str(item.get("name") or ""))
        self._calls[call_id] = name
        calls.append(chat_call(call_id, name, value))

    def _result(self, item: Mapping[str, Any]) -> None:
        self.close_reply()
        call_id = str(item.get("call_id") or "")
        message = {"role": "tool", "content": _text(item.get("output"))}
        if call_id in self._calls:
            message["name"] = self._calls[call_id]
        if call_id:
            message["tool_call_id"] = call_id
        self.messages.append(message)

    def _open(self) -> ChatMessage:
        if self._reply is None:
            self._reply = {"role": "assistant", "content": ""}
        return self._reply


def _text(content: object) -> str:
    """Return the text of what may be a text, None, or parts of one."""
    if content is None or isinstance(content, str):
        return jsontext.clean_text(content or "")
    if not isinstance(content, list):
        raise FormatError(f"a content is {content!r:.80}, no text")
    texts = []
    for part in content:
        text = part.get("text", part.get("refusal")) if isinstance(part, dict) else part
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, dict) else part
            raise FormatError(f"a content holds {kind!r:.40}, which is no text")
        texts.append(text)
    return jsontext.clean_text("".join(texts))


def _tool(tool: Mapping[str, Any]) -> ToolSchema:
    if isinstance(tool.get("function"), dict):
        tool = tool["function"]
    if not isinstance(tool.get("name"), str):
        raise FormatError(f"a tool of type {tool.get('type')!r:.40} has no schema")
    return {
        "type": "function",
        "function": {
            "name": tool["name"],
            "description": tool.get("description") or "",
            "parameters": tool.get("parameters") or {"type": "object"},
        },
    }


def _problem(
    row: Mapping[str, Any],
    response: Mapping[str, Any],
    completion: Sequence[ChatMessage],
) -> str:
    if row.get("_ng_failure_class"):
        return f"fault: {row['_ng_failure_class']}"
    if response.get("error"):
        return f"fault: {response['error']!r:.200}"
    if row.get("mask_sample"):
        return "fault: its row says `mask_sample`: not to be trained on"
    if _number(row.get("reward")) is None:
        return "unfinished: it has no reward"
    if not completion:
        return "no reply: the policy said nothing"
    return ""


def _unlike(response: Mapping[str, Any], unreadable: int) -> str:
    if response.get("incomplete_details"):
        return "a reply was cut off"
    if unreadable:
        return "a call could not be read, the history shows it in other words"
    return ""


def _facts(
    row: Mapping[str, Any],
    response: Mapping[str, Any],
    completion: Sequence[ChatMessage],
    unreadable: int,
) -> dict[str, Any]:
    replies = [m for m in completion if m["role"] == "assistant"]
    reward = _number(row.get("reward"))
    stopped = response.get("incomplete_details")
    truncated = bool(stopped or row.get("truncated"))
    reason = stopped.get("reason") if isinstance(stopped, dict) else None
    usage = response.get("usage")
    told = usage.get("output_tokens") if isinstance(usage, dict) else None
    facts = {
        "reward": reward,
        "score": reward if reward is not None and 0 <= reward <= 1 else None,
        "success": None if reward is None else reward >= 1,
        "valid": not truncated and not unreadable,
        "terminated": not truncated,
        "truncated": truncated,
        "stop_reason": reason if isinstance(reason, str) else None,
        "turns": len(replies),
        "calls": sum(len(m.get("tool_calls", ())) for m in replies),
        "tool_errors": None,
        "invalid_calls": unreadable,
        "tokens": _number(told),
        "characters": sum(len(m["content"]) for m in replies),
        "env": _env(row),
        "task": _task(row),
        "policy": _word(response.get("model")),
        "group": _number(row.get("_ng_task_index")),
        "episode": _number(row.get("_ng_rollout_index")),
    }
    numbers = {key: _number(row[key]) for key in row.keys() - _ROW_KEYS}
    parts = {f"parts.{k}": v for k, v in numbers.items() if v is not None}
    return {**facts, **{key: parts[key] for key in sorted(parts)}}


def _record(row: Mapping[str, Any], response: Mapping[str, Any]) -> dict[str, Any]:
    text = jsontext.canonical(row)
    return {
        "env": _env(row),
        "env_kwargs": {},
        "env_hash": "",
        "task": _task(row),
        "task_hash": "",
        "seed": None,
        "policy": _word(response.get("model")) or "",
        "digest": hashlib.sha256(text.encode()).hexdigest(),
    }


def _env(row: Mapping[str, Any]) -> str:
    agent = row.get("agent_ref")
    return str(agent.get("name") or "") if isinstance(agent, dict) else ""


def _task(row: Mapping[str, Any]) -> str | None:
    found = (row.get(key) for key in _TASK_KEYS)
    return next((str(v) for v in found if isinstance(v, (str, int))), None)


def _number(value: object) -> float | None:
    """Return a number, a yes or no among them; None for anything else."""
    return float(value) if isinstance(value, (bool, int, float)) else None


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _tokens(response: Mapping[str, Any]) -> TokenRecord | None:
    """Return the exact tokens, where every reply of the row has them."""
    trace = TokenTrace()
    for item in response.get("output") or ():
        if not isinstance(item, dict) or "generation_token_ids" not in item:
            continue
        prompt = list(item.get("prompt_token_ids") or ())
        before = trace.ids if trace else []
        if trace and prompt[: len(before)] == before:
            trace.read(prompt[len(before) :])
        else:
            trace.begin(prompt, "the prompt was rendered anew")
        logprobs = item.get("generation_log_probs")
        trace.sampled(list(item["generation_token_ids"]), logprobs)
    return trace.record() if trace else None
