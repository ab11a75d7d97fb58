"""Rows of training data, in the forms that TRL's trainers read.

A row is plain data. `columns_of` says the type of each column, so that every export of
one kind has the same columns with the same types, whatever stands in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

from llm_gym.adapters.offline.episodes import ChatMessage, Entry, Episode

__all__ = [
    "Column",
    "Row",
    "SftForm",
    "columns_of",
    "provenance",
    "sft_rows",
    "source_of",
    "token_rows",
    "tools_of",
]

Row: TypeAlias = dict[str, Any]
Column: TypeAlias = Literal[
    "messages", "json", "text", "whole", "number", "truth", "wholes", "numbers"
]
"""The type of a column: messages and tools are lists of JSON objects."""
SftForm: TypeAlias = Literal["completion", "messages", "turns"]

_COLUMNS: dict[str, Column] = {
    **dict.fromkeys(("prompt", "completion", "messages"), "messages"),
    **dict.fromkeys(("chosen", "rejected", "tools"), "messages"),
    **dict.fromkeys(("source", "parts"), "json"),
    **dict.fromkeys(("chosen_source", "rejected_source"), "json"),
    **dict.fromkeys(("env", "task", "llm_gym", "environment"), "text"),
    **dict.fromkeys(("prompt_tokens", "turn", "segment", "episodes"), "whole"),
    **dict.fromkeys(("reward", "weight", "margin", "solved"), "number"),
    **dict.fromkeys(("chosen_reward", "rejected_reward"), "number"),
    **dict.fromkeys(("mean_reward", "least_reward", "greatest_reward"), "number"),
    "label": "truth",
    **dict.fromkeys(("input_ids", "labels"), "wholes"),
    **dict.fromkeys(("chosen_ids", "rejected_ids"), "wholes"),
    "logprobs": "numbers",
}


def columns_of(row: Row) -> dict[str, Column]:
    """Return the type of each column of a row."""
    return {name: _COLUMNS[name] for name in row}


def source_of(entry: Entry, episode: Episode) -> dict[str, Any]:
    """Return where an episode came from: enough to find it and to run it again."""
    facts = episode.facts
    return {
        "run": entry.place.name,
        "line": entry.place.line,
        **episode.record,
        "episode": facts.get("episode"),
        "group": facts.get("group"),
        "stop_reason": facts.get("stop_reason"),
        "turns": facts.get("turns"),
    }


def provenance(entry: Entry, episode: Episode) -> Row:
    """Return the columns that say what a row is made of."""
    parts = {
        name.partition(".")[2]: value
        for name, value in episode.facts.items()
        if name.startswith("parts.")
    }
    return {
        "env": episode.record["env"],
        "task": entry.task,
        "reward": entry.reward,
        "parts": parts,
        "source": source_of(entry, episode),
    }


def tools_of(episode: Episode) -> Any:
    """Return the tools, None where there are none: templates tell [] and None apart."""
    return list(episode.tools) or None


def sft_rows(
    entry: Entry, episode: Episode, form: SftForm, weight: float | None
) -> Iterator[Row]:
    """Make the rows of an episode to be imitated.

    Args:
        entry: The chosen entry.
        episode: Its episode.
        form: `completion` is a prompt and all that followed; `messages` one list;
            `turns` has a row for each reply, which alone is the completion.
        weight: What the row weighs, None for no such column.
    """
    shared = {"tools": tools_of(episode)}
    told = provenance(entry, episode)
    if weight is not None:
        told["weight"] = weight
    prompt, completion = list(episode.prompt), list(episode.completion)
    if form == "messages":
        yield {"messages": prompt + completion, **shared, **told}
    elif form == "completion":
        yield {"prompt": prompt, "completion": completion, **shared, **told}
    else:
        for turn, (before, reply) in enumerate(_turns(prompt, completion)):
            row = {"prompt": before, "completion": [reply], **shared, **told}
            yield {**row, "turn": turn}


def token_rows(entry: Entry, episode: Episode, weight: float | None) -> Iterator[Row]:
    """Make the rows of an episode's exact tokens, as TRL's SFTTrainer takes them.

    `labels` is -100 but where the policy sampled, `logprobs` is 0.0 there and None
    where the policy told none; `input_ids[:prompt_tokens]` is the prompt.
    """
    told = provenance(entry, episode)
    if weight is not None:
        told["weight"] = weight
    samples = episode.tokens.to_samples() if episode.tokens else []
    for number, sample in enumerate(samples):
        prompt = len(sample.prompt_ids)
        pairs = zip(sample.completion_ids, sample.mask, strict=True)
        labels = [one if mask else IGNORED for one, mask in pairs]
        logprobs = sample.logprobs
        yield {
            "input_ids": [*sample.prompt_ids, *sample.completion_ids],
            "labels": [IGNORED] * prompt + labels,
            "logprobs": None if logprobs is None else [0.0] * prompt + [*logprobs],
            "prompt_tokens": prompt,
            "segment": number,
            **told,
        }


IGNORED = -100
"""The label of a token that no loss is taken of, as torch and transformers have it."""


def _turns(
    prompt: Sequence[ChatMessage], completion: Sequence[ChatMessage]
) -> Iterator[tuple[list[ChatMessage], ChatMessage]]:
    said = list(prompt)
    for message in completion:
        if message["role"] == "assistant":
            yield list(said), message
        said.append(message)
