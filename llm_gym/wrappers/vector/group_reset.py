"""`GroupReset`: neighbouring slots begin with the same task and seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from llm_gym.vector.starts import Seeds, per_slot, read_mask, read_seeds
from llm_gym.wrappers.vector._base import ChatVectorWrapper, SlotSeeds

__all__ = ["GroupReset"]


class GroupReset(ChatVectorWrapper):
    """Makes each `group_size` neighbouring slots a group, as GRPO compares them.

    The members of a group begin from the same observation: they share their task, their
    seed and, in a mixture, their environment. They are reset together.

    Example:
        >>> envs = GroupReset(gym.make_vec("llmgym/MultiStep-v0", num_envs=64), 8)
        >>> requests, _ = envs.reset(seed=7)  # 8 tasks, each in 8 slots
        >>> requests[0] == requests[7], requests[0] == requests[8]
        (True, False)

    Args:
        envs: A `ChatVectorEnv`, or a wrapper around one.
        group_size: Slots in a group; N is a multiple of it.

    Raises:
        TypeError: `envs` is no `ChatVectorEnv`.
        ValueError: N is no multiple of `group_size`.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], group_size: int) -> None:
        super().__init__(envs)
        if group_size < 1 or self.num_envs % group_size:
            raise ValueError(
                f"`group_size` must divide the number of slots, {self.num_envs}, "
                f"not be {group_size!r}"
            )
        self.group_size = group_size
        self.num_groups = self.num_envs // group_size
        self._seeds = SlotSeeds()

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Begin an episode in every group, or in those of a mask.

        Args:
            seed: One for each group, or a number from which they count up. Without one
                a seed is drawn, after the seeds of the last reset that had some.
            options: As `ChatVectorEnv.reset` takes them, but of `tasks`, `task_ids`,
                `envs` and `reset_mask` one value for each group. One for each slot will
                do too, if the members of a group have the same.

        Raises:
            ValueError: The members of a group are to begin differently, and as
                `ChatVectorEnv.reset`.
        """
        if seed is None or isinstance(seed, (int, np.integer)):
            seeds = read_seeds(self.num_groups, seed)
        else:
            seeds = read_seeds(self.num_groups, self._by_group("seed", seed))
        options = dict(options or {})
        for name in ("tasks", "task_ids", "envs"):
            if options.get(name) is not None:
                options[name] = self._spread(self._by_group(name, options[name]))
        if options.get("reset_mask") is not None:
            mask = options["reset_mask"]
            if isinstance(mask, np.ndarray):
                mask = np.array(self._by_group("reset_mask", mask), dtype=mask.dtype)
            options["reset_mask"] = read_mask(mask, self.num_groups).repeat(
                self.group_size
            )
        spread = self._spread(self._seeds.fill(seeds, seed))
        return self.env.reset(seed=spread, options=options)  # type: ignore[arg-type]  # it takes a list

    def _spread(self, values: list[Any]) -> list[Any]:
        return [value for value in values for _ in range(self.group_size)]

    def _by_group(self, name: str, values: Any) -> list[Any]:
        """Return one value for each group, from those or from one for each slot."""
        one_a_slot = hasattr(values, "__len__") and len(values) == self.num_envs
        if not one_a_slot:
            return per_slot(name, values, self.num_groups)
        listed = per_slot(name, values, self.num_envs)
        groups = listed[:: self.group_size]
        for slot, value in enumerate(listed):
            first = groups[slot // self.group_size]
            if value is not first and value != first:
                raise ValueError(
                    f"the members of a group share their `{name}`: slot {slot} has "
                    f"{value!r} and its group {first!r}"
                )
        return groups
