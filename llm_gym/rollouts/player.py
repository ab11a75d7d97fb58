"""Playing one episode after the other: environments, threads, limits, retries.

Knows what an episode goes through; which episodes there are and who takes their
trajectories is the engine's affair.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import gymnasium as gym

from llm_gym.env import ToolEnv
from llm_gym.errors import EnvironmentFault, PolicyFault
from llm_gym.policies.base import bound, policy_name
from llm_gym.rollouts.pace import Pace
from llm_gym.rollouts.plan import Plan
from llm_gym.threads import Workers, blocks
from llm_gym.tokens.trace import TokenTrace
from llm_gym.trajectory import RunInfo, StopReason, Timing, Trajectory, as_score
from llm_gym.verifiers.base import GroupVerifier

__all__ = ["Player"]

T = TypeVar("T")

_MAX_THREADS = 256
_GRACE_SECONDS = 0.5
"""How long `close` waits for threads whose tools are still at work."""


class Player:
    """Plays the episodes of a plan, any number at once, in environments that it keeps.

    Args:
        plan: What to play.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._name = policy_name(plan.policy)
        self._pace = Pace()
        self._idle: dict[int, list[_Stage]] = defaultdict(list)
        self._group_verifiers: dict[int, GroupVerifier | None] = {}
        self._threads = Workers(min(plan.concurrency, _MAX_THREADS), "llm_gym-tools")

    async def play(self, number: int) -> Trajectory:
        """Play one episode, again after a fault, and return its record.

        Args:
            number: The episode's number.

        Returns:
            Its trajectory; one whose last attempt failed has its `fault` set.
        """
        plan = self._plan
        for attempt in range(1, plan.retries + 2):
            run = RunInfo(self._name, number, plan.group(number), attempt)
            record = await self._attempt(number, run)
            if record.fault is None:
                break
        return record

    async def judge(self, members: list[Trajectory]) -> list[Trajectory]:
        """Have a complete group judged together, if something judges groups.

        Args:
            members: The group's trajectories, in order, none with a fault.

        Returns:
            They with their `group_score`.

        Raises:
            EnvironmentFault: No attempt worked.
        """
        number = members[0].run.episode if members[0].run else 0
        own = self._group_verifiers.get(self._plan.which_env(number))
        verifier = self._plan.group_verifier or own
        if verifier is None:
            return members
        fault = ""
        for _ in range(self._plan.retries + 1):
            try:
                work = self._threads.submit(_judged, verifier, members)
                return await asyncio.wrap_future(work)
            except Exception as err:  # noqa: BLE001  # whatever it is, it is a fault
                fault = f"judging the group raised {type(err).__name__}: {err}"
        raise EnvironmentFault(fault)

    def close(self) -> None:
        """Close the environments and end the threads.

        A tool that hangs is left behind in its daemon thread, with its environment.
        """
        self._threads.close(_GRACE_SECONDS)
        for stages in self._idle.values():
            for stage in stages:
                stage.env.close()
        self._idle.clear()

    async def _attempt(self, number: int, run: RunInfo) -> Trajectory:
        """Play an episode once; a fault is in its record."""
        which = self._plan.which_env(number)
        clock, trace, fault = _Clock(), TokenTrace(), None
        async with self._stage(which) as stage:
            stage.failed = True  # until the episode has ended well
            try:
                async with asyncio.timeout(self._plan.limits.episode) as limit:
                    await self._play(stage, number, clock, trace)
            except EnvironmentFault as err:
                fault = str(err)
            except TimeoutError:
                if not limit.expired():  # not ours: a bug that must be seen
                    raise
                fault = _too_long("the episode", self._plan.limits.episode)
            else:
                stage.failed = False
            run = replace(run, wrappers=stage.wrappers)
            record = stage.tool_env.trajectory.with_run(run, clock.timing())
        if fault is not None:
            return replace(record, fault=fault, stop_reason=None, score=None)
        return record.with_tokens(trace.record()) if trace else record

    async def _play(
        self, stage: _Stage, number: int, clock: _Clock, trace: TokenTrace
    ) -> None:
        arguments = self._plan.reset_arguments(number)
        options = arguments.get("options", {})
        stage.tool_env.forget(seed=arguments["seed"], **options)
        with clock.env():
            request, _ = await self._act(stage, lambda: stage.env.reset(**arguments))
        actor = bound(self._plan.policy, stage.tool_env, number)
        over = False
        while not over:
            with clock.policy():
                reply = await self._reply(actor.reply(request, trace))
            with clock.env():
                step = await self._act(stage, lambda: stage.step(reply))  # noqa: B023  # called at once
            request, _, terminated, truncated, _ = step
            over = terminated or truncated

    async def _reply(self, reply: Any) -> Any:
        seconds = self._plan.limits.reply
        if seconds is None:
            return await reply
        try:
            async with asyncio.timeout(seconds) as limit:
                return await reply
        except TimeoutError as err:
            if not limit.expired():
                raise
            raise PolicyFault(_too_long("a reply", seconds)) from err

    async def _act(self, stage: _Stage, act: Callable[[], T]) -> T:
        """Reset or step: here, or in a thread where it waits for something."""
        await self._pace.wait()
        seconds = self._plan.limits.tools
        if seconds is None and not stage.blocks:
            return act()
        stage.work = work = self._threads.submit(act)
        try:
            async with asyncio.timeout(seconds) as limit:
                return await asyncio.wrap_future(work)
        except TimeoutError as err:
            if not limit.expired():
                raise
            what = "the tools of a turn"
            raise EnvironmentFault(_too_long(what, seconds)) from err

    def _new_stage(self, which: int) -> _Stage:
        stage = _Stage(self._plan.mixture.make(which))
        if self._plan.group_verifier is None and which not in self._group_verifiers:
            self._plan.check_group(stage.tool_env.group_verifier)
            self._group_verifiers[which] = stage.tool_env.group_verifier
        return stage

    @asynccontextmanager
    async def _stage(self, which: int) -> AsyncIterator[_Stage]:
        """Lend an environment; one that failed or is still at work does not return."""
        idle = self._idle[which]
        if not idle:
            await self._pace.wait()
        stage = idle.pop() if idle else self._new_stage(which)
        try:
            yield stage
        finally:
            if stage.failed:
                stage.give_up()
            else:
                idle.append(stage)


def _judged(verifier: GroupVerifier, members: list[Trajectory]) -> list[Trajectory]:
    scores = list(verifier.verify_group(members))
    if len(scores) != len(members):
        raise ValueError(f"{len(scores)} scores came for {len(members)} episodes")
    return [
        member.with_group_score(as_score(score))
        for member, score in zip(members, scores, strict=True)
    ]


class _Stage:
    """An environment and how it is doing."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        inner = env.unwrapped
        if not isinstance(inner, ToolEnv):
            env.close()
            raise TypeError(
                f"rollouts need a ToolEnv, {type(inner).__name__} is none: "
                "only those keep a trajectory"
            )
        self.env = env
        self.tool_env = inner
        self.blocks = blocks(inner)
        self.wrappers = _wrappers(env)
        self.failed = True
        self.work: Future[Any] | None = None

    def give_up(self) -> None:
        """Close the environment, as soon as no thread is at work in it."""
        if self.work is None:
            self.env.close()
        else:
            self.work.add_done_callback(lambda _: self.env.close())

    def step(self, reply: Any) -> Any:
        """Take a step, and have the episode judged where a wrapper ends it."""
        result = self.env.step(reply)
        terminated, truncated = result[2:4]
        if (terminated or truncated) and self.tool_env.trajectory.stop_reason is None:
            self.tool_env.end(StopReason.GOAL if terminated else StopReason.MAX_TURNS)
        return result


def _wrappers(env: gym.Env[Any, Any]) -> tuple[str, ...]:
    """Return the names of what was put around an environment, the inmost first."""
    names: list[str] = []
    while isinstance(env, gym.Wrapper):
        names.append(type(env).__name__)
        env = env.env
    return tuple(name for name in reversed(names) if name not in _HARMLESS)


_HARMLESS = {"OrderEnforcing", "PassiveEnvChecker"}  # `gym.make` adds them


def _too_long(what: str, seconds: float | None) -> str:
    return f"{what} took longer than its limit of {seconds} seconds"


@dataclass(slots=True)
class _Lap:
    """Adds what a `with` block takes to a sum."""

    seconds: float = 0.0
    began: float = 0.0

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        self.seconds += time.perf_counter() - self.began


class _Clock:
    """Adds up seconds of wall clock, waiting for a turn or a thread included."""

    def __init__(self) -> None:
        self._policy, self._env = _Lap(), _Lap()

    def policy(self) -> _Lap:
        return self._policy

    def env(self) -> _Lap:
        return self._env

    def timing(self) -> Timing:
        return Timing(self._policy.seconds, self._env.seconds)
