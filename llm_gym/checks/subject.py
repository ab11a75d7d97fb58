"""The environment under check: how it is made, here and elsewhere."""

from __future__ import annotations

import copy
import importlib
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import cloudpickle  # type: ignore[import-untyped]  # has no stubs
import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from llm_gym.checks.episodes import Recording, actors, record
from llm_gym.checks.verdicts import Skipped
from llm_gym.env import ToolEnv

__all__ = ["Subject", "Target"]

T = TypeVar("T")
Target = str | Callable[..., gym.Env[Any, Any]]


class Subject:
    """The environment under check.

    Args:
        target: A registered id, a `ToolEnv` class, or a callable that makes one.
        seeds: The seeds of the episodes that checks play.
        env_kwargs: What the environment is made with.
    """

    def __init__(
        self,
        target: Target,
        seeds: Sequence[int],
        env_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.target = target
        self.spec = _spec_of(target, dict(env_kwargs or {}))
        self.name = target if isinstance(target, str) else _name_of(target)
        self.seeds = tuple(seeds)

    def make(self) -> ToolEnv:
        """Make an environment without Gymnasium's wrappers.

        Raises:
            TypeError: What was made is no `ToolEnv`.
        """
        env = gym.make(self.spec, disable_env_checker=True).unwrapped
        if not isinstance(env, ToolEnv):
            raise TypeError(f"expected a ToolEnv, not {env!r}")
        return env

    @cached_property
    def recordings(self) -> tuple[Recording, ...]:
        """Two episodes of every seed: the oracle's, if there is one, and a random one.

        Random replies are valid calls by the tools' schemas, as `RandomPolicy` writes
        them.
        """
        env = self.make()
        found: list[Recording] = []
        for seed in self.seeds:
            for policy, actor in actors(seed):
                recording = record(env, actor, policy, seed=seed)
                if recording is not None:  # the check `oracle` tells of one that fails
                    found.append(recording)
        return tuple(found)

    def pickled(self, value: T) -> T:
        """Return what comes back from a pickle of a value.

        Plain pickle is used if the environment's class can be imported. A class that
        only this process knows is pickled by value.
        """
        pickler = pickle if _location(self.kind) else cloudpickle
        restored: T = pickle.loads(pickler.dumps(value))  # noqa: S301  # our own bytes
        return restored

    @cached_property
    def kind(self) -> type[ToolEnv]:
        """The environment's class."""
        env = self.make()
        env.close()
        return type(env)

    def portable(self) -> str:
        """Return the JSON from which another process can make the environment.

        Raises:
            Skipped: There is none.
        """
        if callable(self.spec.entry_point):
            raise Skipped(
                f"`{self.name}` cannot be imported by another process; define it at "
                "the top of a module that can be imported, not in a function or in "
                "the file that is run"
            )
        try:
            return self.spec.to_json()
        except (TypeError, ValueError) as err:
            raise Skipped(
                f"the arguments that `{self.name}` is made with are not JSON: {err}"
            ) from err


def _spec_of(target: Target, kwargs: dict[str, Any]) -> EnvSpec:
    if isinstance(target, str):
        module, _, env_id = target.rpartition(":")
        if module:
            importlib.import_module(module)
        spec = copy.copy(gym.spec(env_id))
        spec.kwargs = {**spec.kwargs, **kwargs}
        return spec
    if not callable(target):
        raise TypeError(
            "what is checked must be an id, a ToolEnv class or a callable that makes "
            f"one, not {target!r}"
        )
    name = re.sub(r"\W", "_", getattr(target, "__name__", type(target).__name__))
    return EnvSpec(name, entry_point=_location(target) or target, kwargs=kwargs)


def _name_of(target: Callable[..., Any]) -> str:
    where = getattr(target, "__module__", type(target).__module__)
    return f"{where}:{getattr(target, '__qualname__', type(target).__qualname__)}"


def _location(target: Callable[..., Any]) -> str | None:
    """Return `module:name` if that is where any process finds it."""
    module = getattr(target, "__module__", None)
    name = getattr(target, "__qualname__", "")
    if module in (None, "__main__"):
        return None
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:  # it was made by hand
        return None
    return f"{module}:{name}" if found is target else None
