"""What a chat template writes between a sampled reply and the next one.

The next prompt is the present tokens, the reply as it was sampled, and the difference
that the new messages make. That holds only where the template leaves alone what it has
written before; it is tried out here, once for each shape of a turn, with short made-up
conversations. Rendering a turn costs what the turn's own messages cost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llm_gym.messages import ChatRequest, Message, ToolSchema, WireToolCall
from llm_gym.tokens.chat_template import ChatTemplate, ChatTemplateError

__all__ = [
    "Continuation",
    "Glue",
    "Thinking",
    "TurnShape",
    "most_thinking",
    "shape_of_turn",
    "thinking_of",
]

Thinking = Literal["no", "empty", "some"]
"""Whether a reply came with thinking: not at all, with an empty one, with a text."""

Speaker = Literal["tool", "user"]

_LEVELS: tuple[Thinking, ...] = ("no", "empty", "some")
_TEXT = "probe-text"
_THOUGHT = "probe-thought"
_THOUGHT_END = "</think>"
_ASKED: Message = {"role": "user", "content": "hello"}
_SYSTEM: Message = {"role": "system", "content": "be brief"}
_GREETING: Message = {"role": "assistant", "content": "good day"}
_TOOL: ToolSchema = {
    "type": "function",
    "function": {
        "name": "probe",
        "description": "A probe.",
        "parameters": {
            "type": "object",
            "properties": {"probe_key": {"type": "string"}},
            "required": ["probe_key"],
        },
    },
}


@dataclass(frozen=True, slots=True)
class TurnShape:
    """What a template may care about in a reply and what follows it.

    Attributes:
        added: Who speaks next: tool results, or the user.
        text: Whether the reply has a text.
        calls: How many tool calls it has: 0, 1, or 2 for more.
        thinking: The reply's thinking.
        past: The most thinking that the segment shows of earlier replies.
        tools: Whether the request offers tools.
        after: Who spoke before the reply.
    """

    added: Speaker
    text: bool = True
    calls: Literal[0, 1, 2] = 0
    thinking: Thinking = "no"
    past: Thinking = "no"
    tools: bool = False
    after: Speaker = "user"

    def __str__(self) -> str:
        """Describe the shape in words."""
        thought = {"no": [], "empty": ["an empty thought"], "some": ["thinking"]}
        parts: list[str] = [*thought[self.thinking]]
        parts += ["text"] if self.text else []
        parts += [["", "a call", "several calls"][self.calls]] if self.calls else []
        first = "after a tool result " if self.after == "tool" else ""
        if self.past != "no" and self.thinking == "no":
            first = f"with earlier thinking, {first}"
        who = "a tool result" if self.added == "tool" else "the user"
        return f"{first}{' and '.join(parts) or 'nothing'}, then {who}"


@dataclass(frozen=True, slots=True)
class Glue:
    """What a template writes after a reply, up to where the next one begins.

    Attributes:
        end: The token that ends the reply, as text.
        text: What follows it.
    """

    end: str
    text: str


def thinking_of(reasoning: str | None) -> Thinking:
    """Say whether a reply came with thinking."""
    if reasoning is None:
        return "no"
    return "some" if reasoning else "empty"


def most_thinking(levels: Iterable[Thinking]) -> Thinking:
    """Return the most of several replies' thinking."""
    return max(levels, key=_LEVELS.index, default="no")


def shape_of_turn(
    before: Sequence[Message],
    reply: Message,
    added: Sequence[Message],
    *,
    past: Thinking,
    tools: bool,
) -> TurnShape | None:
    """Return the shape of a turn; None for one that no environment of ours makes.

    Args:
        before: The messages that the reply follows.
        reply: The assistant's message.
        added: The messages that follow it.
        past: The most thinking that the segment shows of earlier replies.
        tools: Whether the request offers tools.
    """
    calls = reply.get("tool_calls", [])
    roles = {message["role"] for message in added}
    answered = [message.get("tool_call_id") for message in added]
    after: Speaker = "tool" if before[-1]["role"] == "tool" else "user"
    text = bool(reply["content"])
    thinking = thinking_of(reply.get("reasoning_content"))
    if calls and roles == {"tool"} and answered == [call["id"] for call in calls]:
        count: Literal[1, 2] = 1 if len(calls) == 1 else 2
        return TurnShape("tool", text, count, thinking, past, tools, after)
    if not calls and roles == {"user"} and len(added) == 1:
        return TurnShape("user", text, 0, thinking, past, tools, after)
    return None


class Continuation:
    """Writes what comes after a reply, for one chat template.

    Args:
        template: The template.
        ends: The texts of the tokens that end a reply; nothing can be appended to a
            reply that the template ends with none of them.
    """

    def __init__(self, template: ChatTemplate, ends: Collection[str]) -> None:
        self._template = template
        self._ends = sorted(filter(None, ends), key=len, reverse=True)
        self._problems: dict[TurnShape, str] = {}

    def problem(self, shape: TurnShape) -> str:
        """Say why the template cannot go on after such a turn; "" if it can."""
        if shape not in self._problems:
            self._problems[shape] = self._find_problem(shape)
        return self._problems[shape]

    def glue(
        self,
        shape: TurnShape,
        reply: Message,
        added: Sequence[Message],
        tools: Sequence[ToolSchema],
    ) -> Glue:
        """Return what the template writes after a reply, up to the next one.

        Args:
            shape: The turn's shape.
            reply: The assistant's message; only its form counts.
            added: The messages that follow it.
            tools: The tools of the request.

        Raises:
            ChatTemplateError: The template refuses the messages, or rewrites them.
        """
        return self._glue(_start(shape), _stand_in(reply), added, tools)

    def _glue(
        self,
        before: Sequence[Message],
        reply: Message,
        added: Sequence[Message],
        tools: Sequence[ToolSchema],
    ) -> Glue:
        prompt = self._render(before, tools)
        whole = self._render([*before, reply, *added], tools)
        if not whole.startswith(prompt):
            raise ChatTemplateError("it rewrites what stands before a reply")
        said = len(prompt)
        for mark, name in _marks(reply):
            said = whole.find(mark, said)
            if said < 0:
                raise ChatTemplateError(f"it drops or reorders {name}")
            said += len(mark)
        found = [(at, end) for end in self._ends if (at := whole.find(end, said)) >= 0]
        if not found:
            raise ChatTemplateError(_NO_END)
        at, end = min(found, key=lambda pair: pair[0])  # of equals the longest
        return Glue(end, whole[at + len(end) :])

    def _find_problem(self, shape: TurnShape) -> str:
        tools = [_TOOL] if shape.tools else []
        reply, added = _reply_of(shape), _added_of(shape)
        try:
            expected = self._glue(_start(shape), reply, added, tools)
            if _result(0) not in expected.text:
                return _NO_END
            for before in _histories(shape):
                if not self._takes(before, tools):
                    continue
                if self._glue(before, reply, added, tools) != expected:
                    return "what it writes after a reply depends on what came before"
        except ChatTemplateError as err:
            return str(err)
        return ""

    def _takes(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> bool:
        try:
            self._render(messages, tools)
        except ChatTemplateError:
            return False
        return True

    def _render(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
        request: ChatRequest = {"messages": list(messages)}
        if tools:
            request["tools"] = list(tools)
        return self._template.render(request)


_NO_END = "it does not end a reply, with others after it, by a token that stops one"


def _result(number: int) -> str:
    return f"probe-result-{number}"


def _argument(number: int) -> str:
    return f"probe-argument-{number}"


def _stand_in(reply: Message) -> Message:
    """Return a reply of the same form with words that are easily found."""
    message: Message = {**reply, "content": _TEXT if reply["content"] else ""}
    if reply.get("reasoning_content"):
        message["reasoning_content"] = _THOUGHT
    if "tool_calls" in reply:
        message["tool_calls"] = [
            _call(call["id"], call["function"]["name"], number)
            for number, call in enumerate(reply["tool_calls"])
        ]
    return message


def _call(call_id: str, name: str, number: int) -> WireToolCall:
    arguments = f'{{"probe_key": "{_argument(number)}"}}'
    function: Any = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def _marks(reply: Message) -> Iterator[tuple[str, str]]:
    """Yield what must be found of a stand-in, in the order in which it is sampled."""
    if "reasoning_content" in reply:
        yield reply["reasoning_content"] or _THOUGHT_END, "a reply's thinking"
    if reply["content"]:
        yield _TEXT, "a reply's text"
    for number, _ in enumerate(reply.get("tool_calls", ())):
        yield _argument(number), "a reply's calls"


def _reply_of(shape: TurnShape, number: int = 9) -> Message:
    reply: Message = {"role": "assistant", "content": _TEXT if shape.text else ""}
    if shape.thinking != "no":
        reply["reasoning_content"] = _THOUGHT if shape.thinking == "some" else ""
    if shape.calls:
        reply["tool_calls"] = [
            _call(f"call_{number}_{i}", "probe", i) for i in range(shape.calls)
        ]
    return reply


def _added_of(shape: TurnShape, number: int = 9) -> list[Message]:
    if shape.added == "user":
        return [{"role": "user", "content": _result(0)}]
    return [
        {
            "role": "tool",
            "tool_call_id": f"call_{number}_{i}",
            "name": "probe",
            "content": _result(i),
        }
        for i in range(shape.calls)
    ]


def _start(shape: TurnShape) -> list[Message]:
    """Return the shortest conversation in which a turn of the shape may come."""
    return [_ASKED, *_worked(shape)] if shape.after == "tool" else [_ASKED]


def _spoken(shape: TurnShape) -> list[Message]:
    talk = TurnShape("user", thinking=shape.past)
    return [_reply_of(talk, 1), *_added_of(talk, 1)]


def _worked(shape: TurnShape) -> list[Message]:
    work = TurnShape("tool", text=False, calls=1, thinking=shape.past)
    return [_reply_of(work, 2), *_added_of(work, 2)]


def _histories(shape: TurnShape) -> Iterator[list[Message]]:
    """Yield the beginnings of conversations in which a turn of the shape may come."""
    spoken, worked = _spoken(shape), _worked(shape)
    pasts: list[list[Message]] = [[], spoken]
    if shape.after == "tool":
        pasts = [worked, [*spoken, *worked], [*worked, *worked]]
    elif shape.tools:
        pasts.append([*worked, *spoken])
    for start in ([_ASKED], [_SYSTEM, _ASKED], [_GREETING, _ASKED]):
        yield from ([*start, *past] for past in pasts)
