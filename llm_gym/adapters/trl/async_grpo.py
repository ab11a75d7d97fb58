"""AsyncGRPO: the same environments in a rollout loop that runs in its own process.

Its loop renders the whole conversation anew for each turn, calls no `rollout_func`, and
shows reward functions the completions but not the environments. So episodes are scored
by playing their calls again, which needs nothing but the row and the completion; what
is handed over can be pickled.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_gym.adapters.trl.outcomes import Outcome, judged
from llm_gym.adapters.trl.seat import Seat
from llm_gym.adapters.trl.starts import COLUMN, Place, Start
from llm_gym.errors import require

__all__ = ["ReplayedReturn", "rewritten_turns", "warn_of_rewriting"]


@dataclass(frozen=True)
class ReplayedReturn:
    """A reward function that plays completions again; it can be pickled.

    An episode that does not repeat itself, call for call, has no reward.

    Attributes:
        places: The environments.
        end_ids: The tokens that end a reply.
        retries: See `Seat`.
    """

    places: tuple[Place, ...]
    end_ids: frozenset[int]
    retries: int = 1

    @property
    def __name__(self) -> str:
        """What TRL calls the reward."""
        return "episode_return"

    def __call__(
        self,
        *,
        prompts: Sequence[Sequence[Mapping[str, Any]]],
        completions: Sequence[Sequence[Mapping[str, Any]]],
        completion_ids: Sequence[Sequence[int]],
        **columns: Any,
    ) -> list[float | None]:
        """Return the reward of each completion, None for no result."""
        starts = columns[COLUMN]
        rows = zip(starts, prompts, completions, completion_ids, strict=True)
        outcomes = [self._play(*row) for row in rows]
        return [outcome.value for outcome in judged(outcomes, starts)]

    def _play(
        self,
        text: str,
        prompt: Sequence[Mapping[str, Any]],
        completion: Sequence[Mapping[str, Any]],
        ids: Sequence[int],
    ) -> Outcome:
        start = Start.from_text(text)
        place = next(place for place in self.places if place.name == start.env)
        seat = Seat(place, self.retries)
        try:
            seat.reset(start, prompt)
            same = True
            for name, arguments, result in _calls(completion, seat.tools):
                same &= seat.call(name, arguments) == result
            outcome = seat.settle(completion, cut_off=ids[-1:] not in self._ends())
            return outcome if same else _unlike(outcome)
        finally:
            seat.close()

    def _ends(self) -> list[list[int]]:
        return [[one] for one in self.end_ids]


def _calls(
    completion: Sequence[Mapping[str, Any]], tools: set[str]
) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Yield the calls that have reached the environment, each with its result."""
    asked: list[Mapping[str, Any]] = []
    for message in completion:
        if message["role"] == "assistant":
            calls = message.get("tool_calls") or []
            asked = [call["function"] for call in calls]
        elif message["role"] == "tool" and asked:
            call = asked.pop(0)
            arguments = call.get("arguments") or {}
            if call["name"] in tools and isinstance(arguments, Mapping):
                yield call["name"], arguments, message["content"]


def _unlike(outcome: Outcome) -> Outcome:
    return outcome.failed("the episode was answered otherwise when it was played again")


def rewritten_turns(tokenizer: Any) -> list[str]:
    """Say which replies AsyncGRPO's loop would show otherwise than they were sampled.

    It plays a turn as the loop does: a reply is parsed, and rendered again with the
    result of its call. TRL trains what it then finds changed as context, or not at all.

    Args:
        tokenizer: The tokenizer, with its chat template.

    Returns:
        Kinds of replies; none where the prompt of each turn goes on from the turn
        before, and none for a tokenizer whose calls TRL cannot read (it says so).
    """
    utils = require("trl.chat_template_utils", extra="trl")
    shown = copy.copy(tokenizer)
    try:
        if not _reads_calls(shown):
            shown = utils.add_response_schema(shown)
        if not utils.is_chat_template_prefix_preserving(tokenizer):
            shown.chat_template = utils.get_training_chat_template(tokenizer)
    except ValueError:  # TRL refuses it itself
        return []
    replies = {
        "a call": _reply(shown, None),
        "a call after thinking": _reply(shown, "hm"),
    }
    written = replies["a call"] or ""
    if _EMPTY_THINKING.search(written):
        without = _EMPTY_THINKING.sub("", written)
        replies["a call without the empty thinking that the template adds"] = without
    return [
        kind
        for kind, reply in replies.items()
        if reply is not None and _comes_again_changed(shown, reply, utils)
    ]


def warn_of_rewriting(tokenizer: Any) -> None:
    """Warn if AsyncGRPO would train on less than was sampled; see `rewritten_turns`."""
    kinds = rewritten_turns(tokenizer)
    if kinds:
        warnings.warn(
            "AsyncGRPO renders the conversation anew for each turn, and with this chat "
            f"template {kinds[-1]} comes again otherwise than it was sampled: only the "
            "last turn of such an episode is trained (its metrics are "
            "`rollout/realign_frac` and `rollout/fork_frac`); GRPOTrainer with "
            "`path='rollout'` trains all",
            UserWarning,
            stacklevel=3,
        )


_EMPTY_THINKING = re.compile(r"<think>\s*</think>\s*")
_ASKED: dict[str, Any] = {"role": "user", "content": "?"}
_RESULT: dict[str, Any] = {"role": "tool", "name": "look", "content": "b"}
_KEY = {"type": "object", "properties": {"key": {"type": "string"}}}
_TOOL = {"name": "look", "description": "Look.", "parameters": _KEY}


def _reads_calls(tokenizer: Any) -> bool:
    names = ("response_template", "response_schema")
    return any(getattr(tokenizer, name, None) is not None for name in names)


def _render(tokenizer: Any, messages: list[dict[str, Any]], *, prompt: bool) -> str:
    tools = [{"type": "function", "function": _TOOL}]
    text = tokenizer.apply_chat_template(
        messages, tools=tools, tokenize=False, add_generation_prompt=prompt
    )
    return str(text)


def _reply(tokenizer: Any, thought: str | None) -> str | None:
    """Return a call as the template writes it, None where no model could sample it."""
    function = {"name": "look", "arguments": {"key": "a"}}
    said: dict[str, Any] = {"role": "assistant", "content": ""}
    said["tool_calls"] = [{"type": "function", "function": function}]
    if thought is not None:
        said |= {"reasoning_content": thought, "thinking": thought}
    asked = _render(tokenizer, [_ASKED], prompt=True)
    whole = _render(tokenizer, [_ASKED, said, _RESULT], prompt=True)
    if not whole.startswith(asked):
        return None
    reply, end, _ = whole.removeprefix(asked).partition(tokenizer.eos_token)
    return reply + end if end else None  # a turn that ends otherwise is not judged


def _comes_again_changed(tokenizer: Any, reply: str, utils: Any) -> bool:
    asked = _render(tokenizer, [_ASKED], prompt=True)
    before, ids = (
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in (asked, reply)
    )
    message = utils.parse_response(tokenizer, ids, prefix=before)
    again = _render(tokenizer, [_ASKED, message, _RESULT], prompt=True)
    return not again.startswith(asked + reply)
