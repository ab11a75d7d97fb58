"""What a run of episodes is asked to do: which environments, tasks, seeds and limits.

Everything here follows from the arguments and an episode's number alone, so that a run
has the same content whatever the order in which its episodes end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np

from llm_gym.policies.base import EnvPolicy, Policy
from llm_gym.seeding import draw_of_group, seed_of_group
from llm_gym.verifiers.base import GroupVerifier, least_members

__all__ = ["EnvSource", "Limits", "Plan", "parse_mixture"]

Maker: TypeAlias = Callable[..., gym.Env[Any, Any]]
EnvSource: TypeAlias = (
    str | Maker | Mapping[str, float] | Sequence[str] | Sequence[tuple[str, float]]
)
"""An id, a function that makes one, or a mixture: ids, with or without weights."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the stages of an episode may take, in seconds of wall clock.

    More is a fault, which is retried and never a reward. To end an episode with a score
    instead, give the environment `max_seconds`.

    Attributes:
        reply: One reply of the policy, waiting for a batch included.
        tools: One `reset()` or `step()`: a turn's tools, the verifier on the last one.
            Each is then taken in a thread, which is left behind if it hangs.
        episode: All of it.

    Raises:
        ValueError: A limit is not above zero.
    """

    reply: float | None = None
    tools: float | None = None
    episode: float | None = None

    def __post_init__(self) -> None:
        for name in ("reply", "tools", "episode"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise ValueError(
                    f"`{name}` must be above 0 seconds or None, not {seconds!r}"
                )


@dataclass(frozen=True, slots=True)
class Mixture:
    """Environments and how often each is drawn.

    Attributes:
        makers: What makes one: an id or a function.
        shares: How often it is drawn; they add up to 1.
        kwargs: What it is made with.
    """

    makers: tuple[str | Maker, ...]
    shares: tuple[float, ...]
    kwargs: tuple[Mapping[str, Any], ...]

    def make(self, which: int) -> gym.Env[Any, Any]:
        """Make one of its environments."""
        maker, kwargs = self.makers[which], self.kwargs[which]
        if isinstance(maker, str):
            return gym.make(maker, disable_env_checker=True, **kwargs)
        return maker(**kwargs)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call of `rollout` asked for; see there.

    Raises:
        ValueError: A number is out of range.
    """

    mixture: Mixture
    policy: Policy | EnvPolicy
    episodes: int
    concurrency: int
    group_size: int
    seed: int
    tasks: tuple[str, ...] | None
    retries: int
    limits: Limits
    progress: bool = False
    group_verifier: GroupVerifier | None = None

    def __post_init__(self) -> None:
        self.check_group(self.group_verifier)
        least = {
            "episodes": 1,
            "concurrency": 1,
            "group_size": 1,
            "seed": 0,
            "retries": 0,
        }
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
        if self.tasks is not None and len(self.mixture.makers) > 1:
            raise ValueError(
                "`tasks` are of one environment: a mixture of "
                f"{len(self.mixture.makers)} cannot take them"
            )

    def check_group(self, verifier: GroupVerifier | None) -> None:
        """Raise unless groups are large enough for a verifier of groups.

        Raises:
            TypeError: It is none.
            ValueError: It needs more members.
        """
        if verifier is None:
            return
        if not isinstance(verifier, GroupVerifier):
            raise TypeError(
                f"`group_verifier` must have `verify_group`, {verifier!r} has none"
            )
        needed = least_members(verifier)
        if self.group_size < needed:
            raise ValueError(
                f"`{type(verifier).__name__}` judges groups of at least {needed}: "
                f"`group_size` must not be {self.group_size}"
            )

    @property
    def title(self) -> str:
        """What the run is called: its environments' ids."""
        return " ".join(key for key in self.mixture.makers if isinstance(key, str))

    def group(self, episode: int) -> int:
        """Return the number of an episode's group."""
        return episode // self.group_size

    def which_env(self, episode: int) -> int:
        """Return which environment an episode plays in, the same for its group."""
        if len(self.mixture.makers) == 1:
            return 0
        draw = draw_of_group(self.seed, self.group(episode))
        return int(np.searchsorted(np.cumsum(self.mixture.shares)[:-1], draw, "right"))

    def reset_arguments(self, episode: int) -> dict[str, Any]:
        """Return what `reset` gets: the same for every member of a group."""
        group = self.group(episode)
        arguments: dict[str, Any] = {"seed": seed_of_group(self.seed, group)}
        if self.tasks is not None:
            task_id = self.tasks[group % len(self.tasks)]
            arguments["options"] = {"task_id": task_id}
        return arguments


def parse_mixture(env: EnvSource, env_kwargs: Mapping[str, Any] | None) -> Mixture:
    """Read what `rollout` takes as `env` and `env_kwargs`.

    Raises:
        TypeError: It is neither an id, a function nor a mixture of ids.
        ValueError: A weight is not above zero, or arguments are for an unknown id.
    """
    weights = _weights(env)
    shared = dict(env_kwargs or {})
    named = [key for key in shared if "/" in key]
    unknown = [key for key in shared if key in named and key not in weights]
    if unknown or (named and len(named) < len(shared)):
        raise ValueError(
            "`env_kwargs` must be one environment's arguments, or those of each of the "
            f"ids {list(map(str, weights))}, not {sorted(shared)}"
        )
    total = sum(weights.values())
    return Mixture(
        tuple(weights),
        tuple(weight / total for weight in weights.values()),
        tuple(shared.get(str(key), {}) if named else shared for key in weights),
    )


def _weights(env: EnvSource) -> dict[str | Maker, float]:
    if isinstance(env, str) or callable(env):
        return {env: 1.0}
    items: Iterable[Any] = ()
    if isinstance(env, Mapping):
        items = env.items()
    elif isinstance(env, Sequence):
        items = [(item, 1.0) if isinstance(item, str) else item for item in env]
    weights: dict[str | Maker, float] = {}
    for item in items:
        if not (isinstance(item, tuple) and len(item) == 2 and item[0] not in weights):
            weights.clear()
            break
        weights[item[0]] = item[1]
    if not weights or not all(isinstance(key, str) for key in weights):
        raise TypeError(
            "`env` must be an id, a function that makes an environment, a list of "
            f"different ids, or ids with weights, not {env!r}"
        )
    if not all(0 < weight < float("inf") for weight in weights.values()):
        raise ValueError(f"weights must be above 0, not {list(weights.values())}")
    return weights
