"""A policy that samples with the model under training, through its trainer.

Episodes run in an event loop of their own; the trainer generates where it was called,
in its own thread. So the policy puts a round of prompts together, once every live
episode waits for a reply, and another thread takes the round and answers it.
"""

from __future__ import annotations

import asyncio
import math
import queue
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm_gym.messages import ChatRequest, Reply, Usage
from llm_gym.tokens.chat_template import ChatTemplateError
from llm_gym.tokens.chat_tokens import ChatTokens
from llm_gym.tokens.trace import TokenTrace

__all__ = ["Round", "TrainerPolicy"]


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """One episode that waits for a reply.

    Attributes:
        ids: The prompt.
        room: The most tokens that the reply may have.
        future: Where the reply's ids and their log-probabilities go.
    """

    ids: list[int]
    room: int
    future: asyncio.Future[tuple[list[int], list[float] | None]]


@dataclass(frozen=True, slots=True)
class Round:
    """Prompts that are to be answered together.

    Attributes:
        prompts: The prompts' ids, `(B, P)`, ragged.
        calls: Who waits for each.
        loop: The event loop that they wait in.
        stop_ids: The tokens that end a reply.
    """

    prompts: list[list[int]]
    calls: list[_Call]
    loop: asyncio.AbstractEventLoop
    stop_ids: set[int]

    def answer(
        self,
        sampled: Sequence[Sequence[int]],
        logprobs: Sequence[Sequence[float | None]] | None,
    ) -> None:
        """Hand over what was sampled, from any thread.

        Args:
            sampled: Ids for each prompt. What follows a token that ends a reply, or
                goes beyond its room, is dropped.
            logprobs: The log-probability of each id, None if the engine tells none.
        """
        replies: list[tuple[list[int], list[float] | None]] = []
        for number, (call, row) in enumerate(zip(self.calls, sampled, strict=True)):
            ids = _until_stop(row, self.stop_ids)[: call.room]
            told = None if logprobs is None else logprobs[number][: len(ids)]
            numbers = None if told is None else [_number(value) for value in told]
            replies.append((ids, numbers))
        self.loop.call_soon_threadsafe(self._settle, replies)

    def _settle(self, replies: list[tuple[list[int], list[float] | None]]) -> None:
        for call, reply in zip(self.calls, replies, strict=True):
            if not call.future.done():  # its episode was given up meanwhile
                call.future.set_result(reply)


class TrainerPolicy:
    """Replies with what a trainer samples; see the module.

    Args:
        tokens: How requests become prompts and what was sampled becomes replies.
        context: The most tokens that the model reads.

    Attributes:
        name: What records call it.
        budget: The most tokens of a completion, what the environment adds included.
    """

    name = "trainer"

    def __init__(self, tokens: ChatTokens, context: int = sys.maxsize) -> None:
        self.tokens = tokens
        self.budget = sys.maxsize
        self._context = context
        self._live = 0
        self._waiting: list[_Call] = []
        self._rounds: queue.SimpleQueue[Round | None] = queue.SimpleQueue()

    def rounds(self) -> Iterator[Round]:
        """Yield rounds until `finish`, waiting for each; for the trainer's thread."""
        return iter(self._rounds.get, None)

    def finish(self) -> None:
        """End `rounds`: every episode has ended."""
        self._rounds.put(None)

    def expect(self, episodes: int) -> None:
        """Say how many episodes are live; in their event loop, before they begin."""
        self._live, self._waiting = episodes, []

    def left(self) -> None:
        """Say that an episode has ended; in its event loop."""
        self._live -= 1
        self._close_round()

    async def reply(
        self, request: ChatRequest, trace: TokenTrace | None = None
    ) -> Reply:
        """Reply to a request.

        Args:
            request: The observation.
            trace: The episode's tokens.

        Returns:
            The reply. One that its room cut off has the finish reason "length"; so has
            the empty reply where no room is left, or where the template refuses to show
            what was said before; it leaves the trace as it was.

        Raises:
            ChatTemplateError: The chat template refuses the first prompt.
        """
        try:
            prompt = self.tokens.prompt(request, trace)
        except ChatTemplateError:
            if not trace:
                raise
            return Reply("", "length")  # what the model wrote cannot be shown to it
        begun = len(trace.prompt_ids) if trace and prompt.added is not None else None
        used = 0 if begun is None else len(prompt.ids) - begun
        room = min(self.budget - used, self._context - len(prompt.ids))
        if room < 1:
            return Reply("", "length", Usage(len(prompt.ids), 0))
        loop = asyncio.get_running_loop()
        call = _Call(prompt.ids, room, loop.create_future())
        self._waiting.append(call)
        self._close_round()
        ids, logprobs = await call.future
        return self.tokens.reply(request, prompt, ids, logprobs=logprobs, trace=trace)

    def _close_round(self) -> None:
        """Hand the calls over if every live episode waits."""
        self._waiting = [call for call in self._waiting if not call.future.done()]
        if not self._waiting or len(self._waiting) < self._live:
            return
        calls, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        prompts = [call.ids for call in calls]
        self._rounds.put(Round(prompts, calls, loop, self.tokens.stop_ids))


def _until_stop(ids: Sequence[int], stop_ids: set[int]) -> list[int]:
    ids = list(ids)
    end = next((i for i, one in enumerate(ids) if one in stop_ids), len(ids))
    return ids[: end + 1]


def _number(value: float | None) -> float:
    """Return a log-probability; vLLM writes None for one that it could not score."""
    return math.nan if value is None else float(value)
