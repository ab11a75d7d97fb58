"""`ChatVectorEnv`: many episodes side by side, none of which waits for another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from llm_gym.errors import ActionError
from llm_gym.threads import Workers
from llm_gym.vector.batches import SlotBatch
from llm_gym.vector.infos import batch_infos
from llm_gym.vector.plans import Planner
from llm_gym.vector.slots import Basket, Outcome, Result, Slot, close_after, deliver
from llm_gym.vector.sources import EnvSource, Kinds, parse_envs
from llm_gym.vector.spaces import batched_space, common_space
from llm_gym.vector.starts import Seeds, per_slot, read_starts

__all__ = ["ChatVectorEnv"]

Observations: TypeAlias = tuple[Any, ...]
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Step: TypeAlias = tuple[Observations, Array, Array, Array, dict[str, Any]]
Job: TypeAlias = tuple[int, Callable[[], Outcome]]

_GRACE_SECONDS = 0.5
"""How long `close` waits for threads whose tools are still at work."""


class ChatVectorEnv(VectorEnv[Observations, Sequence[Any], Array]):
    """N slots, in each of which one episode runs at a time.

    A slot whose episode has ended stays as it is until it is reset: autoreset is
    disabled, `active` says which slots run, and the last observation is the final one.
    Environments whose steps wait for something (`llm_gym.threads.blocks`) are stepped
    in threads, at the same time; all others here, one after the other.

    A fault ends its own slot alone: reward NaN, truncated, and `fault` in its `info`. A
    slot that could not even be reset shows None and is not active.

    Example:
        >>> envs = gym.make_vec("llmgym/MultiStep-v0", num_envs=64)
        >>> requests, info = envs.reset(seed=7)
        >>> while envs.active.any():
        ...     replies = [reply(request) for request in requests]
        ...     requests, rewards, terminated, truncated, info = envs.step(replies)

    An id of your own gets it with `vector_entry_point="llm_gym.vector:" + id` in
    `gym.register`.

    Args:
        envs: An id, a spec or a function, for all slots; a list of them, one for each
            slot; or a mixture, `{id: weight}`, of which each reset draws one.
        num_envs: The number of slots N; may be left out for a list.
        env_kwargs: What environments are made with.
        max_threads: The most threads that step blocking environments.

    Attributes:
        infos: For each slot the `info` of its last reset or turn.

    Raises:
        TypeError: There is nothing that an environment can be made from.
        ValueError: The number of slots or a weight is out of range, or environments
            differ in what they observe.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # as its envs' are
        "autoreset_mode": AutoresetMode.DISABLED,
        "render_modes": ["ansi"],
    }

    def __init__(
        self,
        envs: EnvSource,
        num_envs: int | None = None,
        *,
        env_kwargs: Mapping[str, Any] | None = None,
        max_threads: int = 256,
    ) -> None:
        self._kinds: Kinds = parse_envs(envs, num_envs, env_kwargs or {})
        self.num_envs = len(self._kinds.slots)
        makers = self._kinds.makers
        made = [Slot(makers[kind](), kind) for kind in self._kinds.slots]
        self._slots = made
        self._spare: list[list[gym.Env[Any, Any]]] = [[] for _ in makers]
        for kind in set(range(len(makers))) - set(self._kinds.slots):
            self._spare[kind].append(makers[kind]())  # more environments than slots
        first = {slot.kind: slot.env for slot in reversed(made)}
        samples = [
            first[kind] if kind in first else self._spare[kind][0]
            for kind in range(len(makers))
        ]
        self._set_spaces([env.observation_space for env in samples], "observation")
        self._set_spaces([env.action_space for env in samples], "action")
        self._planner = Planner(self._kinds, samples)
        self.render_mode = made[0].env.render_mode
        self._active = np.zeros(self.num_envs, dtype=np.bool_)
        self.infos: list[dict[str, Any]] = [{} for _ in made]
        self._threads = Workers(min(max_threads, self.num_envs), "llm_gym-vector")
        self._sent: set[int] = set()
        self._basket = Basket()

    @property
    def active(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which slots' episodes run, `(N,)`, a copy."""
        return self._active.copy()

    @property
    def envs(self) -> tuple[gym.Env[Any, Any], ...]:
        """The environments that are in the slots now."""
        return tuple(slot.env for slot in self._slots)

    def env_of(self, slot: int) -> gym.Env[Any, Any]:
        """Return the environment that is in a slot now."""
        return self._slots[slot].env

    @property
    def env_names(self) -> tuple[str, ...]:
        """For each slot the id of the environment that is in it now."""
        return tuple(self._kinds.names[slot.kind] for slot in self._slots)

    @property
    def mixture(self) -> dict[str, float]:
        """The environments by name, and how often each is drawn; {} if none is."""
        return dict(zip(self._kinds.names, self._kinds.weights or (), strict=False))

    @property
    def blocks(self) -> bool:
        """Whether some slots are stepped in threads."""
        return any(slot.blocks for slot in self._slots)

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin an episode in every slot, or in those of a mask.

        Args:
            seed: One for each slot, or a number from which they count up. A slot of a
                mixture draws its environment from its seed too.
            options: All may be left out. `tasks` (or `task_ids`): for each slot a
                `Task`, an id or None; `task` or `task_id`: one for all; `envs`: for
                each slot the environment of a mixture, by id; `reset_mask`: which slots
                to reset, an array `(N,)` of np.bool_. Any other is handed on.

        Returns:
            Each slot's observation, and `info` batched, with the list as `infos`.

        Raises:
            TypeError: An option is of another type than it should be.
            ValueError: An option is not of one value for each slot.
            UnknownTaskError: There is no such task; no slot has changed.
            AlreadyPendingCallError: One of the slots is at work for `send`.
        """
        starts, shared = read_starts(self.num_envs, seed, options)
        self._need_idle([start.slot for start in starts], "reset")
        plans = self._planner.plan(starts, shared, self._slots, self.np_random)
        if isinstance(seed, int):
            super().reset(seed=seed)
        jobs: list[Job] = []
        for plan in plans:
            slot = self._slots[plan.slot]
            slot.rng = plan.rng
            self._exchange(slot, plan.kind)
            jobs.append((plan.slot, partial(slot.reset, plan.seed, plan.options)))
        took_part = self._run(jobs)
        observations = tuple(slot.observation for slot in self._slots)
        return observations, batch_infos(self._infos_of(took_part))

    def step(self, actions: Sequence[Any]) -> Step:
        """Take a turn in every active slot, and wait for the slowest.

        Args:
            actions: For each slot a reply. What stands for a slot that is not active is
                not looked at; None will do. An `EnvironmentFault` ends the slot as one
                of its own would: so a policy says that it has no reply.

        Returns:
            Observations, rewards `(N,)`, terminated `(N,)`, truncated `(N,)` and
            `info`. A slot that was not active shows its final observation once more,
            reward 0.0 and neither flag, so that nothing is counted twice.

        Raises:
            ActionError: An active slot's action is no reply; no slot has changed.
            ResetNeeded: No slot is active.
            AlreadyPendingCallError: A slot is at work for `send`.
        """
        ids = np.flatnonzero(self._active).tolist()
        if not ids:
            raise gym.error.ResetNeeded(
                "no slot is active: call `reset()` before the next `step()`"
            )
        self._need_idle(range(self.num_envs), "step")
        given = per_slot("actions", actions, self.num_envs)
        took_part = self._run(self._turns(ids, [given[slot] for slot in ids]))
        rewards = np.zeros(self.num_envs)
        terminated = np.zeros(self.num_envs, dtype=np.bool_)
        truncated = np.zeros(self.num_envs, dtype=np.bool_)
        for slot, outcome in took_part.items():
            rewards[slot] = outcome.reward
            terminated[slot] = outcome.terminated
            truncated[slot] = outcome.truncated
        observations = tuple(slot.observation for slot in self._slots)
        info = batch_infos(self._infos_of(took_part))
        return observations, rewards, terminated, truncated, info

    def send(self, actions: Sequence[Any], ids: Sequence[int] | Array) -> None:
        """Begin a turn in some active slots, and wait for none that blocks.

        Args:
            actions: A reply for each of `ids`; see `step`.
            ids: The slots' numbers.

        Raises:
            ActionError: An action is no reply; no slot has changed.
            ValueError: `ids` names a slot twice, one that there is not, or another
                number of slots than there are actions.
            ResetNeeded: One of the slots is not active.
            AlreadyPendingCallError: One of them is at work already.
        """
        slots = [int(slot) for slot in ids]
        wrong = len(slots) != len(actions) or len(slots) != len(set(slots))
        if wrong or not all(0 <= slot < self.num_envs for slot in slots):
            raise ValueError(
                f"expected a different slot below {self.num_envs} for each of "
                f"{len(actions)} actions, came {slots}"
            )
        self._need_idle(slots, "send")
        ended = [slot for slot in slots if not self._active[slot]]
        if ended:
            raise gym.error.ResetNeeded(f"the slots {ended} are not active: reset them")
        jobs = self._turns(slots, actions)
        waiting = self._submit(jobs, self._basket)
        self._sent |= waiting
        for number, work in jobs:
            if number not in waiting:
                outcome = self._here(number, work)
                self._sent.add(number)
                self._basket.put((number, self._slots[number].ticket, outcome))

    def recv(self, min_n: int = 1, timeout: float | None = None) -> SlotBatch:
        """Fetch turns that have ended.

        Args:
            min_n: How many to wait for; all that are under way where there are fewer.
            timeout: Seconds after which to return what there is, even if that is
                nothing; None for no end.

        Raises:
            NoAsyncCallError: Nothing is under way.
        """
        if not self._sent:
            raise gym.error.NoAsyncCallError("`send` actions first", "recv")
        wanted = min(min_n, len(self._sent))
        deadline = None if timeout is None else time.monotonic() + timeout
        fresh: list[Result] = []
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            results = self._basket.take(wanted - len(fresh), left)
            fresh += [one for one in results if self._slots[one[0]].ticket == one[1]]
            if len(fresh) >= wanted or left == 0.0:
                break
        return SlotBatch.of(self._accept(fresh))

    def when_ready(self, callback: Callable[[], object] | None) -> None:
        """Have a function called whenever there is something to `recv`.

        Args:
            callback: Called from any thread, and must be brief; None for none.
        """
        self._basket.when_put = callback

    def abandon(self, ids: Iterable[int]) -> None:
        """Give up slots that are at work: they have no result and are not active.

        What hangs stays behind in its thread with its environment, which is closed when
        it ends; the slot gets a new one.

        Args:
            ids: The slots' numbers, those of idle ones among them.
        """
        for number in ids:
            if not self._is_busy(number):
                continue
            slot = self._slots[number]
            slot.ticket += 1
            if slot.work is not None and not slot.work.done():
                slot.work.add_done_callback(partial(close_after, slot.env))
                slot.put(self._kinds.makers[slot.kind](), slot.kind)
            slot.work = None
            self._active[number] = False
            self._sent.discard(number)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of the environment in each slot, or return an attribute."""
        found = [slot.env.get_wrapper_attr(name) for slot in self._slots]
        return tuple(one(*args, **kwargs) if callable(one) else one for one in found)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute of the environment in each slot."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of the environment in each slot.

        Args:
            name: The attribute's name.
            values: A list or tuple of one for each slot, or one for all.

        Raises:
            ValueError: There are more or fewer than slots.
        """
        if not isinstance(values, (list, tuple)):
            values = [values] * self.num_envs
        for slot, value in zip(
            self._slots, per_slot("values", values, self.num_envs), strict=True
        ):
            slot.env.set_wrapper_attr(name, value)

    def render(self) -> tuple[Any, ...]:
        """Return what each slot's environment renders."""
        return self.call("render")

    def close_extras(self, **kwargs: Any) -> None:
        """Close the environments; one that hangs is left to its daemon thread."""
        self._threads.close(_GRACE_SECONDS)
        for slot in self._slots:
            if slot.work is None:
                slot.env.close()
            else:
                slot.work.add_done_callback(partial(close_after, slot.env))
        for env in (env for spare in self._spare for env in spare):
            env.close()

    def _turns(self, ids: Sequence[int], actions: Sequence[Any]) -> list[Job]:
        """Return the turns to take, after a look at every action."""
        for number, action in zip(ids, actions, strict=True):
            try:
                self._slots[number].check(action)
            except ActionError as err:
                raise ActionError(f"the action of slot {number}: {err}") from err
        return [
            (number, partial(self._slots[number].step, action))
            for number, action in zip(ids, actions, strict=True)
        ]

    def _run(self, jobs: Sequence[Job]) -> dict[int, Outcome]:
        """Do jobs and wait for all; raise the first error when the others are kept."""
        basket = Basket()
        waiting = self._submit(jobs, basket)
        outcomes = {
            number: self._here(number, work)
            for number, work in jobs
            if number not in waiting
        }
        results = basket.take(len(waiting), None)
        outcomes |= {
            number: outcome
            for number, ticket, outcome in results
            if self._slots[number].ticket == ticket
        }
        for number, outcome in outcomes.items():
            self._commit(number, outcome)
        for outcome in outcomes.values():
            if outcome.error is not None:
                raise outcome.error
        return outcomes

    def _submit(self, jobs: Iterable[Job], basket: Basket) -> set[int]:
        """Hand the jobs of blocking slots to threads; return the slots' numbers."""
        submitted = set()
        for number, work in jobs:
            slot = self._slots[number]
            if slot.blocks:
                slot.ticket += 1
                slot.work = self._threads.submit(work)
                slot.work.add_done_callback(
                    partial(deliver, basket, number, slot.ticket)
                )
                submitted.add(number)
        return submitted

    def _here(self, number: int, work: Callable[[], Outcome]) -> Outcome:
        try:
            return work()
        except BaseException:  # an interrupt leaves half a turn behind
            self._active[number] = False
            raise

    def _accept(self, results: Sequence[Result]) -> list[tuple[int, Outcome]]:
        """Commit what was sent for; raise an error and keep the others for later."""
        failed = next((one for one in results if one[2].error is not None), None)
        if failed is not None:
            for one in results:
                if one is not failed:
                    self._basket.put(one)
            results = [failed]
        for number, _, outcome in results:
            self._sent.discard(number)
            self._commit(number, outcome)
        if failed is not None and failed[2].error is not None:
            raise failed[2].error
        return [(number, outcome) for number, _, outcome in results]

    def _commit(self, number: int, outcome: Outcome) -> None:
        slot = self._slots[number]
        slot.observation = outcome.observation
        slot.work = None
        self._active[number] = outcome.active
        self.infos[number] = outcome.info

    def _infos_of(self, took_part: Mapping[int, Outcome]) -> list[dict[str, Any]]:
        infos: list[dict[str, Any]] = [{} for _ in self._slots]
        for number, outcome in took_part.items():
            infos[number] = outcome.info
        return infos

    def _need_idle(self, ids: Iterable[int], what: str) -> None:
        busy = [number for number in ids if self._is_busy(number)]
        if busy:
            raise gym.error.AlreadyPendingCallError(
                f"the slots {busy} are at work: `recv` or `abandon` them before "
                f"`{what}`",
                what,
            )

    def _is_busy(self, number: int) -> bool:
        return self._slots[number].work is not None or number in self._sent

    def _exchange(self, slot: Slot, kind: int) -> None:
        """Put an environment of a kind into a slot, a spare one if there is one."""
        if slot.kind == kind:
            return
        try:
            env = self._spare[kind].pop()
        except IndexError:
            env = self._kinds.makers[kind]()
        self._spare[slot.kind].append(slot.env)
        slot.put(env, kind)

    def _set_spaces(self, spaces: Sequence[gym.Space[Any]], name: str) -> None:
        """Set the single and the batched space, from those of each kind."""
        single = common_space(spaces)
        mixed = self._kinds.weights is not None
        batched = batched_space(
            single if mixed else spaces[k] for k in self._kinds.slots
        )
        setattr(self, f"single_{name}_space", single)
        setattr(self, f"{name}_space", batched)
