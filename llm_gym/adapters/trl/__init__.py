"""TRL: an environment's id as the arguments of its GRPOTrainer; see `TRLSpec`."""

from llm_gym.adapters.trl.spec import TRLSpec

__all__ = ["TRLSpec"]
