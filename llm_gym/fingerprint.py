"""What an environment is made of, as a hash: it changes when scores could change."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

__all__ = ["code_hash"]


def code_hash(cls: type) -> str:
    """Return the hash of the modules that define a class and its bases.

    What such a module uses of its own package (`llm_gym.envs._draws`, say) is hashed
    with it; the standard library's and gymnasium's modules are left out. A class
    without a source file (typed into a console) is hashed by its compiled code.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    return _code_hash(cls)


@cache
def _code_hash(cls: Any) -> str:  # Any: gymnasium's Env is hashable, mypy doubts it
    digest = hashlib.sha256()
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] in _LEFT_OUT:
            continue
        digest.update(base.__qualname__.encode())
        if _file_of(base.__module__) is None:
            digest.update(_class_bytes(base))
        else:
            _collect(base.__module__, names)
    for name in sorted(names):
        digest.update(Path(_file_of(name) or "").read_bytes())
    return digest.hexdigest()[:16]


_LEFT_OUT = frozenset({*sys.stdlib_module_names, "gymnasium"})


def _collect(name: str, names: dict[str, None]) -> None:
    """Add a module and what it uses of its own package."""
    if name in names or _file_of(name) is None:
        return
    names[name] = None
    package = name.rpartition(".")[0]
    if not package:
        return
    for value in vars(sys.modules[name]).values():
        used = value.__name__ if isinstance(value, ModuleType) else None
        used = used or getattr(value, "__module__", None)
        if isinstance(used, str) and used.rpartition(".")[0] == package:
            _collect(used, names)


def _file_of(name: str) -> str | None:
    path = getattr(sys.modules.get(name), "__file__", None)
    return path if path and Path(path).is_file() else None


def _class_bytes(cls: type) -> bytes:
    functions = (vars(cls)[name] for name in sorted(vars(cls)))
    codes = (getattr(function, "__code__", None) for function in functions)
    return b"".join(_code_bytes(code) for code in codes if code is not None)


def _code_bytes(code: CodeType) -> bytes:
    inner = [_constant_bytes(constant) for constant in code.co_consts]
    return b"".join([code.co_code, repr(code.co_names).encode(), *inner])


def _constant_bytes(constant: object) -> bytes:
    if isinstance(constant, CodeType):
        return _code_bytes(constant)
    if isinstance(constant, frozenset):  # its order is that of the process
        return repr(sorted(map(repr, constant))).encode()
    return repr(constant).encode()
