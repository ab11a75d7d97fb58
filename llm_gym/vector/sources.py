"""Which environments a vector environment plays, and which of them a slot draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

__all__ = ["EnvSource", "Kinds", "draw_kind", "kind_rng", "parse_envs", "read_weights"]

Maker: TypeAlias = Callable[[], gym.Env[Any, Any]]
Named: TypeAlias = str | EnvSpec | Maker
EnvSource: TypeAlias = Named | Sequence[Named] | Mapping[str, float]
"""One environment for all slots, one for each slot, or a mixture: ids with weights."""

_DRAW = 0x6D69786564  # keeps the draw of an environment apart from the episode's own


@dataclass(frozen=True, slots=True)
class Kinds:
    """The environments of a vector environment.

    Attributes:
        names: An id, or the name of what makes one.
        makers: Makes one.
        slots: For each slot the number of its environment, in a mixture the first.
        weights: How often each is drawn, in a mixture; else None.
    """

    names: tuple[str, ...]
    makers: tuple[Maker, ...]
    slots: tuple[int, ...]
    weights: tuple[float, ...] | None

    def number(self, name: object) -> int:
        """Return the number of an environment by its name or number.

        Raises:
            ValueError: There is none.
        """
        if isinstance(name, int) and 0 <= name < len(self.names):
            return name
        if name in self.names:
            return self.names.index(str(name))
        raise ValueError(f"expected one of {list(self.names)}, came {name!r}")


def parse_envs(
    envs: EnvSource, num_envs: int | None, env_kwargs: Mapping[str, Any]
) -> Kinds:
    """Read what `ChatVectorEnv` takes; see there.

    Raises:
        TypeError: It is nothing that an environment can be made from.
        ValueError: The number of slots is missing, zero or another than the list's.
    """
    if isinstance(envs, Mapping):
        size = _size(num_envs)
        weights = read_weights(envs, tuple(envs))
        named: list[Named] = list(envs)
        slots = tuple(slot % len(named) for slot in range(size))
    elif isinstance(envs, Sequence) and not isinstance(envs, str):
        if not envs or num_envs not in (None, len(envs)):
            raise ValueError(
                "a list holds one environment for each slot: expected "
                f"{num_envs or 'at least 1'}, came {len(envs)}"
            )
        named = [env for i, env in enumerate(envs) if env not in envs[:i]]
        slots, weights = tuple(named.index(env) for env in envs), None
    else:
        named, slots, weights = [envs], (0,) * _size(num_envs), None
    makers = tuple(_maker(env, env_kwargs) for env in named)
    return Kinds(tuple(map(_name, named)), makers, slots, weights)


def read_weights(
    weights: Mapping[str, float], names: Sequence[str]
) -> tuple[float, ...]:
    """Return the weights of environments in the order of their names.

    Args:
        weights: By name; one that is missing has 0.
        names: All there are.

    Raises:
        ValueError: A name is unknown, a weight is negative, or there is none above 0.
    """
    unknown = [name for name in weights if name not in names]
    if unknown:
        raise ValueError(f"weights are of {list(names)}, came also {unknown}")
    read = tuple(float(weights.get(name, 0.0)) for name in names)
    if not (all(0 <= weight < float("inf") for weight in read) and any(read)):
        raise ValueError(
            "weights must be finite and not below 0, and one above it, not "
            f"{dict(weights)}"
        )
    return read


def kind_rng(seed: int) -> np.random.Generator:
    """Return where a slot's draws of environments come from, after a seed."""
    return np.random.default_rng([seed, _DRAW])


def draw_kind(rng: np.random.Generator, weights: Sequence[float]) -> int:
    """Draw the number of an environment."""
    edges = list(accumulate(weights))
    drawn = rng.random() * edges[-1]
    return next(kind for kind, edge in enumerate(edges) if drawn < edge)


def _size(num_envs: int | None) -> int:
    if num_envs is None or num_envs < 1:
        raise ValueError(
            f"`num_envs` must be at least 1 unless a list is given, not {num_envs!r}"
        )
    return num_envs


def _maker(env: object, env_kwargs: Mapping[str, Any]) -> Maker:
    if isinstance(env, (str, EnvSpec)):
        # the checker looks at a class, and once is enough for it: see `llm-gym check`
        kwargs = {"disable_env_checker": True, **env_kwargs}
        return partial(gym.make, env, **kwargs)
    if callable(env):
        return partial(env, **env_kwargs) if env_kwargs else env
    raise TypeError(
        "expected an id, a spec or a function that makes an environment, a list of "
        f"them for the slots, or a mixture of ids with weights, not {env!r}"
    )


def _name(env: Named) -> str:
    if isinstance(env, EnvSpec):
        return env.id
    return env if isinstance(env, str) else str(getattr(env, "__name__", env))
