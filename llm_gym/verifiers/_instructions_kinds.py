"""The kinds of verifiable instructions: what each demands, and how it is said.

The idea and most of the families are those of Zhou et al. 2023, "Instruction-Following
Evaluation for Large Language Models" (arXiv:2311.07911); the rules and the code are our
own, so that scores are not comparable with that benchmark's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llm_gym import jsontext
from llm_gym.verifiers._instructions_text import (
    letters,
    lines,
    paragraphs,
    sentences,
    words,
)

__all__ = ["KINDS", "RELATIONS", "Kind"]

RELATIONS = ("at least", "at most", "exactly")
Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of instruction.

    Attributes:
        parameters: The type of each parameter: `int` (1 or more), `str` (not empty),
            `list` (of such texts), or a tuple of the values that it may have.
        holds: Says whether a text, made `plain`, obeys it.
        says: The sentence for a prompt.
    """

    parameters: Mapping[str, Any]
    holds: Callable[[str, Parameters], bool]
    says: Callable[[Parameters], str]


def _compare(count: int, p: Parameters) -> bool:
    if p["relation"] == "at least":
        return bool(count >= p["count"])
    if p["relation"] == "at most":
        return bool(count <= p["count"])
    return bool(count == p["count"])


def _counted(thing: str, count: Callable[[str], int]) -> Kind:
    """Return the kind that bounds how many of something there are."""
    return Kind(
        {"relation": RELATIONS, "count": int},
        lambda text, p: _compare(count(text), p),
        lambda p: f"Write {p['relation']} {p['count']} {thing}.",
    )


def _occurrences(text: str, phrase: str) -> int:
    """Count a phrase as whole words, whatever its case."""
    there = [word.casefold() for word in words(text)]
    wanted = [word.casefold() for word in words(phrase)]
    span = len(wanted)
    if not span:
        return text.count(phrase)
    return sum(there[i : i + span] == wanted for i in range(len(there) - span + 1))


def _all(
    test: Callable[[str, str], bool], name: str
) -> Callable[[str, Parameters], bool]:
    return lambda text, p: all(test(text, item) for item in p[name])


def _quoted(items: Any) -> str:
    return ", ".join(f'"{item}"' for item in items)


_BULLET = re.compile(r"[*\u2022-] +\S")
_NUMBERED = re.compile(r"(\d{1,4})[.)] +\S")
_PLACEHOLDER = re.compile(r"\[[^\[\]\n]{1,80}\]")
_HIGHLIGHT = re.compile(r"\*\*[^*\n]{1,200}\*\*|(?<!\*)\*[^*\s][^*\n]{0,200}\*(?!\*)")
_TITLE = re.compile(r"<<[^<>\n]{1,200}>>")


def _is_json(text: str, p: Parameters) -> bool:
    fenced = re.fullmatch(r"```(?:json)?\n(.*)\n```", text, re.DOTALL)
    try:
        value = jsontext.loads(fenced[1] if fenced else text)
    except ValueError:
        return False
    return isinstance(value, (dict, list)) and bool(value)


def _bullets(text: str) -> int:
    return sum(bool(_BULLET.match(line)) for line in lines(text))


def _numbered(text: str, p: Parameters) -> bool:
    found = [_NUMBERED.match(line) for line in lines(text)]
    numbers = [int(match[1]) for match in found if match]
    return numbers == list(range(1, p["count"] + 1))


def _sections(text: str, p: Parameters) -> bool:
    heads = [line for line in lines(text) if line.startswith(p["mark"] + " ")]
    wanted = [f"{p['mark']} {number}" for number in range(1, p["count"] + 1)]
    return len(heads) == len(wanted) and all(
        head == want or head.startswith((f"{want} ", f"{want}:", f"{want}."))
        for head, want in zip(heads, wanted, strict=True)
    )


def _two_answers(text: str, p: Parameters) -> bool:
    parts = [part.strip() for part in re.split(r"^\*{6}$", text, flags=re.MULTILINE)]
    return len(parts) == 2 and all(map(words, parts)) and parts[0] != parts[1]


def _first_words(text: str, p: Parameters) -> bool:
    found = paragraphs(text)
    return len(found) >= p["paragraph"] and _starts(
        found[p["paragraph"] - 1], p["word"]
    )


def _starts(text: str, phrase: str) -> bool:
    wanted = [word.casefold() for word in words(phrase)]
    there = [word.casefold() for word in words(text)[: len(wanted)]]
    return bool(wanted) and there == wanted


def _all_of_script(text: str, p: Parameters) -> bool:
    """Say whether every letter's Unicode name begins with the script's."""
    name = p["script"].upper()
    found = letters(text)
    return bool(found) and all(unicodedata.name(c, "").startswith(name) for c in found)


def _capital_words(text: str) -> int:
    return sum(word.isupper() and len(letters(word)) > 1 for word in words(text))


def _in_order(text: str, p: Parameters) -> bool:
    found = [line.casefold() for line in lines(text)]
    return len(found) >= 2 and found == sorted(found)


def _no_repeats(text: str, p: Parameters) -> bool:
    found = [word.casefold() for word in words(text)]
    return len(found) == len(set(found))


def _acrostic(text: str, p: Parameters) -> bool:
    firsts = "".join(letters(line)[:1] for line in lines(text))
    return firsts.casefold() == str(p["word"]).casefold()


def _one_fence(text: str, p: Parameters) -> bool:
    inside = text.removeprefix("```").removesuffix("```")
    return (
        text.startswith("```")
        and text.endswith("```")
        and len(text) > 6
        and "```" not in inside
        and bool(words(inside.partition("\n")[2]))
    )


def _wrapped(text: str, p: Parameters) -> bool:
    return len(text) > 2 and text[0] == text[-1] == '"' and '"' not in text[1:-1]


KINDS: dict[str, Kind] = {
    "word_count": _counted("words", lambda text: len(words(text))),
    "sentence_count": _counted("sentences", lambda text: len(sentences(text))),
    "paragraph_count": _counted(
        "paragraphs, set apart by blank lines", lambda text: len(paragraphs(text))
    ),
    "line_count": _counted("lines that are not blank", lambda text: len(lines(text))),
    "bullet_count": _counted('bullet points that begin with "* "', _bullets),
    "placeholder_count": _counted(
        "placeholders in square brackets, such as [name]",
        lambda text: len(_PLACEHOLDER.findall(text)),
    ),
    "highlight_count": _counted(
        "highlighted parts, such as *this one*",
        lambda text: len(_HIGHLIGHT.findall(text)),
    ),
    "capital_word_count": _counted(
        "words of several letters in capitals only", _capital_words
    ),
    "include_keywords": Kind(
        {"keywords": list},
        _all(lambda text, word: _occurrences(text, word) > 0, "keywords"),
        lambda p: f"Use each of these words: {_quoted(p['keywords'])}.",
    ),
    "exclude_words": Kind(
        {"words": list},
        _all(lambda text, word: _occurrences(text, word) == 0, "words"),
        lambda p: f"Do not use these words: {_quoted(p['words'])}.",
    ),
    "keyword_frequency": Kind(
        {"keyword": str, "relation": RELATIONS, "count": int},
        lambda text, p: _compare(_occurrences(text, p["keyword"]), p),
        lambda p: f'Use the word "{p["keyword"]}" {p["relation"]} {p["count"]} times.',
    ),
    "letter_frequency": Kind(
        {"letter": str, "relation": RELATIONS, "count": int},
        lambda text, p: _compare(text.casefold().count(p["letter"].casefold()), p),
        lambda p: (
            f'Use the letter "{p["letter"]}" {p["relation"]} {p["count"]} times, '
            "capitals counted too."
        ),
    ),
    "postscript": Kind(
        {"mark": ("P.S.", "P.P.S.")},
        lambda text, p: (
            (last := lines(text)[-1]).startswith(p["mark"])
            and bool(words(last.removeprefix(p["mark"])))
        ),
        lambda p: f"End with a line that begins with {p['mark']}",
    ),
    "title": Kind(
        {},
        lambda text, p: bool(_TITLE.fullmatch(lines(text)[0])) and len(lines(text)) > 1,
        lambda p: "Begin with a title on its own line, in double angles: <<title>>.",
    ),
    "json_only": Kind(
        {}, _is_json, lambda p: "Reply with JSON alone, an object or a list."
    ),
    "sections": Kind(
        {"mark": ("Section", "Part", "Chapter"), "count": int},
        _sections,
        lambda p: (
            f"Write {p['count']} sections, each of which begins with a line "
            f"{p['mark']} 1, {p['mark']} 2 and so on."
        ),
    ),
    "choose": Kind(
        {"options": list},
        lambda text, p: text in p["options"],
        lambda p: f"Reply with just one of these: {_quoted(p['options'])}.",
    ),
    "repeat_prompt": Kind(
        {"prompt": str},
        lambda text, p: (
            text.startswith(p["prompt"].strip())
            and bool(words(text.removeprefix(p["prompt"].strip())))
        ),
        lambda p: (
            "First repeat the request word by word, then answer it. The request is: "
            f"{p['prompt']}"
        ),
    ),
    "two_answers": Kind(
        {},
        _two_answers,
        lambda p: "Give two different replies, with a line of six asterisks between.",
    ),
    "starts_with": Kind(
        {"phrase": str},
        lambda text, p: text.startswith(p["phrase"]),
        lambda p: f'Begin with the words "{p["phrase"]}" and nothing before them.',
    ),
    "ends_with": Kind(
        {"phrase": str},
        lambda text, p: text.endswith(p["phrase"]),
        lambda p: f'End with the words "{p["phrase"]}" and nothing after them.',
    ),
    "quoted": Kind(
        {}, _wrapped, lambda p: "Put the whole reply between double quotation marks."
    ),
    "lower_case": Kind(
        {},
        lambda text, p: text == text.lower() and bool(letters(text)),
        lambda p: "Write in lower case only, without any capital.",
    ),
    "upper_case": Kind(
        {},
        lambda text, p: text == text.upper() and bool(letters(text)),
        lambda p: "Write in capitals only.",
    ),
    "no_commas": Kind(
        {},
        lambda text, p: not any(c in text for c in ",\uff0c\u3001\u060c\uff64"),
        lambda p: "Do not use any comma.",
    ),
    "no_digits": Kind(
        {},
        lambda text, p: not any(c.isnumeric() for c in text),
        lambda p: "Do not use any digit.",
    ),
    "script": Kind(
        {"script": ("Latin", "Cyrillic", "Greek", "Hebrew", "Arabic", "Hiragana")},
        _all_of_script,
        lambda p: f"Use letters of the {p['script']} script only.",
    ),
    "first_word": Kind(
        {"paragraph": int, "word": str},
        _first_words,
        lambda p: f'Begin paragraph {p["paragraph"]} with the word "{p["word"]}".',
    ),
    "numbered_list": Kind(
        {"count": int},
        _numbered,
        lambda p: (
            f"Write a list whose {p['count']} points are numbered 1. 2. and so on."
        ),
    ),
    "code_fence": Kind(
        {},
        _one_fence,
        lambda p: "Put the whole reply into one fence of three backticks.",
    ),
    "alphabetical_lines": Kind(
        {}, _in_order, lambda p: "Write several lines that are in alphabetical order."
    ),
    "no_repeated_words": Kind({}, _no_repeats, lambda p: "Do not use any word twice."),
    "acrostic": Kind(
        {"word": str},
        _acrostic,
        lambda p: f'The first letters of the lines must spell "{p["word"]}".',
    ),
    "longest_word": Kind(
        {"count": int},
        lambda text, p: max(map(len, words(text)), default=0) <= p["count"],
        lambda p: f"Use no word of more than {p['count']} characters.",
    ),
    "question_count": _counted(
        "question marks", lambda text: text.count("?") + text.count("\uff1f")
    ),
    "exclamation_count": _counted(
        "exclamation marks", lambda text: text.count("!") + text.count("\uff01")
    ),
}
"""Every kind by name."""
