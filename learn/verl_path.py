"""The VeRL worker path: its worker plays, its GRPO and its loss train, torch steps.

Rollouts come from VeRL's `AgentLoopWorker` with `GymAgentLoop`, through its data set
and its batches; advantages and the policy loss are VeRL's own functions. What is not
here is what needs Ray and a GPU: its servers, its workers of weights, its trainer.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from learn.setting import OnStep, Setting
from llm_gym.adapters.verl.export import export_verl
from llm_gym.adapters.verl.local import TransformersServer, local_config, local_worker

__all__ = ["train"]

MAX_GRAD_NORM = 1.0


def train(
    model: Any, tokenizer: Any, setting: Setting, seed: int, on_step: OnStep
) -> None:
    """Train a model in place, on the CPU.

    Args:
        model: A causal language model of transformers, small.
        tokenizer: Its tokenizer, with a chat template.
        setting: The task and the schedule.
        seed: Decides tasks and draws.
        on_step: See `OnStep`.
    """
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        files = export_verl(
            setting.env_id,
            Path(folder) / "data",
            train=setting.steps * setting.groups,
            val=1,
            val_kwargs={},  # that one row is not played
            seed=seed,
            group_size=setting.group_size,
            env_kwargs=setting.env_kwargs,
            tokenizer=tokenizer,
            max_response_length=setting.episode_tokens,
            v1=False,  # the worker's batches are those of the older trainer
        )
        config = local_config(folder, files.overrides.read_text().split())
        episodes = setting.groups * setting.group_size
        server = TransformersServer(
            model, tokenizer, max_batch_size=episodes, seed=seed
        )
        worker = local_worker(config, server)
        rows = _rows(files.train, worker.tokenizer, config)
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=setting.lr, weight_decay=0.0
        )
        for step in range(setting.steps):
            for parameters in optimiser.param_groups:
                warm = min(1.0, (step + 1) / setting.warm_up_steps)
                parameters["lr"] = setting.lr * warm
            first = step * setting.groups
            chosen = [rows[first + number] for number in range(setting.groups)]
            batch = _play(worker, chosen, setting.group_size)
            _update(model, optimiser, batch, config)
            server.forget()
            played = batch.batch["response_mask"].any(dim=-1)  # but for what broke
            on_step(step, float(batch.batch["rm_scores"].sum(dim=-1)[played].mean()))


def _rows(path: Path, tokenizer: Any, config: Any) -> Any:
    from verl.utils.dataset.rl_dataset import RLHFDataset

    return RLHFDataset([str(path)], tokenizer, config.data)


def _play(worker: Any, rows: list[Any], group_size: int) -> Any:
    """Have VeRL's worker play a group for each row."""
    from verl import DataProto
    from verl.utils.dataset.rl_dataset import collate_fn

    batch = DataProto.from_single_dict(collate_fn(rows))
    uids = [str(number) for number in range(len(rows))]
    batch.non_tensor_batch["uid"] = np.array(uids, dtype=object)
    played = batch.repeat(group_size, interleave=True)
    return asyncio.run(worker.generate_sequences(played))


def _update(model: Any, optimiser: Any, batch: Any, config: Any) -> None:
    """Take one step on VeRL's GRPO advantages and its clipped loss."""
    from verl.trainer.ppo.core_algos import get_policy_loss_fn
    from verl.trainer.ppo.ray_trainer import compute_advantage
    from verl.utils.config import omega_conf_to_dataclass

    batch.batch["token_level_rewards"] = batch.batch["rm_scores"]
    batch = compute_advantage(
        batch, config.algorithm.adv_estimator, config=config.algorithm
    )
    mask = batch.batch["response_mask"]
    if not mask.any():
        return
    model.train()
    logprobs = response_logprobs(model, batch)
    actor = config.actor_rollout_ref.actor
    loss, _ = get_policy_loss_fn("vanilla")(
        old_log_prob=logprobs.detach(),
        log_prob=logprobs,
        advantages=batch.batch["advantages"],
        response_mask=mask,
        loss_agg_mode=actor.loss_agg_mode,
        config=omega_conf_to_dataclass(actor),
    )
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
    optimiser.step()
    model.eval()


def response_logprobs(model: Any, batch: Any) -> torch.Tensor:
    """Return the log-probabilities of a batch's responses, `(B, R)`; 0 in padding."""
    tensors = batch.batch
    attention, width = tensors["attention_mask"], tensors["responses"].shape[1]
    used = attention.any(dim=0).nonzero()
    first, last = int(used.min()), int(used.max()) + 1  # padding of all rows is cut off
    split = attention.shape[1] - width
    ids = tensors["input_ids"][:, first:last]
    logits = model(
        input_ids=ids,
        attention_mask=attention[:, first:last],
        position_ids=tensors["position_ids"][:, first:last],
    ).logits[:, split - first - 1 : -1]
    chosen = ids[:, split - first :, None]
    told = logits.float().log_softmax(dim=-1).gather(-1, chosen).squeeze(-1)
    return torch.nn.functional.pad(told, (0, width - told.shape[1]))
