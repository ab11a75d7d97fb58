"""What a chat template does to a conversation, and what the library does about it.

A template is tried out with short made-up conversations, as `ChatTokens` would use it.
Knows templates; reads no file and loads no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from llm_gym.messages import ChatRequest, Message
from llm_gym.tokens.chat_template import ChatTemplateError
from llm_gym.tokens.chat_tokens import ChatTokens
from llm_gym.tokens.continuation import Thinking, TurnShape

__all__ = ["FieldFinding", "TemplateReport", "TurnFinding", "lint_template"]

FieldStatus = Literal["shown", "dropped", "reordered", "changed", "refused"]
"""Shown as it is; not shown; shown in another order; altered; the template raises."""


@dataclass(frozen=True, slots=True)
class TurnFinding:
    """Whether what stands there stays there after one shape of turn.

    Attributes:
        turn: The turn in words, such as "text, then the user".
        problem: Why the prefix breaks, "" where it is stable.
    """

    turn: str
    problem: str

    @property
    def stable(self) -> bool:
        """Whether the next prompt begins with what was read and sampled."""
        return not self.problem

    @property
    def action(self) -> str:
        """What the library does after such a turn."""
        return "appends" if self.stable else "begins a new segment"


@dataclass(frozen=True, slots=True)
class FieldFinding:
    """What becomes of one part of a conversation.

    Attributes:
        field: The part, in words.
        status: See `FieldStatus`.
        note: What the library does about it, "" where nothing is to be done.
    """

    field: str
    status: FieldStatus
    note: str = ""


@dataclass(frozen=True, slots=True)
class TemplateReport:
    """What came of linting a template.

    Attributes:
        name: The model's or the file's.
        template_hash: SHA-256 of the template.
        tools: How tools are shown: by the template, or as text in the system message.
        ends: The tokens that end a reply, as text.
        turns: One finding for each shape of turn that was judged.
        fields: One finding for each part of a conversation.
        notes: What else there is to know.
    """

    name: str
    template_hash: str
    tools: Literal["native", "text"]
    ends: tuple[str, ...]
    turns: tuple[TurnFinding, ...]
    fields: tuple[FieldFinding, ...]
    notes: tuple[str, ...]

    @property
    def stable(self) -> bool:
        """Whether no shape of turn breaks the prefix."""
        return all(turn.stable for turn in self.turns)


def lint_template(tokens: ChatTokens, name: str) -> TemplateReport:
    """Try a template out.

    Args:
        tokens: The tokenizer with its template.
        name: What the report calls it.
    """
    thinks = _writes_thinking(tokens)
    return TemplateReport(
        name,
        tokens.template_hash,
        "native" if tokens.template.traits.tools else "text",
        tuple(sorted(tokens.decode([i]) for i in tokens.stop_ids)),
        tuple(_turns(tokens, thinks=thinks)),
        tuple(_fields(tokens, thinks=thinks)),
        tuple(_notes(tokens, thinks=thinks)),
    )


_CALLS: tuple[Literal[1, 2], ...] = (1, 2)


def _turns(tokens: ChatTokens, *, thinks: bool) -> Iterator[TurnFinding]:
    levels: tuple[Thinking, ...] = ("no", "some") if thinks else ("no",)
    for thinking in levels:
        shapes = [
            TurnShape("user", text, 0, thinking, thinking, True)
            for text in (True, False)
        ]
        shapes += [
            TurnShape("tool", text, calls, thinking, thinking, True)
            for calls in _CALLS
            for text in (False, True)
        ]
        for shape in shapes:
            first = TurnFinding(str(shape), tokens.continuation.problem(shape))
            yield first
            later = replace(shape, after="tool")
            other = TurnFinding(str(later), tokens.continuation.problem(later))
            if other.stable != first.stable:
                yield other


_SYSTEM, _ASKED, _SAID, _THOUGHT = "lint-system", "lint-asked", "lint-said", "lint-hm"
_NEXT = "lint-next"
_ARGUMENTS = ("lint-argument-0", "lint-argument-1")
_RESULTS = ("lint-result-0", "lint-result-1")
_TOOL_NAME = "lint_tool"


def _request(*messages: Message) -> ChatRequest:
    parameters = {"type": "object", "properties": {"key": {"type": "string"}}}
    return {
        "messages": list(messages),
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": _TOOL_NAME,
                    "description": "A probe.",
                    "parameters": parameters,
                },
            }
        ],
    }


def _user(text: str = _ASKED) -> Message:
    return {"role": "user", "content": text}


def _reply(text: str, calls: int = 0, thought: str = "") -> Message:
    message: Message = {"role": "assistant", "content": text}
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_0_{i}",
                "type": "function",
                "function": {
                    "name": _TOOL_NAME,
                    "arguments": f'{{"key": "{_ARGUMENTS[i]}"}}',
                },
            }
            for i in range(calls)
        ]
    return message


def _results(count: int) -> list[Message]:
    return [
        {
            "role": "tool",
            "tool_call_id": f"call_0_{i}",
            "name": _TOOL_NAME,
            "content": _RESULTS[i],
        }
        for i in range(count)
    ]


def _rendered(tokens: ChatTokens, *messages: Message, last: bool = False) -> str | None:
    """Render a conversation; None where the template refuses it."""
    try:
        return tokens.template.render(_request(*messages), reply_next=not last)
    except ChatTemplateError:
        return None


def _status(text: str | None, marks: Sequence[str]) -> FieldStatus:
    """Say what became of marks that should be found in their order."""
    if text is None:
        return "refused"
    places = [text.find(mark) for mark in marks]
    if -1 in places:
        return "dropped"
    return "shown" if places == sorted(places) else "reordered"


def _writes_thinking(tokens: ChatTokens) -> bool:
    """Say whether a thought is shown anywhere."""
    thinking, working = _reply(_SAID, 0, _THOUGHT), _reply("", 1, _THOUGHT)
    pages = (
        _rendered(tokens, _user(), thinking, last=True),
        _rendered(tokens, _user(), thinking, _user(_NEXT)),
        _rendered(tokens, _user(), working, *_results(1)),
    )
    return any(page is not None and _THOUGHT in page for page in pages)


def _fields(tokens: ChatTokens, *, thinks: bool) -> Iterator[FieldFinding]:
    traits = tokens.template.traits
    system: Message = {"role": "system", "content": _SYSTEM}
    with_system = _rendered(tokens, system, _user())
    folded = "" if traits.system_role else "put before the first message of the user"
    yield FieldFinding("system message", _status(with_system, [_SYSTEM]), folded)
    beside = _rendered(tokens, _user(), _reply(_SAID, 1), *_results(1))
    yield FieldFinding("text beside a call", _status(beside, [_SAID, _ARGUMENTS[0]]))
    two = _rendered(tokens, _user(), _reply("", 2), *_results(2))
    yield FieldFinding("parallel calls", _status(two, _ARGUMENTS))
    yield FieldFinding("their results", _status(two, _RESULTS))
    named = None if two is None else two[two.find(_ARGUMENTS[1]) :]
    named_status = _status(named, [_TOOL_NAME, _RESULTS[0]])
    yield FieldFinding("the tool's name with a result", named_status)
    yield FieldFinding("empty content", _empty_status(tokens))
    yield FieldFinding("spaces around a text", _space_status(tokens))
    if thinks:
        yield from _thinking_fields(tokens)


def _empty_status(tokens: ChatTokens) -> FieldStatus:
    """Say whether a reply of no text leaves its place, and no `None` in it."""
    page = _rendered(tokens, _user(), _reply(""), _user(_NEXT))
    full = _rendered(tokens, _user(), _reply(_SAID), _user(_NEXT))
    if page is None or full is None:
        return "refused"
    return "shown" if page == full.replace(_SAID, "") else "changed"


def _space_status(tokens: ChatTokens) -> FieldStatus:
    said = f" {_SAID}\n"
    page = _rendered(tokens, _user(), _reply(said), _user(_NEXT))
    if page is None:
        return "refused"
    return "shown" if said in page else "changed"


def _thinking_fields(tokens: ChatTokens) -> Iterator[FieldFinding]:
    working, talking = _reply("", 1, _THOUGHT), _reply(_SAID, 0, _THOUGHT)
    kept = _rendered(tokens, _user(), working, *_results(1))
    asked = _rendered(tokens, _user(), talking, _user(_NEXT))
    yield FieldFinding("thinking while tools answer", _status(kept, [_THOUGHT]))
    stays = _status(asked, [_THOUGHT])
    yield FieldFinding("thinking once the user speaks", stays)


def _notes(tokens: ChatTokens, *, thinks: bool) -> Iterator[str]:
    traits = tokens.template.traits
    if not traits.tools:
        yield (
            "its own form of tools is absent or cannot be read back: tools are "
            "described in the system message, calls and results are written as text"
        )
    if not traits.repeats:
        yield "it takes no two messages of one role in a row: they are joined"
    if not thinks:
        yield (
            "it writes no thinking, so turns with thinking were not judged; after a "
            "reply that thinks all the same a new segment begins"
        )
    if not tokens.marked_ends:
        yield "no special token ends a reply: nothing can be appended to one"
    if tokens.template.writes_date:
        yield "it writes the present date: prompts of another day differ"
