"""The catalogue is up to date, and says what the cards say."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium as gym
import pytest

from llm_gym import ListTasks, Task
from llm_gym.cli import main
from llm_gym.cli.catalogue import (
    _cell,
    _count,
    _levels,
    bridged_rows,
    catalogue,
    rows,
)
from llm_gym.registration import ENVIRONMENTS
from tests.checks.zoo import BoxesEnv

PAGE = Path(__file__).parents[2] / "llm_gym" / "envs" / "README.md"


def test_committed_catalogue_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == catalogue(), (
        "write it anew: `llm-gym catalogue --out llm_gym/envs/README.md`"
    )


def test_every_environment_has_a_row() -> None:
    assert [row["id"] for row in rows()] == list(ENVIRONMENTS)


def test_row_says_what_the_card_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalogue", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["environments"]
    row = next(row for row in listed if row["id"] == "llmgym/MultipleChoice-v0")
    assert row["asks"] == "Choose the right one of four to ten lettered options."
    assert (row["oracle"], row["null"]) == ("1.000", "0.000")
    assert 0.1 < float(row["constant"]) < 0.25
    assert row["levels"] == [0, 1, 2, 3]
    assert row["tasks"] is None


def test_row_of_a_bridged_task_has_its_means_and_of_how_many_tasks() -> None:
    listed = {row["name"]: row for row in bridged_rows()}
    assert len(listed) == 105
    assert listed["coin_flip"]["constant"] == "0.890"
    assert listed["rush_hour"]["oracle"] == "none"
    assert (listed["chain_sum"]["oracle"], listed["chain_sum"]["of_tasks"]) == (
        "1.000",
        20,
    )


def test_catalogue_is_written_to_a_file_or_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["catalogue", "--out", str(tmp_path / "x.md")]) == 0
    assert main(["catalogue"]) == 0
    assert (tmp_path / "x.md").read_text() == capsys.readouterr().out


def test_tasks_of_a_list_are_counted_by_split() -> None:
    tasks = ListTasks(
        [Task("a"), Task("b", level=2), Task("c", split="test"), Task("d")]
    )
    assert _levels(tasks) == [0, 2]
    counts = _count(tasks)
    assert counts == {"train": 3, "test": 1}
    assert _cell("tasks", {"tasks": counts}) == "train 3, test 1"


def test_card_without_floors_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_gym.cli.catalogue.ENVIRONMENTS", {"tests/Boxes-v0": ""})
    gym.register("tests/Boxes-v0", entry_point="tests.checks.zoo:BoxesEnv")
    try:
        with pytest.raises(ValueError, match="Boxes-v0 --floors` measures the line"):
            rows()
    finally:
        del gym.registry["tests/Boxes-v0"]


def test_what_is_no_env_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_gym.cli.catalogue.ENVIRONMENTS", {"CartPole-v1": ""})
    with pytest.raises(TypeError, match="'CartPole-v1': expected a ToolEnv class"):
        rows()


def test_env_without_tools_says_none() -> None:
    assert _cell("tools", {"tools": []}) == "none"
    assert _cell("tools", {"tools": [*BoxesEnv.tool_specs]}) == "`open_box`, `knock`"
