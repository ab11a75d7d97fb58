"""Policies: whatever turns an observation into a reply."""

from llm_gym.policies.base import EnvPolicy, Policy, bound, policy_name
from llm_gym.policies.endpoint import EndpointPolicy
from llm_gym.policies.oracle import OraclePolicy
from llm_gym.policies.random import RandomPolicy
from llm_gym.policies.sampling import Sampling
from llm_gym.policies.scripted import ScriptedPolicy
from llm_gym.policies.transformers import TransformersPolicy
from llm_gym.policies.vllm import VLLMPolicy

__all__ = [
    "EndpointPolicy",
    "EnvPolicy",
    "OraclePolicy",
    "Policy",
    "RandomPolicy",
    "Sampling",
    "ScriptedPolicy",
    "TransformersPolicy",
    "VLLMPolicy",
    "bound",
    "policy_name",
]
