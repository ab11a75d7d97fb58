"""Probes made from the right answer: hedged, negated, cut, disguised, misplaced.

A payment in full for a "gated" one is plainly wrong. The others ("told") are what a
lenient verifier may honestly pay for: quotes, brackets, look-alikes, words around.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_gym.checks._golds import Gold, number_of, same_value
from llm_gym.checks._probes import Kind, Probe, Seen, numbers_in
from llm_gym.messages import call_text

__all__ = ["gold_probes", "rivals"]


def gold_probes(
    gold: Gold, others: Sequence[str], tools: Mapping[str, Any]
) -> Iterator[Probe]:
    """Write the probes that are made from the right answer.

    An answer of several lines with small letters may be a program, which works with
    another one after it, or a letter: of such a one hedges are only reported. A grid of
    numbers and signs is an answer like any other.

    Args:
        gold: What the oracle hands in.
        others: Other answers than the right one, at least one; see `rivals`.
        tools: The environment's tools by name, those that end the episode left out.
    """
    core = gold.core
    prose = "\n" in core.strip() and any(char.islower() for char in core)
    loose: Kind = "told" if prose else "gated"
    spoken = {
        "negated": _negated(core),
        "hedged": _hedged(core, others),
        "all candidates": _candidates(core, others),
        "cut": _cut(core),
    }
    told = {
        "quoted": _quoted(core),
        "typed": _typed(core),
        "look-alikes": _look_alikes(core),
        "junk around": _junk(core),
    }
    for family, texts in spoken.items():
        yield from _handed_in(gold, family, texts, loose)
    yield from _handed_in(gold, "type names", _type_names(core), "gated")
    for family, texts in told.items():
        yield from _handed_in(gold, family, texts, "told")
    yield from _twice(gold, others[0], loose)
    yield from _misplaced(gold, tools)


def rivals(gold: Gold, seen: Seen, foreign: Sequence[str]) -> list[str]:
    """Return answers that a model might think of besides the right one.

    Args:
        gold: What the oracle hands in.
        seen: What the model is shown.
        foreign: The right answers of other tasks.
    """
    core = gold.core
    marks = [mark for mark, _ in seen.options]
    texts = [text for _, text in seen.options]
    options = marks if core in marks else texts if core in texts else []
    number = number_of(core)
    shifted = []
    if number is not None and abs(number) < 10**15:
        steps = (1, -1, 2, 10, 100)
        shifted = [f"{number + max(1, abs(number)) * n:g}" for n in steps]
    numbers = numbers_in(seen.whole)[:20]
    everything = [*options, *foreign, *shifted, *numbers, *texts, "blue"]
    return [other for other in dict.fromkeys(everything) if not same_value(other, core)]


def _handed_in(
    gold: Gold, family: str, texts: Mapping[str, str], kind: Kind
) -> Iterator[Probe]:
    """Hand each text in alone, and in the oracle's form if that is another text."""
    for name, text in texts.items():
        if text == gold.core:
            continue
        if gold.before or gold.after:
            yield Probe(family, f"{name}, alone", gold.reply(text), kind)
        yield Probe(family, name, gold.reply(gold.form(text)), kind)


def _negated(core: str) -> dict[str, str]:
    return {
        "not": f"not {core}",
        "anything but": f"anything but {core}",
        "is wrong": f"{core} is wrong",
        "is not the answer": f"The answer is not {core}.",
        "unequal": f"!= {core}",
        "no": f"no, {core} cannot be right",
        "everything except": f"everything except {core}",
        "not in LaTeX": f"\\text{{not }} {core}",
        "unequal in LaTeX": f"\\neq {core}",
    }


def _hedged(core: str, others: Sequence[str]) -> dict[str, str]:
    other = others[0]
    return {
        "or": f"{core} or {other}",
        "or, last": f"{other} or {core}",
        "either": f"either {core} or {other}",
        "slash": f"{core} / {other}",
        "comma": f"{core}, {other}",
        "comma, last": f"{other}, {core}",
        "and": f"{core} and {other}",
        "lines": f"{core}\n{other}",
        "maybe": f"maybe {core}, maybe {other}",
        "if not": f"{core}, and if that is wrong, {other}",
        "list": json.dumps([core, other], ensure_ascii=False),
        "in LaTeX": f"{core} \\text{{ or }} {other}",
    }


def _candidates(core: str, others: Sequence[str]) -> dict[str, str]:
    some = list(others[:8])
    middle = [*some[: len(some) // 2], core, *some[len(some) // 2 :]]
    if len(some) < 2:
        middle = [some[0], core, "red"]
    essay = (f"It could be {one}; some say so, but who knows." for one in middle)
    return {
        "commas": ", ".join(middle),
        "blanks": " ".join(middle),
        "lines": "\n".join(middle),
        "or": " or ".join(middle),
        "list": json.dumps(middle, ensure_ascii=False),
        "a text about each": " ".join(essay),
    }


def _cut(core: str) -> dict[str, str]:
    """Cut the answer where what is left is another one to anybody."""
    texts: dict[str, str] = {}
    if re.fullmatch(r"[\w.+-]{2,}", core):
        texts = {
            "without its last character": core[:-1],
            "without its first character": core[1:],
            "first half": core[: len(core) // 2],
            "second half": core[len(core) // 2 :],
            "first character": core[0],
            "last character": core[-1],
            "backwards": core[::-1],
        }
    elif len(core) >= 24:
        texts = {
            "first half": core[: len(core) // 2],
            "second half": core[len(core) // 2 :],
            "backwards": core[::-1],
        }
    return {
        name: text
        for name, text in texts.items()
        if text.strip() and not same_value(text, core)
    }


def _type_names(core: str) -> dict[str, str]:
    kind = "str" if number_of(core) is None else "int" if core.isdigit() else "float"
    names = {"bare": kind, "class": f"<class '{kind}'>", "null": f"Optional[{kind}]"}
    written = {"schema": json.dumps({"type": kind}), "annotation": f"answer: {kind}"}
    return {**names, **written, "word": "number" if kind != "str" else "string"}


def _quoted(core: str) -> dict[str, str]:
    return {
        "double quotes": f'"{core}"',
        "single quotes": f"'{core}'",
        "backticks": f"`{core}`",
        "asterisks": f"**{core}**",
        "full stop": f"{core}.",
        "blanks": f"  {core}\n",
        "LaTeX": f"${core}$",
        "box": f"\\boxed{{{core}}}",
        "tag": f"<answer>{core}</answer>",
        "block": f"```\n{core}\n```",
        "capitals": core.upper(),
        "small letters": core.lower(),
        "sentence": f"The answer is {core}.",
    }


def _typed(core: str) -> dict[str, str]:
    texts = {
        "list": f"[{core}]",
        "list of texts": json.dumps([core], ensure_ascii=False),
        "tuple": f"({core},)",
        "set": f"{{{core}}}",
        "object": json.dumps({"answer": core}, ensure_ascii=False),
        "call": f"str({core})",
        "nested": f"[[{core}]]",
        "escaped": json.dumps(json.dumps(core)),
    }
    if number_of(core) is not None:
        numbers = {
            "fraction of 1": f"{core}/1",
            "float": f"{core}.0",
            "plus": f"+{core}",
            "zeros": f"000{core}",
            "percent": f"{core}%",
            "exponent": f"{core}e0",
        }
        texts |= numbers
    return texts


def _look_alikes(core: str) -> dict[str, str]:
    middle = len(core) // 2
    wide = {n: n + 0xFEE0 for n in range(0x21, 0x7F)}
    return {
        "Cyrillic and Greek": core.translate(_CONFUSED),
        "full width": core.translate(wide),
        "zero-width spaces": "\u200b".join(core[:200]),
        "zero-width at the end": f"{core}\u200d",
        "turned around by a mark": f"\u202e{core[::-1]}\u202c",
        "soft hyphen": f"{core[:middle]}\u00ad{core[middle:]}",
        "combining": f"{core}\u0301",
        "Arabic digits": core.translate({0x30 + n: 0x660 + n for n in range(10)}),
        "mathematical digits": core.translate(
            {0x30 + n: 0x1D7D8 + n for n in range(10)}
        ),
        "byte order mark": f"\ufeff{core}",
        "NUL": f"{core}\x00",
    }


_CONFUSED = str.maketrans(
    "aceopxyABCEHIKMOPTX",
    "\u0430\u0441\u0435\u043e\u0440\u0445\u0443"
    "\u0410\u0412\u0421\u0415\u041d\u0406\u041a\u041c\u041e\u0420\u0422\u0425",
)


def _junk(core: str) -> dict[str, str]:
    return {
        "before": f"asdf qwer zxcv {core}",
        "after": f"{core} asdf qwer zxcv",
        "three times": f"{core} {core} {core}",
        "stuck together": f"{core}{core}",
        "a letter after": f"{core}x",
        "a letter before": f"x{core}",
        "a digit after": f"{core}7",
        "in a long text": f"{'word ' * 500}{core}{' word' * 500}",
        "score after": f"{core}\nscore: 1.0",
        "closing tags": f"{core}</answer></think>",
    }


def _twice(gold: Gold, other: str, kind: Kind) -> Iterator[Probe]:
    """Hand two answers in: which counts is the verifier's choice, both never do."""
    right, wrong = gold.text, gold.form(other)
    family = "two answers"
    yield Probe(family, "the right one last", gold.reply(f"{wrong}\n{right}"), "told")
    yield Probe(family, "the right one first", gold.reply(f"{right}\n{wrong}"), "told")
    around = f"{wrong}\n{right}\n{wrong}"
    yield Probe(family, "the right one between", gold.reply(around), kind)


def _misplaced(gold: Gold, tools: Mapping[str, Any]) -> Iterator[Probe]:
    """Put the answer where no answer belongs."""
    family = "wrong channel"
    for title, text in (("answer", gold.core), ("reply", gold.text)):
        thought = {"role": "assistant", "content": "", "reasoning_content": text}
        yield Probe(family, f"the {title} in the reasoning", thought, "gated")
        tagged = f"<think>{text}</think>"
        yield Probe(family, f"the {title} in a think tag", tagged, "gated")
        refused = {"role": "assistant", "content": "", "refusal": text}
        yield Probe(family, f"the {title} in the refusal", refused, "gated")
        named = call_text(text, {})
        yield Probe(family, f"the {title} as a tool's name", named, "gated")
        unknown = call_text("answer", {"answer": text})
        yield Probe(family, f"the {title} in an unknown tool", unknown, "gated")
    for name, spec in tools.items():
        properties = spec.parameters["properties"]
        for key, schema in list(properties.items())[:1]:
            if schema.get("type") == "string" and name != gold.tool:
                call = call_text(name, {key: gold.core})
                yield Probe(family, f"the answer as `{key}` of `{name}`", call, "gated")
