"""The floors on the card are what the environment pays.

Four figures: what the oracle, an agent that says nothing, the best constant reply and
random valid calls are paid on average. Whoever trains compares with them.
"""

from __future__ import annotations

import inspect
import math
import re
import time
from dataclasses import dataclass

from llm_gym.checks._golds import Gold, common_form, gold_of, solve
from llm_gym.checks.floors import LUCKY
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import Failed, Skipped, demand
from llm_gym.env import ToolEnv
from llm_gym.policies import (
    EnvPolicy,
    OraclePolicy,
    Policy,
    RandomPolicy,
    ScriptedPolicy,
)
from llm_gym.rollouts.engine import rollout

__all__ = [
    "EPISODES",
    "FLOORS",
    "Floors",
    "check_card_floors",
    "constant_replies",
    "measure",
    "read_floors",
]

FLOORS = re.compile(
    r"oracle (\d\.\d{3}), null (\d\.\d{3}), constant (\d\.\d{3}), random (\d\.\d{3}) "
    r"\(([\d,]+) episodes, seed (\d+)\)"
)
"""The line of a card."""

EPISODES = {"oracle": 200, "null": 200, "constant": 200, "random": 1000}
"""Of how many episodes the figures of a card are means: `rollout` with the seed 0."""

_SAMPLE = {"oracle": 8, "null": 32, "constant": 32, "random": 64}
_MOST_SECONDS = 2.0
_FEWEST = 4


@dataclass(frozen=True, slots=True)
class Floors:
    """Mean scores, each in [0, 1].

    Attributes:
        oracle: Of the environment's oracle.
        null: Of an agent that says nothing.
        constant: Of the best of the replies of `constant_replies`.
        random: Of random calls that are valid by the tools' schemas.
    """

    oracle: float
    null: float
    constant: float
    random: float

    def line(self) -> str:
        """Return the line for the section `Floors` of a card."""
        return (
            f"oracle {self.oracle:.3f}, null {self.null:.3f}, constant "
            f"{self.constant:.3f}, random {self.random:.3f} "
            f"({EPISODES['random']:,} episodes, seed 0)"
        )


def read_floors(card: str) -> Floors | None:
    """Return what a card says, None if it has no such line."""
    found = FLOORS.search(re.sub(r"\s+", " ", card))
    return None if found is None else Floors(*map(float, found.groups()[:4]))


def constant_replies(env: ToolEnv) -> list[str]:
    """Return the constant replies that are tried: lucky words, alone and in form.

    The form is what stands around the answer in the oracle's replies to two tasks, if
    that is the same: `Answer: A`, say.
    """
    golds: list[Gold] = []
    for seed in (0, 1):
        replies = solve(env, {"seed": seed})
        gold = None if replies is None else gold_of(replies, env.task.answer)
        golds += [] if gold is None else [gold]
    form = common_form(golds)
    inside = [] if form is None else [f"{form[0]}{word}{form[1]}" for word in LUCKY]
    handed = [golds[0].reply(text) for text in inside or LUCKY] if golds else []
    return list(dict.fromkeys([*LUCKY, *handed]))


def measure(
    subject: Subject,
    episodes: dict[str, int] | None = None,
    *,
    seconds: float = math.inf,
) -> dict[str, tuple[float, int]]:
    """Measure the floors.

    Args:
        subject: The environment.
        episodes: How many to play of each figure, those of a card if None.
        seconds: After which a figure is taken from the episodes played by then, at
            least four.

    Returns:
        By figure the mean, and of how many episodes it is.

    Raises:
        Failed: An episode has no end, or ended in a fault.
    """
    env = subject.make()
    _expect_end(env)
    counts = EPISODES if episodes is None else episodes
    until = time.perf_counter() + seconds
    policies: dict[str, list[Policy | EnvPolicy]] = {
        "oracle": [OraclePolicy()],
        "null": [ScriptedPolicy([""])],
        "constant": [ScriptedPolicy([text]) for text in constant_replies(env)],
        "random": [RandomPolicy(0)],
    }
    env.close()
    return {
        figure: max(_mean(subject, p, counts[figure], until) for p in candidates)
        for figure, candidates in policies.items()
    }


def check_card_floors(subject: Subject) -> str:
    """Compare the line of the card with a small sample."""
    stated = read_floors(inspect.getdoc(subject.kind) or "")
    try:
        measured = measure(subject, _SAMPLE, seconds=_MOST_SECONDS)
    except NotImplementedError as err:
        raise Skipped(str(err)) from err  # the check `oracle` tells that there is none
    told = ", ".join(f"{figure} {mean:.3f}" for figure, (mean, _) in measured.items())
    if stated is None:  # the check `card` demands a line of our own environments
        return f"the card states none; a small sample gave {told}"
    for figure, (mean, count) in measured.items():
        said = getattr(stated, figure)
        tolerance = 0.02 + 3 * math.sqrt(max(said * (1 - said), 0.01) / count)
        demand(
            abs(mean - said) <= tolerance,
            f"the card says `{figure} {said:.3f}`, {count} episodes gave {mean:.3f}; "
            "`llm-gym check ID --floors` measures the line",
        )
    return f"a small sample gave {told}"


def _expect_end(env: ToolEnv) -> None:
    """Demand that an episode ends, for `rollout` would wait for it for ever."""
    env.reset(seed=0)
    for _ in range(env.max_turns):
        _, _, terminated, truncated, _ = env.step("")
        if terminated or truncated:
            return
    raise Failed(f"no end after `max_turns` ({env.max_turns}) empty replies")


def _mean(
    subject: Subject, policy: Policy | EnvPolicy, count: int, until: float
) -> tuple[float, int]:
    """Play as `rollout` does; return the mean return and how many episodes it is of."""
    returns: list[float] = []
    for trajectory in rollout(subject.make, policy, episodes=count, concurrency=4):
        if trajectory.fault is not None:
            raise Failed(f"an episode ended in a fault: {trajectory.fault}")
        returns.append(trajectory.episode_return)
        if len(returns) >= _FEWEST and time.perf_counter() > until:
            break
    return sum(returns) / len(returns), len(returns)
