"""VeRL's own configuration takes the settings of an export and of the example."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import ConfigCompositionException
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config

from llm_gym.adapters.verl import export_verl
from llm_gym.adapters.verl.export import _has_v1
from llm_gym.adapters.verl.local import local_config
from tests.adapters.verl.speaking import VAULT, vault_tokenizer

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "train_verl.sh"
# What VeRL asks for besides, as in docs/train_verl.md.
BATCHES = (
    "actor_rollout_ref.actor.use_dynamic_bsz=True",
    "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True",
)
# In place of `python`: what `main_ppo` would be started with is written to a file.
WITHOUT_TRAINER = """#!/bin/sh
if [ "$2" = verl.trainer.main_ppo ]; then
    shift 2
    printf '%s\\n' "$VERL_USE_EXTERNAL_MODULES" "$@" > {told}
else
    exec {python} "$@"
fi
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("model")
    vault_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def told(model: Path, tmp_path_factory: Any) -> list[str]:
    """Run the example, but for the trainer, and return what that would be told."""
    folder = tmp_path_factory.mktemp("example")
    stand_in = folder / "python"
    command = {"told": folder / "told", "python": sys.executable}
    stand_in.write_text(WITHOUT_TRAINER.format(**command))
    stand_in.chmod(0o755)
    search = os.pathsep.join([str(folder), os.environ["PATH"]])
    arguments = [model, "llmgym/SingleTool-v0", folder / "run", "trainer.nnodes=2"]
    subprocess.run(
        ["bash", EXAMPLE, *arguments],
        env={**os.environ, "PATH": search, "TRAIN_ROWS": "5", "VAL_ROWS": "2"},
        check=True,
    )
    return (folder / "told").read_text().splitlines()


def validated(model: Path, settings: list[str]) -> Any:
    config = local_config(model, settings)
    critic = need_critic(config)
    reference = need_reference_policy(config)
    validate_config(config, use_reference_policy=reference, use_critic=critic)
    return config


@pytest.mark.filterwarnings("ignore:Disabled critic")
@pytest.mark.parametrize("v1", [False, True] if _has_v1() else [False])
def test_settings_of_an_export_are_valid(model: Path, tmp_path: Path, v1: bool) -> None:
    files = export_verl(VAULT, tmp_path, train=1, val=1, v1=v1)
    config = validated(model, [*files.overrides.read_text().split(), *BATCHES])
    assert config.algorithm.adv_estimator == ("grpo" if v1 else "llmgym_grpo")
    assert config.trainer.use_v1 == v1


@pytest.mark.filterwarnings("ignore:Disabled critic")
def test_settings_of_the_example_are_valid(model: Path, told: list[str]) -> None:
    config = validated(model, told[1:])
    assert config.trainer.nnodes == 2  # more arguments come last
    rollout = config.actor_rollout_ref.rollout
    assert rollout.agent.default_agent_loop == "llm_gym"
    assert Path(rollout.agent.agent_loop_config_path).is_file()
    assert config.actor_rollout_ref.model.path == str(model)


def test_example_names_the_plugin_for_verl_that_knows_no_entry_points(
    told: list[str],
) -> None:
    assert told[0] == "llm_gym.adapters.verl.plugin"


def test_variable_can_be_set_for_processes_of_ray(model: Path) -> None:
    variables = "ray_kwargs.ray_init.runtime_env.env_vars"
    name = "VERL_USE_EXTERNAL_MODULES"
    config = local_config(model, [f"+{variables}.{name}=llm_gym.adapters.verl.plugin"])
    told = config.ray_kwargs.ray_init.runtime_env.env_vars
    assert told[name] == "llm_gym.adapters.verl.plugin"


def test_settings_that_verl_does_not_know_would_be_refused(model: Path) -> None:
    with pytest.raises(ConfigCompositionException, match="default_agent_lop"):
        local_config(model, ["actor_rollout_ref.rollout.agent.default_agent_lop=x"])
