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

from llm_gym.messages import ChatRequest, Message, Reply, Usage
from llm_gym.replies import ReadReply, read_reply
from llm_gym.tokens.chat_template import ChatTemplate, ChatTemplateError
from llm_gym.tokens.continuation import Continuation, shape_of_turn
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
        reply: What was sampled since, as an environment reads it.
        stop_id: The token that ended it, None if it was cut off.
        thinking: Whether a reply of the segment came with thinking.
    """

    owner: ChatTokens
    messages: list[Message]
    reply: ReadReply
    stop_id: int | None
    thinking: bool


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
        self.template = ChatTemplate(tokenizer, name)
        own = self.template.end_of_turn()
        eos = tokenizer.eos_token_id
        self.stop_ids = {*stop_ids, *own, *([] if eos is None else [eos])}
        self._end_id = min(own, default=None)
        end_text = "" if self._end_id is None else self._decode([self._end_id])
        self._continuation = Continuation(self.template, end_text)
        self._end_text = end_text
        self.tokenizer_hash = _tokenizer_hash(tokenizer)
        self.template_hash = _sha256(_template_text(tokenizer))

    @property
    def continuation(self) -> Continuation:
        """What the template can be appended to, and how."""
        return self._continuation

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
            if isinstance(glue, list):
                return Prompt([*trace.ids, *glue], glue, "", self._decode(glue))
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
        whole = self._decode(sampled)
        parsed = self.template.parse(whole, prompt.text, tools)
        if parsed is not None:
            return parsed
        return self._decode(sampled[:-1]) if stopped else whole

    def _append(
        self, trace: TokenTrace, request: ChatRequest, prompt: Prompt, reply: Reply
    ) -> None:
        turn = trace.turns
        before = trace.cursor.thinking if prompt.added is not None else False
        if prompt.added is None:
            trace.begin(prompt.ids, prompt.why)
        else:
            trace.read(prompt.added)
        sampled = reply.sampled_ids or ()
        trace.sampled(sampled, reply.logprobs)
        trace.tokenizer_hash = self.tokenizer_hash
        trace.template_hash = self.template_hash
        read = read_reply(reply, turn=turn, with_tools=bool(request.get("tools")))
        stop_id = sampled[-1] if reply.finish_reason != "length" else None
        thinking = before or read.reasoning is not None
        messages = list(request["messages"])
        trace.cursor = _Cursor(self, messages, read, stop_id, thinking)

    def _glue(self, request: ChatRequest, trace: TokenTrace) -> list[int] | str:
        """Return the ids to append before the next reply, or why there are none."""
        cursor = trace.cursor
        if not isinstance(cursor, _Cursor) or cursor.owner is not self:
            return "another tokenizer wrote what came before"
        known = len(cursor.messages)
        messages, tools = request["messages"], request.get("tools") or []
        said = messages[known : known + 1]
        if messages[:known] != cursor.messages or not said:
            return "the environment rewrote the conversation"
        if not _is_same(said[0], cursor.reply):
            return "the environment rewrote the reply"
        added = messages[known + 1 :]
        shape = shape_of_turn(
            said[0], added, thinking=cursor.thinking, tools=bool(tools)
        )
        if shape is None:
            roles = [message["role"] for message in added]
            return f"a reply is not followed by its results or by the user: {roles}"
        problem = self._continuation.problem(shape)
        if problem:
            return f"the chat template: {problem} ({shape})"
        if cursor.stop_id not in (None, self._end_id):
            return f"the reply ended with token {cursor.stop_id}, not {self._end_id}"
        return self._glue_ids(cursor, said[0], added, tools)

    def _glue_ids(
        self, cursor: _Cursor, reply: Message, added: list[Message], tools: list[Any]
    ) -> list[int] | str:
        try:
            glue = self._continuation.glue(reply, added, tools)
        except ChatTemplateError as err:
            return f"the chat template: {err}"
        # With the end of the reply before it, as tokenizers look at what is before.
        ids = self.encode(self._end_text + glue)
        if ids[:1] != [self._end_id]:
            return "the end of a reply is not a token of its own"
        return ids if cursor.stop_id is None else ids[1:]

    def _decode(self, ids: Sequence[int]) -> str:
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
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        rules = json.loads(backend.to_str())
        rules.pop("padding", None)  # a call may change these two
        rules.pop("truncation", None)
        return _sha256(json.dumps(rules, sort_keys=True))
    vocabulary = sorted(tokenizer.get_vocab().items())
    return _sha256(json.dumps([type(tokenizer).__name__, vocabulary]))


def _template_text(tokenizer: Any) -> str:
    template = tokenizer.chat_template
    if isinstance(template, str):
        return template
    return json.dumps(template, sort_keys=True)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
