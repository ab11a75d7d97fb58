"""What a text says to a set of rules: which words it holds, and what it asks for.

It knows English a little, and nothing of scenarios. Letters' case, punctuation and
hyphens make no difference: "e-mail", "E mail" and "e mail?" are one phrase.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

__all__ = [
    "asks_to_confirm",
    "closes",
    "held",
    "holds",
    "is_question",
    "mentions",
    "refuses",
    "requests",
    "visible_text",
]


def holds(text: str, value: str) -> bool:
    """Say whether a text holds a value, whole and in any case of letters.

    Args:
        text: Any text.
        value: What to look for; "" is in no text.
    """
    return bool(held(text, [value]))


def held(text: str, values: Iterable[str]) -> list[str]:
    """Return those of some values that a text holds; see `holds`."""
    said = _plain(text)
    return [value for value in values if _stands_in(said, _plain(value))]


def _stands_in(said: str, found: str) -> bool:
    place = said.find(found) if found else -1
    while place >= 0:
        end = place + len(found)
        before, after = said[max(place - 2, 0) : place], said[end : end + 2]
        if not (_BEFORE.search(before) or _AFTER.match(after)):
            return True
        place = said.find(found, place + 1)
    return False


def mentions(text: str, phrases: Iterable[str]) -> bool:
    """Say whether a text holds one of the phrases, word by word."""
    said = _words(text)
    return any(phrase in said for phrase in map(_words, phrases) if phrase.strip())


def requests(text: str) -> Iterator[str]:
    """Yield the sentences that ask for something: questions and requests."""
    for sentence in _SENTENCE.split(text):
        if is_question(sentence) or mentions(sentence, _ASKING):
            yield sentence


def is_question(text: str) -> bool:
    """Say whether a text has a question mark."""
    return "?" in text


def asks_to_confirm(sentence: str) -> bool:
    """Say whether a sentence that asks for something asks for a yes."""
    return mentions(sentence, _CONFIRMING) and not closes(sentence)


def closes(text: str) -> bool:
    """Say whether a text asks if there is anything else, or says goodbye."""
    return mentions(text, _CLOSING)


def refuses(text: str) -> bool:
    """Say whether a text says that something will not be done."""
    return mentions(text.replace("\u2019", "'"), _REFUSING)


def visible_text(content: str) -> str:
    """Return of a message's content what a person is shown: no thinking, no calls.

    A reply that `llm_gym.replies` has read has neither left in its content; this holds
    for what came another way. Thinking that is not closed goes to the end.
    """
    return _HIDDEN.sub(" ", content).strip()


# A list under a request belongs to it, so lines are not sentences, nor is "1. E-mail".
_SENTENCE = re.compile(r"(?<=[^\d\s][.?!])\s+")
_BEFORE = re.compile(r"[^\W_]$|\d[.,:/-]$")  # 24.50 does not hold 50
_AFTER = re.compile(r"[^\W_]|[.,:/-]\d")
_WORD = re.compile(r"[^\W_]+")
_HIDDEN = re.compile(
    r"<(think|tool_call)>.*?(?:</\1>|\Z)|\A.*</think>", re.DOTALL | re.IGNORECASE
)
_ASKING = (
    *("please", "tell", "give", "provide", "need", "share", "confirm", "verify"),
    *("require", "let me know"),
)
_CONFIRMING = (
    *("confirm", "go ahead", "proceed", "shall i", "should i", "shall we", "agree"),
    *("is that right", "is this right", "is that correct", "is this correct"),
    *("is that ok", "is this ok", "is that okay", "is this okay", "ok with you"),
    *("okay with you", "ok if", "okay if", "would you like me to"),
    *("do you want me to", "are you happy with", "does that sound", "do you mean"),
    *("would you like to", "do you want to", "did you mean", "is it about"),
)
_CLOSING = (
    *(
        "anything else",
        "something else",
        "any other",
        "anything further",
        "is that all",
    ),
    *("goodbye", "good bye", "bye", "have a nice", "have a good", "have a great"),
    *("more i can do", "other questions", "further questions", "further help"),
)
_REFUSING = (
    *("cannot", "can't", "can not", "unable", "not possible", "impossible", "decline"),
    *("declined", "not allowed", "not able", "refuse", "not permitted", "won't"),
)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _words(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.casefold()))} "
