"""Wrappers of one environment; those of vector environments are in `vector`.

They stand around any `ToolEnv`, in any order that their spaces allow: those that change
messages or tools go inside of `TextObservation` and `TextAction`, limits inside of
rewards, and `RecordTrajectories` outermost.
"""

from llm_gym.wrappers.chat_history_window import ChatHistoryWindow
from llm_gym.wrappers.fault_injection import FaultInjection
from llm_gym.wrappers.prompt_template import PromptTemplate
from llm_gym.wrappers.record_trajectories import RecordTrajectories
from llm_gym.wrappers.reward_scale import RewardScale
from llm_gym.wrappers.reward_shaping import RewardShaping
from llm_gym.wrappers.system_prompt import SystemPrompt
from llm_gym.wrappers.text_action import TextAction
from llm_gym.wrappers.text_observation import TextObservation
from llm_gym.wrappers.token_budget import TokenBudget
from llm_gym.wrappers.tool_subset import ToolSubset
from llm_gym.wrappers.turn_limit import TurnLimit

__all__ = [
    "ChatHistoryWindow",
    "FaultInjection",
    "PromptTemplate",
    "RecordTrajectories",
    "RewardScale",
    "RewardShaping",
    "SystemPrompt",
    "TextAction",
    "TextObservation",
    "TokenBudget",
    "ToolSubset",
    "TurnLimit",
]
