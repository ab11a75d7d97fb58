"""What docs/offline.md says of the language and of options is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from llm_gym.adapters.offline import Choice, Pairing
from llm_gym.adapters.offline.episodes import FIELDS, of_trajectory
from llm_gym.cli import main
from tests.adapters.offline.stage import episodes

PAGE = Path(__file__, "../../../../docs/offline.md").resolve().read_text()
COMMANDS = [line for line in re.findall(r"^llm-gym .*$", PAGE, re.MULTILINE) if line]


def test_the_commands_of_the_first_block_run_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = [line for line in COMMANDS if "model.jsonl" not in line]
    assert len(told) == 7
    for line in told:
        assert main(shlex.split(line)[1:]) == 0, line
    written = {path.name for path in tmp_path.glob("*.parquet")}
    assert written == {f"{n}.parquet" for n in ("sft", "dpo", "kto", "rm", "grpo")}


def test_the_table_of_the_page_is_what_the_command_prints(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for line in COMMANDS[:3]:
        assert main(shlex.split(line)[1:]) == 0
    table = PAGE.partition("```\n╭")[2].partition("```")[0]
    assert "╭" + table in capsys.readouterr().out


@pytest.mark.parametrize("text", re.findall(r'--where "([^"]+)"', PAGE))
def test_filters_of_the_page_are_read(text):
    assert Choice(where=text).where == text


def test_what_is_better_on_the_page_is_read():
    (by,) = re.findall(r'--by "([^"]+)"', PAGE)
    assert Pairing(by=by, chosen="success").by == by


def test_every_episode_tells_its_fields():
    (episode,) = episodes(1, 1)
    facts = of_trajectory(episode).facts
    names = {name for name in facts if not name.startswith("parts.")}
    assert names == FIELDS.keys() - {"run"}  # the reader adds the file's name
