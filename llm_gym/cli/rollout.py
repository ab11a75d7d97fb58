"""`llm-gym rollout ID`: run episodes, keep them, print what they come to."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm_gym.cli.common import add_env_options, add_json_option, make_env, print_json
from llm_gym.cli.common import env_kwargs as kwargs_of
from llm_gym.policies import (
    EnvPolicy,
    OraclePolicy,
    Policy,
    RandomPolicy,
    Sampling,
    TransformersPolicy,
    policy_name,
)
from llm_gym.rollouts.engine import rollout
from llm_gym.rollouts.summary import Summary, summarize
from llm_gym.store import TrajectoryWriter
from llm_gym.trajectory import Trajectory

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("rollout", help="run episodes of a policy")
    add_env_options(parser)
    parser.add_argument(
        "--policy",
        choices=("transformers", "random", "oracle"),
        default="transformers",
        help="what acts (default: transformers, a language model)",
    )
    parser.add_argument(
        "--model", help="a folder or a hub's name (default: the embedded SmolLM2-135M)"
    )
    parser.add_argument("--max-new-tokens", type=int, default=128, metavar="N")
    parser.add_argument("--temperature", type=float, default=0.7, metavar="T")
    parser.add_argument("--episodes", type=int, default=16, metavar="N")
    parser.add_argument("--group-size", type=int, default=1, metavar="N")
    parser.add_argument("--concurrency", type=int, default=16, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the file (default: in rollouts/)")
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    make_env(options).close()  # an unknown id is told before a model is loaded
    policy = _policy(options)
    path = options.out or _free_path(options.id, policy_name(policy))
    started = time.perf_counter()
    kept: list[Trajectory] = []
    interrupted = False
    episodes = rollout(
        options.id,
        policy,
        episodes=options.episodes,
        group_size=options.group_size,
        seed=options.seed,
        concurrency=options.concurrency,
        env_kwargs=kwargs_of(options),
        progress=not options.json,
    )
    with TrajectoryWriter(path) as writer:
        try:
            for trajectory in episodes:
                writer.write(trajectory)
                kept.append(trajectory)
        except KeyboardInterrupt:
            interrupted = True
            print(f"interrupted after {len(kept)} episodes", file=sys.stderr)
    summary = summarize(kept, time.perf_counter() - started)
    _print(options, summary, path)
    if interrupted:
        return 130
    return 0 if summary.episodes else 1


def _policy(options: argparse.Namespace) -> Policy | EnvPolicy:
    if options.policy == "random":
        return RandomPolicy(options.seed)
    if options.policy == "oracle":
        return OraclePolicy()
    sampling = Sampling(
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        seed=options.seed,
    )
    return TransformersPolicy(options.model, sampling=sampling)


def _free_path(env_id: str, policy: str) -> Path:
    """Return a path in `rollouts/` at which there is nothing yet."""
    name = env_id.rpartition("/")[2] + "_" + policy.rpartition("/")[2]
    number = 1
    while (path := Path("rollouts") / f"{name}_{number}.jsonl").exists():
        number += 1
    return path


def _print(options: argparse.Namespace, summary: Summary, path: Path) -> None:
    if options.json:
        figures = asdict(summary) | {"tokens_per_second": summary.tokens_per_second}
        print_json({"id": options.id, "path": str(path), **figures})
        return
    print(summary.table())
    print(f"rollouts: {path}")
