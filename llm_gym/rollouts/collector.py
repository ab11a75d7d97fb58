"""Keeping Python's garbage collector from stopping a run with thousands of episodes.

A full collection looks at every live object: with 16,000 live episodes that is more
than a second, in which no reply is read (benchmarks/many_live.py). What is live is set
aside once it is all there, and full collections become rare.
"""

from __future__ import annotations

import gc

__all__ = ["CalmCollector"]

_MANY = 1_024
_THRESHOLDS = (10_000, 10, 100)


class CalmCollector:
    """Calms the collector while many episodes are live, and then lets it be as it was.

    The collector is the whole process's. Fewer than 1,024 episodes change nothing.

    Args:
        episodes: How many will be live at once.
    """

    _users = 0
    _before = (700, 10, 10)

    def __init__(self, episodes: int) -> None:
        self._left = episodes if episodes >= _MANY else 0
        self._used = False

    def began(self) -> None:
        """Count an episode that has begun; the last of them sets all aside."""
        if self._left == 0:
            return
        self._left -= 1
        cls = CalmCollector
        if not self._used:
            self._used = True
            cls._users += 1
            if cls._users == 1:
                cls._before = gc.get_threshold()
                gc.set_threshold(*_THRESHOLDS)
        if self._left == 0:
            gc.freeze()

    def close(self) -> None:
        """Let the collector be as it was."""
        if not self._used:
            return
        self._used = False
        cls = CalmCollector
        cls._users -= 1
        if cls._users == 0:
            gc.set_threshold(*cls._before)
            gc.unfreeze()
