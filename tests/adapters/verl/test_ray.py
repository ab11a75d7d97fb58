"""VeRL's own managers with Ray: some minutes, so not on every run."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from omegaconf import OmegaConf, open_dict
from verl import DataProto
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

from llm_gym.adapters.verl import export_verl
from llm_gym.adapters.verl.local import local_config
from tests.adapters.verl.harness import HAS_V1
from tests.adapters.verl.ray_client import Client, ModelActor
from tests.adapters.verl.speaking import vault_tokenizer
from tests.policies.tiny import tiny_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(
        os.environ.get("LLM_GYM_NIGHTLY") != "1", reason="LLM_GYM_NIGHTLY=1 runs it"
    ),
]
# Gymnasium imports the module before the colon: in any process it can be made.
VAULT = "tests.adapters.verl.speaking:tests/VerlVault-v0"
FORGETFUL = "tests.adapters.verl.speaking:tests/VerlForgetful-v0"


@pytest.fixture(scope="module")
def model(tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = vault_tokenizer()
    tokenizer.save_pretrained(folder)
    tiny_model(tokenizer, max_position_embeddings=8192).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def configured(model: Path, folder: Path, env: str, *, v1: bool) -> tuple[Any, Path]:
    files = export_verl(
        env,
        folder,
        train=4,
        val=1,
        group_size=2,
        tokenizer=model,
        max_response_length=200,
        v1=v1,
        agent_options={"max_reply_tokens": 20},
    )
    told = files.overrides.read_text().split()
    few = [
        "actor_rollout_ref.rollout.agent.num_workers=2",
        *(["transfer_queue.backend.SimpleStorage.num_data_storage_units=1"] * v1),
    ]
    return local_config(model, [*told, *few]), files.train


def rows_of(path: Path, config: Any) -> list[dict[str, Any]]:
    rows = RLHFDataset([str(path)], vault_tokenizer(), config.data)
    return [rows[number] for number in range(4)]


def test_manager_plays_in_workers_of_its_own(
    cluster: None, model: Path, tmp_path: Path
) -> None:
    from verl.experimental.agent_loop import AgentLoopManager

    config, path = configured(model, tmp_path, VAULT, v1=False)
    actor = ModelActor.remote(str(model))
    manager = AgentLoopManager.create(config, Client(actor))
    batch = DataProto.from_single_dict(collate_fn(rows_of(path, config)))
    batch.non_tensor_batch["uid"] = np.array(list("abcd"), dtype=object)
    played = manager.generate_sequences(batch.repeat(2, interleave=True))
    assert len(played) == 8
    assert played.non_tensor_batch["fault"].sum() == 0
    assert played.batch["rm_scores"].shape == played.batch["responses"].shape
    assert ray.get(actor.count.remote()) >= 8


@pytest.mark.skipif(not HAS_V1, reason="VeRL 0.9 and TransferQueue are not installed")
def test_newer_manager_puts_every_segment_into_the_queue(
    cluster: None, model: Path, tmp_path: Path
) -> None:
    import transfer_queue as tq
    from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ
    from verl.utils import tensordict_utils

    config, path = configured(model, tmp_path, FORGETFUL, v1=True)
    with open_dict(config):
        config.transfer_queue.enable = True
    OmegaConf.resolve(config)
    tq.init(config.transfer_queue)
    try:
        actor = ModelActor.remote(str(model))
        manager = AgentLoopManagerTQ.create(config=config, llm_client=Client(actor))
        batch = collate_fn(rows_of(path, config))
        batch["uid"] = np.array(list("abcd"), dtype=object)
        told = tensordict_utils.get_tensordict(batch, {"global_steps": 1})
        manager.generate_sequences(told)
        keys = wait_for(tq, groups=4)
        assert {key.rsplit("_", 1)[0] for key in keys} == {
            f"{uid}_{session}" for uid in "abcd" for session in (0, 1)
        }
        fields = ["rm_scores", "response_mask", "rollout_log_probs"]
        data = tq.kv_batch_get(keys=keys, partition_id="train", select_fields=fields)
        assert len(data) == len(keys)
    finally:
        tq.close()


def wait_for(tq: Any, groups: int) -> list[str]:
    """Wait until all groups have ended, and return the keys of their rows."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        held = (tq.kv_list() or {}).get("train", {})
        states = [tag.get("status") for key, tag in held.items() if "_" not in key]
        if states.count("finished") == groups:
            return [key for key in held if "_" in key]
        assert "failure" not in states
        time.sleep(0.5)
    raise AssertionError(f"the groups did not end: {states}")
