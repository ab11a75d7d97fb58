"""Running episodes: many at once in one process, without a barrier between turns.

`concurrency` episodes are live at once. While one waits for its reply or its tools the
others go on, so that a policy that batches always finds the calls that are ready, and
none waits for the slowest.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from llm_gym.policies.base import EnvPolicy, Policy
from llm_gym.rollouts.crew import Crew
from llm_gym.rollouts.plan import EnvSource, Limits, Plan, parse_mixture
from llm_gym.trajectory import Trajectory
from llm_gym.verifiers.base import GroupVerifier

__all__ = ["arollout", "rollout"]

P = ParamSpec("P")
T = TypeVar("T")

_DOC = """Run episodes and yield their trajectories as they end.

    Example:
        >>> for trajectory in rollout("llmgym/MultiStep-v0", policy, episodes=64):
        ...     print(trajectory.task.id, trajectory.episode_return)

    Args:
        env: A registered id; an environment class or a function that makes one; or a
            mixture, as a list of ids or as ids with weights (a dict, or pairs). Each
            group draws its environment.
        policy: What acts; `llm_gym.policies` has several.
        episodes: How many episodes to run; a multiple of `group_size`.
        concurrency: Episodes that are live at once.
        group_size: Episodes that share a task and a seed, so that they start from the
            same observation.
        seed: Decides the tasks. The same seed, policy and replies give the same
            trajectories, though not always in the same order.
        tasks: Task ids to take in turn, a group each, instead of drawing them.
        env_kwargs: What environments are made with; in a mixture either for all, or by
            id.
        retries: How often an episode is started again after a fault, in a new
            environment.
        limits: How long a reply, a turn's tools and an episode may take.
        group_verifier: Judges the members of a group together when all have ended; its
            scores stand in `group_score` and count in `episode_return`. Without one,
            the environment's own does, if it has one.
        progress: Whether to show a bar on the error stream.

    Yields:
        Finished trajectories in the order of completion, a group's members together.
        One whose last attempt failed too has its `fault` set and NaN as its return:
        never a zero; so have the other members of its group, which is then incomplete.
        While trajectories are not taken, no new episodes begin. If the consumer stops,
        or Ctrl-C comes, what runs is cancelled; what had ended by then is yielded
        before the KeyboardInterrupt is raised.

    Raises:
        TypeError: `env` is none of these, or the policy is no policy.
        ValueError: A number is out of range, or groups are too small for the verifier
            of groups.
        RuntimeError: Called inside a running event loop; use `arollout` there.
    """


def _arguments(  # noqa: PLR0913  # one call says all of a run
    env: EnvSource,
    policy: Policy | EnvPolicy,
    *,
    episodes: int,
    concurrency: int = 16,
    group_size: int = 1,
    seed: int = 0,
    tasks: Sequence[str] | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    retries: int = 1,
    limits: Limits | None = None,
    group_verifier: GroupVerifier | None = None,
    progress: bool = False,
) -> Plan:
    """Read the arguments of `rollout` and `arollout`."""
    return Plan(
        mixture=parse_mixture(env, env_kwargs),
        policy=policy,
        episodes=episodes,
        concurrency=concurrency,
        group_size=group_size,
        seed=seed,
        tasks=None if tasks is None else _task_ids(tasks),
        retries=retries,
        limits=limits or Limits(),
        group_verifier=group_verifier,
        progress=progress,
    )


def _task_ids(tasks: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tasks, str) or not tasks:
        raise ValueError(f"`tasks` must be a sequence of task ids, not {tasks!r}")
    return tuple(tasks)


def _public(
    arguments: Callable[P, Plan], run: Callable[[Plan], T], name: str, doc: str
) -> Callable[P, T]:
    """Return a function that reads those arguments at once and then runs."""

    @wraps(arguments)
    def function(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(arguments(*args, **kwargs))

    returns = run.__annotations__["return"]
    function.__annotations__ = {**arguments.__annotations__, "return": returns}
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _run(plan: Plan) -> Iterator[Trajectory]:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _drive(plan)
    raise RuntimeError(
        "an event loop is running here (a notebook, say): write "
        "`async for trajectory in llm_gym.arollout(...)` instead"
    )


def _drive(plan: Plan) -> Iterator[Trajectory]:
    """Drive the asynchronous engine from ordinary code."""
    crew = Crew(plan)
    with asyncio.Runner() as runner:
        try:
            while (trajectory := runner.run(crew.next())) is not None:
                yield trajectory
                yield from crew.finished()  # each `run` costs a tenth of a millisecond
        except KeyboardInterrupt:
            runner.run(crew.aclose())
            yield from crew.finished()
            raise
        finally:
            runner.run(crew.aclose())


def _arun(plan: Plan) -> AsyncIterator[Trajectory]:
    return _stream(plan)


async def _stream(plan: Plan) -> AsyncGenerator[Trajectory, None]:
    crew = Crew(plan)
    try:
        while (trajectory := await crew.next()) is not None:
            yield trajectory
    finally:
        await crew.aclose()


rollout = _public(_arguments, _run, "rollout", _DOC)
arollout = _public(
    _arguments,
    _arun,
    "arollout",
    "Run episodes in a running event loop; see `rollout`.",
)
