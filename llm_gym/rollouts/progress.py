"""A bar that tells how a run goes while it runs."""

from __future__ import annotations

import time

from tqdm import tqdm

from llm_gym.trajectory import Trajectory

__all__ = ["Progress"]


class Progress:
    """A progress bar with live mean reward, tokens a second and faults.

    Episodes a second is the bar's own rate.

    Args:
        episodes: How many there will be.
        title: What stands before the bar.
        shown: Whether there is a bar at all.
    """

    def __init__(self, episodes: int, title: str = "", *, shown: bool = True) -> None:
        self._bar = tqdm(
            total=episodes,
            desc=title,
            unit="episode",
            disable=not shown,
            dynamic_ncols=True,
        )
        self._began = time.perf_counter()
        self._ended = self._faults = self._tokens = 0
        self._reward = 0.0

    def update(self, trajectory: Trajectory) -> None:
        """Count an episode."""
        self._tokens += trajectory.sampled_tokens
        if trajectory.fault is None:
            self._ended += 1
            self._reward += trajectory.episode_return
        else:
            self._faults += 1
        self._bar.set_postfix_str(str(self), refresh=False)
        self._bar.update()

    def __str__(self) -> str:
        """Return the figures that stand behind the bar."""
        seconds = max(time.perf_counter() - self._began, 1e-9)
        reward = f"{self._reward / self._ended:.3f}" if self._ended else "none"
        return (
            f"reward {reward}, {self._tokens / seconds:.0f} tokens/s, "
            f"{self._faults} faults"
        )

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()
