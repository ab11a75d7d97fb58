"""The table of environments: names, no imports."""

from __future__ import annotations

import gymnasium as gym

__all__ = ["ENVIRONMENTS", "EXTRAS", "register_all"]

ENVIRONMENTS: dict[str, str] = {
    "llmgym/SingleTool-v0": "llm_gym.envs.single_tool:SingleToolEnv",
    "llmgym/MultiStep-v0": "llm_gym.envs.multi_step:MultiStepEnv",
    "llmgym/SessionState-v0": "llm_gym.envs.session_state:SessionStateEnv",
    "llmgym/MultiTurn-v0": "llm_gym.envs.multi_turn:MultiTurnEnv",
    "llmgym/MultipleChoice-v0": "llm_gym.envs.multiple_choice:MultipleChoiceEnv",
    "llmgym/StructuredOutput-v0": "llm_gym.envs.structured_output:StructuredOutputEnv",
    "llmgym/Math-v0": "llm_gym.envs.math:MathEnv",
    "llmgym/PythonTool-v0": "llm_gym.envs.python_tool:PythonToolEnv",
    "llmgym/CodeContest-v0": "llm_gym.envs.code_contest:CodeContestEnv",
    "llmgym/CodeRepair-v0": "llm_gym.envs.code_repair:CodeRepairEnv",
    "llmgym/Sql-v0": "llm_gym.envs.sql:SqlEnv",
    "llmgym/CustomerService-v0": "llm_gym.envs.customer_service:CustomerServiceEnv",
}
"""Entry points by id; the class behind one is imported when it is made."""

EXTRAS: dict[str, str] = {"llmgym/Math-v0": "math"}
"""The extra that an environment needs, by id; the others need none."""


def register_all() -> None:
    """Register every environment with Gymnasium; ids that it knows are left alone."""
    for env_id, entry_point in ENVIRONMENTS.items():
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point=entry_point,
                vector_entry_point=f"llm_gym.vector:{env_id}",
            )
