"""What a tokenizer's chat template can do, found by trying it, and its use.

A template may ignore tools, refuse the system role, or write calls in a form that
nobody here can read back. It is asked with probes, once, and requests are changed to
what it can express. Knows tokenizers; knows no model.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_gym.errors import LLMGymError, require
from llm_gym.messages import ChatRequest, Message, ToolSchema
from llm_gym.replies import read_reply
from llm_gym.tokens.chat_text import (
    ChatMessage,
    fold_system,
    merge_repeats,
    native_messages,
    text_messages,
)

__all__ = ["ChatTemplate", "ChatTemplateError", "TemplateTraits"]


class ChatTemplateError(LLMGymError, ValueError):
    """A tokenizer has no chat template, or its template refuses a conversation."""


@dataclass(frozen=True, slots=True)
class TemplateTraits:
    """What a chat template can express.

    Attributes:
        tools: It shows tools, and its form of a call can be read back.
        tool_role: It knows the role "tool" without native calls before it.
        system_role: It shows system messages.
        repeats: It takes two messages of the user in a row.
    """

    tools: bool
    tool_role: bool
    system_role: bool
    repeats: bool


class ChatTemplate:
    """Renders requests into prompts and reads completions, with one tokenizer.

    Args:
        tokenizer: A tokenizer of transformers that has a chat template.
        name: What errors call the model.

    Attributes:
        traits: What the template can express.

    Raises:
        ChatTemplateError: There is no template, or it fails on one user message.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        require("jinja2", extra="transformers")
        self._tokenizer = tokenizer
        self._name = name
        if not getattr(tokenizer, "chat_template", None):
            raise ChatTemplateError(
                f"the tokenizer of `{name}` has no chat template: set its "
                "`chat_template` or choose a model that was trained to chat"
            )
        self._parts = False
        self._parts = self._wants_parts()
        self.traits = TemplateTraits(
            tools=self._knows_tools(),
            tool_role=self._knows_tool_role(),
            system_role=_PROBE in self._try(_system(_PROBE), _user("hello")),
            repeats=_PROBE in self._try(_user("hello"), _user(_PROBE)),
        )

    def render(self, request: ChatRequest, *, reply_next: bool = True) -> str:
        """Write a request as a prompt that ends where the assistant begins.

        Args:
            request: The conversation and the tools.
            reply_next: Whether the assistant is to speak next; else the prompt ends
                with the last message.

        Raises:
            ChatTemplateError: The template refuses this conversation.
        """
        tools = request.get("tools") or []
        if self.traits.tools:
            messages = native_messages(request["messages"])
        else:
            messages = text_messages(
                request["messages"], tools, tool_role=self.traits.tool_role
            )
        if not self.traits.system_role:
            messages = fold_system(messages)
        if not self.traits.repeats:
            messages = merge_repeats(messages)
        shown = tools if self.traits.tools else ()
        return self._render(messages, shown, prompt=reply_next)

    def parse(
        self, completion: str, prompt: str, tools: Sequence[ToolSchema]
    ) -> Mapping[str, Any] | None:
        """Read a completion with the tokenizer's own parser.

        Args:
            completion: The sampled text, with the token that ended it.
            prompt: The prompt that it follows.
            tools: The tools of the request.

        Returns:
            The assistant's message; None where the tokenizer has no parser, or the
            parser cannot read this completion.
        """
        if not _has_parser(self._tokenizer):
            return None
        parse = self._tokenizer.parse_response
        # The releases of transformers 5 differ in what the parser wants to know.
        offered = {"prefix": prompt, "tools": list(tools)}
        known = inspect.signature(parse).parameters
        try:
            message = _chat_message(
                parse(completion, **{k: v for k, v in offered.items() if k in known})
            )
            read_reply(message)
        except Exception:  # noqa: BLE001  the model's text and a parser not ours
            return None
        return message

    def end_of_turn(self, known: Collection[int] = ()) -> set[int]:
        """Return the special tokens that the template ends replies with, if any.

        Args:
            known: Tokens that end a reply for certain; where the template writes one
                of these after a reply, whatever else it writes there ends none.
        """
        ends = self._ends(known, _assistant(_PROBE), [_user("hello")], _PROBE)
        if self.traits.tools:  # a call may end otherwise than a text
            call, result = native_messages(_EXCHANGE)
            ends |= self._ends({*known, *ends}, call, [result], _ARGUMENT, _TOOLS)
        return ends

    @property
    def writes_date(self) -> bool:
        """Whether what it writes depends on the day."""
        return "strftime_now" in str(self._tokenizer.chat_template)

    def special_ids(self) -> set[int]:
        """Return the ids of all special tokens."""
        added = getattr(self._tokenizer, "added_tokens_decoder", {})
        marked = {i for i, token in added.items() if getattr(token, "special", False)}
        return marked | set(self._tokenizer.all_special_ids)

    def _ends(
        self,
        known: Collection[int],
        reply: ChatMessage,
        added: Sequence[ChatMessage],
        mark: str,
        tools: Sequence[ToolSchema] = (),
    ) -> set[int]:
        """Return the special token that follows a reply, unless one is known."""
        asked = _user("hello")
        last = self._try(asked, reply, tools=tools, prompt=False)
        whole = self._try(asked, reply, *added, tools=tools)
        after_last = self._special_after(mark, last)
        shared = set(after_last) & set(self._special_after(mark, whole))
        return set() if shared & set(known) else set(after_last[:1])

    def _special_after(self, mark: str, text: str) -> list[int]:
        _, found, tail = text.rpartition(mark)
        ids = self._tokenizer(tail, add_special_tokens=False)["input_ids"]
        special = self.special_ids()
        return [i for i in ids if i in special] if found else []

    def _render(
        self,
        messages: list[ChatMessage],
        tools: Sequence[ToolSchema] = (),
        *,
        prompt: bool = True,
    ) -> str:
        shown = [_in_parts(m) for m in messages] if self._parts else messages
        try:
            text: str = self._tokenizer.apply_chat_template(
                shown,
                tools=list(tools) or None,
                add_generation_prompt=prompt,
                tokenize=False,
            )
        except Exception as err:  # the template is a program that may raise anything
            raise ChatTemplateError(
                f"the chat template of `{self._name}` refuses the roles "
                f"{[m['role'] for m in messages]}: {err}"
            ) from err
        return text

    def _try(
        self,
        *messages: ChatMessage,
        tools: Sequence[ToolSchema] = (),
        prompt: bool = True,
    ) -> str:
        """Render a probe; "" where the template refuses it."""
        try:
            return self._render(list(messages), tools, prompt=prompt)
        except ChatTemplateError:
            return ""

    def _wants_parts(self) -> bool:
        """Whether contents must be lists of parts, as models that see have them."""
        start = (_user("hello"), _assistant(_PROBE), _user("hello"))
        if _PROBE in self._try(*start):
            return False
        if _PROBE in self._try(*map(_in_parts, start)):
            return True
        self._render([_user("hello")])  # says why it cannot be used, if it cannot
        return False

    def _knows_tools(self) -> bool:
        """Ask for a tool, a call and a result, and whether the call reads back."""
        asked = _user("hello")
        call, result = native_messages(_EXCHANGE)
        before = self._try(asked, tools=_TOOLS)
        whole = self._try(asked, call, result, tools=_TOOLS)
        if _TOOL_NAME not in before or _PROBE not in whole:
            return False
        called = self._try(asked, call, tools=_TOOLS, prompt=False)
        if not called.startswith(before):  # the prompt opens a thought, for example
            before = ""
        completion = called.removeprefix(before)
        read = read_reply(self.parse(completion, before, _TOOLS) or completion)
        return [(c.name, c.arguments) for c in read.calls] == [(_TOOL_NAME, _ARGUMENTS)]

    def _knows_tool_role(self) -> bool:
        """Whether "tool" is more than a word that the template prints as it comes."""
        start = (_user("hello"), _assistant("a call"))
        known = self._try(*start, {"role": "tool", "content": _PROBE})
        any_role = self._try(*start, {"role": _ANY_ROLE, "content": _PROBE})
        return _PROBE in known and any_role.replace(_ANY_ROLE, "tool") != known


_PROBE = "probe-text"
_ANY_ROLE = "probe-role"
_TOOL_NAME = "probe_tool"
_ARGUMENT = "probe value"
_ARGUMENTS = {"probe_key": _ARGUMENT}
_TOOLS: list[ToolSchema] = [
    {
        "type": "function",
        "function": {
            "name": _TOOL_NAME,
            "description": "A probe.",
            "parameters": {
                "type": "object",
                "properties": {"probe_key": {"type": "string"}},
                "required": ["probe_key"],
            },
        },
    }
]
_EXCHANGE: list[Message] = [
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "call_0_0",
                "type": "function",
                "function": {
                    "name": _TOOL_NAME,
                    "arguments": '{"probe_key": "probe value"}',
                },
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_0_0", "content": _PROBE},
]


def _in_parts(message: ChatMessage) -> ChatMessage:
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


def _user(text: str) -> ChatMessage:
    return {"role": "user", "content": text}


def _system(text: str) -> ChatMessage:
    return {"role": "system", "content": text}


def _assistant(text: str) -> ChatMessage:
    return {"role": "assistant", "content": text}


def _has_parser(tokenizer: Any) -> bool:
    names = ("response_template", "response_schema")
    return any(getattr(tokenizer, name, None) is not None for name in names)


def _chat_message(parsed: Mapping[str, Any]) -> dict[str, Any]:
    """Give a parser's message the keys of a chat-completions server's."""
    message = {"role": "assistant", "content": "", **parsed}
    if "thinking" in message:
        message.setdefault("reasoning_content", message.pop("thinking"))
    if message["content"] is None:
        message["content"] = ""
    return message
