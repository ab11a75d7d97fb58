"""Stored episodes as training data: SFT, DPO, KTO, reward models, prompts for GRPO.

`llm-gym export` is this from the shell.
"""

from llm_gym.adapters.offline.exporting import export_sft
from llm_gym.adapters.offline.report import Report
from llm_gym.adapters.offline.selection import Choice, Dropped

__all__ = ["Choice", "Dropped", "Report", "export_sft"]
