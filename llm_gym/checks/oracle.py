"""The oracle solves every task, so every task can be solved."""

from __future__ import annotations

import math

from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import Failed, demand
from llm_gym.env import ToolEnv

__all__ = ["check_oracle"]


def check_oracle(subject: Subject) -> str:
    """On every seed the oracle ends the episode with a score of 1.0."""
    env = subject.make()
    turns = [_solve(env, seed) for seed in subject.seeds]
    env.close()
    return f"{len(turns)} episodes of {min(turns)} to {max(turns)} turns, each 1.0"


def _solve(env: ToolEnv, seed: int) -> int:
    """Play the oracle's episode and return its number of turns."""
    _, info = env.reset(seed=seed)
    where = f"seed {seed}, task {info['task_id']!r}"
    rewards: list[float] = []
    terminated = truncated = False
    while not (terminated or truncated):
        demand(
            len(rewards) < env.max_turns,
            f"{where}: no end after `max_turns` ({env.max_turns}) turns",
        )
        try:
            reply = env.oracle()
        except NotImplementedError as err:
            raise Failed(
                f"there is no oracle: write `oracle()` in `{type(env).__name__}`; "
                "without one nobody knows whether the tasks can be solved"
            ) from err
        _, reward, terminated, truncated, info = env.step(reply)
        rewards.append(float(reward))
    _judge(env, where, rewards, truncated)
    return len(rewards)


def _judge(env: ToolEnv, where: str, rewards: list[float], truncated: bool) -> None:
    trajectory = env.trajectory
    score = trajectory.score
    if score is None or trajectory.stop_reason is None:
        raise Failed(f"{where}: the ended episode has no score or no stop reason")
    demand(
        not truncated,
        f"{where}: the oracle's episode was truncated "
        f"({trajectory.stop_reason.value}) after {len(rewards)} turns",
    )
    demand(
        score.value == 1.0,
        f"{where}: the oracle's score is {score.value}, expected 1.0: {score.reason!r}",
    )
    total, recorded = sum(rewards), trajectory.episode_return
    demand(
        math.isclose(total, recorded, abs_tol=1e-9),
        f"{where}: the rewards of `step` sum to {total}, those of the record "
        f"(step rewards and score) to {recorded}",
    )
