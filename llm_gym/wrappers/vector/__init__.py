"""Wrappers around vector environments, one a file."""

from llm_gym.wrappers.vector.batched_policy import BatchedPolicy
from llm_gym.wrappers.vector.group_reset import GroupReset
from llm_gym.wrappers.vector.mixture import Mixture

__all__ = ["BatchedPolicy", "GroupReset", "Mixture"]
