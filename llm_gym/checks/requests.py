"""What a chat-completions server demands of a request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["problem_of_request"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ROLES = ("system", "user", "assistant", "tool")


def problem_of_request(request: Mapping[str, Any]) -> str | None:
    """Return why a server would refuse a request, None if it would not.

    The roles are known and the contents text; every call of a reply has an id of its
    own, a name and arguments that are a JSON object; after it come the results of
    exactly its calls.
    """
    try:
        json.dumps(request, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as err:  # UnicodeEncodeError is a ValueError
        return f"it cannot be sent as JSON in UTF-8: {err}"
    waiting: list[str] = []
    for index, message in enumerate(request["messages"]):
        problem = _problem(message, waiting)
        if problem is not None:
            return f"message {index}: {problem}"
        waiting = _waiting(message, waiting)
    return f"the calls {waiting} have no result" if waiting else None


def _problem(message: Mapping[str, Any], waiting: Sequence[str]) -> str | None:
    role = message.get("role")
    if role not in _ROLES:
        return f"the role must be one of {_ROLES}, not {role!r}"
    if not isinstance(message.get("content"), str):
        return f"the content must be a str, not {message.get('content')!r}"
    if role == "tool":
        call_id = message.get("tool_call_id")
        if call_id not in waiting:
            return f"a result of {call_id!r}, the calls without one are {waiting}"
        return None
    if waiting:
        return f"the role is {role!r}, though the calls {waiting} have no result"
    return _problem_of_calls(message.get("tool_calls", ()))


def _problem_of_calls(calls: Sequence[Mapping[str, Any]]) -> str | None:
    ids = [call["id"] for call in calls]
    if len(set(ids)) != len(ids):
        return f"two calls have one id: {ids}"
    for call in calls:
        function = call["function"]
        if not _NAME.fullmatch(function["name"]):
            return f"{function['name']!r} is no name of a tool"
        if not isinstance(json.loads(function["arguments"]), dict):
            return f"the arguments {function['arguments']!r} are no JSON object"
    return None


def _waiting(message: Mapping[str, Any], waiting: Sequence[str]) -> list[str]:
    """Return the calls whose results must come next."""
    if message["role"] == "tool":
        return [i for i in waiting if i != message["tool_call_id"]]
    return [call["id"] for call in message.get("tool_calls", ())]
