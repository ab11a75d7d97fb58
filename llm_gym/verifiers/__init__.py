"""Verifiers: they judge an episode and return a `Score`."""

from llm_gym.verifiers.base import Verifier
from llm_gym.verifiers.rubric import Rubric

__all__ = ["Rubric", "Verifier"]
