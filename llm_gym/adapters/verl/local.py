"""VeRL's worker in this process, with a model of transformers as its server.

For tests, and for looking at what a run would train on, without Ray and an accelerator.
It plays and returns batches; it trains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_gym.adapters.verl.policy import chat_tokens_of
from llm_gym.errors import require
from llm_gym.policies.decoding.engine import AnyEngine
from llm_gym.policies.decoding.model import DecodeSettings, Row, Sampled
from llm_gym.policies.gather import Gatherer
from llm_gym.policies.sampling import RowKeys, Sampling

__all__ = ["TransformersServer", "local_config", "local_worker"]


class TransformersServer:
    """Generates as VeRL's server manager does, with a model in this process.

    It samples at the temperature that it is asked for and knows neither `top_p` nor
    `top_k`; requests that wait at the same time are decoded together.

    Args:
        model: A causal language model. It may be trained while no reply is waited for;
            then call `forget`.
        tokenizer: Its tokenizer.
        temperature: Of all requests; one that asks for another is refused.
        max_batch_size: The most replies that are under way at once.
        seed: Where the draws start.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        temperature: float = 1.0,
        max_batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        tokens = chat_tokens_of(tokenizer)
        self._temperature = temperature
        self._keys = RowKeys(seed)
        config = model.config.get_text_config()
        pad = tokenizer.pad_token_id
        settings = DecodeSettings(
            sampling=Sampling(temperature=temperature, seed=seed),
            stop_ids=tokens.stop_ids,
            pad_id=min(tokens.stop_ids) if pad is None else pad,
            context=config.max_position_embeddings,
            max_batch_size=max_batch_size,
            reuse_tokens=0,
        )
        self._engine = AnyEngine(model, settings)
        name = type(model).__name__
        self._gatherer: Gatherer[Row, Sampled] = Gatherer(self._engine, name=name)

    async def generate(
        self,
        request_id: str,
        *,
        prompt_ids: Sequence[int],
        sampling_params: Mapping[str, Any],
        **told: Any,
    ) -> Any:
        """Sample after a prompt.

        Args:
            request_id: Not used.
            prompt_ids: The prompt.
            sampling_params: `max_tokens` and `temperature` are heeded, and whether
                `logprobs` are wanted.
            told: Not used.

        Returns:
            VeRL's `TokenOutput`.

        Raises:
            ValueError: It is asked for another temperature.
        """
        asked = sampling_params.get("temperature", 1.0)
        if asked != self._temperature:
            raise ValueError(
                f"`temperature` must be {self._temperature}, not {asked!r}"
            )
        replicas = require("verl.workers.rollout.replica", extra="verl")
        ids = list(prompt_ids)
        row = Row(ids, sampling_params["max_tokens"], self._keys.next(ids))
        sampled = await self._gatherer.ask(row)
        wanted = bool(sampling_params.get("logprobs"))
        return replicas.TokenOutput(
            token_ids=sampled.ids, log_probs=sampled.logprobs if wanted else None
        )

    def forget(self) -> None:
        """Drop what was computed with weights that have changed since."""
        self._gatherer.run_alone(self._engine.forget)


def local_config(model: str | Path, overrides: Sequence[str] = ()) -> Any:
    """Return VeRL's configuration of `main_ppo` for a model's folder.

    Args:
        model: The folder, with the tokenizer.
        overrides: More of it, in Hydra's form, as in the file of `export_verl`.
    """
    hydra = require("hydra", extra="verl")
    trainer = require("verl.trainer", extra="verl")
    folder = Path(str(next(iter(trainer.__path__)))) / "config"
    with hydra.initialize_config_dir(str(folder), version_base=None):
        return hydra.compose(
            "ppo_trainer",
            [
                f"actor_rollout_ref.model.path={model}",
                "actor_rollout_ref.rollout.name=vllm",
                "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=1",
                "trainer.device=cpu",
                *overrides,
            ],
        )


def local_worker(config: Any, server: TransformersServer | Any) -> Any:
    """Return VeRL's `AgentLoopWorker` for a configuration and a server."""
    require("llm_gym.adapters.verl.plugin", extra="verl").register()
    loops = require("verl.experimental.agent_loop.agent_loop", extra="verl")
    return loops.AgentLoopWorker(config, server)
