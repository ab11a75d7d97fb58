"""What one tool turn costs: CPU time of `step`, its growth, memory of live envs.

The policy is a script, so that only the environment is timed: reading the reply,
validating the arguments, running the tool, building the observation. gem-llm's
GuessTheNumber (a text game without tools or schemas) and Gymnasium's CartPole are timed
in the same run for scale.

Run: make bench
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import gymnasium as gym
from tabulate import tabulate

import llm_gym  # noqa: F401  # registers the environments
from llm_gym.messages import call_text

EPISODES = 60
TURNS = 210
LIVE = 1_000


def times_of_turns(start: Callable[[int], Callable[[], Any]]) -> list[float]:
    """Return the median CPU microseconds of each turn of an episode, over episodes."""
    episodes = []
    for seed in range(EPISODES):
        turn = start(seed)
        spent = []
        for _ in range(TURNS):
            began = time.thread_time_ns()
            turn()
            spent.append((time.thread_time_ns() - began) / 1_000)
        episodes.append(spent)
    return [statistics.median(column) for column in zip(*episodes, strict=True)]


def multi_step(level: int) -> Callable[[int], Callable[[], Any]]:
    """Call a look-up of `MultiStep` again and again, with valid arguments."""
    env = gym.make("llmgym/MultiStep-v0", level=level, max_turns=TURNS + 1)

    def start(seed: int) -> Callable[[], Any]:
        env.reset(seed=seed)
        name = next(iter(env.unwrapped.task.data["name"]))
        function = {"name": "find_customer", "arguments": f'{{"name": "{name}"}}'}
        call = {"id": "call_1", "type": "function", "function": function}
        reply = {"role": "assistant", "content": "", "tool_calls": [call]}
        return lambda: env.step(reply)

    return start


def cart_pole(seed: int) -> Callable[[], Any]:
    """Step CartPole, resetting it where it falls."""
    env = gym.make("CartPole-v1")
    env.reset(seed=seed)

    def turn() -> None:
        *_, terminated, truncated, _ = env.step(0)
        if terminated or truncated:
            env.reset()

    return turn


def guess_the_number() -> Callable[[int], Callable[[], Any]] | None:
    """Guess in gem-llm's game, None where it is not installed."""
    try:
        from gem.envs.game_env.guess_the_number import GuessTheNumberEnv
    except ImportError:
        return None

    def start(seed: int) -> Callable[[], Any]:
        env = GuessTheNumberEnv(min_number=1, max_number=10**6, max_turns=TURNS + 1)
        env.reset(seed=seed)
        guesses = iter(range(1, TURNS + 2))
        return lambda: env.step(f"\\boxed{{{next(guesses)}}}")

    return start


def live_megabytes(level: int) -> float:
    """Return what 1,000 environments hold in the middle of an episode, in MB."""
    gym.make("llmgym/MultiStep-v0").reset(seed=0)  # what all of them share
    gc.collect()
    tracemalloc.start()
    envs = []
    for seed in range(LIVE):
        env = gym.make("llmgym/MultiStep-v0", level=level)
        env.reset(seed=seed)
        name = next(iter(env.unwrapped.task.data["name"]))
        env.step(call_text("find_customer", {"name": name}))
        envs.append(env)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / 1e6


def main() -> None:
    """Print the tables."""
    packages = ", ".join(f"{p} {version(p)}" for p in ("llm-gym", "gymnasium", "numpy"))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {packages}\n")
    rows = []
    for name, start in (
        ("llmgym/MultiStep-v0, level 0", multi_step(0)),
        ("llmgym/MultiStep-v0, level 6", multi_step(6)),
        ("gem-llm GuessTheNumber", guess_the_number()),
        ("gymnasium CartPole-v1", cart_pole),
    ):
        if start is None:
            print(f"{name}: not installed\n")
            continue
        turns = times_of_turns(start)
        early, late = statistics.median(turns[8:13]), statistics.median(turns[198:203])
        rows.append((name, statistics.median(turns), early, late, late / early))
    heads = ("environment", "us a turn", "turn 10", "turn 200", "200 / 10")
    print(tabulate(rows, headers=heads, floatfmt=".1f", tablefmt="github"))
    memory = [(f"level {n}", live_megabytes(n)) for n in (0, 6)]
    heads = ("1,000 live MultiStep envs", "MB")
    print("\n" + tabulate(memory, headers=heads, floatfmt=".1f", tablefmt="github"))


if __name__ == "__main__":
    main()
