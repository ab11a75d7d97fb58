"""The interpreter of a session: runs one piece of code after another.

It is locked down, and the host believes nothing that comes from here but its output.

A request is its length, a number, then source text; the answer is that number and 0, or
1 after an exception.
"""

from __future__ import annotations

import ast
import os
import re
import struct
import sys
import types
from typing import Any, NoReturn

from llm_gym.sandbox import _program

__all__ = ["serve"]

_MANY = re.compile(r"[\n;:]|^\s*(#.*)?$")
"""What may hold several statements, a block or none; the rest is one."""
_HEADER = struct.Struct("<II")
_MOST_KEPT = 256
_LONGEST_KEPT = 4096
"""How much compiled code is kept, for code that comes again; in characters."""


def _receive(fd: int) -> tuple[int, bytes]:
    """Return the number and the source of the next request; end with the host."""
    data = os.read(fd, 65536)
    if len(data) < _HEADER.size:
        os._exit(0)
    size, number = _HEADER.unpack_from(data)
    if len(data) < size + _HEADER.size:
        parts = [data]
        missing = size + _HEADER.size - len(data)
        while missing > 0:
            part = os.read(fd, min(missing, 2**20))
            if not part:
                os._exit(0)
            parts.append(part)
            missing -= len(part)
        data = b"".join(parts)
    return number, data[_HEADER.size :]


def _compiled(source: str, name: str) -> tuple[types.CodeType | None, ...]:
    """Return what runs first, and then the last expression, whose value is shown."""
    if not _MANY.search(source):  # one simple statement: as at the prompt, and quick
        return compile(source, name, "single"), None
    tree = ast.parse(source, name)
    shown = None
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
        shown = compile(ast.Expression(last.value), name, "eval")
    return (compile(tree, name, "exec") if tree.body else None), shown


def _execute(
    source: str, name: str, names: dict[str, Any], known: dict[str, Any]
) -> None:
    """Run code, and show the value of a last expression."""
    codes = known.get(source)
    if codes is None:
        codes = _compiled(source, name)
        if len(source) <= _LONGEST_KEPT:
            if len(known) >= _MOST_KEPT:
                known.clear()
            known[source] = codes
    first, shown = codes
    if first is not None:
        exec(first, names)  # noqa: S102  # that is the task
    if shown is not None:
        value = eval(shown, names)  # noqa: S307  # that is the task
        if value is not None:
            sys.displayhook(value)


def serve(fd: int) -> NoReturn:
    """Answer requests until the host closes its end."""
    names = _program.main_module().__dict__
    known: dict[str, Any] = {}
    while True:
        number, source = _receive(fd)
        text = source.decode("utf-8", "surrogatepass")
        failed = 0
        try:
            _execute(text, "<code>", names, known)
        except SystemExit as error:
            _program.leave(error, names)
        except BaseException as error:  # noqa: BLE001  # shown, as at the prompt
            failed = 1
            _program.show(error, text, "<code>")
        _program.flush()
        os.write(fd, _HEADER.pack(number, failed))
