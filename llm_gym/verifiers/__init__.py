"""Verifiers: they judge an episode and return a `Score`.

One that needs more than the standard library (a sandbox, a model, sympy) is imported
when its name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from llm_gym.verifiers.base import GroupVerifier, Verifier
from llm_gym.verifiers.rubric import Rubric

if TYPE_CHECKING:
    from llm_gym.verifiers.choice import ChoiceMatch
    from llm_gym.verifiers.code import CodeTests
    from llm_gym.verifiers.exact import ExactMatch
    from llm_gym.verifiers.instruction_following import InstructionFollowing
    from llm_gym.verifiers.json_schema import JsonSchemaMatch
    from llm_gym.verifiers.judge import JudgeVerifier, Scale
    from llm_gym.verifiers.math import MathMatch
    from llm_gym.verifiers.numeric import NumericMatch
    from llm_gym.verifiers.pairwise import PairwiseJudge
    from llm_gym.verifiers.regex import RegexMatch
    from llm_gym.verifiers.reward_model import RewardModelVerifier
    from llm_gym.verifiers.sets import F1Match, SetMatch
    from llm_gym.verifiers.sql import SqlMatch
    from llm_gym.verifiers.state import StateMatch
    from llm_gym.verifiers.tool_calls import ToolCallMatch

__all__ = [
    "ChoiceMatch",
    "CodeTests",
    "ExactMatch",
    "F1Match",
    "GroupVerifier",
    "InstructionFollowing",
    "JsonSchemaMatch",
    "JudgeVerifier",
    "MathMatch",
    "NumericMatch",
    "PairwiseJudge",
    "RegexMatch",
    "RewardModelVerifier",
    "Rubric",
    "Scale",
    "SetMatch",
    "SqlMatch",
    "StateMatch",
    "ToolCallMatch",
    "Verifier",
]

_MODULES = {
    "ChoiceMatch": "choice",
    "CodeTests": "code",
    "ExactMatch": "exact",
    "F1Match": "sets",
    "InstructionFollowing": "instruction_following",
    "JsonSchemaMatch": "json_schema",
    "JudgeVerifier": "judge",
    "MathMatch": "math",
    "NumericMatch": "numeric",
    "PairwiseJudge": "pairwise",
    "RegexMatch": "regex",
    "RewardModelVerifier": "reward_model",
    "Scale": "judge",
    "SetMatch": "sets",
    "SqlMatch": "sql",
    "StateMatch": "state",
    "ToolCallMatch": "tool_calls",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return __all__
