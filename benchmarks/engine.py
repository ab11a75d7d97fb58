"""What the rollout engine costs and what it wastes, beside what a user would pick.

1. Tools that sleep for a lognormal time (median 50 ms, sigma 1), 32 environments, a
   policy that costs nothing. The ideal is that all 32 always sleep: the sum of the
   sleeps, divided by 32. The end of a run, where fewer and fewer episodes are left,
   counts.
2. 1,024 episodes of `MultiStep`, 4 turns each, a policy that costs nothing: CPU time a
   turn, without that of the environments' own `reset` and `step`.

Run: make bench
"""

from __future__ import annotations

import math
import os
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from tabulate import tabulate

from llm_gym import Reply, ScriptedPolicy, ToolEnv, rollout, tool
from llm_gym.messages import call_text
from llm_gym.wrappers.vector import BatchedPolicy

ENVS = 32
TURNS = 8
SLEEP_SECONDS = 0.05
SIGMA = 1.0
CALL = call_text("wait", {})
REPEATS = 5


class Sleeps:
    """Draws sleeps, and adds them up."""

    def __init__(self, seed: int | None) -> None:
        self._draw = random.Random(seed).lognormvariate
        self.seconds = 0.0

    def sleep(self) -> float:
        seconds = self._draw(math.log(SLEEP_SECONDS), SIGMA)
        time.sleep(seconds)
        self.seconds += seconds
        return seconds


class SleepEnv(ToolEnv):
    """One tool, which sleeps."""

    max_turns = TURNS
    blocking = True

    def begin(self, task: Any) -> str:
        self.state = Sleeps(int(self.np_random.integers(2**31)))
        return "Wait."

    @tool
    def wait(self) -> float:
        """Wait."""
        return self.state.sleep()

    def outcome(self) -> float:
        return self.state.seconds

    def verify(self, trajectory: Any) -> float:
        return 1.0


def by_rollout(episodes: int) -> tuple[int, float]:
    """Run episodes with the engine; return steps and the seconds that tools slept."""
    policy = ScriptedPolicy([CALL] * TURNS)
    ended = list(rollout(SleepEnv, policy, episodes=episodes, concurrency=ENVS))
    return sum(len(t.turns) for t in ended), sum(t.outcome for t in ended)


def by_batched_policy(episodes: int) -> tuple[int, float]:
    """Run them over a vector environment, generation batched."""
    envs = gym.make_vec("bench/Sleep-v0", num_envs=ENVS)
    batched = BatchedPolicy(envs, ScriptedPolicy([CALL] * TURNS))
    ended = list(batched.run(episodes=episodes))
    batched.close()
    return sum(len(t.turns) for t in ended), sum(t.outcome for t in ended)


def in_lockstep(make: Callable[..., Any], steps: int) -> tuple[int, float]:
    """Step a vector environment of Gymnasium; return steps and seconds slept."""
    envs = make([SleepEnv] * ENVS)
    envs.reset(seed=0)
    slept = 0.0
    for _ in range(steps):
        observations = envs.step([CALL] * ENVS)[0]
        slept += sum(_slept(observation) for observation in observations)
    envs.close()
    return steps * ENVS, slept


def _slept(observation: Any) -> float:
    last = observation["messages"][-1]
    # An episode that ended was reset in the same step: its last sleep is not shown.
    mean = SLEEP_SECONDS * math.exp(SIGMA**2 / 2)
    return float(last["content"]) if last["role"] == "tool" else mean


def by_gem(steps: int) -> tuple[int, float]:
    """Step gem-llm's threads."""
    from gem.core import Env
    from gem.vector.async_vector_env import AsyncVectorEnv as Threads

    class GemSleep(Env):
        def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
            self.sleeps = Sleeps(seed)
            return "Wait.", {}

        def step(self, action: str) -> tuple[Any, ...]:
            self.sleeps.sleep()
            return "Wait.", 0.0, False, False, {}

    envs = Threads([str(i) for i in range(ENVS)], [GemSleep] * ENVS)
    envs.reset(seed=list(range(ENVS)))
    for _ in range(steps):
        envs.step(["wait"] * ENVS)
    envs.thread_pool_executer.shutdown()
    return steps * ENVS, sum(env.sleeps.seconds for env in envs.envs)


def sleeping_tools() -> str:
    """Return the table of the first part."""
    gym.register(
        "bench/Sleep-v0",
        entry_point=SleepEnv,
        vector_entry_point="llm_gym.vector:bench/Sleep-v0",
    )
    same_step = {"autoreset_mode": AutoresetMode.SAME_STEP}
    sync = partial(SyncVectorEnv, **same_step)
    processes = partial(AsyncVectorEnv, shared_memory=False, **same_step)
    runs: dict[str, Callable[[], tuple[int, float]]] = {
        "llm_gym.rollout": partial(by_rollout, 60 * ENVS),
        "BatchedPolicy on ChatVectorEnv": partial(by_batched_policy, 60 * ENVS),
        "gem-llm 0.1.0, threads": partial(by_gem, 40),
        "gymnasium AsyncVectorEnv": partial(in_lockstep, processes, 40),
        "gymnasium SyncVectorEnv": partial(in_lockstep, sync, 3),
    }
    rows = []
    for name, run in runs.items():
        began = time.perf_counter()
        try:
            steps, slept = run()
        except ModuleNotFoundError as err:
            rows.append([name, f"not installed: {err.name}", "", "", ""])
            continue
        seconds = time.perf_counter() - began
        ideal = slept / ENVS
        rows.append(
            [
                name,
                f"{steps:,}",
                f"{steps / seconds:.1f}",
                f"{steps / ideal:.0f}",
                f"{ideal / seconds:.1%}",
            ]
        )
    headers = ["32 envs, sleeping tools", "steps", "steps/s", "ideal", "share of it"]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


EPISODES = 1_024
NOTHING = call_text("no_such_tool", {})


class Calls:
    """A policy that costs nothing."""

    async def reply(self, request: Any, trace: Any = None) -> Reply:
        return Reply(NOTHING)


def overhead() -> str:
    """Return the table of the second part: medians of pairs."""
    kwargs = {"max_turns": 4}
    spent: dict[int, list[float]] = {16: [], 256: [], EPISODES: []}
    alone = []
    for _ in range(REPEATS):
        alone.append(_cpu(partial(_by_hand, kwargs)))
        for concurrency, times in spent.items():
            times.append(_cpu(partial(_by_engine, kwargs, concurrency)) - alone[-1])
    turns = 4 * EPISODES
    rows = [["environments alone", f"{_micro(alone, turns):.0f}", ""]]
    rows += [
        [f"engine, {concurrency} live", "", f"{_micro(times, turns):.0f}"]
        for concurrency, times in spent.items()
    ]
    headers = ["1,024 episodes x 4 turns", "CPU us a turn", "of the engine"]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def _by_engine(kwargs: dict[str, Any], concurrency: int) -> None:
    for _ in rollout(
        "llmgym/MultiStep-v0",
        Calls(),
        episodes=EPISODES,
        concurrency=concurrency,
        env_kwargs=kwargs,
    ):
        pass


def _by_hand(kwargs: dict[str, Any]) -> None:
    env = gym.make("llmgym/MultiStep-v0", disable_env_checker=True, **kwargs)
    for seed in range(EPISODES):
        env.reset(seed=seed)
        for _ in range(4):
            env.step(Reply(NOTHING))


def _cpu(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _micro(seconds: list[float], turns: int) -> float:
    return statistics.median(seconds) / turns * 1e6


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(sleeping_tools(), end="\n\n")
    print(overhead())
