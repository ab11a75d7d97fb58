"""What an answer means: a reply's JSON, a length stop, a refusal, or another attempt.

Knows statuses, error codes and the words of servers; waits for nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from llm_gym.policies.endpoint.http import Answer, Broken
from llm_gym.policies.endpoint.wire import shorten

__all__ = ["Kind", "Verdict", "judge", "retry_after"]


class Kind(Enum):
    """What to do about an answer."""

    READ = "read"
    """It has a body to read."""
    OVERFLOW = "overflow"
    """The prompt does not fit into the context: a reply cut off before it began."""
    FILTERED = "filtered"
    """The server will not answer this prompt: a reply that a filter took away."""
    REFUSED = "refused"
    """The caller must mend something."""
    BAD_REQUEST = "bad request"
    """This request is wrong, and would be again."""
    AGAIN = "again"
    """Another attempt may do better."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means.

    Attributes:
        kind: See `Kind`.
        what: What came instead of a reply, in words.
        mend: What the caller can do.
        content: The JSON value to read.
        wait_seconds: How long the server asks to wait, None if it does not.
        down: Whether the server may be down.
        context_tokens: The model's context, as far as an overflow tells it.
    """

    kind: Kind
    what: str = ""
    mend: str = ""
    content: Any = None
    wait_seconds: float | None = None
    down: bool = False
    context_tokens: float = math.inf


def judge(answer: Answer | Broken) -> Verdict:
    """Say what an answer means."""
    if isinstance(answer, Broken):
        kind = Kind.REFUSED if answer.mend else Kind.AGAIN
        return Verdict(kind, answer.what, answer.mend, down=answer.down)
    if answer.status == 200:
        return _content(answer)
    if 300 <= answer.status < 400:
        place = shorten(answer.headers.get("location", "nowhere"))
        what = f"the server redirects to {place} (status {answer.status})"
        return Verdict(Kind.REFUSED, what, "give the final address as the `base_url`")
    return _refusal(answer)


def retry_after(
    headers: Mapping[str, str], now: datetime | None = None
) -> float | None:
    """Return how many seconds a server asks to wait, None if it does not.

    Reads `Retry-After` as seconds or as a date (RFC 9110, section 10.2.3), and
    `retry-after-ms`, which OpenAI and Azure send beside it.

    Args:
        headers: The answer's headers, their names in lower case.
        now: The time; None takes the server's own, or the clock's.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    moment = _date(headers.get("retry-after"))
    if moment is None:
        return None
    now = now or _date(headers.get("date")) or datetime.now(UTC)
    return max((moment - now).total_seconds(), 0.0)


def _date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _content(answer: Answer) -> Verdict:
    try:
        return Verdict(Kind.READ, content=json.loads(answer.body))
    except (ValueError, RecursionError):
        what = f"the answer is no JSON: {shorten(answer.body)}"
        return Verdict(Kind.AGAIN, what)


_OVERFLOW = re.compile(
    r"maximum context length|context (?:length|size|window)"
    r"|longer than the (?:model's )?context|prompt is too long"
    r"|max_tokens must be at least 1, got -",
    re.IGNORECASE,
)
"""The words of vLLM, SGLang, llama.cpp and others, which give no code of their own."""
_CONTEXT = re.compile(r"maximum context length (?:is|of) (\d{1,9})\b")
_OVERFLOW_CODES = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
)
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation"})
_MEND = {
    401: "check the `key`",
    403: "check what the `key` may do",
    404: "check the `base_url`, which usually ends in /v1, and the `model`",
}
_AGAIN = frozenset({408, 409, 425, 429})
_TOO_LARGE = frozenset({400, 413, 422})


def _refusal(answer: Answer) -> Verdict:
    status = answer.status
    words, codes = _error_in(answer.body)
    what = f"status {status}: {words}"
    wait = retry_after(answer.headers)
    if status in _MEND:
        return Verdict(Kind.REFUSED, what, _MEND[status])
    if "insufficient_quota" in codes:
        return Verdict(Kind.REFUSED, what, "the account's quota is used up")
    if status in _AGAIN:
        return Verdict(Kind.AGAIN, what, wait_seconds=wait)
    if status >= 500 or status < 200:
        return Verdict(Kind.AGAIN, what, wait_seconds=wait, down=True)
    if status in _TOO_LARGE and (codes & _OVERFLOW_CODES or _OVERFLOW.search(words)):
        told = _CONTEXT.search(words)
        context = float(told.group(1)) if told else math.inf
        return Verdict(Kind.OVERFLOW, what, context_tokens=context)
    if codes & _FILTER_CODES:
        return Verdict(Kind.FILTERED, what)
    mend = "the server does not take this request: see `Sampling` and `EndpointBody`"
    return Verdict(Kind.BAD_REQUEST, what, mend)


def _error_in(body: bytes) -> tuple[str, set[str]]:
    """Return the words and the codes of an error's body, in any server's form."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return shorten(body.decode(errors="replace")), set()
    error = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return shorten(error), set()
    words = error.get("message") or error.get("detail") or error
    codes = {error.get(name) for name in ("code", "type")}
    return shorten(words, 500), {code for code in codes if isinstance(code, str)}
