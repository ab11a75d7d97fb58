"""What a chat template writes between a sampled reply and the next one.

The next prompt is the present tokens, the reply as it was sampled, and the difference
that the new messages make. That holds only where the template leaves alone what it has
written before; it is tried out here, once for each shape of a turn, with short made-up
conversations. Rendering a turn costs what the turn's own messages cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llm_gym.messages import ChatRequest, Message, ToolSchema, WireToolCall
from llm_gym.tokens.chat_template import ChatTemplate, ChatTemplateError

__all__ = ["Continuation", "TurnShape", "shape_of_turn"]

_TEXT = "probe-text"
_THOUGHT = "probe-thought"
_RESULT = "probe-result"
_ASKED: Message = {"role": "user", "content": "hello"}
_TOOL: ToolSchema = {
    "type": "function",
    "function": {
        "name": "probe",
        "description": "A probe.",
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
    },
}


@dataclass(frozen=True, slots=True)
class TurnShape:
    """What a template may care about in a reply and what follows it.

    Attributes:
        added: Who speaks next: tool results, or the user.
        text: Whether the reply has a text.
        calls: How many tool calls it has: 0, 1, or 2 for more.
        thinking: Whether a reply of the segment came with thinking.
        tools: Whether the request offers tools.
    """

    added: Literal["tool", "user"]
    text: bool = True
    calls: Literal[0, 1, 2] = 0
    thinking: bool = False
    tools: bool = False

    def __str__(self) -> str:
        """Describe the shape in words."""
        parts = ["thinking"] if self.thinking else []
        parts += ["text"] if self.text else []
        parts += [["", "a call", "several calls"][self.calls]] if self.calls else []
        who = "a tool result" if self.added == "tool" else "the user"
        return f"{' and '.join(parts) or 'nothing'}, then {who}"


def shape_of_turn(
    reply: Message, added: Sequence[Message], *, thinking: bool, tools: bool
) -> TurnShape | None:
    """Return the shape of a turn; None for one that no environment of ours makes.

    Args:
        reply: The assistant's message.
        added: The messages that follow it.
        thinking: Whether this or an earlier reply of the segment came with thinking.
        tools: Whether the request offers tools.
    """
    calls = reply.get("tool_calls", [])
    roles = {message["role"] for message in added}
    answered = [message.get("tool_call_id") for message in added]
    if calls and roles == {"tool"} and answered == [call["id"] for call in calls]:
        count: Literal[1, 2] = 1 if len(calls) == 1 else 2
        return TurnShape("tool", bool(reply["content"]), count, thinking, tools)
    if not calls and roles == {"user"} and len(added) == 1:
        return TurnShape("user", bool(reply["content"]), 0, thinking, tools)
    return None


class Continuation:
    """Writes what comes after a reply, for one chat template.

    Args:
        template: The template.
        end_text: The text of the token with which the template ends a reply, "" where
            it has none: nothing can be appended then.
    """

    def __init__(self, template: ChatTemplate, end_text: str) -> None:
        self._template = template
        self._end_text = end_text
        self._problems: dict[TurnShape, str] = {}

    def problem(self, shape: TurnShape) -> str:
        """Say why the template cannot go on after such a turn; "" if it can."""
        if shape not in self._problems:
            self._problems[shape] = self._find_problem(shape)
        return self._problems[shape]

    def glue(
        self, reply: Message, added: Sequence[Message], tools: Sequence[ToolSchema]
    ) -> str:
        """Return what the template writes after a reply's end, up to the next reply.

        Args:
            reply: The assistant's message; only its form counts.
            added: The messages that follow it.
            tools: The tools of the request.

        Raises:
            ChatTemplateError: The template refuses the messages.
        """
        reply = _stand_in(reply)
        asked = self._render([_ASKED], tools)
        whole = self._render([_ASKED, reply, *added], tools)
        return self._after_reply(asked, whole, reply)

    def _after_reply(self, prompt: str, whole: str, reply: Message) -> str:
        """Return what stands in `whole` after the reply to `prompt` and its end."""
        if not whole.startswith(prompt):
            raise ChatTemplateError("it rewrites what stands before a reply")
        said = len(prompt)
        for mark in _marks(reply):
            said = whole.find(mark, said)
            if said < 0:
                raise ChatTemplateError(f"it drops or reorders {_NAMES[mark]}")
            said += len(mark)
        end = whole.find(self._end_text, said)
        if end < 0:
            raise ChatTemplateError("it does not end a reply that others follow")
        return whole[end + len(self._end_text) :]

    def _find_problem(self, shape: TurnShape) -> str:
        if not self._end_text:
            return "it ends replies with no special token"
        tools = [_TOOL] if shape.tools else []
        reply, added = _reply_of(shape), _added_of(shape)
        try:
            expected = self.glue(reply, added, tools)
            for before in _histories(shape):
                prompt = self._render(before, tools)
                whole = self._render([*before, reply, *added], tools)
                if self._after_reply(prompt, whole, reply) != expected:
                    return "what it writes after a reply depends on what came before"
        except ChatTemplateError as err:
            return str(err)
        return ""

    def _render(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
        request: ChatRequest = {"messages": list(messages)}
        if tools:
            request["tools"] = list(tools)
        return self._template.render(request)


def _stand_in(reply: Message) -> Message:
    """Return a reply of the same form with words that are easily found."""
    message: Message = {**reply, "content": _TEXT if reply["content"] else ""}
    if "reasoning_content" in reply:
        message["reasoning_content"] = _THOUGHT
    if "tool_calls" in reply:
        message["tool_calls"] = [
            _call(call["id"], call["function"]["name"]) for call in reply["tool_calls"]
        ]
    return message


def _call(call_id: str, name: str) -> WireToolCall:
    function: Any = {"name": name, "arguments": "{}"}
    return {"id": call_id, "type": "function", "function": function}


def _marks(reply: Message) -> Iterator[str]:
    """Yield what must be found of a stand-in, in the order in which it is sampled."""
    if reply.get("reasoning_content"):
        yield _THOUGHT
    if reply["content"]:
        yield _TEXT


_NAMES = {_TEXT: "a reply's text", _THOUGHT: "a reply's thinking"}


def _reply_of(shape: TurnShape, number: int = 9) -> Message:
    reply: Message = {"role": "assistant", "content": _TEXT if shape.text else ""}
    if shape.thinking:
        reply["reasoning_content"] = _THOUGHT
    if shape.calls:
        reply["tool_calls"] = [
            _call(f"call_{number}_{i}", "probe") for i in range(shape.calls)
        ]
    return reply


def _added_of(shape: TurnShape, number: int = 9) -> list[Message]:
    if shape.added == "user":
        return [{"role": "user", "content": _RESULT}]
    return [
        {
            "role": "tool",
            "tool_call_id": f"call_{number}_{i}",
            "name": "probe",
            "content": _RESULT,
        }
        for i in range(shape.calls)
    ]


def _histories(shape: TurnShape) -> Iterator[list[Message]]:
    """Yield the beginnings of conversations in which a turn of the shape may come."""
    system: Message = {"role": "system", "content": "be brief"}
    talk = TurnShape("user", thinking=shape.thinking)
    work = TurnShape("tool", text=False, calls=1, thinking=shape.thinking)
    for start in ([_ASKED], [system, _ASKED]):
        yield start
        if shape.added == "user":
            yield [*start, _reply_of(talk, 1), *_added_of(talk, 1)]
        if shape.tools:
            yield [*start, _reply_of(work, 1), *_added_of(work, 1)]
