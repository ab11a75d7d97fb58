"""Conversations for the property tests: random ones, and what must hold of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from llm_gym.episode import with_reasoning
from llm_gym.messages import ChatRequest, Message, ToolSchema, WireToolCall, call_text
from llm_gym.replies import read_reply
from llm_gym.tokens import ChatTokens, TokenTrace
from llm_gym.tokens.chat_template import ChatTemplateError
from tests.policies.tiny import ADD

__all__ = ["Planned", "Talk", "conversations", "own_words"]

MARKS = ("<|im_end|>", "<|im_start|>user\n", "<|eot_id|>", "<end_of_turn>", "[/INST]")
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
plain = st.sampled_from(["", "hello there", "zwei und zwei", "四 + 四", "é\u0301 🙂"])
shown_texts = plain | words | st.sampled_from([*MARKS, "Error: no", '{"a": 1}', "None"])
thoughts = st.none() | st.sampled_from(["", "hm", "two plus two"])


@dataclass(frozen=True, slots=True)
class Planned:
    """A turn as it was drawn: what the model means to say, and what is answered."""

    thought: str | None
    text: str
    calls: tuple[dict[str, Any], ...]
    how: str  # "own": as the template writes it; "plain"; "cut"; "noise": any ids
    noise: tuple[int, ...]
    results: tuple[str, ...]


arguments = st.fixed_dictionaries({"a": st.integers(0, 9), "b": words})
planned = st.builds(
    Planned,
    thoughts,
    plain | words.map(str.strip),
    st.sampled_from([0, 1, 1, 2]).flatmap(
        lambda n: st.tuples(*[arguments] * n)  # most turns of an agent call something
    ),
    st.sampled_from(["own", "own", "own", "plain", "cut", "noise"]),
    st.lists(st.integers(0, 300), max_size=6).map(tuple),
    st.lists(shown_texts, min_size=3, max_size=3).map(tuple),
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is said at the start, and the turns."""

    system: str | None
    asked: str
    tools: bool
    turns: tuple[Planned, ...]


conversations = st.builds(
    Conversation,
    st.none() | plain,
    plain.filter(bool) | shown_texts,
    st.sampled_from([True, True, False]),
    st.lists(planned, min_size=2, max_size=4).map(tuple),
)


def message_of(turn: Planned, number: int, *, tools: bool) -> Message:
    """Return the message that the model means to write."""
    message: Message = {"role": "assistant", "content": turn.text}
    if turn.thought is not None:
        message["reasoning_content"] = turn.thought
    if turn.calls and tools:
        message["tool_calls"] = [
            _call(f"call_{number}_{i}", json.dumps(arguments, ensure_ascii=False))
            for i, arguments in enumerate(turn.calls)
        ]
    return message


def _call(call_id: str, arguments: str) -> WireToolCall:
    function: Any = {"name": "add", "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def own_words(tokens: ChatTokens, request: ChatRequest, message: Message) -> str | None:
    """Return a reply as the template writes the last one, with the token that ends it.

    None where the template does not go on from the prompt.
    """
    tail = _tail(tokens, request, message)
    written = _last(tokens, request, message)
    prompt = tokens.template.render(request)
    if tail is None or written is None or not written.startswith(prompt):
        return None
    ends = [(tail.find(end), end) for end in _ends(tokens) if end in tail]
    if not ends or not written.endswith(tail):
        return None
    at, end = min(ends)
    return written[len(prompt) : len(written) - len(tail)] + tail[: at + len(end)]


def _ends(tokens: ChatTokens) -> list[str]:
    return [tokens.decode([i]) for i in tokens.stop_ids]


def _last(tokens: ChatTokens, request: ChatRequest, message: Message) -> str | None:
    whole: ChatRequest = {**request, "messages": [*request["messages"], message]}
    try:
        return tokens.template.render(whole, reply_next=False)
    except ChatTemplateError:
        return None


def _tail(tokens: ChatTokens, request: ChatRequest, message: Message) -> str | None:
    """Return what the template writes after the last words of a reply."""
    mark = "qzqz"
    calls = [
        _call(c["id"], f'{{"b": "{mark}"}}') for c in message.get("tool_calls", [])
    ]
    marked: Message = {**message, "content": message["content"] if calls else mark}
    if calls:
        marked["tool_calls"] = calls
    written = _last(tokens, request, marked)
    return None if written is None else written.rpartition(mark)[2]


def _plain_words(turn: Planned, *, tools: bool) -> str:
    """Write a reply as `llm_gym.replies` reads it, whatever the template says."""
    thought = "" if turn.thought is None else f"<think>{turn.thought}</think>"
    calls = [call_text("add", arguments) for arguments in turn.calls if tools]
    return thought + turn.text + "".join(calls)


@dataclass(slots=True)
class Talk:
    """A conversation as it goes on, and the checks of each of its turns.

    Attributes:
        fed: What the engine read for each turn.
        drawn: What it sampled.
        breaks: The turns that began a segment, the first left out.
        exact: Whether all that the present segment holds is in the template's words.
        strict: Whether a break that is not needed is an error.
    """

    tokens: ChatTokens
    messages: list[Message]
    tools: list[ToolSchema]
    trace: TokenTrace = field(default_factory=TokenTrace)
    fed: list[list[int]] = field(default_factory=list)
    drawn: list[list[int]] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)
    exact: bool = True
    strict: bool = True

    def request(self) -> ChatRequest:
        """Return the observation."""
        request: ChatRequest = {"messages": list(self.messages)}
        if self.tools:
            request["tools"] = self.tools
        return request

    def take(self, turn: Planned) -> None:
        """Take a turn and check what it did."""
        request = self.request()
        prompt = self.tokens.prompt(request, self.trace)
        self._check_prompt(request, prompt)
        message = message_of(turn, len(self.fed), tools=bool(self.tools))
        words = own_words(self.tokens, request, message)
        sampled = self._sample(turn, words)
        told = [-0.5 - i / 8 for i in range(len(sampled))]
        reply = self.tokens.reply(
            request, prompt, sampled, logprobs=told, trace=self.trace
        )
        self.fed.append(prompt.ids)
        self.drawn.append(sampled)
        read = read_reply(reply, turn=len(self.fed) - 1, with_tools=bool(self.tools))
        shown = with_reasoning(read)
        # In the template's words is what it writes again when it is shown the reply.
        self.exact &= self.tokens.decode(sampled) == own_words(
            self.tokens, request, shown
        )
        self.messages.append(shown)
        self._answer(shown, turn.results)

    def _check_prompt(self, request: ChatRequest, prompt: Any) -> None:
        whole = self.tokens.template.render(request)
        assert prompt.ids[len(prompt.ids) - len(prompt.added or ()) :] == (
            prompt.added or []
        )
        if prompt.added is None:
            assert self.tokens.decode(prompt.ids) == whole
            assert prompt.ids == self.tokens.encode(whole)
            if self.trace:
                was = self.tokens.decode(self.trace.ids)
                needless = self.strict and self.exact and whole.startswith(was)
                assert not needless, f"{prompt.why}: {was!r} goes on as {whole!r}"
                self.breaks.append(len(self.fed))
            self.exact = True
        elif self.exact:
            assert self.tokens.decode(prompt.ids) == whole, "a break is missing"

    def _sample(self, turn: Planned, words: str | None) -> list[int]:
        if turn.how == "noise":
            ids = [i for i in turn.noise if i not in self.tokens.stop_ids]
            return [*ids, min(self.tokens.stop_ids)]
        if words is None or turn.how == "plain":
            end = self.tokens.decode([min(self.tokens.stop_ids)])
            words = _plain_words(turn, tools=bool(self.tools)) + end
        ids = self.tokens.encode(words)
        stops = [i for i, one in enumerate(ids, 1) if one in self.tokens.stop_ids]
        ids = ids[: min(stops, default=None)]
        return ids[: len(ids) // 2] if turn.how == "cut" else ids

    def _answer(self, shown: Message, results: Sequence[str]) -> None:
        calls = shown.get("tool_calls", [])
        for i, call in enumerate(calls):
            self.messages.append(
                {
                    "role": "tool",
                    "tool_call_id": call["id"],
                    "name": call["function"]["name"],
                    "content": results[i % len(results)],
                }
            )
        if not calls:
            self.messages.append({"role": "user", "content": results[0]})


def begin(tokens: ChatTokens, conversation: Conversation) -> Talk:
    """Return the conversation before its first turn."""
    messages: list[Message] = []
    if conversation.system is not None:
        messages.append({"role": "system", "content": conversation.system})
    messages.append({"role": "user", "content": conversation.asked})
    return Talk(tokens, messages, [ADD] if conversation.tools else [])
