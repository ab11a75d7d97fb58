"""The contracts of a simulated user, held to each message before anyone sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from llm_gym.users.listening import held, holds
from llm_gym.users.protocol import Cue, Line, Speech
from llm_gym.users.scenario import Scenario

__all__ = ["broken_contract", "invented"]


def broken_contract(
    speech: Speech, scenario: Scenario, talk: Sequence[Line], cue: Cue
) -> str | None:
    """Say which contract a message breaks, None if it keeps all.

    Args:
        speech: The message.
        scenario: Who the user is.
        talk: The visible conversation before it.
        cue: What it may and must say.
    """
    return next(_problems(speech, scenario, talk, cue), None)


def invented(text: str, known: Sequence[str]) -> list[str]:
    """Return what a text states that none of the known texts holds.

    What counts as stated: e-mail addresses; whatever has a digit in it, such as
    numbers, amounts, dates and identifiers; numbers in words from two on; days of the
    week and months; names, which are capitalised words inside of a sentence.
    """
    stated = list(_stated(text))
    said = held("\n".join(known), stated)
    return [word for word in stated if word not in said]


def _problems(
    speech: Speech, scenario: Scenario, talk: Sequence[Line], cue: Cue
) -> Iterator[str]:
    text = speech.text.strip()
    if not 0 < len(text) <= scenario.max_chars:
        yield f"it has {len(text)} characters, not 1 to {scenario.max_chars}"
    if _MARKUP.search(text):
        yield "it holds thinking or a tool call"
    for words in scenario.never:
        if words and words.casefold() in text.casefold():
            yield f"it says {words!r}, which it must never say"
    said = [line["content"] for line in talk]
    now = [*said, *(cue.move.must if cue.move else ())]
    for fact in scenario.facts:
        open_already = any(holds(line, fact.value) for line in now)
        if fact not in cue.known and holds(text, fact.value) and not open_already:
            yield f"it tells {fact.name!r}, which nobody asked for"
    yield from _unsaid(text, cue)
    may_say = [fact.value for fact in cue.known]
    may_say += cue.move.says if cue.move else ()
    for word in invented(text, [*said, *may_say]):
        yield f"it invents {word!r}"
    if speech.leaves and not cue.may_leave:
        yield "it leaves before its goal is reached or its budget spent"


def _unsaid(text: str, cue: Cue) -> Iterator[str]:
    """Yield what the user was to say and did not."""
    for fact in cue.tell:
        if fact.value and not holds(text, fact.value):
            yield f"it does not tell {fact.name!r}, which was asked for"
    for part in cue.move.must if cue.move else ():
        if not holds(text, part):
            yield f"it does not say {part!r}, which it has to bring up now"


def _stated(text: str) -> Iterator[str]:
    rest = text
    for pattern in (_EMAIL, _WITH_DIGIT):
        yield from (found.strip(_MARKS) for found in pattern.findall(rest))
        rest = pattern.sub(" ", rest)
    for sentence in _SENTENCE.split(rest):
        words = _WORD.findall(sentence)
        for place, word in enumerate(words):
            capital = place > 0 and word[0].isupper() and word not in _PLAIN_CAPITALS
            if capital or word.casefold() in _COUNTING:
                yield word


_MARKUP = re.compile(r"</?(?:think|tool_call)\b", re.IGNORECASE)
_MARKS = ".,:;/-+'"
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*")
_WITH_DIGIT = re.compile(r"[\w.,:/+-]*\d(?:[\w.,:/+-]*\w)?")
_SENTENCE = re.compile(r"[.?!:;\n\"\u201c(]+")
_WORD = re.compile(r"[^\W\d_]+")
_PLAIN_CAPITALS = frozenset(("I", "OK"))
_COUNTING = frozenset(
    (
        *("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
        *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "thirty"),
        *("seventeen", "eighteen", "nineteen", "twenty", "forty", "fifty", "sixty"),
        *("seventy", "eighty", "ninety", "hundred", "thousand", "million", "dozen"),
        *("monday", "tuesday", "wednesday", "thursday", "friday", "saturday"),
        *("sunday", "january", "february", "april", "june", "july", "august"),
        *("september", "october", "november", "december", "yesterday", "tomorrow"),
    )
)
