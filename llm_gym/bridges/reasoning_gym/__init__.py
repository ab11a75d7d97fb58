"""The tasks of reasoning-gym: `llmgym/reasoning_gym.NAME-v0` for each of its datasets.

Importing this loads nothing of reasoning-gym, which takes seconds: that happens when an
environment is made. `docs/bridges.md` says what the bridge does and does not do.
"""

from llm_gym.bridges.reasoning_gym.unfit import UNFIT, UnfitTaskWarning
from llm_gym.registration import BRIDGED

__all__ = ["NAMES", "UNFIT", "UnfitTaskWarning"]

NAMES: tuple[str, ...] = tuple(BRIDGED.values())
"""The names of the datasets, each with an id."""
