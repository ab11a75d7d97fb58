"""`Mixture`: how often each environment is played may change while one trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from llm_gym.vector.sources import draw_kind, kind_rng, read_weights
from llm_gym.vector.starts import Seeds, per_slot, read_mask, read_seeds
from llm_gym.wrappers.vector._base import ChatVectorWrapper, SlotSeeds

__all__ = ["Mixture"]


class Mixture(ChatVectorWrapper):
    """Draws the environment of each slot by weights that may change between resets.

    A `ChatVectorEnv` of several ids has weights that stay as they are; with these a
    curriculum can follow what a policy has learnt. The draw depends on the slot's seed
    and the weights alone. Within `GroupReset` a group draws one environment.

    Example:
        >>> weights = {"llmgym/SingleTool-v0": 3, "llmgym/MultiStep-v0": 1}
        >>> envs = Mixture(ChatVectorEnv(weights, 64), weights)
        >>> requests, _ = envs.reset(seed=7)
        >>> envs.weights = {"llmgym/MultiStep-v0": 1}  # from the next reset on

    Args:
        envs: A `ChatVectorEnv` of a mixture, or a wrapper around one.
        weights: How often each environment is drawn, by id; 0 where one is missing.

    Attributes:
        drawn: How often each has been drawn, by id.

    Raises:
        TypeError: `envs` is no `ChatVectorEnv`.
        ValueError: It is no mixture, an id is not among its own, or a weight is
            negative.
    """

    def __init__(
        self, envs: VectorEnv[Any, Any, Any], weights: Mapping[str, float]
    ) -> None:
        super().__init__(envs)
        if not self.chat_envs.mixture:
            raise ValueError(
                "`Mixture` wraps a mixture, as `ChatVectorEnv({id: weight, ...}, N)` "
                "makes it; the slots of this one play one environment each"
            )
        self.weights = weights
        self.drawn: Counter[str] = Counter()
        self._seeds = SlotSeeds()

    @property
    def weights(self) -> Mapping[str, float]:
        """How often each environment is drawn, from the next reset on."""
        return dict(self._weights)

    @weights.setter
    def weights(self, weights: Mapping[str, float]) -> None:
        names = tuple(self.chat_envs.mixture)
        read = read_weights(weights, names)
        self._weights = dict(zip(names, read, strict=True))

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Begin episodes; see `ChatVectorEnv.reset`.

        Args:
            seed: See there. Without one a seed is drawn, after the seeds of the last
                reset that had some.
            options: See there. A slot for which `envs` names one draws none.
        """
        options = dict(options or {})
        size = self.num_envs
        seeds = self._seeds.fill(read_seeds(size, seed), seed)
        asked = per_slot("envs", options.get("envs"), size)
        mask = read_mask(options.get("reset_mask"), size)
        options["envs"] = [
            self._draw(slot_seed) if env is None else env
            for slot_seed, env in zip(seeds, asked, strict=True)
        ]
        result = self.env.reset(seed=seeds, options=options)  # type: ignore[arg-type]  # it takes a list
        names = self.chat_envs.env_names
        self.drawn.update(names[slot] for slot in np.flatnonzero(mask).tolist())
        return result

    def _draw(self, seed: int) -> str:
        names = list(self._weights)
        return names[draw_kind(kind_rng(seed), list(self._weights.values()))]
