"""What the best constant reply is paid, for the cards of the datasets."""

from __future__ import annotations

__all__ = ["CONSTANT", "EPISODES"]

EPISODES = 100
"""Of how many episodes each figure is the mean."""

CONSTANT: dict[str, float] = {}
"""The mean reward of the best constant reply by dataset, where it is above 0.

Measured by `python -m llm_gym.bridges.reasoning_gym.survey` with reasoning-gym 0.1.25.
"""
