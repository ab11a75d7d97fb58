"""Hypothesis strategies: what JSON can carry, and what a model may write instead."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

__all__ = ["any_text", "json_texts", "json_values", "replies", "wild_values"]

any_text = st.text(st.characters(codec=None), max_size=30)
"""Any Unicode: NUL, lone surrogates, private characters."""

numbers = st.integers(-(10**99) + 1, 10**99) | st.floats(
    allow_nan=False, allow_infinity=False
)
scalars = st.none() | st.booleans() | numbers | any_text
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4)
    ),
    max_leaves=12,
)
"""Values that JSON carries and `jsontext.loads` accepts."""


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


wild_values = st.recursive(
    scalars
    | st.floats()
    | st.integers(10**4299, 10**5000)
    | st.binary(max_size=5)
    | st.sampled_from([{1, 2}, object(), (1, 2)]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(any_text | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=8,
)
"""Python values of every sort, most of which JSON cannot carry."""

fragments = st.sampled_from(
    [
        "{",
        "}",
        "[",
        "]",
        '"',
        ":",
        ",",
        "\\",
        "\\ud800",
        "NaN",
        "-Infinity",
        "1e999",
        "9" * 5000,
        "[" * 10_000,
        '{"a":' * 10_000,
        '"name"',
        '"arguments"',
        '"lookup"',
        "null",
        "<tool_call>",
        "</tool_call>",
        "<think>",
        "</think>",
        "```json\n",
        "```",
        "\n",
        "\x00",
        "\ud800",
    ]
)
json_texts = st.lists(
    fragments | any_text | json_values.map(json.dumps), max_size=12
).map("".join)
"""Texts that look like JSON, like calls, like thinking, and mostly are broken."""

names = st.sampled_from(["lookup", "open", "roll", "reset", "__class__", ""]) | any_text
functions = st.fixed_dictionaries(
    {}, optional={"name": names | wild_values, "arguments": json_texts | wild_values}
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "b", ""]) | wild_values,
        "type": st.just("function"),
        "function": functions | wild_values,
    },
)
messages = st.fixed_dictionaries(
    {"content": st.none() | json_texts},
    optional={
        "role": st.just("assistant"),
        "tool_calls": st.lists(entries | wild_values, max_size=5) | wild_values,
        "reasoning_content": wild_values,
        "refusal": st.none(),
    },
)
replies = json_texts | messages
"""What a model may write, as text or as a server would hand it over."""
