"""What can be checked of a letter without a judge: facts, figures, length, form, style.

Every check takes time linear in the letter. None of them says whether it is well
written, or says of a fact what the notes say of it: that is what a judge or a reward
model is for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llm_gym.verifiers._instructions_text import paragraphs, plain, sentences, words

__all__ = ["COPIED", "MOST_CHARS", "PARTS", "broken"]

MOST_CHARS = 20_000
"""A longer reply is not read: no task wants a tenth of it."""

COPIED = 7
"""So many words in a row that stand in the prompt too are a copy."""

PARTS = (
    *("reply", "facts", "figures", "unsaid", "length", "form", "prose", "style"),
    "own_words",
)
"""The requirements by name."""

_MOST_FACTS = 3
_LEAST_AROUND = 2
_LEAST_DISTINCT = 0.4
_LEAST_SMALL = 0.2
_SHORT_FORM = re.compile(r"\w['\u2019](?:t|re|ve|ll|d|m)\b", re.IGNORECASE)
_LIST = re.compile(r"^(?:[-*+#>|\u2022]|```)", re.MULTILINE)
_FACT = "\x00"
_SMALL = frozenset(
    words(
        "a about all also an and any are as at be been but by can come could do for "
        "from had has have he her here his how i if in into is it its may more most "
        "must no not of on or our out please she should since so some than that the "
        "their them then there these they this those to up us was we were what when "
        "where which while who whoever will with would you your"
    )
)


def broken(text: str, prompt: str, wanted: Mapping[str, Any]) -> dict[str, str]:
    """Hold a letter to what was asked for.

    Args:
        text: The letter.
        prompt: What the model was shown.
        wanted: The requirements: `first` and `last` line, `topic` and `facts` that it
            must tell, names that stay `unsaid`, fewest and most `words`, how many
            `paragraphs`, the most `sentence_words` (0 for any), whether it is `formal`.

    Returns:
        What is wrong with it, by the name of the requirement; empty if all hold.
    """
    if len(text) > MOST_CHARS:
        return dict.fromkeys(PARTS, f"longer than {MOST_CHARS} characters")
    text = plain(text)
    if not words(text):
        return dict.fromkeys(PARTS, "there is no text")
    first, _, rest = text.partition("\n")
    body, _, last = rest.rpartition("\n")
    said = _said(body, wanted["facts"])
    problems = {
        "facts": _missing(body, [wanted["topic"], *wanted["facts"]]),
        "figures": _figures(_without(text, wanted["facts"], "")),
        "unsaid": _named(text, wanted["unsaid"]),
        "length": _length(len(words(text)), wanted["words"]),
        "form": _form(first, last, body, wanted),
        "prose": _prose(body, said),
        "style": _style(text, said, wanted),
        "own_words": _copied(body, prompt),
    }
    return {name: problem for name, problem in problems.items() if problem}


def _spoken(phrase: str) -> re.Pattern[str]:
    """Return the pattern of a phrase as whole words, whatever its case and blanks."""
    inner = r"\s+".join(map(re.escape, phrase.split()))
    return re.compile(rf"(?<![\w-])(?<!\d[.,:]){inner}(?![\w-])", re.IGNORECASE)


def _without(text: str, facts: Iterable[str], instead: str) -> str:
    for fact in sorted(facts, key=len, reverse=True):
        text = _spoken(fact).sub(instead, text)
    return text


def _said(body: str, facts: Sequence[str]) -> list[str]:
    """Return the sentences, with a mark in the place of each fact."""
    marked = _without(body.replace(_FACT, " "), facts, f" fact{_FACT} ")
    return [s for block in paragraphs(marked) for s in sentences(block)]


def _missing(text: str, facts: Sequence[str]) -> str:
    missing = [fact for fact in facts if not _spoken(fact).search(text)]
    return f"it does not tell {missing}" if missing else ""


def _figures(rest: str) -> str:
    found = re.search(r"\d[\d.,:]*", rest)
    return f"the figure {found[0][:20]!r} is none of the facts" if found else ""


def _named(text: str, unsaid: Sequence[str]) -> str:
    found = [name for name in unsaid if _spoken(name).search(text)]
    return f"it names {found}" if found else ""


def _length(count: int, bounds: Sequence[int]) -> str:
    low, high = bounds
    return "" if low <= count <= high else f"it has {count} words"


def _form(first: str, last: str, body: str, wanted: Mapping[str, Any]) -> str:
    if first.strip() != wanted["first"]:
        return "the first line is another one"
    if last.strip() != wanted["last"]:
        return "the last line is another one"
    frame = wanted["first"], wanted["last"]
    if any(line.strip() in frame for line in body.split("\n")):
        return "the first or the last line comes twice"
    count = len(paragraphs(body))
    asked = wanted["paragraphs"]
    return f"it has {count} paragraphs" if asked and count != asked else ""


def _prose(body: str, said: Sequence[str]) -> str:
    """Say why it is not made of sentences: facts in a row, a list, filling."""
    if _LIST.search(re.sub(r"(?m)^ +", "", body)):
        return "there is a list, a heading or a block in it"
    if any(block[-1] not in ".!?)\"'\u201d" for block in paragraphs(body)):
        return "a paragraph does not end as a sentence does"
    if len(said) < 2 or any(_is_crowded(one) for one in said):
        return "facts stand in a row, or with hardly a word around"
    low = [" ".join(words(one)).casefold() for one in said]
    own = [word.casefold() for word in words(body) if not re.search(r"\d", word)]
    if len(set(low)) < len(low) or _is_monotonous(own):
        return "it repeats itself"
    if sum(word in _SMALL for word in own) < _LEAST_SMALL * len(own):
        return "it is not made of English sentences"
    return ""


def _is_monotonous(own: Sequence[str]) -> bool:
    counts = Counter(own)
    most = max((n for word, n in counts.items() if word not in _SMALL), default=0)
    return len(counts) < _LEAST_DISTINCT * len(own) or most > 5 + len(own) // 20


def _is_crowded(sentence: str) -> bool:
    count = sentence.count(_FACT)
    if not count:
        return False
    around = len(words(sentence)) - count
    apart = all(words(part) for part in sentence.split(f"fact{_FACT}")[1:-1])
    return count > _MOST_FACTS or around < _LEAST_AROUND * count or not apart


def _style(text: str, said: Sequence[str], wanted: Mapping[str, Any]) -> str:
    most = wanted["sentence_words"]
    longest = max((len(words(one)) for one in said), default=0)
    if most and longest > most:
        return f"a sentence has {longest} words, a fact counted as one"
    if wanted["formal"] and "!" in text:
        return "there is an exclamation mark"
    if wanted["formal"] and _SHORT_FORM.search(text):
        return "there is a short form"
    return ""


def _copied(body: str, prompt: str) -> str:
    """Say which words in a row stand in the prompt too."""
    there = [word.casefold() for word in words(plain(prompt))]
    runs = {tuple(there[i : i + COPIED]) for i in range(len(there) - COPIED + 1)}
    mine = [word.casefold() for word in words(body)]
    for i in range(len(mine) - COPIED + 1):
        if tuple(mine[i : i + COPIED]) in runs:
            return f"copied from the prompt: {' '.join(mine[i : i + COPIED])[:80]!r}"
    return ""
