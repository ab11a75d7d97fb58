"""`llm-gym lint-template`, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_gym.cli import main
from tests.policies.tiny import HERMES, PLAIN, THINKING, tiny_tokenizer


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jinja"
    path.write_text(HERMES)
    return path


def test_stable_template_is_0(
    template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint-template", str(template)]) == 0
    text = capsys.readouterr().out
    assert "mine.jinja: the prefix is stable" in text
    assert "tools are shown as the template writes them" in text
    assert "a call, then a tool result" in text


def test_template_that_breaks_the_prefix_is_1(
    template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template.write_text(THINKING)
    assert main(["lint-template", str(template)]) == 1
    text = capsys.readouterr().out
    assert "kinds of turn break the prefix" in text
    assert "begins a new segment" in text


def test_json_carries_the_report(
    template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint-template", str(template), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["name"], report["stable"]) == ("mine.jinja", True)
    assert report["turns"][0] == {
        "turn": "text, then the user",
        "problem": "",
        "stable": True,
        "action": "appends",
    }
    assert report["fields"][0]["field"] == "system message"


def test_folder_of_a_model_is_linted_with_its_tokenizer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_tokenizer(PLAIN).save_pretrained(tmp_path)
    assert main(["lint-template", str(tmp_path)]) == 0
    assert "replies end with '<|im_end|>'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [("{{ raise_exception('never') }}", "refuses the roles"), ("", "no chat template")],
)
def test_unusable_template_is_2(
    template: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    template.write_text(text)
    assert main(["lint-template", str(template)]) == 2
    assert message in capsys.readouterr().err


def test_missing_model_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint-template", str(tmp_path / "absent")]) == 2
    assert "no tokenizer could be loaded" in capsys.readouterr().err
