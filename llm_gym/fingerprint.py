"""What an environment is made of, as a hash: it changes when scores could change."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

__all__ = ["code_hash"]


def code_hash(cls: type) -> str:
    """Return the hash of the modules that define a class and its bases.

    The standard library's and gymnasium's modules are left out. A class without a
    source file (typed into a console) is hashed by its compiled code.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    return _code_hash(cls)


@cache
def _code_hash(cls: Any) -> str:  # Any: gymnasium's Env is hashable, mypy doubts it
    digest = hashlib.sha256()
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] not in _LEFT_OUT:
            digest.update(base.__qualname__.encode())
            digest.update(_source(base))
    return digest.hexdigest()[:16]


_LEFT_OUT = frozenset({*sys.stdlib_module_names, "gymnasium"})


def _source(cls: type) -> bytes:
    path = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if path and Path(path).is_file():
        return Path(path).read_bytes()
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
