"""VeRL's worker in this process, and its data set, for a server of the tests."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf, open_dict
from verl import DataProto
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.trainer.ppo.ray_trainer import compute_advantage
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

from llm_gym.adapters.verl import export_verl
from llm_gym.adapters.verl.local import local_config, local_worker

__all__ = ["HAS_V1", "Bench", "advantages_of", "advantages_of_v1", "loss_of"]

HAS_V1 = all(map(find_spec, ["transfer_queue", "verl.trainer.ppo.v1"]))


@cache
def _plain_config(model: Path) -> Any:
    return local_config(model)  # Hydra takes a second or two for it


class Bench:
    """A data set, VeRL's configuration for it, and VeRL's worker with a server.

    Args:
        model: The folder with the tokenizer.
        folder: Where the data goes.
        env: The environment, or a mixture.
        server: What generates.
        overrides: More of VeRL's configuration.
        options: Arguments of `export_verl`.
    """

    def __init__(
        self,
        model: Path,
        folder: Path,
        env: Any,
        server: Any,
        overrides: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        options = {"train": 2, "val": 1, "v1": False, "tokenizer": model, **options}
        self.files = export_verl(env, folder, **options)
        told = [*self.files.overrides.read_text().split(), *overrides]
        changes = OmegaConf.from_dotlist([one.lstrip("+") for one in told])
        config = _plain_config(model)
        with open_dict(config):  # an older VeRL knows fewer settings
            self.config = OmegaConf.merge(config, changes)
        self.worker = local_worker(self.config, server)
        self.tokenizer = self.worker.tokenizer

    def rows(self, *numbers: int, val: bool = False) -> list[dict[str, Any]]:
        """Return rows as VeRL's data set gives them."""
        path = str(self.files.val if val else self.files.train)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = RLHFDataset([path], self.tokenizer, self.config.data)
        return [rows[number] for number in numbers]

    def play(self, *numbers: int, group_size: int = 1, **told: Any) -> Any:
        """Have the worker play rows, each as a group."""
        batch = DataProto.from_single_dict(collate_fn(self.rows(*numbers)))
        uids = [f"uid-{number}" for number in numbers]
        batch.non_tensor_batch["uid"] = np.array(uids, dtype=object)
        batch = batch.repeat(group_size, interleave=True)
        for name, value in told.items():
            if value is None:
                batch.non_tensor_batch.pop(name)
            else:
                batch.non_tensor_batch[name] = value
        return asyncio.run(self.worker.generate_sequences(batch))

    def run(self, number: int = 0, *, val: bool = False, **told: Any) -> Any:
        """Have the loop play a row, past the worker's padding."""
        import hydra
        from verl.experimental.agent_loop import agent_loop as loops

        loop = hydra.utils.instantiate(
            config=loops._agent_loop_registry["llm_gym"],
            trainer_config=loops.DictConfigWrap(config=self.config),
            server_manager=self.worker.llm_client,
            tokenizer=self.tokenizer,
            processor=None,
            dataset_cls=RLHFDataset,
            data_config=loops.DictConfigWrap(self.config.data),
        )
        (row,) = self.rows(number, val=val)
        sampling = {"temperature": 1.0, "logprobs": True}
        return asyncio.run(loop.run(sampling, **{**row, **told}))


def advantages_of(bench: Bench, batch: Any, estimator: str = "") -> Any:
    """Return VeRL's advantages of a batch, `(B, R)`."""
    batch.batch["token_level_rewards"] = batch.batch["rm_scores"]
    algorithm = bench.config.algorithm
    estimator = estimator or algorithm.adv_estimator
    return compute_advantage(batch, estimator, config=algorithm).batch["advantages"]


def advantages_of_v1(sessions: Sequence[Sequence[Any]]) -> tuple[Any, Any]:
    """Return the V1 trainer's GRPO advantages of a group, and the mask, `(B, R)`.

    Args:
        sessions: What the loop returned for each of the group's episodes.
    """
    from torch.nn.utils.rnn import pad_sequence
    from verl.trainer.ppo.core_algos import AdvantageEstimator
    from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories

    rows = {
        f"a_{session}_{number}": output.as_dict()
        for session, outputs in enumerate(sessions)
        for number, output in enumerate(outputs)
    }
    rewards, mask = (
        pad_sequence([row[name] for row in rows.values()], batch_first=True)
        for name in ("rm_scores", "response_mask")
    )
    batch = DataProto.from_dict(
        {"token_level_rewards": rewards, "response_mask": mask},
        {"uid": np.array(["a"] * len(rows), dtype=object)},
    )
    grpo = AdvantageEstimator.GRPO
    done = compute_advantage_for_multi_trajectories(batch, list(rows), grpo)
    return done.batch["advantages"], mask


def loss_of(bench: Bench, batch: Any, logprobs: Any) -> Any:
    """Return VeRL's policy loss of a batch that has its advantages."""
    actor = bench.config.actor_rollout_ref.actor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = omega_conf_to_dataclass(actor)
    loss, _ = get_policy_loss_fn("vanilla")(
        old_log_prob=batch.batch["rollout_log_probs"],
        log_prob=logprobs,
        advantages=batch.batch["advantages"],
        response_mask=batch.batch["response_mask"],
        loss_agg_mode=actor.loss_agg_mode,
        config=settings,
    )
    return loss
