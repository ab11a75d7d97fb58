"""`llm-gym list`: our own environments, and the bridged ones when asked."""

from __future__ import annotations

import json

import pytest

from llm_gym.cli import main
from llm_gym.registration import BRIDGED, ENVIRONMENTS


def test_bridged_environments_are_counted_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert "and 105 ids llmgym/reasoning_gym.NAME-v0" in text
    assert "chain_sum" not in text


def test_all_lists_each_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--all", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == [*ENVIRONMENTS, *BRIDGED]
    summary = {row["id"]: row["summary"] for row in rows}
    unfit = "The task `coin_flip` of reasoning-gym (unfit for training)."
    assert summary["llmgym/reasoning_gym.coin_flip-v0"] == unfit
    fit = "The task `chain_sum` of reasoning-gym."
    assert summary["llmgym/reasoning_gym.chain_sum-v0"] == fit
