"""Episodes to export: good and bad ones of the vault, with and without tokens."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from llm_gym import Score, StopReason, Trajectory, Turn, rollout
from llm_gym.messages import Reply, Usage, call_text
from llm_gym.store import TrajectoryWriter
from llm_gym.tokens import ChatTokens
from tests.sample_envs import VaultEnv

__all__ = ["VaultPolicy", "edited", "episodes", "lines", "write", "wrongly"]


class VaultPolicy:
    """Opens vaults: every so manieth episode rightly, the others with a wrong code.

    Args:
        every: Which episodes succeed: those whose number is divisible by it.
        tokens: Renders and reads its tokens; None for a policy that tells none.
        end: The text of the token that ends its replies.
    """

    name = "vault"

    def __init__(
        self, every: int = 2, tokens: ChatTokens | None = None, end: str = ""
    ) -> None:
        self._every, self._tokens, self._end = every, tokens, end
        self._begun = 0

    async def reply(self, request: Any, trace: Any = None) -> Reply:
        """Look the code up, then open the vault."""
        said = request["messages"]
        if said[-1]["role"] == "user":
            colour = re.findall(r"the (\w+) vault", said[-1]["content"])[-1]
            text = call_text("lookup", {"colour": colour})
        else:
            wrong = self._begun % self._every
            self._begun += 1
            code = int(said[-1]["content"]) + wrong
            text = call_text("open", {"code": code})
        if self._tokens is None:
            return Reply(text, usage=Usage(9, 5))
        prompt = self._tokens.prompt(request, trace)
        ids = self._tokens.encode(text + self._end)
        told = [-0.5] * len(ids)
        return self._tokens.reply(request, prompt, ids, logprobs=told, trace=trace)


def episodes(
    number: int = 8, group: int = 2, policy: Any = None, **options: Any
) -> list[Trajectory]:
    """Play episodes of the vault."""
    policy = policy or VaultPolicy()
    played = rollout(
        VaultEnv, policy, episodes=number, group_size=group, concurrency=1, **options
    )
    return list(played)


def edited(trajectory: Trajectory, reward: float, **changes: Any) -> Trajectory:
    """Return an episode with another return, and whatever else is to be other."""
    *turns, last = trajectory.turns
    turns.append(dataclasses.replace(last, reward=reward))
    changes = {"score": Score(min(1.0, max(0.0, reward))), **changes}
    return dataclasses.replace(trajectory, turns=tuple(turns), **changes)


def wrongly(trajectory: Trajectory, text: str) -> Trajectory:
    """Return an episode that answers with a text, and scores nothing."""
    reply: Any = {"role": "assistant", "content": text}
    return dataclasses.replace(
        trajectory,
        turns=(Turn(reply, (), (), 0.0),),
        stop_reason=StopReason.ANSWER,
        score=Score(0.0),
    )


def write(path: Path, trajectories: Iterable[Trajectory]) -> Path:
    """Write a run."""
    with TrajectoryWriter(path) as writer:
        for trajectory in trajectories:
            writer.write(trajectory)
    return path


def lines(path: Path) -> Sequence[dict[str, Any]]:
    """Read what was exported as lines of JSON."""
    return [json.loads(line) for line in path.read_text().splitlines()]
