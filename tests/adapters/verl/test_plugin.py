import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch
from verl.experimental.agent_loop import agent_loop as loops
from verl.trainer.ppo import core_algos

import llm_gym.adapters.verl as adapter
from llm_gym.adapters.verl import plugin
from llm_gym.adapters.verl.advantage import ESTIMATORS
from llm_gym.adapters.verl.export import _has_v1

# What VeRL knows once it was imported, in a process where nothing else was.
KNOWN = """
import verl
from verl.experimental.agent_loop.agent_loop import _agent_loop_registry
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY
print("llm_gym" in _agent_loop_registry, "llmgym_grpo" in ADV_ESTIMATOR_REGISTRY)
"""


def known(folder: Path, **variables: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", KNOWN]
    environment = {**os.environ, "VERL_USE_EXTERNAL_PLUGINS": "none", **variables}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, check=True
    )
    return done.stdout.decode().splitlines()[-1]


@pytest.mark.skipif(not _has_v1(), reason="VeRL 0.8 knows no entry points")
def test_verl_finds_the_installed_plugin_by_itself(tmp_path: Path) -> None:
    assert known(tmp_path, VERL_USE_EXTERNAL_PLUGINS="auto") == "True True"


@pytest.mark.skipif(
    _has_v1() and os.environ.get("LLM_GYM_NIGHTLY") != "1",
    reason="0.9 has the entry point; LLM_GYM_NIGHTLY=1 runs it",
)
def test_verl_finds_the_plugin_that_a_variable_names(tmp_path: Path) -> None:
    named = {"VERL_USE_EXTERNAL_MODULES": "llm_gym.adapters.verl.plugin"}
    assert known(tmp_path, **named) == "True True"


def test_distribution_declares_the_plugin() -> None:
    (point,) = (p for p in entry_points(group="verl.plugins") if p.name == "llm_gym")
    assert point.dist.name == "llm-gym"
    assert point.load() is plugin


def test_plugin_makes_the_loop_and_the_estimators_known() -> None:
    plugin.register()
    plugin.register()
    target = loops._agent_loop_registry["llm_gym"]["_target_"]
    assert target == "llm_gym.adapters.verl.agent_loop.GymAgentLoop"
    assert ESTIMATORS.keys() <= core_algos.ADV_ESTIMATOR_REGISTRY.keys()


def test_plugin_leaves_a_loop_of_that_name_alone() -> None:
    before = loops._agent_loop_registry["llm_gym"]
    try:
        loops._agent_loop_registry["llm_gym"] = {"_target_": "mine"}
        plugin.register()
        assert loops._agent_loop_registry["llm_gym"] == {"_target_": "mine"}
    finally:
        loops._agent_loop_registry["llm_gym"] = before


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_are_verls_own_where_nothing_broke(name: str) -> None:
    plugin.register()
    rewards = torch.tensor([[0.0, 1.0], [0.0, 0.5], [0.0, 0.0], [0.0, 1.0]])
    given = {
        "response_mask": torch.tensor([[1, 1], [0, 1], [1, 1], [1, 1]]),
        "index": ["a", "a", "b", "b"],
    }
    ours, theirs = (
        core_algos.get_adv_estimator_fn(one)(
            token_level_rewards=rewards.clone(), config=None, **given
        )[0]
        for one in (name, ESTIMATORS[name])
    )
    assert torch.equal(ours, theirs)


def test_loop_is_one_of_verls() -> None:
    assert issubclass(adapter.GymAgentLoop, loops.AgentLoopBase)


def test_adapter_names_what_it_does_not_have() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = adapter.Nothing


def test_adapter_alone_imports_no_verl() -> None:
    code = "import sys, llm_gym.adapters.verl.export; sys.exit('verl' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
