"""`open_sandbox`: the best isolation of this machine that proves itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from llm_gym.errors import SandboxFault, SandboxUnavailable
from llm_gym.sandbox.base import RunLimits
from llm_gym.sandbox.host import LocalSandbox
from llm_gym.sandbox.selfcheck import prove
from llm_gym.sandbox.zygote import ZygoteOptions, ZygoteProcess

__all__ = ["UNSAFE_VARIABLE", "default_sandbox", "open_sandbox"]

UNSAFE_VARIABLE = "LLM_GYM_UNSAFE_SANDBOX"

_REMEDIES = {
    "ns": "allow user namespaces (sysctl user.max_user_namespaces, and"
    " kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu), or run the container"
    " with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`",
    "landlock": "use Linux 5.13 or newer with `landlock` among the modules of"
    " /sys/kernel/security/lsm, and a container that lets it through (Docker 23 does)",
}
_lock = threading.Lock()
_default_lock = threading.Lock()
_proved: set[tuple[int, ZygoteOptions]] = set()
_default: tuple[int, LocalSandbox] | None = None


def open_sandbox(
    *,
    tiers: Sequence[Literal["ns", "landlock"]] = ("ns", "landlock"),
    limits: RunLimits | None = None,
    python_paths: Sequence[str | Path] = (),
    zygotes: int | None = None,
    unsafe: bool = False,
) -> LocalSandbox:
    """Open a sandbox with the first isolation of `tiers` that proves itself here.

    A tier counts as there when attack programs, run in it, fail at every attack; what
    the kernel's version says counts for nothing.

    Args:
        tiers: What to try, in this order.
        limits: What a run may use unless it says otherwise.
        python_paths: Directories that programs may import from, beside the standard
            library, say one that holds numpy. All in them can be read.
        zygotes: How many programs run at once, one per processor if None.
        unsafe: Run programs with no isolation at all, which the environment variable
            `LLM_GYM_UNSAFE_SANDBOX=1` must allow too. Every result says so.

    Returns:
        A sandbox; close it, or use it in a `with`.

    Raises:
        ValueError: An argument is not possible, or `unsafe` lacks its variable.
        SandboxUnavailable: No tier proves itself; the message says why, and the remedy.
    """
    limits = limits or RunLimits()
    count = _checked_count(zygotes)
    paths = tuple(str(_checked_directory(path)) for path in python_paths)
    if unsafe:
        _check_unsafe()
        return LocalSandbox(
            ZygoteOptions("unsafe", paths), limits=limits, zygotes=count
        )
    reasons = []
    for tier in _checked_tiers(tiers):
        options = ZygoteOptions(tier, paths)
        try:
            proof = _proof(options)
        except SandboxFault as fault:
            reasons.append(f"{tier}: {fault.message}; {_REMEDIES[tier]}")
            continue
        return LocalSandbox(options, limits=limits, zygotes=count, first=proof)
    raise SandboxUnavailable(
        "no isolation of this machine proves itself. " + ". ".join(reasons)
    )


def _checked_count(zygotes: int | None) -> int:
    if zygotes is None:
        return os.cpu_count() or 1
    if zygotes < 1:
        raise ValueError(f"`zygotes` must be at least 1, not {zygotes!r}")
    return zygotes


def _checked_directory(path: str | Path) -> Path:
    found = Path(path).resolve()
    if not found.is_dir():
        raise ValueError(f"`python_paths` must name directories, not {str(path)!r}")
    return found


def _checked_tiers(
    tiers: Sequence[Literal["ns", "landlock"]],
) -> Sequence[Literal["ns", "landlock"]]:
    if isinstance(tiers, str) or not tiers or not set(tiers) <= _REMEDIES.keys():
        raise ValueError(
            f'`tiers` must be some of ("ns", "landlock"), in a sequence, not {tiers!r}'
        )
    return tiers


def _check_unsafe() -> None:
    if os.environ.get(UNSAFE_VARIABLE) != "1":
        raise ValueError(
            "`unsafe=True` runs programs with no isolation and needs the environment"
            f" variable {UNSAFE_VARIABLE}=1 too"
        )


def _proof(options: ZygoteOptions) -> ZygoteProcess | None:
    """Prove a tier, once per process; return the zygote that was proved, if one was.

    Raises:
        SandboxFault: It does not hold, or does not start.
    """
    key = (os.geteuid(), options)
    with _lock:
        if key in _proved:
            return None
        zygote = ZygoteProcess(options)
        try:
            reason = prove(zygote)
        except SandboxFault:
            zygote.close()
            raise
        if reason:
            zygote.close()
            raise SandboxFault(f"the self-check failed: {reason}")
        _proved.add(key)
        return zygote


def default_sandbox() -> LocalSandbox:
    """Return the sandbox of this process, opened when it is first asked for.

    Raises:
        SandboxUnavailable: No isolation proves itself.
    """
    global _default  # one per process, and another after a fork
    with _default_lock:
        found = _default
        if found is None or found[0] != os.getpid() or found[1].is_closed:
            found = (os.getpid(), open_sandbox())
            _default = found
        return found[1]


def _new_locks() -> None:
    global _lock, _default_lock  # another thread may have held it when this forked
    _lock, _default_lock = threading.Lock(), threading.Lock()


os.register_at_fork(after_in_child=_new_locks)
