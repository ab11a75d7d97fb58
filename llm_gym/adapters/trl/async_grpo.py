"""AsyncGRPO: the same environments in a rollout loop that runs in its own process.

Its loop renders the whole conversation anew for each turn, calls no `rollout_func`, and
shows reward functions the completions but not the environments. So episodes are scored
by playing their calls again, which needs nothing but the row and the completion; what
is handed over can be pickled.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_gym.adapters.trl.outcomes import Outcome, judged
from llm_gym.adapters.trl.seat import Seat
from llm_gym.adapters.trl.starts import COLUMN, Place, Start
from llm_gym.errors import require
from llm_gym.messages import Message
from llm_gym.tokens.chat_tokens import ChatTokens
from llm_gym.tokens.continuation import shape_of_turn

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
    """Say which turns AsyncGRPO's loop would show otherwise than they were sampled.

    Args:
        tokenizer: The tokenizer, with its chat template.

    Returns:
        Reasons; none where the prompt of each turn goes on from the turn before.
    """
    utils = require("trl.chat_template_utils", extra="trl")
    shown = tokenizer
    if not utils.is_chat_template_prefix_preserving(tokenizer):
        shown = copy.copy(tokenizer)
        shown.chat_template = utils.get_training_chat_template(tokenizer)
    tokens = ChatTokens(shown, "the trained model")
    asked: list[Message] = [{"role": "user", "content": "?"}]
    function: Any = {"name": "look", "arguments": '{"key": "a"}'}
    call: Any = {"id": "call_0", "type": "function", "function": function}
    said: Message = {"role": "assistant", "content": "", "tool_calls": [call]}
    result: Message = {"role": "tool", "content": "b", "tool_call_id": "call_0"}
    problems = []
    for thought in (None, "hm"):
        message = said if thought is None else {**said, "reasoning_content": thought}
        shape = shape_of_turn(asked, message, [result], past="no", tools=True)
        problem = None if shape is None else tokens.continuation.problem(shape)
        if problem:
            problems.append(f"{problem} ({shape})")
    return problems


def warn_of_rewriting(tokenizer: Any) -> None:
    """Warn if AsyncGRPO would train on less than was sampled; see `rewritten_turns`."""
    problems = rewritten_turns(tokenizer)
    if problems:
        warnings.warn(
            "AsyncGRPO renders the conversation anew for each turn, and this chat "
            f"template does not repeat what was sampled: {problems[0]}; turns before "
            "the last may not be trained, see its metric `rollout/fork_frac`",
            UserWarning,
            stacklevel=3,
        )
