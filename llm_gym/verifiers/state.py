"""The final state of an episode is the right one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llm_gym import jsontext
from llm_gym.errors import DefinitionError
from llm_gym.tasks import Task
from llm_gym.trajectory import Score, Trajectory
from llm_gym.verifiers.equality import differences

__all__ = ["StateMatch"]

_SHOWN = 3
_COUNTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class StateMatch:
    """Score 1 if the final state is the gold state, all of it.

    The final state is what the environment's `outcome()` recorded, so that a stored
    episode can be judged. The gold state is `task.answer`, or what `replay` makes of
    the task by carrying out its gold actions. Types count: `True` is not 1.

    A task whose gold state is the state that it starts from pays an agent that does
    nothing; `llm-gym check` measures what such an agent is paid.

    Example:
        >>> StateMatch(ignore=("$.log", "$.orders.*.updated")).verify(trajectory)

    Args:
        replay: A function of the module's level (it is pickled by its name) that takes
            the task and returns the gold state as plain data.
        ignore: Paths from `$` that do not count in either state; `*` is any key of an
            object or any place of a list.

    Raises:
        DefinitionError: `replay` is no function, or a path does not begin at `$.`.
    """

    replay: Callable[[Task], Any] | None = None
    ignore: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.replay is not None and not callable(self.replay):
            raise DefinitionError(
                f"`replay` must be a function of a task, not {self.replay!r}"
            )
        paths = [self.ignore] if isinstance(self.ignore, str) else list(self.ignore)
        for path in paths:
            steps = path.split(".") if isinstance(path, str) else [""]
            if steps[0] != "$" or len(steps) < 2 or not all(steps):
                raise DefinitionError(
                    f"a path of `ignore` must have the form '$.key.*.key', not {path!r}"
                )
        object.__setattr__(self, "ignore", tuple(paths))

    def verify(self, trajectory: Trajectory) -> Score:
        """Judge an episode by its final state.

        Returns:
            1.0 or 0.0; the reason names the first differences and what came there.
            Parts: `state` (0 or 1), `differences` (how many, at most 100).

        Raises:
            DefinitionError: The environment records no state, or there is no gold one.
        """
        return self.compare(trajectory.outcome, self._gold(trajectory.task))

    def compare(self, state: Any, gold: Any) -> Score:
        """Judge a state by the gold state, both plain data.

        Raises:
            DefinitionError: One of them is None or no plain data.
        """
        came = self._counted(state, "the final state, which `outcome()` records,")
        right = self._counted(gold, "the gold state, of `task.answer` or `replay`,")
        found = differences(came, right, _COUNTED)
        parts = {"state": float(not found), "differences": float(len(found))}
        if not found:
            return Score(1.0, parts, "the final state is as it should be")
        told = "; ".join(map(str, found[:_SHOWN]))
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        return Score(0.0, parts, f"the final state is not right: {told}{more}")

    def _gold(self, task: Task) -> Any:
        if self.replay is None:
            return task.answer
        return self.replay(task)

    def _counted(self, state: Any, what: str) -> Any:
        """Return a state as plain JSON data of its own, without what is ignored."""
        if state is None:
            raise DefinitionError(f"{what} must be JSON data, not None")
        try:
            plain = jsontext.normalise(state, max_chars=None)
        except ValueError as err:
            raise DefinitionError(f"{what} must be JSON data: {err}") from err
        for path in self.ignore:
            _take_out(plain, path.split(".")[1:])
        return plain


def _take_out(value: Any, steps: Sequence[str]) -> None:
    """Remove what stands at a path, in place; in a list it becomes None."""
    first, *rest = steps
    for key in _keys(value, first):
        if rest:
            _take_out(value[key], rest)
        elif isinstance(value, dict):
            del value[key]
        else:
            value[key] = None  # the others keep their places


def _keys(value: Any, step: str) -> list[Any]:
    """Return the keys or places of a value that a step of a path names."""
    if isinstance(value, dict):
        return list(value) if step == "*" else [step] if step in value else []
    if isinstance(value, list):
        places = list(range(len(value)))
        return places if step == "*" else [i for i in places if str(i) == step]
    return []
