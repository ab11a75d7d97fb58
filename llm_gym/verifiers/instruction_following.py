"""Instructions that a program can check: counts, words, forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from llm_gym.errors import DefinitionError
from llm_gym.trajectory import Score, Trajectory
from llm_gym.verifiers._instructions_kinds import KINDS, RELATIONS
from llm_gym.verifiers._instructions_text import letters, plain, words
from llm_gym.verifiers.answers import visible

__all__ = ["InstructionFollowing", "describe", "sample_instructions"]

Instruction = Mapping[str, Any]

_MOST_CHARS = 50_000
_MOST_COUNT = 10_000


class InstructionFollowing:
    """Scores a reply by the verifiable instructions that it was given.

    `task.answer` is a list of instructions, each `{"kind": name, **parameters}`; see
    `describe` for what each says. The family is that of Zhou et al. 2023,
    "Instruction-Following Evaluation for Large Language Models" (arXiv:2311.07911).

    Rules of counting: a word is a run of letters and digits, with an apostrophe or a
    hyphen inside; a sentence ends with . ! or ? before a space; invisible characters
    are left out and every kind of space is a space. A reply with fewer than
    `min_words` words obeys nothing: silence uses no commas either. Kinds whose reply is
    short by nature (`choose`, `json_only`) alone are free of that.

    Example:
        >>> rules = [{"kind": "no_commas"}, {"kind": "lower_case"}]
        >>> InstructionFollowing().score("all of it is small", rules).value
        1.0

    Args:
        loose: Whether an instruction also holds if it holds without the reply's first
            line, its last line or both, or without its asterisks, as in section 2.2 of
            that paper; introductions and markdown then do no harm.
        partial: Whether the share of instructions that hold is the score, instead of
            all or nothing.
        min_words: The fewest words of a reply.

    Raises:
        ValueError: `min_words` is negative.
    """

    def __init__(
        self, *, loose: bool = False, partial: bool = False, min_words: int = 3
    ) -> None:
        if min_words < 0:
            raise ValueError(f"`min_words` must be 0 or more, not {min_words!r}")
        self.loose = loose
        self.partial = partial
        self.min_words = min_words

    def verify(self, trajectory: Trajectory) -> Score:
        """Judge the episode's answer by the instructions in `task.answer`."""
        if trajectory.answer is None:
            return Score(0.0, reason="the episode ended without an answer")
        return self.score(trajectory.answer, trajectory.task.answer)

    def score(self, text: str, answer: Sequence[Instruction]) -> Score:
        """Judge a reply.

        Args:
            text: The reply.
            answer: The instructions.

        Returns:
            The score; in parts, 0 or 1 for each instruction by place and kind.

        Raises:
            DefinitionError: An instruction is unknown or malformed, or two contradict
                each other.
        """
        _check(answer)
        text = visible(text)
        if len(text) > _MOST_CHARS:
            return Score(0.0, reason=f"the reply is longer than {_MOST_CHARS}")
        read = plain(text)
        if not self._is_long_enough(read, answer):
            return Score(0.0, reason=f"the reply has fewer than {self.min_words} words")
        versions = list(_versions(read)) if self.loose else [read]
        parts = {
            f"{number}_{item['kind']}": float(_holds(item, versions))
            for number, item in enumerate(answer, 1)
        }
        broken = [name for name, held in parts.items() if not held]
        share = 1 - len(broken) / len(parts)
        value = share if self.partial else float(not broken)
        return Score(
            value, parts, f"not followed: {', '.join(broken)}" if broken else ""
        )

    def _is_long_enough(self, text: str, answer: Sequence[Instruction]) -> bool:
        if not text:
            return False
        short = all(item["kind"] in ("choose", "json_only") for item in answer)
        bound = any(
            item["kind"] == "word_count"
            and item["relation"] != "at least"
            and item["count"] < self.min_words
            for item in answer
        )
        real = [word for word in words(text) if letters(word)]
        return short or len(real) >= (1 if bound else self.min_words)


def describe(instruction: Instruction) -> str:
    """Return the sentence that tells an instruction to a model.

    Raises:
        DefinitionError: It is unknown or malformed.
    """
    _check_one(instruction)
    return KINDS[instruction["kind"]].says(instruction)


def _holds(item: Instruction, versions: Sequence[str]) -> bool:
    kind = KINDS[item["kind"]]
    return any(kind.holds(text, item) for text in versions if text)


def _versions(text: str) -> Iterator[str]:
    """Yield a reply as it is and as the loose reading also takes it."""
    rest, body = text.partition("\n")[2], text.rpartition("\n")[0]
    middle = rest.rpartition("\n")[0]
    for version in (text, rest, body, middle):
        yield version.strip()
        yield version.replace("*", "").strip()


def _check(answer: Any) -> None:
    if not isinstance(answer, Sequence) or isinstance(answer, str) or not answer:
        raise DefinitionError(
            f"`task.answer` must be a list of instructions, not {answer!r:.100}"
        )
    for item in answer:
        _check_one(item)
    kinds = [item["kind"] for item in answer]
    for group in _CONTRADICTIONS:
        both = [kind for kind in kinds if kind in group]
        if len(both) > 1:
            raise DefinitionError(
                f"the instructions `{both[0]}` and `{both[1]}` contradict each other"
            )


def _check_one(item: Any) -> None:
    if not isinstance(item, Mapping) or item.get("kind") not in KINDS:
        raise DefinitionError(
            f'an instruction must be {{"kind": one of {sorted(KINDS)}, ...}}, not '
            f"{item!r:.100}"
        )
    parameters = KINDS[item["kind"]].parameters
    if item.keys() - {"kind"} != parameters.keys():
        raise DefinitionError(
            f"`{item['kind']}` takes {sorted(parameters)}, it came with "
            f"{sorted(item.keys() - {'kind'})}"
        )
    for name, kind in parameters.items():
        if not _fits(item[name], kind):
            wanted = kind if isinstance(kind, tuple) else _WANTED[kind]
            raise DefinitionError(
                f"`{name}` of `{item['kind']}` must be {wanted}, not "
                f"{item[name]!r:.100}"
            )


_WANTED = {
    int: f"an int from 1 to {_MOST_COUNT}",
    str: "a text that is not blank",
    list: "a list of texts that are not blank",
}


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, tuple):
        return value in kind
    if kind is int:
        return type(value) is int and 1 <= value <= _MOST_COUNT
    if kind is str:
        return isinstance(value, str) and bool(value.strip())
    return isinstance(value, list) and bool(value) and all(_fits(v, str) for v in value)


_CONTRADICTIONS = (
    # Each is about the form of the whole reply, and leaves no room for another.
    ("json_only", "choose", "quoted", "code_fence", "starts_with", "title",
     "repeat_prompt"),
    ("json_only", "choose", "quoted", "code_fence", "ends_with", "postscript"),
    ("json_only", "choose", "quoted", "code_fence", "two_answers"),
    ("lower_case", "upper_case", "capital_word_count"),
    ("choose", "numbered_list", "alphabetical_lines", "acrostic"),
    ("no_repeated_words", "keyword_frequency"),
)  # fmt: skip

_TOPICS = ("garden", "river", "winter", "bread", "music", "train", "market", "letter")


def sample_instructions(rng: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """Draw instructions that do not contradict each other.

    Args:
        rng: Where the randomness comes from.
        count: How many, from 1 to 5.

    Raises:
        ValueError: The count is out of range.
    """
    if not 1 <= count <= len(_FAMILIES):
        raise ValueError(f"`count` must be from 1 to {len(_FAMILIES)}, not {count!r}")
    chosen = sorted(rng.choice(len(_FAMILIES), size=count, replace=False).tolist())
    return [_draw(rng, _FAMILIES[index]) for index in chosen]


# One of each can be obeyed together with one of each other.
_FAMILIES: tuple[tuple[str, ...], ...] = (
    ("word_count", "sentence_count"),
    ("include_keywords", "keyword_frequency"),
    ("exclude_words", "letter_frequency", "no_digits"),
    ("lower_case", "no_commas", "exclamation_count"),
    ("postscript", "placeholder_count", "highlight_count", "bullet_count"),
)


def _draw(rng: np.random.Generator, kinds: Sequence[str]) -> dict[str, Any]:
    kind = kinds[int(rng.integers(len(kinds)))]
    if kind == "lower_case":  # a P.S. has capitals
        kind = "no_commas"
    item: dict[str, Any] = {"kind": kind}
    topic = _TOPICS[int(rng.integers(len(_TOPICS)))]
    if kind == "word_count":
        item |= {"relation": "at least", "count": int(rng.integers(3, 12)) * 10}
    elif "relation" in KINDS[kind].parameters:
        item |= {"relation": RELATIONS[0], "count": int(rng.integers(2, 5))}
    if kind == "include_keywords":
        item["keywords"] = [topic, "morning"]
    elif kind == "exclude_words":
        item["words"] = ["very", "really"]
    elif kind == "keyword_frequency":
        item["keyword"] = topic
    elif kind == "letter_frequency":
        item["letter"] = "kwzj"[int(rng.integers(4))]
    elif kind == "postscript":
        item["mark"] = "P.S."
    return item
