"""The program of a zygote: a clean process that forks one child for each run.

It is started as a fresh interpreter, never as a fork of the trainer, and holds nothing
of a run but numbers: programs, inputs and outputs go between the host and the child by
descriptors. Standard library only.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import socket
import sys
import types
from pathlib import Path

# What programs import most; each makes every fork a little dearer.
_PRELOADED = """abc array bisect cmath collections contextlib copy dataclasses datetime
decimal enum fractions functools heapq io itertools json linecache math numbers operator
os pathlib queue random re statistics string struct sys textwrap threading time
traceback types typing"""


def _fix_addresses() -> None:
    """Start again without address randomisation: reprs are then the same each time."""
    libc = ctypes.CDLL(None)
    now = libc.personality(0xFFFFFFFF)
    if now >= 0 and not now & 0x0040000 and libc.personality(now | 0x0040000) >= 0:
        os.execv(sys.executable, [*sys.orig_argv[:1], *sys.orig_argv[1:]])  # noqa: S606


def _as_package(directory: str) -> None:
    """Let `llm_gym.sandbox` be imported without running the package's own start."""
    for name, path in (
        ("llm_gym", Path(directory).parent),
        ("llm_gym.sandbox", Path(directory)),
    ):
        module = types.ModuleType(name)
        module.__path__ = [str(path)]
        sys.modules[name] = module


def main() -> None:
    """Set the zygote up, say so, and serve until the host is gone."""
    _fix_addresses()
    config = json.loads(sys.argv[1])
    sys.argv = ["zygote"]
    control = socket.socket(fileno=int(config["control_fd"]))
    _as_package(config["package"])
    server = importlib.import_module("llm_gym.sandbox._server")
    try:
        for name in _PRELOADED.split():
            importlib.import_module(name)
        zygote = server.prepare(config)
        loop = server.Server(control, zygote)
        program = importlib.import_module("llm_gym.sandbox._program")
        program.tidy_process(config["python_paths"])
    except Exception as error:  # noqa: BLE001  # told to the host, which raises it
        text = f"{type(error).__name__}: {error}"
        control.send(json.dumps({"error": text}).encode())
        os._exit(3)
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"ready": os.getpid()}).encode())
    loop.serve()
    os._exit(0)


if __name__ == "__main__":
    main()
