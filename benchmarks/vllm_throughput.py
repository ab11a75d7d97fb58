"""Tokens a second of `VLLMPolicy`, beside vLLM's `LLM.generate` of the same prompts.

`LLM.generate` is given all prompts at once as token ids; the policy gets them as calls
that arrive together, renders them and returns log-probabilities too. Seeds, and with
them the tokens, are the same. Runs of the two alternate, so that a busy machine slows
both; the ratio is the median over the pairs.

Run: make .venv-vllm/.done && .venv-vllm/bin/python benchmarks/vllm_throughput.py
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tabulate import tabulate

from llm_gym.messages import ChatRequest
from llm_gym.policies.embedded import embedded_model_path
from llm_gym.policies.sampling import RowKeys, Sampling
from llm_gym.policies.vllm import VLLMPolicy

ENGINE: dict[str, Any] = {
    "kv_cache_memory_bytes": 1 << 30,
    "max_model_len": 2048,
    "max_num_seqs": 64,
    "dtype": "float32",
    "enforce_eager": True,
    "enable_chunked_prefill": False,
    "enable_prefix_caching": False,  # else a later run would read less
}
TOPICS = ("tides", "bread", "chess", "rust", "owls", "maps", "ink", "glass")


def requests(count: int) -> list[ChatRequest]:
    """Return chat requests of uneven length."""
    return [
        {
            "messages": [
                {
                    "role": "user",
                    "content": f"Write {i + 2} lines about {TOPICS[i % 8]}, "
                    + "plainly, " * (i % 5)
                    + "for a child.",
                }
            ]
        }
        for i in range(count)
    ]


def timed(run: Callable[[], int]) -> float:
    """Return the tokens a second of a run that returns its tokens."""
    began = time.perf_counter()
    tokens = run()
    return tokens / (time.perf_counter() - began)


def policy_run(policy: VLLMPolicy, prompts: Sequence[ChatRequest]) -> int:
    """Reply to all requests at once; return the tokens sampled."""

    async def replies() -> int:
        got = await asyncio.gather(*(policy.reply(prompt) for prompt in prompts))
        return sum(len(reply.sampled_ids or ()) for reply in got)

    return asyncio.run(replies())


def generate_run(llm: Any, rows: Sequence[Any], params: Sequence[Any]) -> int:
    """Generate all rows at once; return the tokens sampled."""
    outputs = llm.generate(list(rows), list(params), use_tqdm=False)
    return sum(len(output.outputs[0].token_ids) for output in outputs)


def as_generate_takes(
    policy: VLLMPolicy, prompts: Sequence[ChatRequest], sampling: Sampling
) -> tuple[list[Any], list[Any]]:
    """Return the prompts as token ids, and settings with the same seeds and stops."""
    from vllm import SamplingParams

    keys = RowKeys(sampling.seed)
    ids = [policy.tokens.prompt(prompt).ids for prompt in prompts]
    params = [
        SamplingParams(
            max_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            seed=keys.next(row),
            stop_token_ids=sorted(policy.tokens.stop_ids),
        )
        for row in ids
    ]
    return [{"prompt_token_ids": row} for row in ids], params


def measure(
    llm: Any, policy: VLLMPolicy, count: int, sampling: Sampling, pairs: int
) -> tuple[Any, ...]:
    """Return a row of the table: both engines in turn, after one round to warm up."""
    prompts = requests(count)
    rows, params = as_generate_takes(policy, prompts, sampling)
    rates = []
    for _ in range(pairs + 1):
        fresh = policy.with_sampling(sampling)  # the same draws in each round
        ours = timed(partial(policy_run, fresh, prompts))
        theirs = timed(partial(generate_run, llm, rows, params))
        rates.append((ours, theirs))
    ratios = [ours / theirs for ours, theirs in rates[1:]]
    medians = [statistics.median(rate) for rate in zip(*rates[1:], strict=True)]
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
    return (count, medians[1], medians[0], statistics.median(ratios), spread)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--tokens", type=int, default=64, help="of each reply")
    parser.add_argument("--pairs", type=int, default=5, help="runs of each")
    options = parser.parse_args()
    from vllm import LLM, __version__

    llm = LLM(model=str(embedded_model_path()), **ENGINE)
    sampling = Sampling(max_new_tokens=options.tokens)
    with VLLMPolicy(engine_args=ENGINE) as policy:
        rows = [
            measure(llm, policy, count, sampling, options.pairs)
            for count in options.prompts
        ]
    print(
        f"\nPython {platform.python_version()}, {os.cpu_count()} cores, vLLM "
        f"{__version__}, load {os.getloadavg()[0]:.1f}, {options.pairs} pairs\n"
    )
    heads = ("prompts", "LLM.generate tokens/s", "VLLMPolicy", "ratio", "its range")
    print(tabulate(rows, headers=heads, floatfmt=".2f", tablefmt="github"))


if __name__ == "__main__":
    main()
