"""The program that calls a model's functions in the sandbox.

It is handed the inputs, never what is right, and writes a JSON line for each: what the
function returned, or what it raised. Whatever the model's code does to it, it can only
change its own answers. It is read as text and run by the sandbox's Python.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
import traceback

TYPE_CHECKING = False  # `typing` takes long to load
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["main"]


def _find(place: str) -> Any:
    """Return the function or method that "module:name" or "module:Class.name" names."""
    module, _, name = place.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
        if isinstance(found, type):
            found = found()
    return found


def _encode(value: Any) -> str:
    """Return a value as JSON; a tuple is a list, what JSON lacks an error."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    if not all(isinstance(key, str) for key in _keys(value)):
        raise TypeError("a key of a dict is no str")
    return text


def _keys(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _keys(inner)


def _answer(number: int, line: str) -> str:
    """Make one call and return its line."""
    try:
        place, args = json.loads(line)
        return f'{{"i":{number},"v":{_encode(_find(place)(*args))}}}\n'
    except Exception as error:  # noqa: BLE001  # the model's own, told to it
        traceback.print_exc()
        text = json.dumps(f"{type(error).__name__}: {error}"[:500])
        return f'{{"i":{number},"e":{text}}}\n'


def main() -> None:
    """Answer each line of stdin on what was stdout; prints go to stderr instead."""
    lines = sys.stdin.buffer.read().decode().splitlines()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    sys.stdin = io.StringIO("")
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  # pathlib takes long to load
    for number, line in enumerate(lines):
        answers.write(_answer(number, line))
        answers.flush()


if __name__ == "__main__":
    main()
