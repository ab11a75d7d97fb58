"""The datasets that should not be trained on, and the probe that breaks each."""

from __future__ import annotations

__all__ = ["UNFIT", "UnfitTaskWarning"]


class UnfitTaskWarning(UserWarning):
    """A dataset is made whose verifier pays for what is no answer, or cannot work."""


UNFIT: dict[str, str] = {}
"""Why a dataset is unfit for training, by its name.

Found by `python -m llm_gym.bridges.reasoning_gym.survey` with reasoning-gym 0.1.25.
"""
