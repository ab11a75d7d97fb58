"""A policy that samples with vLLM, in this process's charge."""

from llm_gym.policies.vllm.engine import EngineStateError
from llm_gym.policies.vllm.policy import VLLMPolicy

__all__ = ["EngineStateError", "VLLMPolicy"]
