from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from llm_gym import Score, rollout
from llm_gym.adapters.verl import export_verl
from llm_gym.adapters.verl.spec import EpisodeSpec
from llm_gym.policies import ScriptedPolicy
from tests.adapters.verl.speaking import VAULT, vault_tokenizer
from tests.sample_envs import VaultEnv

parquet = pytest.importorskip("pyarrow.parquet")


class JudgedTogether(VaultEnv):
    """An environment whose groups are judged."""

    class Judge:
        """Likes all alike."""

        def verify_group(self, trajectories: Any) -> list[Score]:
            return [Score(1.0) for _ in trajectories]

    group_verifier = Judge()


gym.register("tests/VerlJudged-v0", entry_point=JudgedTogether)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return parquet.read_table(str(path)).to_pylist()


def specs_of(path: Path) -> list[EpisodeSpec]:
    return [
        EpisodeSpec.from_json(row["extra_info"]["llm_gym"]) for row in rows_of(path)
    ]


def settings_of(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_rows_are_the_groups_of_a_rollout(tmp_path: Path) -> None:
    files = export_verl(VAULT, tmp_path, train=3, val=1, seed=5)
    played = rollout(VAULT, ScriptedPolicy(["no"]), episodes=3, seed=5, concurrency=1)
    for row, spec, trajectory in zip(
        rows_of(files.train), specs_of(files.train), played, strict=True
    ):
        assert spec.task_id == trajectory.task.id
        assert row["prompt"] == [
            {"role": m["role"], "content": m["content"]} for m in trajectory.prompt
        ]


def test_rows_say_what_verl_asks_for(tmp_path: Path) -> None:
    (row, *_) = rows_of(export_verl(VAULT, tmp_path, train=1, val=1).train)
    assert row["agent_name"] == "llm_gym"
    assert row["data_source"] == VAULT
    assert row["reward_model"] == {"style": "llm_gym", "ground_truth": ""}
    assert row["extra_info"]["index"] == 0


def test_rows_of_a_mixture_keep_their_own_arguments(tmp_path: Path) -> None:
    mixture = {"llmgym/MultiStep-v0": 1.0, VAULT: 1.0}
    kwargs = {"llmgym/MultiStep-v0": {"level": 1}, VAULT: {"max_turns": 3}}
    files = export_verl(mixture, tmp_path, train=12, val=1, env_kwargs=kwargs)
    found = {spec.env: spec.env_kwargs for spec in specs_of(files.train)}
    assert found == kwargs


def test_rows_to_measure_with_are_of_another_split(tmp_path: Path) -> None:
    files = export_verl(VAULT, tmp_path, train=2, val=2)
    assert {spec.env_kwargs.get("split") for spec in specs_of(files.train)} == {None}
    for spec in specs_of(files.val):
        assert spec.env_kwargs["split"] == "validation"
        assert spec.validation


def test_arguments_of_the_rows_to_measure_with_can_be_chosen(tmp_path: Path) -> None:
    files = export_verl(VAULT, tmp_path, train=1, val=1, val_kwargs={"level": 1})
    assert specs_of(files.val)[0].env_kwargs == {"level": 1}


def test_settings_name_the_files_and_the_loop(tmp_path: Path) -> None:
    files = export_verl(VAULT, tmp_path, train=1, val=1, group_size=4, v1=True)
    settings = settings_of(files.overrides)
    rollout_settings = "actor_rollout_ref.rollout"
    assert settings["data.train_files"] == str(files.train)
    assert settings[f"{rollout_settings}.n"] == "4"
    assert settings[f"{rollout_settings}.agent.default_agent_loop"] == "llm_gym"
    assert settings["algorithm.adv_estimator"] == "grpo"
    assert settings["trainer.use_v1"] == "True"


def test_settings_of_the_older_trainer_leave_faults_out(tmp_path: Path) -> None:
    settings = settings_of(
        export_verl(VAULT, tmp_path, train=1, val=1, v1=False).overrides
    )
    assert settings["algorithm.adv_estimator"] == "llmgym_grpo"
    assert settings["++trainer.use_v1"] == "False"  # added where it is unknown


def test_tokenizer_decides_how_long_prompts_are(tmp_path: Path) -> None:
    tokenizer = vault_tokenizer()
    files = export_verl(VAULT, tmp_path, train=4, val=1, tokenizer=tokenizer)
    settings = settings_of(files.overrides)
    assert settings["data.max_prompt_length"] == str(files.longest_prompt)
    assert files.longest_prompt > len(tokenizer("Open the red vault.")["input_ids"])


def test_tokenizer_may_be_a_folder(tmp_path: Path) -> None:
    vault_tokenizer().save_pretrained(tmp_path / "model")
    model = tmp_path / "model"
    files = export_verl(VAULT, tmp_path, train=1, val=1, tokenizer=model)
    assert files.longest_prompt


def test_options_of_the_loop_are_written_down(tmp_path: Path) -> None:
    options = {"segments": "last", "parts": ["opened"]}
    files = export_verl(VAULT, tmp_path, train=1, val=1, agent_options=options)
    text = files.agent_loop.read_text()
    assert '  segments: "last"' in text
    assert '  parts: ["opened"]' in text
    assert "_target_: llm_gym.adapters.verl.agent_loop.GymAgentLoop" in text


def test_different_tasks_are_counted(tmp_path: Path) -> None:
    files = export_verl(VAULT, tmp_path, train=5, val=1)
    assert files.tasks == len({spec.task_id for spec in specs_of(files.train)})


@pytest.mark.parametrize("name", ["train", "val", "group_size"])
def test_export_refuses_numbers_below_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, not 0"):
        export_verl(VAULT, tmp_path, **{name: 0})


def test_export_refuses_what_another_process_cannot_make(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="must be a registered id or a mixture of ids"):
        export_verl(VaultEnv, tmp_path)


def test_export_refuses_groups_that_are_judged_together(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="JudgedTogether cannot be exported: its groups"
    ):
        export_verl("tests/VerlJudged-v0", tmp_path, train=1, val=1)


def test_export_refuses_environments_of_others(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it must be a ToolEnv"):
        export_verl("CartPole-v1", tmp_path, train=1, val=1)
