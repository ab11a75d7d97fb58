"""Policies: whatever turns an observation into a reply."""

from llm_gym.policies.base import EnvPolicy, Policy, bound, policy_name
from llm_gym.policies.oracle import OraclePolicy
from llm_gym.policies.random import RandomPolicy
from llm_gym.policies.scripted import ScriptedPolicy
from llm_gym.policies.transformers import Sampling, TransformersPolicy

__all__ = [
    "EnvPolicy",
    "OraclePolicy",
    "Policy",
    "RandomPolicy",
    "Sampling",
    "ScriptedPolicy",
    "TransformersPolicy",
    "bound",
    "policy_name",
]
