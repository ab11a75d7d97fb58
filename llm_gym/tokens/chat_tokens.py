"""From a request to the ids that an engine reads, and from sampled ids to a reply.

Whatever was sampled stays as it was sampled: a trace is appended to, by the difference
that new messages make in the chat template. Where that is not possible, because the
template or the environment rewrote what had been said, a new segment begins. Knows
tokenizers; knows no model and no engine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_gym.messages import ChatRequest, Message, Reply, ToolSchema, Usage
from llm_gym.replies import ReadReply, read_reply
from llm_gym.tokens.chat_template import ChatTemplate, ChatTemplateError
from llm_gym.tokens.continuation import (
    Continuation,
    Glue,
    Thinking,
    most_thinking,
    shape_of_turn,
    thinking_of,
)
from llm_gym.tokens.trace import TokenTrace

__all__ = ["ChatTokens", "Prompt"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an engine is to read.

    Attributes:
        ids: All of it.
        added: What it adds to the trace's present segment; None if it begins a new one.
        why: Why a new segment begins, "" for the first.
        text: The end of the prompt as text, which tells parsers what it opened.
    """

    ids: list[int]
    added: list[int] | None
    why: str
    text: str


@dataclass(frozen=True, slots=True)
class _Cursor:
    """How far a trace has come.

    Attributes:
        owner: Who rendered it.
        messages: The messages that the last request held.
        tools: The tools that it offered.
        reply: What was sampled since, as an environment reads it.
        stop_id: The token that ended it, None if it was cut off.
        past: The most thinking that the segment shows of the replies before.
    """

    owner: ChatTokens
    messages: list[Message]
    tools: list[ToolSchema]
    reply: ReadReply
    stop_id: int | None
    past: Thinking


@dataclass(frozen=True, slots=True)
class _Added:
    """What is appended before the next reply."""

    ids: list[int]
    text: str


class ChatTokens:
    """Prompts as token ids and replies from token ids, exactly, for one tokenizer.

    Args:
        tokenizer: A tokenizer of transformers that has a chat template.
        name: What errors call the model.
        stop_ids: The tokens that end a reply, besides the tokenizer's end of sequence
            and the template's own end of a turn.

    Attributes:
        template: The chat template.
        stop_ids: All tokens that end a reply.
        tokenizer_hash: SHA-256 of the tokenizer's vocabulary and rules.
        template_hash: SHA-256 of the chat template.

    Raises:
        ChatTemplateError: There is no chat template, or it fails on one user message.

    Example:
        >>> tokens = ChatTokens(tokenizer, "my-model")
        >>> trace = TokenTrace()
        >>> prompt = tokens.prompt(request, trace)
        >>> reply = tokens.reply(request, prompt, sample(prompt.ids), trace=trace)
    """

    def __init__(
        self, tokenizer: Any, name: str, stop_ids: Collection[int] = ()
    ) -> None:
        self._tokenizer = tokenizer
        self._name = name
        self.template = ChatTemplate(tokenizer, name)
        eos = tokenizer.eos_token_id
        known = {*stop_ids, *([] if eos is None else [eos])}
        self.stop_ids = known | self.template.end_of_turn(known)
        # Only a token that no text can contain is told from one by its text.
        marks = {*tokenizer.get_added_vocab().values(), *self.template.special_ids()}
        self._end_ids = {self.decode([i]): i for i in self.stop_ids & marks}
        self._continuation = Continuation(self.template, self._end_ids)
        self.tokenizer_hash = _tokenizer_hash(tokenizer)
        self.template_hash = _sha256(_template_text(tokenizer))

    @property
    def continuation(self) -> Continuation:
        """What the template can be appended to, and how."""
        return self._continuation

    @property
    def marked_ends(self) -> tuple[str, ...]:
        """The texts of the tokens that end a reply and that no text can contain."""
        return tuple(sorted(self._end_ids))

    def with_stops(self, stop_ids: Collection[int]) -> ChatTokens:
        """Return what also ends replies with these tokens, if no text can hold them."""
        marks = {*self._tokenizer.get_added_vocab().values()}
        more = (set(stop_ids) & marks) - self.stop_ids
        if not more:
            return self
        return ChatTokens(self._tokenizer, self._name, {*self.stop_ids, *more})

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text in which special tokens are written out."""
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def prompt(self, request: ChatRequest, trace: TokenTrace | None = None) -> Prompt:
        """Return what an engine is to read; the trace is not changed.

        Args:
            request: The observation.
            trace: The episode's tokens so far, None where none are kept.

        Raises:
            ChatTemplateError: The chat template refuses the conversation.
        """
        why = ""
        if trace:
            glue = self._glue(request, trace)
            if isinstance(glue, _Added):
                ids = trace.ids
                ids += glue.ids
                return Prompt(ids, glue.ids, "", glue.text)
            why = glue
        text = self.template.render(request)
        return Prompt(self.encode(text), None, why, text)

    def reply(
        self,
        request: ChatRequest,
        prompt: Prompt,
        sampled: Sequence[int],
        *,
        logprobs: Sequence[float] | None = None,
        trace: TokenTrace | None = None,
    ) -> Reply:
        """Read what was sampled, and append prompt and reply to the trace.

        Args:
            request: The observation.
            prompt: What `prompt` returned for it.
            sampled: The sampled ids, with the one that ended the reply if one did.
            logprobs: Their log-probabilities, None if the engine tells none.
            trace: The episode's tokens, None where none are kept.

        Returns:
            The reply; its finish reason is "length" if no stop token ended it.
        """
        sampled = list(sampled)
        stopped = bool(sampled) and sampled[-1] in self.stop_ids
        message = self._message(request, prompt, sampled, stopped)
        finish_reason = "stop" if stopped else "length"
        if stopped and isinstance(message, Mapping) and message.get("tool_calls"):
            finish_reason = "tool_calls"
        reply = Reply(
            message,
            finish_reason,
            Usage(len(prompt.ids), len(sampled)),
            tuple(prompt.ids),
            tuple(sampled),
            None if logprobs is None else tuple(logprobs),
        )
        if trace is not None:
            self._append(trace, request, prompt, reply)
        return reply

    def _message(
        self, request: ChatRequest, prompt: Prompt, sampled: list[int], stopped: bool
    ) -> Mapping[str, Any] | str:
        tools = request.get("tools") or []
        whole = self.decode(sampled)
        parsed = self.template.parse(whole, prompt.text, tools)
        if parsed is not None:
            return parsed
        return self.decode(sampled[:-1]) if stopped else whole

    def _append(
        self, trace: TokenTrace, request: ChatRequest, prompt: Prompt, reply: Reply
    ) -> None:
        turn = trace.turns
        tools = request.get("tools") or []
        if prompt.added is None:
            trace.begin(prompt.ids, prompt.why)
            past = self._shown_thinking(request, prompt)
        else:
            trace.read(prompt.added)
            said = thinking_of(trace.cursor.reply.reasoning)
            past = most_thinking((trace.cursor.past, said))
        sampled = reply.sampled_ids or ()
        trace.sampled(sampled, reply.logprobs)
        trace.tokenizer_hash = self.tokenizer_hash
        trace.template_hash = self.template_hash
        read = read_reply(reply, turn=turn, with_tools=bool(tools))
        stop_id = sampled[-1] if reply.finish_reason != "length" else None
        messages = list(request["messages"])
        trace.cursor = _Cursor(self, messages, tools, read, stop_id, past)

    def _shown_thinking(self, request: ChatRequest, prompt: Prompt) -> Thinking:
        """Say how much thinking of earlier replies a new segment's prompt shows."""
        messages = request["messages"]
        thoughts = [m.get("reasoning_content") for m in messages]
        most = most_thinking(map(thinking_of, thoughts))
        if most == "no":
            return "no"
        bare: list[Any] = [
            {k: v for k, v in m.items() if k != "reasoning_content"} for m in messages
        ]
        without: ChatRequest = {**request, "messages": bare}
        return "no" if self.template.render(without) == prompt.text else most

    def _glue(self, request: ChatRequest, trace: TokenTrace) -> _Added | str:
        """Return what to append before the next reply, or why nothing can be."""
        cursor = trace.cursor
        if not isinstance(cursor, _Cursor) or cursor.owner is not self:
            return "another tokenizer wrote what came before"
        known = len(cursor.messages)
        messages, tools = request["messages"], request.get("tools") or []
        said = messages[known : known + 1]
        if messages[:known] != cursor.messages or not said:
            return "the environment rewrote the conversation"
        if tools != cursor.tools:
            return "the environment changed the tools"
        if not _is_same(said[0], cursor.reply):
            return "the environment rewrote the reply"
        added = messages[known + 1 :]
        shape = shape_of_turn(
            cursor.messages,
            said[0],
            added,
            past=cursor.past,
            tools=bool(tools),
        )
        if shape is None:
            roles = [message["role"] for message in added]
            return f"a reply is not followed by its results or by the user: {roles}"
        problem = self._continuation.problem(shape)
        if problem:
            return f"the chat template: {problem} ({shape})"
        try:
            glue = self._continuation.glue(shape, said[0], added, tools)
        except ChatTemplateError as err:
            return f"the chat template: {err}"
        return self._added(glue, cursor.stop_id)

    def _added(self, glue: Glue, stop_id: int | None) -> _Added | str:
        end_id = self._end_ids[glue.end]
        if stop_id not in (None, end_id):
            ended = self.decode([stop_id])
            return f"the reply ended with {ended!r} where it is shown with {glue.end!r}"
        # With the end of the reply before it, as tokenizers look at what is before.
        ids = self.encode(glue.end + glue.text)
        if ids[:1] != [end_id]:
            return "the end of a reply is not a token of its own"
        return _Added(ids if stop_id is None else ids[1:], glue.text)

    def decode(self, ids: Sequence[int]) -> str:
        """Write tokens as text with every mark in it: some models mark calls so."""
        text: str = self._tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text


def _is_same(shown: Message, reply: ReadReply) -> bool:
    """Whether an environment shows a reply as it was read; ids may differ."""
    expected = reply.message
    return (
        shown["role"] == "assistant"
        and shown["content"] == expected["content"]
        and shown.get("reasoning_content") == reply.reasoning
        and _functions(shown) == _functions(expected)
    )


def _functions(message: Message) -> list[Any]:
    return [call["function"] for call in message.get("tool_calls", ())]


def _tokenizer_hash(tokenizer: Any) -> str:
    """Hash what decides the ids: the fast tokenizer's own JSON, else the vocabulary."""
    marks = {name: str(mark) for name, mark in tokenizer.special_tokens_map.items()}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        rules = [type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())]
    else:
        rules = json.loads(backend.to_str())
        rules.pop("padding", None)  # a call may change these two
        rules.pop("truncation", None)
    return _sha256(json.dumps([marks, rules], sort_keys=True))


def _template_text(tokenizer: Any) -> str:
    template = tokenizer.chat_template
    if isinstance(template, str):
        return template
    return json.dumps(template, sort_keys=True)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
