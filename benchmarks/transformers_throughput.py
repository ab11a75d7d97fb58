"""Tokens a second of `TransformersPolicy`, beside plain `generate` in and out of order.

64 episodes of a few turns; how long each reply gets is drawn from a lognormal
distribution beforehand, and is the same for all ways of running them:

* `TransformersPolicy`: the episodes run by themselves, whoever has a reply goes on;
* lockstep: all episodes take a turn together, as a vector environment does it, with
  `generate`, which lasts until a batch's longest reply ends;
* ideal batches: the prompts of all turns are there at once, and `generate` gets them
  sorted by the length of their replies, which nobody knows beforehand;
* `generate_batch`, the continuous batching of transformers, if it runs here, on a
  part of the prompts.

Tokens are those that belong to a reply: what `generate` goes on sampling for rows that
have ended does not count. The ways take turns, and ratios are those of neighbours, as
other work on the machine slows all of them down; what they cost in CPU time hardly
depends on it if there is one thread.

Run: python benchmarks/transformers_throughput.py  (about 5 minutes on two cores)
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import transformers
from tabulate import tabulate

from llm_gym.messages import ChatRequest, Message
from llm_gym.policies import TransformersPolicy
from llm_gym.tokens.trace import TokenTrace

MEDIAN_TOKENS = 12
SIGMA = 0.9
MOST_TOKENS = 120
TOPICS = ("rivers", "clocks", "bread", "the moon", "bees", "old maps", "glass", "snow")


class ForcedLengths(TransformersPolicy):
    """Replies never end by themselves: their length stands in the last message."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.tokens.stop_ids.clear()

    def _room(self, request: ChatRequest) -> int:
        return forced_length(request["messages"])


def forced_length(messages: Sequence[Message]) -> int:
    """Return how long the reply to a conversation gets, in tokens."""
    return int(messages[-1]["content"].split()[-2])


@dataclass(frozen=True, slots=True)
class Run:
    """What one way of running took.

    Attributes:
        tokens: The tokens of all replies.
        seconds: How long it took.
        cpu_seconds: How much computing it took, by all threads.
    """

    tokens: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds

    @property
    def cpu_rate(self) -> float:
        """Tokens for a second of computing, which other work hardly changes."""
        return self.tokens / self.cpu_seconds


def timed(way: Callable[[], int]) -> Run:
    """Time a way of running, which returns its tokens."""
    start, cpu_start = time.perf_counter(), time.process_time()
    tokens = way()
    cpu_seconds = time.process_time() - cpu_start
    return Run(tokens, time.perf_counter() - start, cpu_seconds)


class Work:
    """The episodes, and the ways of running them.

    Args:
        episodes: How many.
        turns: How many turns each has.
        batch: The most rows at once.
    """

    def __init__(self, episodes: int, turns: int, batch: int) -> None:
        self.batch = batch
        drawn = np.random.default_rng(0).lognormal(
            np.log(MEDIAN_TOKENS), SIGMA, (episodes, turns)
        )
        self.lengths = np.clip(drawn, 2, MOST_TOKENS).astype(int).tolist()
        self.policy = ForcedLengths(max_batch_size=batch, device="cpu")
        self.model, self.tokens = self.policy.model, self.policy.tokens
        self.prompts: list[tuple[int, list[int]]] = []

    def user(self, episode: int, turn: int) -> Message:
        """Return what the user says; the last but one word is the reply's length."""
        topic = TOPICS[(episode + 3 * turn) % len(TOPICS)]
        length = self.lengths[episode][turn]
        text = (
            f"Number {episode}: tell me something new about {topic} in {length} words"
        )
        return {"role": "user", "content": text}

    def run_policy(self) -> int:
        """Run all episodes at once, each at its own speed."""
        self.policy._keys = type(self.policy._keys)(0)  # the same draws each time
        self.policy._engine.forget()
        self.prompts = []
        return asyncio.run(self._episodes())

    async def _episodes(self) -> int:
        runs = (self._episode(episode) for episode in range(len(self.lengths)))
        return sum(await asyncio.gather(*runs))

    async def _episode(self, episode: int) -> int:
        trace, messages, sampled = TokenTrace(), [], 0
        for turn, length in enumerate(self.lengths[episode]):
            messages.append(self.user(episode, turn))
            reply = await self.policy.reply({"messages": list(messages)}, trace)
            self.prompts.append((length, list(reply.prompt_ids or ())))
            messages.append({"role": "assistant", "content": str(reply.message)})
            sampled += len(reply.sampled_ids or ())
        return sampled

    def run_lockstep(self) -> int:
        """Step all episodes together, turn by turn."""
        histories: list[list[Message]] = [[] for _ in self.lengths]
        sampled = 0
        for turn in range(len(self.lengths[0])):
            for episode, history in enumerate(histories):
                history.append(self.user(episode, turn))
            prompts = [self.tokens.prompt({"messages": h}).ids for h in histories]
            lengths = [forced_length(history) for history in histories]
            replies = self._generate_all(list(zip(lengths, prompts, strict=True)))
            for history, ids in zip(histories, replies, strict=True):
                text = self.policy.tokenizer.decode(ids)
                history.append({"role": "assistant", "content": text})
                sampled += len(ids)
        return sampled

    def run_ideal(self) -> int:
        """Give the prompts of the policy's last run to `generate`, sorted."""
        return sum(map(len, self._generate_all(sorted(self.prompts))))

    def _generate_all(self, prompts: Sequence[tuple[int, list[int]]]) -> list[Any]:
        replies: list[Any] = []
        for first in range(0, len(prompts), self.batch):
            batch = prompts[first : first + self.batch]
            encoded = self.policy.tokenizer.pad(
                {"input_ids": [ids for _, ids in batch]},
                padding_side="left",
                return_tensors="pt",
            )
            lengths = [length for length, _ in batch]
            config = generation_config(max(lengths))
            output = self.model.generate(**encoded, generation_config=config)
            new = output[:, encoded["input_ids"].shape[1] :].tolist()
            replies += [ids[:n] for ids, n in zip(new, lengths, strict=True)]
        return replies

    def run_generate_batch(self) -> int:
        """Give some prompts to the continuous batching of transformers."""
        prompts = [ids for _, ids in self.prompts[: self.batch]]
        config = generation_config(MEDIAN_TOKENS)
        output = self.model.generate_batch(
            prompts, generation_config=config, progress_bar=False
        )
        return sum(len(one.generated_tokens) for one in output.values())


def generation_config(length: int) -> Any:
    """Return settings that sample plainly, and exactly so many tokens."""
    return transformers.GenerationConfig(
        max_new_tokens=length,
        do_sample=True,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        eos_token_id=-1,
        pad_token_id=0,
    )


def measure(work: Work, repeats: int) -> dict[str, list[Run]]:
    """Run the ways in turn, and print each as it ends."""
    ways: dict[str, Callable[[], int]] = {
        "TransformersPolicy": work.run_policy,
        "lockstep `generate`": work.run_lockstep,
        "`generate`, ideal batches": work.run_ideal,
    }
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for repeat in range(repeats):
        for name, way in ways.items():
            run = timed(way)
            runs[name].append(run)
            told = f"{run.tokens} tokens in {run.seconds:.1f} s, {run.rate:.1f}/s"
            computed = f"{run.cpu_seconds:.1f} s of CPU"
            print(f"{repeat + 1}/{repeats} {name}: {told}, {computed}", flush=True)
    return runs


def once(way: Callable[[], int]) -> str:
    """Return a way's tokens a second, or why it does not run."""
    try:
        return f"{timed(way).rate:.1f}"
    except Exception as err:  # noqa: BLE001  another project's experimental code
        return f"failed: {err!r}"


def report(runs: dict[str, list[Run]], generate_batch: str) -> None:
    """Print medians, and the policy's ratio to each other way, run by run."""
    ours = runs["TransformersPolicy"]
    rows = []
    for name, others in runs.items():
        pairs = list(zip(ours, others, strict=True))
        rate = statistics.median(run.rate for run in others)
        told = [spread([one.rate / other.rate for one, other in pairs])]
        told.append(spread([one.cpu_rate / other.cpu_rate for one, other in pairs]))
        rows.append((name, others[0].tokens, f"{rate:.1f}", *told))
    rows.append(("`generate_batch`, one batch, once", "", generate_batch, "", ""))
    heads = ("way", "tokens", "tokens/s", "policy is faster by", "in CPU time")
    print(
        "\n" + tabulate(rows, headers=heads, tablefmt="github", disable_numparse=True)
    )


def spread(ratios: Sequence[float]) -> str:
    """Write a median with the least and the largest."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    work = Work(options.episodes, options.turns, options.batch)
    packages = ", ".join(f"{p} {version(p)}" for p in ("torch", "transformers"))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {packages}")
    total = sum(map(sum, work.lengths))
    replies, longest = options.episodes * options.turns, max(map(max, work.lengths))
    print(
        f"SmolLM2-135M-Instruct, float32, {options.threads} threads; "
        f"{options.episodes} episodes of {options.turns} turns; replies of "
        f"{total / replies:.0f} tokens on average, at most {longest}; "
        f"batches of at most {options.batch}\n"
    )
    work.policy.model.generate(torch.tensor([[1, 2, 3]]), max_new_tokens=2)  # warm up
    report(measure(work, options.repeats), once(work.run_generate_batch))


if __name__ == "__main__":
    main()
