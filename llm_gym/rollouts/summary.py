"""What a run of episodes comes to: the figures of a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tabulate import tabulate

from llm_gym.trajectory import Trajectory

__all__ = ["Summary", "summarize"]


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a run.

    Attributes:
        episodes: Episodes that ended without a fault; all means are over these.
        faults: Episodes that did not, after every retry.
        mean_reward: Mean return; NaN if no episode ended.
        success: Share of episodes with full marks, in [0, 1]; NaN likewise.
        turns: Mean replies an episode; NaN likewise.
        tool_calls: Mean tool calls an episode; NaN likewise.
        tool_errors: Mean calls an episode that did not succeed; NaN likewise.
        stop_reasons: Episodes by stop reason, the most frequent first.
        tokens: Sampled tokens, of faulted episodes too, as far as replies told.
        seconds: Wall clock of the whole run.
    """

    episodes: int
    faults: int
    mean_reward: float
    success: float
    turns: float
    tool_calls: float
    tool_errors: float
    stop_reasons: dict[str, int]
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Sampled tokens a second of wall clock."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    def table(self) -> str:
        """Return the figures as a table for people."""
        reasons = ", ".join(f"{name} {n}" for name, n in self.stop_reasons.items())
        rows = [
            ("episodes", f"{self.episodes}"),
            ("faults", f"{self.faults}"),
            ("mean reward", f"{self.mean_reward:.3f}"),
            ("success", f"{self.success:.1%}"),
            ("turns", f"{self.turns:.1f}"),
            ("tool calls", f"{self.tool_calls:.1f}"),
            ("tool errors", f"{self.tool_errors:.1f}"),
            ("stop reasons", reasons or "none"),
            ("tokens/s", f"{self.tokens_per_second:.1f}" if self.tokens else "untold"),
            (
                "episodes/s",
                f"{self.episodes / self.seconds:.2f}" if self.seconds else "",
            ),
        ]
        return tabulate(rows, tablefmt="rounded_outline", disable_numparse=True)


def summarize(trajectories: Iterable[Trajectory], seconds: float = 0.0) -> Summary:
    """Sum a run up.

    Args:
        trajectories: Its episodes, faulted ones too.
        seconds: How long it took, wall clock.
    """
    everything = list(trajectories)
    ended = [t for t in everything if t.fault is None]
    reasons = Counter(t.stop_reason.value for t in ended if t.stop_reason is not None)
    return Summary(
        episodes=len(ended),
        faults=len(everything) - len(ended),
        mean_reward=_mean([t.episode_return for t in ended]),
        success=_mean([float(t.success) for t in ended]),
        turns=_mean([len(t.turns) for t in ended]),
        tool_calls=_mean([sum(1 for _ in t.calls) for t in ended]),
        tool_errors=_mean([t.tool_errors for t in ended]),
        stop_reasons=dict(reasons.most_common()),
        tokens=sum(t.sampled_tokens for t in everything),
        seconds=seconds,
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
