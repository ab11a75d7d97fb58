"""Which episode a row of a data set stands for, as one JSON string.

VeRL keeps rows in parquet, where a nested object gets the keys of all rows, filled with
None: an environment's arguments would arrive as others. A string arrives as it left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_gym import jsontext
from llm_gym.rollouts.plan import Limits, Plan, parse_mixture

__all__ = ["AGENT_NAME", "AGENT_TARGET", "SPEC_KEY", "EpisodeSpec"]

AGENT_NAME = "llm_gym"
"""What VeRL calls the agent loop."""
AGENT_TARGET = "llm_gym.adapters.verl.agent_loop.GymAgentLoop"
"""Where VeRL finds it."""
SPEC_KEY = "llm_gym"
"""Where in a row's `extra_info` the specification stands."""


@dataclass(frozen=True, slots=True)
class EpisodeSpec:
    """One episode of an environment.

    It begins as the members of group `group` of `rollout(env, policy, seed=seed)` do,
    so that all rollouts of a row begin with the same bytes.

    Attributes:
        env: The environment's id.
        env_kwargs: What it is made with.
        seed: The run's seed.
        group: The group's number in that run.
        task_id: The task that it draws, for a check; "" leaves it unchecked.
        validation: Whether the row is for measuring and not for training.
    """

    env: str
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    group: int = 0
    task_id: str = ""
    validation: bool = False

    def to_json(self) -> str:
        """Return the specification as one line.

        Raises:
            ValueError: An argument of the environment has no JSON form.
        """
        body = {name: getattr(self, name) for name in _FIELDS}
        return jsontext.canonical({**body, "env_kwargs": dict(self.env_kwargs)})

    @classmethod
    def from_json(cls, text: object) -> EpisodeSpec:
        """Read a specification.

        Raises:
            ValueError: It is none: the row was not written by `export_verl`.
        """
        try:
            body = jsontext.loads(str(text)) if isinstance(text, str) else text
        except ValueError as err:
            raise ValueError(_not_a_spec(text)) from err
        if not isinstance(body, dict) or "env" not in body or body.keys() - _FIELDS:
            raise ValueError(_not_a_spec(text))
        return cls(**body)

    def plan(self, policy: Any, *, retries: int, limits: Limits) -> Plan:
        """Return a plan in which this episode has the number `group`."""
        return Plan(
            mixture=parse_mixture(self.env, self.env_kwargs),
            policy=policy,
            episodes=self.group + 1,
            concurrency=1,
            group_size=1,
            seed=self.seed,
            tasks=None,
            retries=retries,
            limits=limits,
        )


_FIELDS = dict.fromkeys(EpisodeSpec.__dataclass_fields__).keys()


def _not_a_spec(text: object) -> str:
    return (
        f"`extra_info[{SPEC_KEY!r}]` must be the JSON of an episode, as `export_verl` "
        f"writes it, not {text!r}"
    )
