"""JSON read strictly and written canonically.

Python's `json` accepts `NaN`, `1e999`, duplicate keys and integers of any length, and
answers deep nesting with `RecursionError`. A model's arguments, a task file and a
stored trajectory must not depend on any of these, so all three are read here.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NoReturn

__all__ = [
    "MAX_CHARS",
    "MAX_DEPTH",
    "MAX_DIGITS",
    "canonical",
    "clean_text",
    "loads",
    "normalise",
]

MAX_DEPTH = 64
"""Levels of nesting that `loads` accepts unless told otherwise."""
MAX_DIGITS = 100
"""Digits of one integer that `loads` accepts; a float holds any of them."""
MAX_CHARS = 262_144
"""Characters that `loads` accepts unless told otherwise."""


def loads(
    text: str, *, max_chars: int | None = MAX_CHARS, max_depth: int = MAX_DEPTH
) -> Any:
    """Parse one JSON value strictly.

    Args:
        text: The JSON text.
        max_chars: Longest accepted text in characters; None for no limit.
        max_depth: Most levels of nesting.

    Returns:
        The value, made of dict, list, str, int, float, bool and None.

    Raises:
        ValueError: The text is no JSON, too long or too deep, or holds NaN, an
            infinity, a duplicate key or an integer of more than `MAX_DIGITS` digits.
    """
    if max_chars is not None and len(text) > max_chars:
        raise ValueError(f"{len(text)} characters, at most {max_chars} are read")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as err:
        raise ValueError(f"{err.msg} at character {err.pos}") from err
    except (RecursionError, MemoryError) as err:
        raise ValueError(f"nested deeper than {max_depth} levels") from err
    if text.count("{") + text.count("[") > max_depth and _deeper(value, max_depth):
        raise ValueError(f"nested deeper than {max_depth} levels")
    return value


def normalise(value: object, *, max_chars: int | None = MAX_CHARS) -> Any:
    """Turn Python data into what `loads` would have read from its JSON form.

    Args:
        value: The data.
        max_chars: Longest accepted JSON text in characters; None for no limit.

    Raises:
        ValueError: The value has no strict JSON form.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, RecursionError, MemoryError) as err:
        raise ValueError(f"not JSON: {err}") from err
    return loads(text, max_chars=max_chars)


def canonical(value: object) -> str:
    """Write JSON with sorted keys, ASCII escapes and no spaces: same value, same bytes.

    Raises:
        ValueError: The value holds NaN or an infinity.
        TypeError: The value holds something that JSON cannot carry.
    """
    return _CANONICAL.encode(value)


def clean_text(text: str) -> str:
    """Replace lone surrogates, which no encoder or tokenizer takes, by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # A pair that came as two escapes is one character and survives.
        raw = text.encode("utf-16-le", "surrogatepass")
        return raw.decode("utf-16-le", "replace")
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = Counter(key for key, _ in pairs)
        twice = next(key for key, count in keys.items() if count > 1)
        raise ValueError(f"the key {twice[:80]!r} appears twice in one object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _bounded(text: str) -> int:
    digits = len(text.lstrip("-"))
    if digits > MAX_DIGITS:
        raise ValueError(
            f"an integer of {digits} digits, at most {MAX_DIGITS} are read"
        )
    return int(text)


def _deeper(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return any(isinstance(item, (dict, list)) for item in level)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_float=_finite,
    parse_int=_bounded,
)
_CANONICAL = json.JSONEncoder(
    sort_keys=True, allow_nan=False, separators=(",", ":"), ensure_ascii=True
)
