"""How the episodes of a batch begin: a row of the dataset names its start in full.

A start is plain text in a column of the dataset (and in a key of the prompt's last
message), so that the members of a group, which share their row, begin identically.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import gymnasium as gym

from llm_gym.env import ToolEnv
from llm_gym.messages import Message
from llm_gym.rollouts.plan import EnvSource, Mixture, parse_mixture
from llm_gym.seeding import draw_of_group, seed_of_group

__all__ = ["COLUMN", "Place", "Start", "draw_starts", "make_env", "read_places"]

COLUMN = "llm_gym"
"""The dataset's column, and the message's extra key, that hold a start."""

Maker = str | Callable[..., gym.Env[Any, Any]]


@dataclass(frozen=True, slots=True)
class Start:
    """What an episode begins with.

    Attributes:
        env: The environment's name, see `Place`.
        seed: What `reset` is given.
        task_id: The task.
    """

    env: str
    seed: int
    task_id: str

    def to_text(self) -> str:
        """Return it as one line of JSON, always the same for the same start."""
        return json.dumps([self.env, self.seed, self.task_id])

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `to_text` wrote.

        Raises:
            ValueError: It is nothing of the kind.
        """
        try:
            env, seed, task_id = json.loads(text)
        except (TypeError, ValueError) as err:
            raise ValueError(
                f"the column `{COLUMN}` must hold what `TRLSpec.train_dataset` wrote, "
                f"not {text!r}"
            ) from err
        return cls(env, seed, task_id)

    def reset_arguments(self) -> dict[str, Any]:
        """Return what `reset` gets: the same for every member of a group."""
        return {"seed": self.seed, "options": {"task_id": self.task_id}}


@dataclass(frozen=True)
class Place:
    """An environment of the mixture.

    Attributes:
        name: Its id, or the name of the class or function that makes it.
        maker: What makes it.
        kwargs: What it is made with.
        share: How often it is drawn; the shares of a mixture add up to 1.
    """

    name: str
    maker: Maker
    kwargs: Mapping[str, Any]
    share: float = 1.0


def read_places(
    env: EnvSource, env_kwargs: Mapping[str, Any] | None
) -> tuple[Place, ...]:
    """Return the environments of what `TRLSpec` takes as `env`.

    Raises:
        TypeError: It is neither an id, a function nor a mixture of ids.
        ValueError: A weight is not above zero, or arguments are for an unknown id.
    """
    mixture: Mixture = parse_mixture(env, env_kwargs)
    parts = zip(mixture.makers, mixture.kwargs, mixture.shares, strict=True)
    return tuple(
        Place(_name_of(maker), maker, dict(kwargs), share)
        for maker, kwargs, share in parts
    )


def make_env(place: Place, **changes: Any) -> tuple[gym.Env[Any, Any], ToolEnv]:
    """Make an environment, and return it with and without its wrappers.

    Raises:
        TypeError: It is no `ToolEnv`.
    """
    kwargs = {**place.kwargs, **changes}
    if isinstance(place.maker, str):
        env = gym.make(place.maker, disable_env_checker=True, **kwargs)
    else:
        env = place.maker(**kwargs)
    inner = env.unwrapped
    if not isinstance(inner, ToolEnv):
        env.close()
        raise TypeError(
            f"`TRLSpec` needs environments that are a ToolEnv, {place.name} is a "
            f"{type(inner).__name__}"
        )
    return env, inner


def draw_starts(
    places: Sequence[Place],
    count: int,
    seed: int,
    *,
    split: str | None = None,
    tasks: Sequence[str] | None = None,
) -> list[tuple[Start, list[Message]]]:
    """Draw starts and what the model is first shown at each.

    Args:
        places: The environments.
        count: How many starts.
        seed: Decides them.
        split: The split to draw from, None for what the arguments of each say.
        tasks: Task ids to take in turn instead of drawing them.
    """
    changes = {} if split is None else {"split": split}
    envs = [make_env(place, **changes) for place in places]
    try:
        return [_draw(places, envs, seed, number, tasks) for number in range(count)]
    finally:
        for env, _ in envs:
            env.close()


def _draw(
    places: Sequence[Place],
    envs: Sequence[tuple[gym.Env[Any, Any], ToolEnv]],
    seed: int,
    number: int,
    tasks: Sequence[str] | None,
) -> tuple[Start, list[Message]]:
    which = _pick(places, draw_of_group(seed, number))
    env, inner = envs[which]
    own_seed = seed_of_group(seed, number)
    if tasks is None:
        env.reset(seed=own_seed)
        task_id = inner.task.id
    else:
        task_id = tasks[number % len(tasks)]
    start = Start(places[which].name, own_seed, task_id)
    request, _ = env.reset(**start.reset_arguments())  # as every episode will
    return start, list(request["messages"])


def _pick(places: Sequence[Place], draw: float) -> int:
    for which, place in enumerate(places):
        draw -= place.share
        if draw < 0:
            return which
    return len(places) - 1


def _name_of(maker: Maker) -> str:
    if isinstance(maker, str):
        return maker
    return getattr(maker, "__name__", type(maker).__name__)
