"""The simple path: a class of TRL's form for each environment, made from its tools.

TRL takes every public function of the class but `reset` for a tool, so that all else
has an underscore; and it tells classes apart by identity, so that each environment has
one class, made once.
"""

from __future__ import annotations

import json
import re
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_gym.adapters.trl.docstrings import tool_method
from llm_gym.adapters.trl.outcomes import Outcome
from llm_gym.adapters.trl.seat import Seat
from llm_gym.adapters.trl.starts import COLUMN, Place, Start, make_env
from llm_gym.tools import ToolSpec

__all__ = ["EnvironmentFactory", "SeatedEnvironment", "environment_class"]

_TAKEN = ("reset", "get_reward")
_CLASSES: dict[Any, type[SeatedEnvironment]] = {}
_LOCK = threading.Lock()
_LIVE: weakref.WeakSet[SeatedEnvironment] = weakref.WeakSet()


class SeatedEnvironment:
    """What TRL drives: an environment that is used again for one episode after another.

    Subclasses have a method for each tool; see `environment_class`.
    """

    _place: Place
    _retries: int

    def __init__(self) -> None:
        self._seat = Seat(self._place, self._retries)
        _LIVE.add(self)
        # AsyncGRPO's process ends without a word: this closes at the exit, too.
        weakref.finalize(self, self._seat.close)

    def reset(self, **row: Any) -> None:
        """Begin the episode that a row of the dataset names.

        Args:
            row: The row, with all its columns.

        Raises:
            ValueError: It is no row of `TRLSpec.train_dataset`.
        """
        text = row.get(COLUMN)
        self._seat.reset(Start.from_text(text), row.get("prompt") or ())  # type: ignore[arg-type]

    def _settle(self, completion: Any, *, cut_off: bool) -> Outcome:
        """Return what came of the episode; see `Seat.settle`."""
        return self._seat.settle(completion, cut_off=cut_off)

    def _close(self) -> None:
        """Close the environment; the next `reset` makes a new one."""
        self._seat.close()


def environment_class(place: Place, retries: int = 1) -> type[SeatedEnvironment]:
    """Return the one class of an environment, made with these arguments.

    Args:
        place: The environment.
        retries: See `Seat`.

    Raises:
        ValueError: A tool's name is one that TRL keeps for itself.
        TypeError: The environment is no `ToolEnv`.
    """
    key = (place.maker, _text(place.kwargs), retries)
    with _LOCK:
        if key not in _CLASSES:
            _CLASSES[key] = _make_class(place, retries)
        return _CLASSES[key]


@dataclass(frozen=True)
class EnvironmentFactory:
    """Makes environments of one class; it can be pickled, where the class cannot.

    Attributes:
        place: The environment.
        retries: See `Seat`.
    """

    place: Place
    retries: int = 1

    def __call__(self) -> SeatedEnvironment:
        """Return a new environment, of the same class as ever."""
        return environment_class(self.place, self.retries)()


def close_all(places: tuple[Place, ...]) -> None:
    """Close every environment that was made for these places."""
    for one in list(_LIVE):
        if one._place in places:
            one._close()


def _make_class(place: Place, retries: int) -> type[SeatedEnvironment]:
    env, inner = make_env(place)
    specs: Mapping[str, ToolSpec] = dict(inner.tool_specs)
    env.close()
    taken = [name for name in specs if name in _TAKEN or name.startswith("_")]
    if taken:
        raise ValueError(
            f"TRL's environments cannot have a tool named {taken[0]!r}: train "
            f"{place.name} with `path='rollout'`, or rename the tool"
        )
    methods = {name: tool_method(spec, _call) for name, spec in specs.items()}
    name = re.sub(r"\W+", "_", place.name.removeprefix("llmgym/"))
    members = {**methods, "_place": place, "_retries": retries, "__doc__": place.name}
    return type(name, (SeatedEnvironment,), members)


def _call(environment: SeatedEnvironment, name: str, arguments: dict[str, Any]) -> str:
    return environment._seat.call(name, arguments)


def _text(kwargs: Mapping[str, Any]) -> str:
    return json.dumps(kwargs, sort_keys=True, default=repr)
