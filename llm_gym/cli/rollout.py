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
from llm_gym.cli.policy_options import add_policy_options, make_policy
from llm_gym.policies import policy_name
from llm_gym.rollouts.engine import rollout
from llm_gym.rollouts.summary import Summary, summarize
from llm_gym.store import TrajectoryWriter
from llm_gym.trajectory import Trajectory

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("rollout", help="run episodes of a policy")
    add_env_options(parser)
    add_policy_options(parser)
    parser.add_argument("--episodes", type=int, default=16, metavar="N")
    parser.add_argument("--group-size", type=int, default=1, metavar="N")
    parser.add_argument("--concurrency", type=int, default=16, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the file (default: in rollouts/)")
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    make_env(options).close()  # an unknown id is told before a model is loaded
    policy = make_policy(options)
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
