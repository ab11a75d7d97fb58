"""Rendering an episode's tokens again, to compare them with those of the record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from llm_gym.episode import with_reasoning
from llm_gym.messages import ChatRequest, Message
from llm_gym.replies import read_reply
from llm_gym.tokens.chat_template import ChatTemplateError
from llm_gym.tokens.chat_tokens import ChatTokens
from llm_gym.tokens.trace import Segment, Span, TokenRecord, TokenTrace
from llm_gym.trajectory import Trajectory, Turn

__all__ = ["Difference", "token_differences"]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as it was recorded.

    Attributes:
        what: What differs: "prompt", "tools", "reply", "call", "message", "reward",
            "token", "template" and so on.
        where: Where, such as "turn 3" or "segment 0, token 17".
        recorded: What the record says, in short.
        found: What came now, in short.
        warning: Whether it does not make the record false: code that changed since, or
            what cannot be verified.
    """

    what: str
    where: str
    recorded: str
    found: str
    warning: bool = False

    def __str__(self) -> str:
        """Say it in one line."""
        place = f"{self.what}, {self.where}" if self.where else self.what
        return f"{place}: recorded {self.recorded}, found {self.found}"


def token_differences(
    trajectory: Trajectory, tokens: ChatTokens
) -> Iterator[Difference]:
    """Yield whether tokenizer and template are others, and the first token that is.

    Args:
        trajectory: A record with tokens.
        tokens: The tokenizer to render with.
    """
    record = trajectory.tokens or TokenRecord(())
    pairs = (
        ("tokenizer", record.tokenizer_hash, tokens.tokenizer_hash),
        ("template", record.template_hash, tokens.template_hash),
    )
    for what, recorded, found in pairs:
        if recorded != found:
            yield Difference(what, "", recorded[:12] or "none", found[:12])
    tokens = tokens.with_stops(_stops(trajectory, record))
    first = next(_rendered(trajectory, record, tokens), None)
    if first is not None:
        yield first


def _rendered(
    trajectory: Trajectory, record: TokenRecord, tokens: ChatTokens
) -> Iterator[Difference]:
    trace = TokenTrace()
    messages: list[Message] = list(trajectory.prompt)
    places = [
        (n, segment, s)
        for n, segment in enumerate(record.segments)
        for s in segment.spans
    ]
    for number, (turn, place) in enumerate(zip_longest(trajectory.turns, places)):
        if turn is None:
            yield Difference(
                "token", f"turn {number}", "a reply's tokens", "no such turn"
            )
            return
        if place is None:
            if turn.reply["content"] or turn.calls:  # else none were sampled
                yield Difference("token", f"turn {number}", "no tokens", "a reply")
            return
        request: ChatRequest = {"messages": list(messages)}
        if trajectory.tools:
            request["tools"] = list(trajectory.tools)
        yield from _turn(request, turn, place, tokens, trace)
        messages += [turn.reply, *turn.added]


def _turn(
    request: ChatRequest,
    turn: Turn,
    place: tuple[int, Segment, Span],
    tokens: ChatTokens,
    trace: TokenTrace,
) -> Iterator[Difference]:
    """Compare what was read before a reply, and what the reply says."""
    index, segment, span = place
    where = f"segment {index}"
    try:
        prompt = tokens.prompt(request, trace)
    except ChatTemplateError as err:
        yield Difference("template", where, "a prompt", str(err))
        return
    began = span is segment.spans[0]
    if began != (prompt.added is None):
        which = ("a new segment", "the same segment")
        why = f" ({prompt.why})" if prompt.why else ""
        recorded, found = which if began else which[::-1]
        yield Difference("segment", f"turn {span.turn}", recorded, found + why)
    yield from _first_token(segment.ids[: span.start], prompt.ids, where, tokens)
    sampled = segment.ids[span.start : span.end]
    reply = tokens.reply(request, prompt, sampled, trace=trace)
    said = read_reply(reply, turn=span.turn, with_tools=bool(request.get("tools")))
    if _words(with_reasoning(said)) != _words(turn.reply):
        yield _first_sampled(turn.reply, sampled, span, where, tokens)


def _stops(trajectory: Trajectory, record: TokenRecord) -> set[int]:
    """Return the tokens that ended replies: the record does not list the engine's."""
    spans = [(segment, span) for segment in record.segments for span in segment.spans]
    return {
        segment.ids[span.end - 1]
        for (segment, span), turn in zip(spans, trajectory.turns, strict=False)
        if turn.finish_reason != "length" and span.end > span.start
    }


def _first_sampled(
    reply: Message, sampled: Sequence[int], span: Span, where: str, tokens: ChatTokens
) -> Difference:
    """Name the first sampled token that does not go on as the recorded text does.

    Where a reply has calls or thinking the record does not hold its text as it was
    sampled, and the reply as a whole is named.
    """
    text = reply["content"]
    place = f"{where}, tokens {span.start} to {span.end - 1}"
    if text and not reply.get("tool_calls") and "reasoning_content" not in reply:
        for i in range(len(sampled)):
            so_far = tokens.decode(sampled[: i + 1]).rstrip("\ufffd")
            if not text.startswith(so_far):
                known = tokens.decode(sampled[:i]).rstrip("\ufffd")
                rest = repr(text[len(known) :][:40])
                place = f"{where}, token {span.start + i}"
                return Difference("token", place, rest, _shown(sampled[i], tokens))
    words = repr(_words(reply))
    return Difference("reply", place, words, repr(tokens.decode(sampled)))


def _words(message: Message) -> list[object]:
    calls = [call["function"] for call in message.get("tool_calls", [])]
    return [message.get("reasoning_content"), message["content"], calls]


def _first_token(
    recorded: Sequence[int], found: Sequence[int], where: str, tokens: ChatTokens
) -> Iterator[Difference]:
    for i, (old, new) in enumerate(zip_longest(recorded, found)):
        if old != new:
            place = f"{where}, token {i}"
            yield Difference("token", place, _shown(old, tokens), _shown(new, tokens))
            return


def _shown(token: int | None, tokens: ChatTokens) -> str:
    return "no token" if token is None else f"{token} ({tokens.decode([token])!r})"
