"""A conversation as text for people, with or without colour."""

from __future__ import annotations

from collections.abc import Iterable

from llm_gym.messages import Message

__all__ = ["transcript"]

_COLOURS = {"system": "90", "user": "36", "assistant": "32", "tool": "33"}


def transcript(messages: Iterable[Message], *, colour: bool = False) -> str:
    """Return a conversation as text: each message under its role, calls as `-> f(...)`.

    Args:
        messages: Chat messages.
        colour: Whether to use ANSI colours, one a role.
    """
    return "\n".join(_one(message, colour) for message in messages)


def _one(message: Message, colour: bool) -> str:
    role = message["role"]
    title = f"{role} ({message['name']})" if role == "tool" else role
    lines = [f"[{title}]"]
    if message.get("reasoning_content"):
        lines.append(printable(f"(thinking) {message['reasoning_content']}"))
    if message["content"]:
        lines.append(printable(message["content"]))
    for call in message.get("tool_calls", ()):
        function = call["function"]
        lines.append(printable(f"-> {function['name']}({function['arguments']})"))
    if colour:
        lines[0] = f"\x1b[1;{_COLOURS[role]}m{lines[0]}\x1b[0m"
    return "\n".join(lines)


def printable(text: str) -> str:
    """Replace control characters: a model's text must not command the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
