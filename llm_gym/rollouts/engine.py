"""Running episodes: many at once in one process, without a barrier between turns.

Each of `num_envs` workers owns an environment and plays one episode after the other.
While one waits for its reply the others go on, so a policy that batches always finds
the calls that are ready, and none waits for the slowest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np

from llm_gym.env import ToolEnv
from llm_gym.errors import EnvironmentFault
from llm_gym.policies.base import EnvPolicy, Policy, bound, policy_name
from llm_gym.trajectory import RunInfo, StopReason, Timing, Trajectory

__all__ = ["arollout", "rollout"]


def rollout(
    env: str | Callable[[], gym.Env[Any, Any]],
    policy: Policy | EnvPolicy,
    *,
    episodes: int,
    group_size: int = 1,
    seed: int = 0,
    num_envs: int = 16,
    tasks: Sequence[str] | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    retries: int = 1,
) -> Iterator[Trajectory]:
    """Run episodes and yield their trajectories as they end.

    Example:
        >>> for trajectory in rollout("llmgym/MultiStep-v0", policy, episodes=64):
        ...     print(trajectory.task.id, trajectory.episode_return)

    Args:
        env: A registered id, an environment class, or a function that makes one.
        policy: What acts; `llm_gym.policies` has several.
        episodes: How many episodes to run; a multiple of `group_size`.
        group_size: Episodes that share a task and a seed, so that they start from the
            same observation.
        seed: Decides the tasks. The same seed, policy and replies give the same
            trajectories, though not always in the same order.
        num_envs: Episodes that are under way at once.
        tasks: Task ids to take in turn, a group each, instead of drawing them.
        env_kwargs: Handed to `gym.make` where `env` is an id, else to `env` itself.
        retries: How often an episode is started again after a fault.

    Yields:
        Finished trajectories in the order of completion. One whose last attempt failed
        too has its `fault` set, no score, and NaN as its return: never a zero.

    Raises:
        ValueError: A number is out of range.
        RuntimeError: Called inside a running event loop; use `arollout` there.
    """
    plan = _Plan(
        env=env,
        policy=policy,
        episodes=episodes,
        group_size=group_size,
        seed=seed,
        num_envs=num_envs,
        tasks=None if tasks is None else _task_ids(tasks),
        env_kwargs=dict(env_kwargs or {}),
        retries=retries,
    )
    if _loop_runs():
        raise RuntimeError(
            "an event loop is running here (a notebook, say): write "
            "`async for trajectory in llm_gym.arollout(...)` instead"
        )
    return _drive(plan)


def arollout(
    env: str | Callable[[], gym.Env[Any, Any]],
    policy: Policy | EnvPolicy,
    *,
    episodes: int,
    group_size: int = 1,
    seed: int = 0,
    num_envs: int = 16,
    tasks: Sequence[str] | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    retries: int = 1,
) -> AsyncIterator[Trajectory]:
    """Run episodes inside a running event loop; see `rollout`."""
    plan = _Plan(
        env=env,
        policy=policy,
        episodes=episodes,
        group_size=group_size,
        seed=seed,
        num_envs=num_envs,
        tasks=None if tasks is None else _task_ids(tasks),
        env_kwargs=dict(env_kwargs or {}),
        retries=retries,
    )
    return _run(plan)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a call of `rollout` asked for."""

    env: str | Callable[..., gym.Env[Any, Any]]
    policy: Policy | EnvPolicy
    episodes: int
    group_size: int
    seed: int
    num_envs: int
    tasks: tuple[str, ...] | None
    env_kwargs: Mapping[str, Any]
    retries: int

    def __post_init__(self) -> None:
        least = {"episodes": 1, "group_size": 1, "num_envs": 1, "seed": 0, "retries": 0}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise ValueError(
                    f"`{name}` must be at least {lowest}, not {getattr(self, name)!r}"
                )
        if self.episodes % self.group_size:
            raise ValueError(
                f"`episodes` must be a multiple of `group_size`: {self.episodes} is "
                f"none of {self.group_size}"
            )

    def make_env(self) -> gym.Env[Any, Any]:
        if isinstance(self.env, str):
            return gym.make(self.env, **self.env_kwargs)
        return self.env(**self.env_kwargs)

    def reset_arguments(self, episode: int) -> dict[str, Any]:
        """Return what `reset` gets: the same for every member of a group."""
        group = episode // self.group_size
        state = np.random.SeedSequence([self.seed, group]).generate_state(1)
        arguments: dict[str, Any] = {"seed": int(state[0]) >> 1}  # 31 bits
        if self.tasks is not None:
            arguments["options"] = {"task_id": self.tasks[group % len(self.tasks)]}
        return arguments


def _task_ids(tasks: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tasks, str) or not tasks:
        raise ValueError(f"`tasks` must be a sequence of task ids, not {tasks!r}")
    return tuple(tasks)


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _drive(plan: _Plan) -> Iterator[Trajectory]:
    """Drive the asynchronous engine from ordinary code."""
    with asyncio.Runner() as runner:
        stream = _run(plan)
        try:
            while (trajectory := runner.run(_next(stream))) is not None:
                yield trajectory
        finally:
            runner.run(stream.aclose())


async def _next(stream: AsyncIterator[Trajectory]) -> Trajectory | None:
    return await anext(stream, None)


async def _run(plan: _Plan) -> AsyncGenerator[Trajectory, None]:
    """Yield trajectories; a full queue holds the workers back."""
    workers = min(plan.num_envs, plan.episodes)
    numbers = iter(range(plan.episodes))
    finished: asyncio.Queue[Trajectory] = asyncio.Queue(maxsize=workers)
    async with aclosing(_Workers(plan, workers, numbers, finished)) as crew:
        for _ in range(plan.episodes):
            yield await crew.next_finished()


class _Workers:
    """The tasks that play episodes, and the envs that they play in."""

    def __init__(
        self,
        plan: _Plan,
        count: int,
        numbers: Iterator[int],
        finished: asyncio.Queue[Trajectory],
    ) -> None:
        self._plan = plan
        self._numbers = numbers
        self._finished = finished
        self._tasks = [asyncio.create_task(self._work()) for _ in range(count)]

    async def next_finished(self) -> Trajectory:
        """Return the next finished trajectory, or raise what broke a worker."""
        if not self._finished.empty():
            return self._finished.get_nowait()
        getter = asyncio.create_task(self._finished.get())
        waiting: set[asyncio.Task[Any]] = {getter, *self._tasks}
        try:
            while not getter.done():
                done, waiting = await asyncio.wait(
                    waiting, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done - {getter}:
                    task.result()  # raises what the worker raised
            return getter.result()
        finally:
            getter.cancel()

    async def aclose(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        env = self._plan.make_env()
        try:
            for number in self._numbers:
                await self._finished.put(await _episode(self._plan, env, number))
        finally:
            env.close()


async def _episode(plan: _Plan, env: gym.Env[Any, Any], number: int) -> Trajectory:
    """Play one episode, again after a fault, and return its record."""
    for attempt in range(1, plan.retries + 2):
        run = RunInfo(
            policy_name(plan.policy), number, number // plan.group_size, attempt
        )
        clock = _Clock()
        fault = None
        try:
            await _play(plan, env, number, clock)
        except EnvironmentFault as err:
            fault = str(err)
        record = _tool_env(env).trajectory.with_run(run, clock.timing())
        if fault is None:
            return record
        record = replace(record, fault=fault, stop_reason=None, score=None)
    return record


async def _play(
    plan: _Plan, env: gym.Env[Any, Any], number: int, clock: _Clock
) -> None:
    arguments = plan.reset_arguments(number)
    tool_env = _tool_env(env)
    tool_env.forget(seed=arguments["seed"], **arguments.get("options", {}))
    with clock.env():
        request, _ = env.reset(**arguments)
    actor = bound(plan.policy, tool_env, number)
    over = False
    while not over:
        with clock.policy():
            reply = await actor.reply(request)
        with clock.env():
            request, _, terminated, truncated, _ = env.step(reply)
        over = terminated or truncated
        if over and tool_env.trajectory.stop_reason is None:  # a wrapper ended it
            tool_env.end(StopReason.GOAL if terminated else StopReason.MAX_TURNS)
        await asyncio.sleep(0)  # a policy that never waits must not starve the others


def _tool_env(env: gym.Env[Any, Any]) -> ToolEnv:
    inner = env.unwrapped
    if not isinstance(inner, ToolEnv):
        raise TypeError(
            f"rollouts need a ToolEnv, {type(inner).__name__} is none: "
            "only those keep a trajectory"
        )
    return inner


class _Clock:
    """Adds up seconds of wall clock."""

    def __init__(self) -> None:
        self._seconds = {"policy": 0.0, "env": 0.0}

    def policy(self) -> _Lap:
        return _Lap(self._seconds, "policy")

    def env(self) -> _Lap:
        return _Lap(self._seconds, "env")

    def timing(self) -> Timing:
        return Timing(self._seconds["policy"], self._seconds["env"])


class _Lap:
    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        self._seconds[self._name] += time.perf_counter() - self._started
