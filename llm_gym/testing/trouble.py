"""How the local server does each fault.

Faults are of three kinds: an error with a status, an answer whose JSON is wrong, and a
body or a connection that is.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from llm_gym.errors import require
from llm_gym.testing.faults import Fault

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["TRANSPORT_FAULTS", "Refusal", "refusal", "spoil"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer.

    Attributes:
        status: The status of HTTP.
        message: What went wrong.
        code: OpenAI's code, None for none.
        headers: More headers.
    """

    status: int
    message: str
    code: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def body(self) -> dict[str, Any]:
        """Return the error in OpenAI's form."""
        error = {"message": self.message, "type": "error", "code": self.code}
        return {"error": error}


def refusal(fault: Fault, retry_after: str, key: str) -> Refusal | None:
    """Return the error answer that a fault is, None for other faults.

    Args:
        fault: The fault.
        retry_after: The value of `Retry-After`.
        key: What the request gave as its key, which a 401 repeats.
    """
    if fault is Fault.UNAUTHORIZED:
        return Refusal(401, f"incorrect API key provided: {key}", "invalid_api_key")
    found = _REFUSALS.get(fault)
    if found is None or found.headers != _WAIT:
        return found
    headers = (("Retry-After", retry_after),)
    return Refusal(found.status, found.message, found.code, headers)


_WAIT = (("Retry-After", ""),)
_REFUSALS = {
    Fault.CONTEXT_OVERFLOW: Refusal(
        400, "the input is too long for this model", "context_length_exceeded"
    ),
    Fault.CONTEXT_OVERFLOW_WORDS: Refusal(
        400,
        "This model's maximum context length is 2048 tokens. However, you requested "
        "2304 tokens. Please reduce the length of the messages or completion.",
    ),
    Fault.CONTENT_FILTER: Refusal(400, "the prompt was filtered", "content_filter"),
    Fault.BAD_REQUEST: Refusal(400, "unsupported parameter: 'top_p'"),
    Fault.FORBIDDEN: Refusal(403, "this key may not use this model"),
    Fault.NOT_FOUND: Refusal(404, "the model does not exist", "model_not_found"),
    Fault.REQUEST_TIMEOUT: Refusal(408, "the request took too long", None, _WAIT),
    Fault.CONFLICT: Refusal(409, "conflict", None, _WAIT),
    Fault.RATE_LIMIT: Refusal(429, "too many requests", "rate_limit_exceeded", _WAIT),
    Fault.QUOTA: Refusal(429, "you exceeded your quota", "insufficient_quota"),
    Fault.SERVER_ERROR: Refusal(500, "internal error"),
    Fault.BAD_GATEWAY: Refusal(502, "bad gateway"),
    Fault.UNAVAILABLE: Refusal(503, "the engine is loading", None, _WAIT),
    Fault.REDIRECT: Refusal(307, "elsewhere", None, (("Location", "/elsewhere"),)),
}


def spoil(fault: Fault, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer with what a fault does to its JSON; most do nothing."""
    spoilt: dict[str, Any] = copy.deepcopy(dict(answer))
    if fault is Fault.EMPTY_CHOICES:
        return {**spoilt, "choices": [], "output": []}
    if fault is Fault.ABORTED:
        if "choices" in spoilt:
            spoilt["choices"][0]["finish_reason"] = "abort"
        return {**spoilt, "status": "failed", "error": {"code": "server_error"}}
    for choice in spoilt.get("choices", ()):
        _spoil_ids(fault, choice if "prompt_token_ids" in choice else spoilt, choice)
    return spoilt


def _spoil_ids(fault: Fault, read: dict[str, Any], wrote: dict[str, Any]) -> None:
    """Spoil the ids that were read and those that were sampled."""
    if "token_ids" not in wrote:
        return
    if fault is Fault.NO_IDS:
        del read["prompt_token_ids"], wrote["token_ids"]
    elif fault is Fault.WRONG_PROMPT_IDS:
        read["prompt_token_ids"] = [*read["prompt_token_ids"], 0]
    elif fault is Fault.WRONG_IDS:
        wrote["token_ids"] = [*wrote["token_ids"][:-1], 10**9]
    elif fault is Fault.FEW_LOGPROBS:
        told = wrote.get("logprobs") or {}
        for values in told.values():
            values.pop()


async def _reset(request: web.Request, body: bytes, drip: float) -> web.StreamResponse:
    _abort(request)
    return _response()


async def _silence(
    request: web.Request, body: bytes, drip: float
) -> web.StreamResponse:
    await asyncio.Event().wait()
    return _response()


async def _slow(request: web.Request, body: bytes, drip: float) -> web.StreamResponse:
    response = await _begun(request, len(body))
    for i in range(len(body)):
        await response.write(body[i : i + 1])
        await asyncio.sleep(drip)
    return response


async def _cut(request: web.Request, body: bytes, drip: float) -> web.StreamResponse:
    response = await _begun(request, len(body))
    await response.write(body[: len(body) // 2])
    await asyncio.sleep(drip)
    _abort(request, at_once=False)
    return response


async def _garbage(
    request: web.Request, body: bytes, drip: float
) -> web.StreamResponse:
    return _response(body=bytes(range(255, 127, -1)), headers=_JSON)


async def _page(request: web.Request, body: bytes, drip: float) -> web.StreamResponse:
    return _response(text="<html>Please log in</html>", content_type="text/html")


async def _giant(request: web.Request, body: bytes, drip: float) -> web.StreamResponse:
    response = await _begun(request, None)
    with contextlib.suppress(ConnectionResetError):  # the client has had enough
        for _ in range(256):
            await response.write(b" " * 2**20)
    return response


async def _bomb(request: web.Request, body: bytes, drip: float) -> web.StreamResponse:
    headers = {**_JSON, "Content-Encoding": "gzip"}
    return _response(body=_bomb_bytes(), headers=headers)


TransportFault = Callable[
    ["web.Request", bytes, float], Awaitable["web.StreamResponse"]
]

TRANSPORT_FAULTS: Mapping[Fault, TransportFault] = {
    Fault.RESET: _reset,
    Fault.SILENCE: _silence,
    Fault.SLOW_BODY: _slow,
    Fault.CUT_BODY: _cut,
    Fault.GARBAGE: _garbage,
    Fault.NOT_JSON: _page,
    Fault.GIANT_BODY: _giant,
    Fault.GZIP_BOMB: _bomb,
}

_JSON = {"Content-Type": "application/json"}


def _web() -> Any:
    return require("aiohttp.web", extra="endpoint")


def _response(**options: Any) -> web.StreamResponse:
    response: web.StreamResponse = _web().Response(**options)
    return response


async def _begun(request: web.Request, length: int | None) -> web.StreamResponse:
    response: web.StreamResponse = _web().StreamResponse(headers=_JSON)
    response.content_length = length
    await response.prepare(request)
    return response


def _abort(request: web.Request, *, at_once: bool = True) -> None:
    """End a connection: with a reset, or after what has been written."""
    transport = request.transport
    if transport is None:
        return
    if not at_once:
        transport.close()
        return
    connection = transport.get_extra_info("socket")
    # To linger for 0 seconds is to reset.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


@cache
def _bomb_bytes() -> bytes:
    # A gzip file may be several after each other.
    packer = zlib.compressobj(9, wbits=31)
    return 64 * (packer.compress(b" " * 2**20) + packer.flush())
