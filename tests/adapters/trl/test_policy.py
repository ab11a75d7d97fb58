"""A policy that another thread answers, a round at a time."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any

from llm_gym.adapters.trl.policy import TrainerPolicy
from llm_gym.messages import Reply
from llm_gym.tokens import ChatTokens, TokenTrace
from tests.policies.tiny import HERMES, ask, tiny_tokenizer

TOKENIZER = tiny_tokenizer(HERMES)
END = TOKENIZER.eos_token_id
HI = TOKENIZER("hi", add_special_tokens=False)["input_ids"]


def replies(
    policy: TrainerPolicy, count: int, sampled: list[int], logprobs: Any = None
) -> list[Reply]:
    """Ask at once for replies, and answer all rounds from another thread."""

    def serve() -> None:
        for one in policy.rounds():
            rows = len(one.prompts)
            told = None if logprobs is None else [logprobs] * rows
            one.answer([sampled] * rows, told)

    async def one_episode() -> tuple[Reply, TokenTrace]:
        trace = TokenTrace()
        reply = await policy.reply(ask("hello"), trace)
        policy.left()
        return reply, trace

    async def everyone() -> Any:
        policy.expect(count)
        return await asyncio.gather(*(one_episode() for _ in range(count)))

    thread = threading.Thread(target=serve)
    thread.start()
    done = asyncio.run(everyone())
    policy.finish()
    thread.join()
    replies.traces = [trace for _, trace in done]  # type: ignore[attr-defined]
    return [reply for reply, _ in done]


def make_policy(context: int = 10**6) -> TrainerPolicy:
    """Return a policy over a tiny tokenizer."""
    return TrainerPolicy(ChatTokens(TOKENIZER, "tiny"), context)


def test_everyone_who_waits_is_answered_in_one_round() -> None:
    said = replies(make_policy(), 3, [*HI, END])
    assert [reply.message for reply in said] == ["hi"] * 3
    assert {reply.finish_reason for reply in said} == {"stop"}


def test_what_follows_the_end_is_dropped_with_its_logprobs() -> None:
    replies(make_policy(), 1, [*HI, END, 7, 7], [-0.5, None, *[-1.0] * (len(HI) + 1)])
    (trace,) = replies.traces  # type: ignore[attr-defined]
    (sample,) = trace.to_samples()
    assert list(sample.completion_ids) == [*HI, END]
    assert sample.logprobs[0] == -0.5
    assert len(sample.logprobs) == len(HI) + 1
    assert math.isnan(sample.logprobs[1])


def test_reply_is_cut_off_by_its_room() -> None:
    policy = make_policy()
    policy.budget = 1
    (said,) = replies(policy, 1, [*HI, END])
    assert said.finish_reason == "length"


def test_no_room_is_an_empty_reply_and_no_round() -> None:
    (said,) = replies(make_policy(context=3), 1, [*HI, END])
    assert said.finish_reason == "length"
    assert not replies.traces[0]  # type: ignore[attr-defined]
