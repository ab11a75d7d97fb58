"""The README's code runs, word by word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from llm_gym.checks import check
from llm_gym.messages import call_text
from llm_gym.policies import RandomPolicy, Sampling, TransformersPolicy
from llm_gym.registration import ENVIRONMENTS
from tests.policies import tiny

README = (Path(__file__).parent.parent / "README.md").read_text()
LOOP, VAULT, ROLLOUTS, TRAINING = re.findall(
    r"```python\n(.*?)```", README, flags=re.DOTALL
)


@pytest.fixture
def vault_env(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class that the README defines, registered as it says."""
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    names: dict[str, Any] = {"__name__": "readme"}
    exec(VAULT, names)
    return names["VaultEnv"]


@pytest.mark.model
def test_loop_of_the_readme_plays_an_episode(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = TransformersPolicy(sampling=Sampling(max_new_tokens=8))
    monkeypatch.setattr("llm_gym.policies.TransformersPolicy", lambda: brief)
    exec(LOOP, {})
    assert re.match(r"\w+ {'value': [01]\.0", capsys.readouterr().out)


def test_own_environment_of_the_readme_pays_for_the_red_vault(vault_env: Any) -> None:
    env = gym.make("my/Vault-v0")
    env.reset(seed=1)
    request, *_ = env.step(call_text("lookup", {"colour": "red"}))
    code = int(request["messages"][-1]["content"])
    *_, reward, terminated, _, _ = env.step(call_text("open", {"code": code}))
    assert (reward, terminated) == (1.0, True)


def test_own_environment_of_the_readme_survives_the_checks(vault_env: Any) -> None:
    only = ["gymnasium", "schemas", "floors", "replies", "determinism", "snapshot"]
    report = check(vault_env, seeds=range(2), only=only)
    assert report.passed, report.findings


def test_own_environment_fits_thirty_lines_of_code() -> None:
    code = re.sub(r'"""(?:.|\n)*?"""', "", VAULT.partition("class ")[2])
    assert len([line for line in code.splitlines() if line.strip()]) <= 30


def test_rollouts_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    exec(ROLLOUTS, {"policy": RandomPolicy()})
    assert len(capsys.readouterr().out.splitlines()) == 64


@pytest.mark.trl
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_training_of_the_readme_takes_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("trl")
    torch.set_num_threads(1)
    tokenizer = tiny.tiny_tokenizer(tiny.HERMES)
    tokenizer.save_pretrained(tmp_path / "model")
    tiny.tiny_model(tokenizer).save_pretrained(tmp_path / "model")
    brief = TRAINING.replace("Qwen/Qwen3-0.6B", str(tmp_path / "model"))
    brief = brief.replace('"out"', '"out", **brief').replace("512", "2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    settings = {"max_steps": 1, "max_completion_length": 8, "use_cpu": True}
    settings |= {"bf16": False, "dataloader_pin_memory": False}
    names: dict[str, Any] = {"brief": settings, "__name__": "readme"}
    exec(brief, names)
    assert "spec" in names
    assert (tmp_path / "out" / "checkpoint-1").is_dir()


def test_table_of_the_readme_names_every_environment() -> None:
    assert all(f"`{env_id}`" in README for env_id in ENVIRONMENTS)


def test_readme_stays_short() -> None:
    assert len(README.splitlines()) <= 150
