"""`BatchedPolicy`: a policy replies for all slots, and none waits for another."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from llm_gym.dispatch import OwnLoop
from llm_gym.env import ToolEnv
from llm_gym.errors import EnvironmentFault
from llm_gym.policies.base import EnvPolicy, Policy, bound, policy_name
from llm_gym.seeding import seed_of_group
from llm_gym.threads import Workers
from llm_gym.tokens.trace import TokenTrace
from llm_gym.trajectory import RunInfo, StopReason, Timing, Trajectory
from llm_gym.vector import ChatVectorEnv
from llm_gym.vector.starts import Seeds
from llm_gym.wrappers.vector._base import ChatVectorWrapper
from llm_gym.wrappers.vector._turns import Resets, Turns
from llm_gym.wrappers.vector.group_reset import GroupReset

__all__ = ["BatchedPolicy"]

T = TypeVar("T")
_RESET_THREADS = 64


class BatchedPolicy(ChatVectorWrapper):
    """Has one policy reply for every slot; a policy that batches gets them together.

    `run` plays whole episodes without a barrier: slots that are ready generate while
    the tools of others still work. `act` and `step` are for a loop of one's own.

    The policy's coroutines run in an event loop that the wrapper owns. Where one runs
    already, as in a notebook, that loop is driven from a thread, and the call waits.

    Example:
        >>> envs = BatchedPolicy(gym.make_vec("llmgym/MultiStep-v0", 64), policy)
        >>> for trajectory in envs.run(episodes=256, seed=7):
        ...     print(trajectory.task.id, trajectory.episode_return)

        >>> requests, _ = envs.reset(seed=7)
        >>> while envs.active.any():
        ...     requests, rewards, terminated, truncated, info = envs.step()

    Args:
        envs: A `ChatVectorEnv` of `ToolEnv`s, or a wrapper around one.
        policy: What replies; `llm_gym.policies` has several.

    Raises:
        TypeError: It is no `ChatVectorEnv`, an environment is no `ToolEnv`, or the
            policy is none.
    """

    def __init__(
        self, envs: VectorEnv[Any, Any, Any], policy: Policy | EnvPolicy
    ) -> None:
        super().__init__(envs)
        for env in self.chat_envs.envs:
            _tool_env(env)
        if isinstance(policy, type) or not isinstance(policy, (Policy, EnvPolicy)):
            raise TypeError(
                "a policy must have `async reply(request, trace=None)` or `bind(env)`, "
                f"{policy!r} has neither"
            )
        self.policy = policy
        self._requests: list[Any] = [None] * self.num_envs
        self._actors: list[Policy | None] = [None] * self.num_envs
        self._traces = [TokenTrace() for _ in range(self.num_envs)]
        self._terminated = np.zeros(self.num_envs, dtype=np.bool_)
        self._begun = 0
        self._running = False
        self._loop = OwnLoop()
        self._threads = Workers(_RESET_THREADS, "llm_gym-batched")

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Begin episodes, each with a token trace of its own; see `ChatVectorEnv`."""
        requests, info = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]  # a list is taken
        for slot, begun in enumerate(info["infos"]):
            if begun:  # `info` of a slot that was reset always tells its task
                self._begin(slot, requests[slot], self._begun)
                self._begun += 1
        return requests, info

    def act(self) -> list[Any]:
        """Return a reply for each active slot, None for each other.

        Where the policy's engine broke, its `PolicyFault` stands in the reply's place;
        `step` ends that slot with it.
        """
        return self._drive(self._act())

    def step(
        self, actions: Sequence[Any] | None = None
    ) -> tuple[
        tuple[Any, ...],
        np.ndarray[Any, np.dtype[Any]],
        np.ndarray[Any, np.dtype[Any]],
        np.ndarray[Any, np.dtype[Any]],
        dict[str, Any],
    ]:
        """Take a turn in every active slot; see `ChatVectorEnv.step`.

        Args:
            actions: For each slot a reply; without them the policy is asked.
        """
        actions = self.act() if actions is None else actions
        result = self.env.step(actions)
        self._requests = list(result[0])
        self._terminated |= result[2]
        return result

    def trajectory(self, slot: int) -> Trajectory:
        """Return the record of a slot's episode up to now, with its exact tokens.

        Where a wrapper has ended the episode it is judged first.

        Args:
            slot: The slot's number.
        """
        tool_env = _tool_env(self.chat_envs.env_of(slot))
        fault = self.infos[slot].get("fault")
        if fault is None and not self.active[slot]:
            fault = _judge(tool_env, bool(self._terminated[slot]))
        record = tool_env.trajectory
        if fault is not None:
            return replace(record, fault=fault, stop_reason=None, score=None)
        trace = self._traces[slot]
        return record.with_tokens(trace.record()) if trace else record

    def run(self, episodes: int, *, seed: int = 0) -> Iterator[Trajectory]:
        """Play whole episodes and yield their trajectories as they end.

        What runs in the slots already is given up. Within `GroupReset` a group is begun
        together. The seeds are those that `llm_gym.rollout` would give its episodes.

        Args:
            episodes: How many; a multiple of the group size.
            seed: Decides the tasks.

        Yields:
            Trajectories in the order of completion. After a fault, which is not tried
            again, `fault` is set and the return is NaN.

        Raises:
            TypeError: Another wrapper stands between this one and the `ChatVectorEnv`,
                which would not see the turns.
            ValueError: `episodes` or `seed` is out of range.
            RuntimeError: Another run is under way.
        """
        size = self._group_size()
        if episodes < 1 or episodes % size or seed < 0:
            raise ValueError(
                f"`episodes` must be a multiple of {size} above 0, and `seed` not "
                f"negative, not {episodes!r} and {seed!r}"
            )
        if self._running:
            raise RuntimeError("another run is under way: exhaust or close it first")
        return self._run(episodes // size, size, seed)

    def close(self, **kwargs: Any) -> None:
        """Close the event loop and the environments."""
        self._loop.close()
        self._threads.close()
        super().close(**kwargs)

    def _run(self, groups: int, size: int, seed: int) -> Iterator[Trajectory]:
        self._running = True
        stream = self._stream(groups, size, seed)
        try:
            while (record := self._drive(_next(stream))) is not None:
                yield record
        finally:
            try:
                self._drive(_close(stream))
            finally:
                self._running = False

    async def _stream(
        self, groups: int, size: int, seed: int
    ) -> AsyncGenerator[Trajectory, None]:
        numbers = iter(range(groups))
        threads = self._threads if self.chat_envs.blocks else None
        resets = Resets(self.env, threads)
        finished: asyncio.Queue[Trajectory | Exception] = asyncio.Queue(self.num_envs)
        with contextlib.closing(Turns(self.chat_envs)) as turns:

            async def work(slots: range) -> None:
                try:
                    for number in numbers:
                        await self._group(slots, number, seed, turns, resets, finished)
                except Exception as err:  # noqa: BLE001  # raised where it is read
                    await finished.put(err)

            places = min(self.num_envs // size, groups)
            units = [range(i * size, (i + 1) * size) for i in range(places)]
            tasks = [asyncio.create_task(work(slots)) for slots in units]
            try:
                for _ in range(groups * size):
                    record = await finished.get()
                    if isinstance(record, Exception):
                        raise record
                    yield record
            finally:
                await _cancel(tasks)

    async def _group(
        self,
        slots: range,
        number: int,
        seed: int,
        turns: Turns,
        resets: Resets,
        finished: asyncio.Queue[Trajectory | Exception],
    ) -> None:
        """Play the episodes of a group, each in its slot."""
        requests = await resets.begin(slots, seed_of_group(seed, number))

        async def play(slot: int) -> None:
            episode = number * len(slots) + slot - slots.start
            self._begin(slot, requests[slot], episode)
            timing = await self._episode(slot, turns)
            run = RunInfo(policy_name(self.policy), episode, number, 1)
            await finished.put(self.trajectory(slot).with_run(run, timing))

        tasks = [asyncio.create_task(play(slot)) for slot in slots]
        try:
            await asyncio.gather(*tasks)
        finally:
            await _cancel(tasks)

    async def _episode(self, slot: int, turns: Turns) -> Timing:
        policy_seconds = env_seconds = 0.0
        while self.active[slot]:
            began = time.perf_counter()
            reply = await self._reply(slot)
            replied = time.perf_counter()
            turn = await turns.take(slot, reply)
            self._requests[slot], self._terminated[slot] = turn
            policy_seconds += replied - began
            env_seconds += time.perf_counter() - replied
        return Timing(policy_seconds, env_seconds)

    async def _act(self) -> list[Any]:
        active = np.flatnonzero(self.active).tolist()
        tasks = [asyncio.create_task(self._reply(slot)) for slot in active]
        try:
            replies = await asyncio.gather(*tasks)
        finally:
            await _cancel(tasks)
        actions: list[Any] = [None] * self.num_envs
        for slot, reply in zip(active, replies, strict=True):
            actions[slot] = reply
        return actions

    async def _reply(self, slot: int) -> Any:
        actor = self._actors[slot]
        if actor is None:
            raise gym.error.ResetNeeded(f"slot {slot} has not been reset here")
        try:
            return await actor.reply(self._requests[slot], self._traces[slot])
        except EnvironmentFault as err:
            return err

    def _begin(self, slot: int, request: Any, episode: int) -> None:
        self._requests[slot] = request
        self._traces[slot] = TokenTrace()
        self._terminated[slot] = False
        if self.active[slot]:
            tool_env = _tool_env(self.chat_envs.env_of(slot))
            self._actors[slot] = bound(self.policy, tool_env, episode)

    def _group_size(self) -> int:
        size, env = 1, self.env
        while not isinstance(env, ChatVectorEnv):
            if not isinstance(env, ChatVectorWrapper):
                raise TypeError(
                    f"`{type(env).__name__}` would not see the turns of `run`: put it "
                    "around `BatchedPolicy` and call `step`"
                )
            size = env.group_size if isinstance(env, GroupReset) else size
            env = env.env
        return size

    def _drive(self, coroutine: Coroutine[Any, Any, T]) -> T:
        async def boxed() -> list[T]:
            return [await coroutine]

        try:
            result: T = self._loop.run(boxed())[0]
        except (KeyboardInterrupt, SystemExit):
            self._loop.close()  # cancels what an interrupt amid a step leaves behind
            raise
        return result


async def _next(stream: AsyncGenerator[Trajectory, None]) -> Trajectory | None:
    return await anext(stream, None)


async def _close(stream: AsyncGenerator[Trajectory, None]) -> None:
    await stream.aclose()


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _tool_env(env: gym.Env[Any, Any]) -> ToolEnv:
    inner = env.unwrapped
    if not isinstance(inner, ToolEnv):
        raise TypeError(
            f"`BatchedPolicy` needs ToolEnvs, {type(inner).__name__} is none: only "
            "those keep a trajectory"
        )
    return inner


def _judge(tool_env: ToolEnv, terminated: bool) -> str | None:
    """Have an episode judged that a wrapper has ended; return what broke."""
    record = tool_env.trajectory
    if record.stop_reason is None and record.fault is None and record.turns:
        try:
            tool_env.end(StopReason.GOAL if terminated else StopReason.MAX_TURNS)
        except EnvironmentFault as err:
            return str(err)
    return record.fault
