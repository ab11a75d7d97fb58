"""`ChatHistoryWindow`: the end of a long conversation."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import gymnasium as gym

from llm_gym.messages import ChatRequest, Message
from llm_gym.trajectory import StopReason
from llm_gym.wrappers._base import Step, ToolWrapper, as_step
from llm_gym.wrappers._counting import request_counter, whole

__all__ = ["ChatHistoryWindow"]


class ChatHistoryWindow(ToolWrapper):
    """Shows the policy the end of the conversation, within a budget.

    System messages and the first user message are always shown. What follows is left
    out from its beginning, a turn at a time: an assistant's message goes together with
    its tool results and with what the user said to it, so that no call loses its
    result. The last turn is always shown. (Assistant messages that are part of the
    prompt, as examples are, count as turns.)

    The trajectory keeps the whole conversation: what happened, not what was shown. How
    many messages were left out of an observation stands in `info["left_out_messages"]`;
    which ones follows from the rule above. Token traces begin a new segment wherever
    the window moved.

    Where even the last turn does not fit into `max_tokens` the episode is truncated and
    judged, with the stop reason `MAX_TOKENS`: no policy could read what comes next.

    Wrappers that change the prompt belong inside of this one: what they add from
    outside is not measured in the first observation.

    Example:
        >>> env = gym.make("llmgym/MultiStep-v0")
        >>> env = ChatHistoryWindow(env, max_turns=1)
        >>> _ = env.reset(seed=0)
        >>> for _ in range(3):
        ...     request, *_, info = env.step('<tool_call>{"name": "?"}</tool_call>')
        >>> [message["role"] for message in request["messages"]]
        ['user', 'assistant', 'tool']
        >>> info["left_out_messages"]
        4

        Without the wrapper there are seven messages.

    Args:
        env: The environment.
        max_turns: The most turns that are shown, None for all.
        max_tokens: The most tokens of the whole request, tools included, None for no
            limit. It is counted anew with each observation.
        count_tokens: Counts the tokens of a request: a function of it, or a tokenizer
            with a chat template, which counts what an engine would read. More messages
            must not count less.

    Raises:
        TypeError: The observations are texts already, or `count_tokens` cannot count.
        ValueError: There is no budget, one is less than 1, or tokens cannot be counted;
            on `reset`, if the first observation does not fit.
        ChatTemplateError: The tokenizer has no chat template.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        *,
        max_turns: int | None = None,
        max_tokens: int | None = None,
        count_tokens: Callable[[ChatRequest], int] | Any = None,
    ) -> None:
        _check(max_turns, max_tokens, count_tokens)
        super().__init__(
            env, max_turns=max_turns, max_tokens=max_tokens, count_tokens=count_tokens
        )
        self.needs_chat()
        self.max_turns = max_turns
        self.max_tokens = max_tokens
        self._count = None if count_tokens is None else request_counter(count_tokens)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ChatRequest, dict[str, Any]]:
        """Start an episode; see `ToolEnv.reset`."""
        observation, info = self.env.reset(seed=seed, options=options)
        shown, fits = self._window(observation)
        if not fits:
            raise ValueError(
                f"the first observation of task {info['task_id']!r} has "
                f"{self._tokens(shown)} tokens: `max_tokens` must not be less, "
                f"it is {self.max_tokens}"
            )
        return shown, {**info, "left_out_messages": _left_out(observation, shown)}

    def step(self, action: Any) -> Step:
        """Take a turn; see `ToolEnv.step`."""
        observation, reward, terminated, truncated, info = as_step(
            self.env.step(action)
        )
        shown, fits = self._window(observation)
        info = {**info, "left_out_messages": _left_out(observation, shown)}
        step = shown, reward, terminated, truncated, info
        if fits or terminated or truncated:
            return step
        return self.truncate(step, StopReason.MAX_TOKENS)

    def _window(self, observation: ChatRequest) -> tuple[ChatRequest, bool]:
        """Return what is shown, and whether it fits."""
        messages = observation["messages"]
        places = _places(messages)
        turns = [i for i, at in enumerate(places) if messages[at]["role"] == _REPLY]
        first = 0
        if self.max_turns is not None and len(turns) > self.max_turns:
            first = turns[-self.max_turns]

        def shown(place: int) -> ChatRequest:
            start = places[place] if place < len(places) else len(messages)
            return {**observation, "messages": _from(messages, start)}

        if self._fits(shown(first)):
            return shown(first), True
        later = range(first + 1, len(places))
        found = bisect_left(later, True, key=lambda place: self._fits(shown(place)))
        if found < len(later):
            return shown(later[found]), True
        return shown(max(first, len(places) - 1)), False

    def _fits(self, request: ChatRequest) -> bool:
        return self.max_tokens is None or self._tokens(request) <= self.max_tokens

    def _tokens(self, request: ChatRequest) -> int:
        return 0 if self._count is None else whole(self._count(request))


def _check(max_turns: int | None, max_tokens: int | None, count_tokens: Any) -> None:
    if max_turns is None and max_tokens is None:
        raise ValueError("`ChatHistoryWindow` needs `max_turns`, `max_tokens` or both")
    for name, limit in (("max_turns", max_turns), ("max_tokens", max_tokens)):
        if limit is not None and limit < 1:
            raise ValueError(f"`{name}` must be at least 1, not {limit!r}")
    if (max_tokens is None) != (count_tokens is None):
        raise ValueError(
            "`max_tokens` and `count_tokens` need each other: give both or neither"
        )


_REPLY = "assistant"


def _kept_always(messages: Sequence[Message]) -> set[int]:
    """Return where the system messages and the first user message are."""
    kept = {i for i, message in enumerate(messages) if message["role"] == "system"}
    users = (i for i, message in enumerate(messages) if message["role"] == "user")
    return kept | set(islice(users, 1))


def _places(messages: Sequence[Message]) -> list[int]:
    """Return where the conversation may begin: at a reply, or at its first message."""
    kept = _kept_always(messages)
    rest = [i for i in range(len(messages)) if i not in kept]
    return [i for i in rest if i == rest[0] or messages[i]["role"] == _REPLY]


def _from(messages: Sequence[Message], start: int) -> list[Message]:
    kept = _kept_always(messages)
    return [m for i, m in enumerate(messages) if i >= start or i in kept]


def _left_out(all_of_it: ChatRequest, shown: ChatRequest) -> int:
    return len(all_of_it["messages"]) - len(shown["messages"])
