"""Proof of an isolation: attacks that it must not let through, made on the spot."""

# ruff: noqa: PTH208
# (paths as strings)

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_gym.errors import SandboxFault
from llm_gym.sandbox.base import RunLimits
from llm_gym.sandbox.job import Job, Request, outcome
from llm_gym.sandbox.syscalls import NUMBERS
from llm_gym.sandbox.zygote import ZygoteProcess

__all__ = ["prove"]

_LIMITS = RunLimits(wall_seconds=5.0, cpu_seconds=5.0, memory_bytes=64 * 2**20)
_DEADLY = ("io_uring_setup", "ptrace")
"""System calls that must kill; one ends each run of the attacks."""
_KEPT = 1 << 2  # CAP_DAC_READ_SEARCH; see _child.py


def prove(zygote: ZygoteProcess) -> str:
    """Attack an isolation.

    Args:
        zygote: A fresh one of the isolation that is to prove itself.

    Returns:
        Why it does not hold, "" if it does.

    Raises:
        SandboxFault: It could not run the attacks at all.
    """
    with _bait() as bait:
        for deadly in _DEADLY:
            if reason := _attack(zygote, bait, deadly):
                return reason
        return _touched(bait)


@contextmanager
def _bait() -> Iterator[dict[str, Any]]:
    """Make what the attacks are after: a secret that anyone may read and write."""
    try:
        directory = tempfile.mkdtemp(prefix="llm-gym-bait-")
    except OSError as err:
        raise SandboxFault(f"no file could be made for the self-check: {err}") from err
    variable = f"LLM_GYM_BAIT_{secrets.token_hex(4)}"
    try:
        secret = Path(directory) / "secret"
        secret.write_text("s" * 32)
        # Open to everybody, so that nothing but the isolation can be what refuses.
        secret.chmod(0o666)
        Path(directory).chmod(0o777)
        yield {
            "secret": str(secret),
            "first": "s",
            "name": secret.name,
            "directory": directory,
            "variable": variable,
            "pid": os.getpid(),
        }
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _touched(bait: dict[str, Any]) -> str:
    """Return what happened to the bait, seen from the host."""
    secret = Path(bait["secret"])
    found = secret.stat()
    if found.st_mode & 0o777 != 0o666 or found.st_mtime < 1000:
        return "a program changed the mode or the times of a host file"
    if os.listdir(bait["directory"]) != [secret.name] or found.st_size != 32:
        return "a program changed a host directory"
    return ""


def _attack(zygote: ZygoteProcess, bait: dict[str, Any], deadly: str) -> str:
    tier = zygote.options.tier
    host = {
        **bait,
        "own_processes": tier == "ns",
        "kept": 0 if tier == "ns" else _KEPT,
        "too_much": int(_LIMITS.memory_bytes) * 4,
        "last": deadly,
    }
    attacks = Path(__file__).with_name("_attacks.py").read_text()
    program = f"HOST = {host!r}\nNUMBERS = {dict(NUMBERS)!r}\n{attacks}"
    job = Job(Request.of(program, None, "", _LIMITS), zygote.submit)
    try:
        answer = job.wait()
        result = outcome(answer, job.out, job.err, _LIMITS, tier)
    finally:
        job.close()
    return _verdict(result.stdout.split("\n"), result.exit_code, result.stderr, deadly)


def _verdict(lines: list[str], code: int, stderr: str, deadly: str) -> str:
    """Say what the attacks got away with."""
    if "end" not in lines:
        return f"the self-check did not finish: exit code {code}, {stderr[-300:]!r}"
    got = [line for line in lines if line and line != "end"]
    if got:
        return f"attacks succeeded: {json.dumps(got)}"
    if code != -signal.SIGSYS:
        return f"`{deadly}` did not end a program (exit code {code})"
    return ""
