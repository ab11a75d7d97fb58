"""`llm-gym export`, as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from llm_gym.cli import main
from llm_gym.store import read_trajectories
from tests.adapters.offline.stage import episodes, write

pytest.importorskip("datasets")

KINDS = ["sft", "dpo", "kto", "reward-model", "grpo"]


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "run.jsonl", episodes(8, 2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("out", ["out.jsonl", "out.parquet", "out"])
def test_every_kind_takes_every_form(
    kind: str, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", kind, "run.jsonl", out]) == 0
    captured = capsys.readouterr()
    assert "episodes read │ 8" in captured.out
    assert f"rows: {out}\nreport: {out}.report.json\n" in captured.out
    assert captured.err == ""
    assert Path(out).exists()
    assert json.loads(Path(f"{out}.report.json").read_text())["kind"] == kind


def test_a_rollout_of_a_registered_id_is_exported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rollout = ["rollout", "llmgym/MultiStep-v0", "--episodes", "4", "--json"]
    assert main([*rollout, "--policy", "oracle", "--out", "good.jsonl"]) == 0
    assert main([*rollout, "--policy", "random", "--out", "bad.jsonl"]) == 0
    capsys.readouterr()
    assert main(["export", "dpo", "good.jsonl", "bad.jsonl", "out.jsonl"]) == 0
    assert "rows          │ 4" in capsys.readouterr().out
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    good = next(iter(read_trajectories("good.jsonl")))
    assert rows[0]["chosen_source"]["digest"] == good.digest
    assert rows[0]["chosen_source"]["run"] == "good.jsonl"


def test_json_is_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--where", "reward >= 0.8 and turns < 10 and valid", "--json"]
    assert main(["export", "sft", "run.jsonl", "out.jsonl", *asked]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["read"], report["used"], report["rows"]) == (8, 4, 4)
    assert report["reasons"] == {"the filter": 4}
    assert report == json.loads(Path("out.jsonl.report.json").read_text())


def test_nothing_left_is_a_bad_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["export", "sft", "run.jsonl", "out.jsonl", "--where", "turns > 10"]
    assert main(asked) == 1
    text = capsys.readouterr().out
    assert "dropped: the filter │ 8" in text
    assert "nothing was left to export" in text
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["sft", "run.jsonl", "o.jsonl", "--where", "rewrad > 1"], "did you mean `rew"),
        (["sft", "run.jsonl", "o.jsonl", "--where", "parts.x > 1"], "has this part"),
        (["sft", "none.jsonl", "o.jsonl"], "cannot be read"),
        (["sft", "run.jsonl", "o.csv"], "NAME.jsonl, NAME.parquet, or a folder"),
        (["sft", "run.jsonl", "run.jsonl"], "exists: name another"),
        (["sft", "run.jsonl", "o.jsonl", "--best", "0"], "at least 1"),
        (["dpo", "run.jsonl", "o.jsonl", "--margin", "0"], "above 0"),
        (["kto", "run.jsonl", "o.jsonl", "--good", "turns"], "must come to yes or no"),
        (["grpo", "run.jsonl", "o.jsonl", "--tasks", "turns > 1"], "is no field"),
        (["verl", "llmgym/Nothing-v0", "o"], "Nothing"),
    ],
)
def test_wrong_use_ends_with_one_sentence(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("llm-gym: error: ")
    assert expected in captured.err
    assert captured.err.count("\n") == 1
    assert not Path(f"{arguments[2]}.report.json").exists()


def test_overwriting_must_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["export", "sft", "run.jsonl", "out.parquet"]
    assert [main(asked), main(asked), main([*asked, "--overwrite"])] == [0, 2, 0]


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (["sft", "--best", "1", "--by=-turns"], 4),
        (["sft", "--per-task", "1", "--seed", "3"], 4),
        (["sft", "--accept", "0.01"], 4),
        (["sft", "--form", "turns"], 16),
        (["sft", "--weight", "1 / rows_of_task"], 8),
        (["dpo", "--pairs", "all", "--same-group", "--form", "reply"], 4),
        (["dpo", "--chosen", "success", "--per-task", "1", "--margin", "0.5"], 4),
        (["reward-model", "--with-margin"], 4),
        (["kto", "--good", "success", "--bad", "reward < 0.1"], 8),
        (["grpo", "--tasks", "solved > 0 and solved < 1", "--in-message"], 4),
    ],
)
def test_options_reach_the_export(
    arguments: list[str], rows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, *more = arguments
    assert main(["export", kind, "run.jsonl", "out.jsonl", *more, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == rows


def test_help_lists_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "sft", "--help"])
    text = capsys.readouterr().out
    assert "stop_reason" in text
    assert "parts.NAME" in text


def test_verl_gets_its_files(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["verl", "llmgym/MultiStep-v0", "data", "--train", "4", "--val", "2"]
    assert main(["export", *asked, "--level", "0", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert all(Path(told[name]).is_file() for name in ("train", "val", "overrides"))
    assert told["tasks"] == 4
