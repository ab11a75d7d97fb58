"""Which datasets are unfit: `python -m llm_gym.bridges.reasoning_gym.survey [NAME...]`.

Checks each dataset as `llm-gym check` does and prints a line of JSON for each: what it
failed; with `--constant` what the best constant reply is paid, with `--means` what the
oracle, nothing and random texts are paid. `unfit.py` and `floors.py` are written from
that. The checks of all of them take an hour or two.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from llm_gym.bridges.reasoning_gym import NAMES, UnfitTaskWarning

__all__ = ["CHECKS", "constant_floor", "main", "means", "survey"]

CHECKS = (
    "oracle",
    "floors",
    "fuzz",
    "mutation",
    "replies",
    "determinism",
    "leaks",
    "tasks",
    "records",
    "new_process",
)
"""The checks whose outcome depends on the dataset."""


def survey(name: str, only: Sequence[str] = CHECKS) -> dict[str, Any]:
    """Check one dataset.

    Args:
        name: The dataset.
        only: The names of the checks.

    Returns:
        `name`, `seconds`, `failed` (what each failed check says, by its name), and
        `holes`: of each family of probes the probe that was paid most.
    """
    checks = importlib.import_module("llm_gym.checks")  # a layer above the bridges
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfitTaskWarning)
        report = checks.check(f"llmgym/reasoning_gym.{name}-v0", only=only)
    failed = [finding for finding in report.findings if finding.status == "failed"]
    families = [
        family
        for finding in failed
        for family in finding.data.get("families", ())
        if family["holes"]
    ]
    return {
        "name": name,
        "seconds": round(report.seconds, 1),
        "failed": {finding.check: finding.message for finding in failed},
        "holes": {family["family"]: family["probe"] for family in families},
    }


def constant_floor(name: str, episodes: int) -> float:
    """Return the mean reward of the best constant answer, on tasks of the seed 0."""
    words = importlib.import_module("llm_gym.checks.floors").LUCKY
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfitTaskWarning)
        env: Any = gym.make(f"llmgym/reasoning_gym.{name}-v0").unwrapped
    paid = dict.fromkeys(words, 0.0)
    rng = np.random.default_rng(0)
    for _ in range(episodes):
        task = env.tasks.sample(rng)
        for word in words:
            env.reset(options={"task": task})
            paid[word] += env.step(f"<answer>{word}</answer>")[1]
    return max(paid.values()) / episodes


def means(name: str, episodes: int, seconds: float = 5.0) -> dict[str, Any]:
    """Return what the oracle, nothing and random texts are paid on average.

    Args:
        name: The dataset.
        episodes: On how many tasks of the seed 0, at most.
        seconds: After which no further task is begun.

    Returns:
        `tasks`, how many there were, and the means `oracle` (None if there is no
        oracle), `null` and `random`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfitTaskWarning)
        env: Any = gym.make(f"llmgym/reasoning_gym.{name}-v0").unwrapped
    paid: dict[str, list[float]] = {"oracle": [], "null": [], "random": []}
    env.reset(seed=0)
    env.step("<answer>0</answer>")  # the scorer's process starts
    env.action_space.seed(0)
    rng, until = np.random.default_rng(0), time.perf_counter() + seconds
    while len(paid["null"]) < episodes and time.perf_counter() < until:
        task = env.tasks.sample(rng)
        replies = {"null": "", "random": env.action_space.sample()}
        if task.answer is not None:
            replies["oracle"] = f"<answer>{task.answer}</answer>"
        for who, reply in replies.items():
            env.reset(options={"task": task})
            paid[who].append(env.step(reply)[1])
    figures = {
        who: float(np.mean(all_)) if all_ else None for who, all_ in paid.items()
    }
    return {"tasks": len(paid["null"]), **figures}


def main(argv: Sequence[str] | None = None) -> int:
    """Survey the datasets that are named, all if none is."""
    parser = argparse.ArgumentParser(prog="survey", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--constant", type=int, metavar="N", help="floor of N episodes")
    parser.add_argument("--means", type=int, metavar="N", help="of N episodes")
    parser.add_argument("--only", action="append", metavar="CHECK", help="this check")
    options = parser.parse_args(argv)
    for name in options.names or NAMES:
        started = time.perf_counter()
        if options.constant:
            found: dict[str, Any] = {"name": name}
            found["constant"] = constant_floor(name, options.constant)
            found["seconds"] = round(time.perf_counter() - started, 1)
        elif options.means:
            found = {"name": name, **means(name, options.means)}
        else:
            found = survey(name, options.only or CHECKS)
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
