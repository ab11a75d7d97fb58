"""The child of a `KillableWorker`: started by path, it imports nothing of the package.

So that a process starts in some ten milliseconds and what its module needs, it stands
on the standard library alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["HEADER", "MOST_BYTES", "serve"]

HEADER = struct.Struct(">Q")
"""What stands before the content of a frame: its length in bytes."""

MOST_BYTES = 64 * 2**20
"""The most that the content of a frame may be long."""

_LIFE_CPU_SECONDS = 3_600
"""A last resort: the processor time of a process, all its calls together."""


def serve(config: dict[str, Any]) -> NoReturn:
    """Be the child: start, say so, answer calls until the parent is gone.

    Args:
        config: The worker's arguments, `lifeline` and `parent`.
    """
    requests, replies = os.dup(0), os.dup(1)
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 0)
    os.dup2(quiet, 1)  # what a library prints is no reply
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent(config["lifeline"], config["parent"])
    try:
        function = _prepare(config)
    except BaseException as err:  # noqa: BLE001  # the boundary: the parent raises it
        _send(replies, {"fault": f"{type(err).__name__}: {err}"})
        os._exit(1)
    _send(replies, {})
    while (request := _receive(requests)) is not None:
        _send(replies, _answer(function, request))
    os._exit(0)


def _die_with_parent(lifeline: int, parent: int) -> None:
    """End this process when the parent ends, even while C code holds the GIL."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG
    # When the last writer of the pipe is gone the kernel sends SIGIO, which kills.
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    if os.getppid() != parent:
        os._exit(1)


def _prepare(config: dict[str, Any]) -> Callable[..., Any]:
    module_name, _, name = config["function"].partition(":")
    module = importlib.import_module(module_name)
    function: Callable[..., Any] = getattr(module, name)
    warm_up = getattr(module, "warm_up", None)
    if warm_up is not None:
        warm_up()
    pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    most = pages * resource.getpagesize() + int(config["memory_bytes"])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (_LIFE_CPU_SECONDS, _LIFE_CPU_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if config["confine"]:
        _confine()
    return function


def _confine() -> None:
    try:
        module = importlib.import_module("llm_gym.sandbox.confine")
    except ModuleNotFoundError:
        return
    module.confine()


def _answer(function: Callable[..., Any], request: bytes) -> dict[str, Any]:
    try:
        reply = {"value": function(*json.loads(request))}
        if len(json.dumps(reply)) > MOST_BYTES:
            raise ValueError(f"the result is longer than {MOST_BYTES} bytes of JSON")
    except BaseException as err:  # noqa: BLE001  # the boundary: the parent raises it
        return {"error": [type(err).__name__, _text(err)]}
    return reply


def _text(err: BaseException) -> str:
    try:
        return str(err)[:2_000]
    except Exception:  # noqa: BLE001  # an exception may hold what cannot be written
        return ""


def _send(descriptor: int, reply: dict[str, Any]) -> None:
    content = json.dumps(reply).encode()
    rest = memoryview(HEADER.pack(len(content)) + content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _receive(descriptor: int) -> bytes | None:
    header = _exactly(descriptor, HEADER.size)
    return None if header is None else _exactly(descriptor, HEADER.unpack(header)[0])


def _exactly(descriptor: int, size: int) -> bytes | None:
    """Read so many bytes, or None at the end of the pipe."""
    got = bytearray()
    while len(got) < size:
        chunk = os.read(descriptor, min(size - len(got), 2**20))
        if not chunk:
            return None
        got += chunk
    return bytes(got)


def main() -> NoReturn:
    """Serve, as the arguments say: the module search path, and `serve`'s."""
    paths, config = json.loads(sys.argv[1])
    sys.path[:] = paths
    serve(config)


if __name__ == "__main__":
    main()
