"""How texts are counted for verifiable instructions: words, sentences, paragraphs.

The rules are simple so that they can be told to a model and checked by eye. All take
time linear in the text.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["letters", "lines", "paragraphs", "plain", "sentences", "words"]

_INVISIBLE = dict.fromkeys(
    (
        *range(0x200B, 0x2010),
        *range(0x2028, 0x202F),
        *range(0x2060, 0x2065),
        0xFEFF,
        0xAD,
    )
)
_SPACES = dict.fromkeys(map(ord, "\t\xa0\u1680\u202f\u205f\u3000"), " ")
_SPACES |= dict.fromkeys(range(0x2000, 0x200B), " ")
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f]+(?=[\s\"')\]\u201d]|$)")


def plain(text: str) -> str:
    """Return a text as it is read: composed, without what cannot be seen.

    Zero-width and direction marks are taken out, every kind of space is a space and
    every kind of line end a line feed, so that neither can make or break a rule.
    """
    text = unicodedata.normalize("NFC", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n")
    text = text.replace("\u2029", "\n\n").replace("\x0b", "\n").replace("\x0c", "\n")
    return text.translate(_INVISIBLE).translate(_SPACES).strip()


def words(text: str) -> list[str]:
    """Return the words: runs of letters and digits, with inner ' and -."""
    return _WORD.findall(text)


def sentences(text: str) -> list[str]:
    """Return the sentences: what ends in . ! or ? before a space, and holds a word."""
    parts = _SENTENCE_END.split(text)
    return [part.strip() for part in parts if words(part)]


def lines(text: str) -> list[str]:
    """Return the lines that are not blank."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs: what blank lines set apart."""
    found, current = [], []
    for line in [*text.split("\n"), ""]:
        if line.strip():
            current.append(line.strip())
        elif current:
            found.append("\n".join(current))
            current = []
    return found


def letters(text: str) -> str:
    """Return the letters alone."""
    return "".join(c for c in text if c.isalpha())
