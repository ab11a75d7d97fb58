"""Stored episodes as training data: SFT, DPO, KTO, reward models, prompts for GRPO.

`llm-gym export` is this from the shell.
"""

from llm_gym.adapters.offline.exporting import export_sft
from llm_gym.adapters.offline.pairs import Pairing
from llm_gym.adapters.offline.preferences import (
    export_dpo,
    export_kto,
    export_reward_model,
)
from llm_gym.adapters.offline.prompts import export_grpo
from llm_gym.adapters.offline.report import Report
from llm_gym.adapters.offline.selection import Choice, Dropped
from llm_gym.adapters.offline.writing import load_rows

__all__ = [
    "Choice",
    "Dropped",
    "Pairing",
    "Report",
    "export_dpo",
    "export_grpo",
    "export_kto",
    "export_reward_model",
    "export_sft",
    "load_rows",
]
