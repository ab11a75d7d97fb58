"""A model of transformers as a Ray actor, and the client that VeRL's workers hold."""

from __future__ import annotations

from typing import Any

import ray

__all__ = ["Client", "ModelActor"]


@ray.remote(num_cpus=0)
class ModelActor:
    """Generates with a model that it loads from a folder."""

    def __init__(self, folder: str) -> None:
        import torch
        import transformers

        from llm_gym.adapters.verl.local import TransformersServer

        torch.set_num_threads(1)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        self.server = TransformersServer(model, tokenizer)
        self.asked = 0

    async def generate(self, request_id: str, **told: Any) -> Any:
        """Sample after a prompt."""
        self.asked += 1
        return await self.server.generate(request_id, **told)

    async def count(self) -> int:
        """Return how many requests came."""
        return self.asked


class Client:
    """What a worker asks, in the form of VeRL's `LLMServerClient`."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    async def generate(self, request_id: str, **told: Any) -> Any:
        """Ask the actor."""
        return await self.actor.generate.remote(request_id, **told)
