"""Gymnasium spaces for chat: observations are requests, actions are replies.

`contains` looks at the form only, in constant time, since a conversation grows; what a
reply means is found when it is read. Neither space has a fixed size, so vector
environments batch them as tuples, and shared memory refuses them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from gymnasium import spaces

from llm_gym.messages import ChatRequest, Message, Reply, ToolSchema, dumps

__all__ = ["ChatSpace", "ReplySpace", "sample_json"]

T = TypeVar("T")

_FORM = frozenset({"role", "content", "tool_calls", "choices", "message"})
_WORDS = ("amber", "birch", "cobalt", "dune", "ember", "fjord", "grove", "harbor")


class _ToolSpace(spaces.Space[T]):
    """What both spaces share: tools, no shape, samples that are plain data."""

    def __init__(
        self, tools: Sequence[ToolSchema] = (), seed: int | None = None
    ) -> None:
        self.tools = tuple(tools)
        super().__init__(None, None, seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Whether numpy can hold it: no."""
        return False

    def to_jsonable(self, sample_n: Iterable[T]) -> list[Any]:
        """Return samples as plain data, which they are."""
        return list(sample_n)

    def from_jsonable(self, sample_n: list[Any]) -> list[T]:
        """Return samples from plain data."""
        return list(sample_n)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.tools == self.tools

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.tools)} tools)"


class ChatSpace(_ToolSpace[ChatRequest]):
    """Observations: the bodies of chat-completions requests.

    Args:
        tools: The tools that a sample carries.
        seed: For `sample`.
    """

    def contains(self, x: Any) -> bool:
        """Say whether `x` has the form of a request: messages, and perhaps tools."""
        return (
            isinstance(x, Mapping)
            and isinstance(x.get("messages"), (list, tuple))
            and bool(x["messages"])
            and all(key in ("messages", "tools") for key in x)
        )

    def sample(self, mask: None = None, probability: None = None) -> ChatRequest:
        """Return a short request: a user's sentence of random words."""
        words = self.np_random.choice(_WORDS, size=int(self.np_random.integers(1, 9)))
        messages: list[Message] = [{"role": "user", "content": " ".join(words)}]
        if not self.tools:
            return {"messages": messages}
        return {"messages": messages, "tools": list(self.tools)}


class ReplySpace(_ToolSpace[Any]):
    """Actions: an assistant's message, its text, a `Reply` or an SDK's object.

    Args:
        tools: The tools that a sample may call.
        seed: For `sample`.
    """

    def contains(self, x: Any) -> bool:
        """Say whether `x` has the form of a reply."""
        if isinstance(x, Mapping):
            return x.get("role", "assistant") == "assistant" and not _FORM.isdisjoint(x)
        return isinstance(x, (str, Reply)) or callable(getattr(x, "model_dump", None))

    def sample(self, mask: None = None, probability: None = None) -> Message:
        """Return a reply with random valid arguments, or a text one time in eight.

        Without tools it is always a text: a word or a small number.
        """
        rng = self.np_random
        if not self.tools or rng.random() < 0.125:
            text = str(rng.choice(_WORDS)) if rng.random() < 0.5 else str(_integer(rng))
            return {"role": "assistant", "content": text}
        function = self.tools[int(rng.integers(len(self.tools)))]["function"]
        arguments = sample_json(function["parameters"], rng)
        return {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": f"call_{int(rng.integers(2**31))}",
                    "type": "function",
                    "function": {
                        "name": function["name"],
                        "arguments": dumps(arguments),
                    },
                }
            ],
        }


def sample_json(schema: Mapping[str, Any], rng: np.random.Generator) -> Any:
    """Return a random JSON value that satisfies a schema made from type hints.

    Args:
        schema: A schema as `llm_gym.shapes` makes it: `enum`, `anyOf`, `type`,
            `properties`, `items`, `prefixItems`. Other keywords are not heeded.
        rng: Where the randomness comes from.
    """
    if "enum" in schema:
        return schema["enum"][int(rng.integers(len(schema["enum"])))]
    if "anyOf" in schema:
        return sample_json(
            schema["anyOf"][int(rng.integers(len(schema["anyOf"])))], rng
        )
    sampler: _Sampler = _SAMPLERS.get(schema.get("type", "string"), _text)
    return sampler(schema, rng)


def _integer(rng: np.random.Generator) -> int:
    return int(rng.integers(-9, 100))


def _text(schema: Mapping[str, Any], rng: np.random.Generator) -> str:
    return str(rng.choice(_WORDS))


def _array(schema: Mapping[str, Any], rng: np.random.Generator) -> list[Any]:
    if "prefixItems" in schema:
        return [sample_json(item, rng) for item in schema["prefixItems"]]
    length = int(rng.integers(4))
    values = [sample_json(schema.get("items", {}), rng) for _ in range(length)]
    if schema.get("uniqueItems"):
        return [v for i, v in enumerate(values) if v not in values[:i]]
    return values


def _object(schema: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    required = schema.get("required", ())
    value = {
        name: sample_json(inner, rng)
        for name, inner in schema.get("properties", {}).items()
        if name in required or rng.random() < 0.5
    }
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping):
        for _ in range(int(rng.integers(3))):
            value[_text({}, rng)] = sample_json(extra, rng)
    return value


_Sampler = Callable[[Mapping[str, Any], np.random.Generator], Any]
_SAMPLERS: dict[str, _Sampler] = {
    "string": _text,
    "integer": lambda _, rng: _integer(rng),
    "number": lambda _, rng: round(float(rng.normal(scale=10)), 3),
    "boolean": lambda _, rng: bool(rng.random() < 0.5),
    "null": lambda _, rng: None,
    "array": _array,
    "object": _object,
}
