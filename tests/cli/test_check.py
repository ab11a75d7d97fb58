"""`llm-gym check` and its options."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest

from llm_gym.cli import main


@pytest.fixture(autouse=True)
def _ids(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("llm_gym.checks.fuzz.MOST_SECONDS", 0)
    gym.register("tests/Boxes-v0", entry_point="tests.checks.zoo:BoxesEnv")
    gym.register("tests/Nan-v0", entry_point="tests.checks.zoo:PaysNanEnv")
    gym.register("tests/NoOracle-v0", entry_point="tests.checks.zoo:NoOracleEnv")
    yield
    for name in ("Boxes", "Nan", "NoOracle"):
        del gym.registry[f"tests/{name}-v0"]


def out(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_families_with_holes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "tests/Nan-v0", "--only", "fuzz", "--seeds", "1"]) == 1
    lines = out(capsys).splitlines()
    assert "FAILED  fuzz: " in lines[1]
    assert lines[2] == "            1.000  constants: 'nan'"
    assert len(lines) == 3


def test_passed_check_with_figures_tells_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--only", "fuzz", "--only", "oracle", "--seeds", "1"]
    assert main(["check", "tests/Boxes-v0", *arguments]) == 0
    _, oracle, fuzz = out(capsys).splitlines()
    assert oracle.endswith("ok  oracle")
    assert "ok  fuzz: " in fuzz
    assert fuzz.endswith("no hole")


def test_json_holds_the_most_that_each_family_was_paid(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--only", "fuzz", "--seeds", "1", "--json"]
    assert main(["check", "tests/Nan-v0", *arguments]) == 1
    (report,) = json.loads(out(capsys))
    data = report["findings"][0]["data"]
    assert "paid" not in data
    most = {row["family"]: row["most"] for row in data["families"]}
    assert most["constants"] == 1.0
    assert most["echo"] == 0.0


def test_fuzz_report_holds_every_payment(tmp_path: Path) -> None:
    path = tmp_path / "fuzz.json"
    arguments = ["--only", "fuzz", "--seeds", "1", "--fuzz-report", str(path)]
    assert main(["check", "tests/Nan-v0", "tests/Boxes-v0", *arguments]) == 1
    reports = json.loads(path.read_text())
    assert [*reports] == ["tests/Nan-v0", "tests/Boxes-v0"]
    paid = reports["tests/Nan-v0"]["paid"]
    assert {"constants", "quoted"} <= {p["family"] for p in paid}
    assert {p["probe"] for p in paid if p["hole"]} == {"'nan'", "'NaN'"}


def test_fuzz_report_without_fuzz_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--only", "oracle", "--fuzz-report", "x.json"]
    assert main(["check", "tests/Boxes-v0", *arguments]) == 2
    assert "add `--only fuzz`" in capsys.readouterr().err


def test_floors_are_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"oracle": 3, "null": 3, "constant": 3, "random": 1000}
    monkeypatch.setattr("llm_gym.checks.card_floors.EPISODES", {**few, "random": 5})
    assert main(["check", "tests/Boxes-v0", "--floors"]) == 0
    line = "oracle 1.000, null 0.000, constant 0.000, random 0.000 (5 episodes, seed 0)"
    assert out(capsys) == f"tests/Boxes-v0\n    {line}\n"
    assert main(["check", "tests/Boxes-v0", "--floors", "--json"]) == 0
    assert json.loads(out(capsys)) == {"tests/Boxes-v0": line}


def test_floors_of_an_env_without_oracle_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", "tests.checks.zoo:tests/NoOracle-v0", "--floors"]) == 2
    assert "has no floors yet: `NoOracleEnv` has no oracle" in capsys.readouterr().err
