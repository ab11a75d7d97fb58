"""The command line, as a user meets it."""

from __future__ import annotations

import io
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_gym import Trajectory, rollout
from llm_gym.cli import main
from llm_gym.registration import ENVIRONMENTS
from llm_gym.store import read_trajectories

ID = "llmgym/MultiStep-v0"


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def rollouts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A file of eight random episodes."""
    path = tmp_path / "run.jsonl"
    code = main(
        ["rollout", ID, "--policy", "random", "--episodes", "8", "--out", str(path)]
    )
    capsys.readouterr()
    assert code == 0
    return path


def out(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_list_names_every_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    text = out(capsys)
    assert all(env_id in text for env_id in ENVIRONMENTS)


def test_list_json_carries_summaries(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    rows = json.loads(out(capsys))
    assert [row["id"] for row in rows] == list(ENVIRONMENTS)
    assert all(row["summary"].endswith(".") for row in rows)


def test_info_shows_card_tools_and_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", ID, "--level", "0", "--seed", "3"]) == 0
    text = out(capsys)
    assert "Reward:" in text
    assert "find_customer(name: string)" in text
    assert "(task train-0-" in text
    assert "[user]" in text


def test_info_json_is_what_reset_returns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", ID, "--env-arg", "level=2", "--json"]) == 0
    info = json.loads(out(capsys))
    assert info["example"]["task_id"].startswith("train-2-")
    assert {"id", "card", "tools", "example"} == info.keys()


def test_rollout_prints_a_table_and_the_path(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["--policy", "oracle", "--episodes", "4", "--level", "1"]
    assert main(["rollout", ID, *arguments]) == 0
    captured = capsys.readouterr()
    assert "mean reward  │ 1.000" in captured.out
    assert "rollouts/MultiStep-v0_OraclePolicy_1.jsonl" in captured.out
    assert "4/4" in captured.err  # the progress bar
    assert len(list((tmp_path / "rollouts").iterdir())) == 1


def test_rollout_never_writes_over_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["rollout", ID, "--policy", "oracle", "--episodes", "1"]) == 0
    assert len(list(Path("rollouts").iterdir())) == 2


def test_rollout_json_is_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--policy", "random", "--episodes", "4", "--group-size", "2"]
    assert main(["rollout", ID, *arguments, "--json"]) == 0
    captured = capsys.readouterr()
    figures = json.loads(captured.out)
    assert figures["episodes"] == 4
    assert figures["mean_reward"] == 0.0
    assert figures["faults"] == 0
    assert captured.err == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["info", "llmgym/Nothing-v0"], "Nothing"),
        (["info", "nowhere:llmgym/X-v0"], "no module 'nowhere'"),
        (["info", "CartPole-v1"], "is not an environment for language models"),
        (["info", ID, "--level", "99"], "`level` must be None or from 0 to 6"),
        (["info", ID, "--split", "dev"], "`split` must be one of"),
        (["info", ID, "--env-arg", "level"], "NAME=VALUE"),
        (["rollout", ID, "--policy", "oracle", "--episodes", "0"], "at least 1"),
        (["rollout", ID, "--policy", "random", "--group-size", "3"], "multiple"),
        (["show", "missing.jsonl"], "cannot be read"),
        (["check", ID, "--seeds", "0"], "at least 1"),
        (["play", ID, "--task", "train-0-x"], "a task id must be"),
    ],
)
def test_wrong_use_ends_with_one_sentence(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("llm-gym: error: ")
    assert expected in captured.err
    assert captured.err.count("\n") == 1


def test_show_prints_a_transcript(
    rollouts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(rollouts)]) == 0
    text = out(capsys)
    assert text.startswith(f"== {ID}, task train-")
    assert "score 0" in text
    assert "\x1b" not in text  # no terminal, no colour


def test_show_task_selects_it(
    rollouts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = Trajectory.from_json(rollouts.read_text().splitlines()[5])
    assert main(["show", str(rollouts), "--task", wanted.task.id, "--json"]) == 0
    (shown,) = json.loads(out(capsys))
    assert shown["digest"] == wanted.digest


def test_show_worst_orders_by_return(
    rollouts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--policy", "oracle", "--episodes", "1", "--out", str(rollouts)]
    assert main(["rollout", ID, *arguments]) == 0  # appended: nine episodes now
    capsys.readouterr()
    assert main(["show", str(rollouts), "--worst", "-n", "9", "--json"]) == 0
    values = [shown["score"]["value"] for shown in json.loads(out(capsys))]
    assert values == [0.0] * 8 + [1.0]


def test_show_unknown_task_says_so(
    rollouts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(rollouts), "--task", "nope"]) == 2
    assert "holds no episode of task 'nope'" in capsys.readouterr().err


def test_show_damaged_line_is_named(
    rollouts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = rollouts.read_text().splitlines()
    lines[2] = lines[2][:-20]
    rollouts.write_text("\n".join(lines))
    assert main(["show", str(rollouts), "-n", "8"]) == 2
    assert "line 3" in capsys.readouterr().err


def test_play_takes_commands_from_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = [
        "/help",
        "/find_customer name",
        "/find_customer name=1 ; /nothing",
        "/submit answer=X",
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(typed) + "\n"))
    assert main(["play", ID, "--seed", "1"]) == 0
    text = out(capsys)
    assert "not understood: an argument is written name=value" in text
    assert "is not of type 'string'" in text
    assert "there is no tool 'nothing'" in text
    assert "tool: score 0" in text


def test_play_plain_text_is_an_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("I give up\n"))
    assert main(["play", "llmgym/MultipleChoice-v0", "--seed", "1", "--json"]) == 0
    shown = Trajectory.from_json(out(capsys))
    assert shown.answer == "I give up"


def test_play_end_of_input_leaves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(["play", ID]) == 1


def test_check_passes_and_reports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", ID, "--only", "schemas", "--seeds", "1"]) == 0
    assert "ok  schemas" in out(capsys)


def test_check_json_lists_findings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", ID, "--only", "oracle", "--seeds", "2", "--json"]) == 0
    (report,) = json.loads(out(capsys))
    assert report["passed"] is True
    assert [finding["check"] for finding in report["findings"]] == ["oracle"]


BROKEN = '''
import gymnasium as gym
from llm_gym import ToolEnv

class PaysEverything(ToolEnv):
    """Pays."""
    def begin(self, task):
        return "Hello"
    def verify(self, trajectory):
        return 1.0

class Faulty(PaysEverything):
    """Breaks."""
    def verify(self, trajectory):
        raise KeyError("judge")

gym.register("mine/Pays-v0", entry_point=PaysEverything)
gym.register("mine/Faulty-v0", entry_point=Faulty)
'''


def test_own_module_is_found_and_its_failures_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_broken_envs.py").write_text(BROKEN)
    assert main(["check", "my_broken_envs:mine/Pays-v0", "--only", "floors"]) == 1
    assert "FAILED  floors" in out(capsys)
    arguments = ["--policy", "random", "--episodes", "2"]
    assert main(["rollout", "my_broken_envs:mine/Faulty-v0", *arguments]) == 1
    text = out(capsys)
    assert "faults       │ 2" in text
    assert "mean reward  │ nan" in text  # a fault is no zero
    path = text.rpartition("rollouts: ")[2].strip()
    assert main(["show", path]) == 0
    assert "== fault: the verifier raised KeyError: 'judge'" in out(capsys)


def test_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("llm_gym.cli.list_envs._run", interrupt)
    assert main(["list"]) == 130


def test_interrupted_rollout_keeps_what_is_finished(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*arguments: object, **options: object) -> Iterator[Trajectory]:
        yield from itertools.islice(rollout(*arguments, **options), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr("llm_gym.cli.rollout.rollout", interrupted)
    path = tmp_path / "kept.jsonl"
    arguments = ["--policy", "oracle", "--episodes", "8", "--out", str(path)]
    assert main(["rollout", ID, *arguments]) == 130
    captured = capsys.readouterr()
    assert "interrupted after 2 episodes" in captured.err
    assert "episodes     │ 2" in captured.out
    assert len(path.read_text().splitlines()) == 2


def test_closed_pipe_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(options: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr("llm_gym.cli.list_envs._run", closed)
    monkeypatch.setattr("os.dup2", lambda *_: 0)
    assert main(["list"]) == 0


def test_rollout_of_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    testing = pytest.importorskip("llm_gym.testing")
    monkeypatch.setenv("TEST_KEY", "secret-key")
    path = tmp_path / "kept.jsonl"
    with testing.LocalServer(["no idea"], key="secret-key", model="m") as server:
        arguments = ["--base-url", server.url, "--model", "m", "--key-env", "TEST_KEY"]
        arguments += ["--episodes", "2", "--out", str(path), "--json"]
        assert main(["rollout", ID, *arguments]) == 0
    records = list(read_trajectories(path))
    assert [record.run.policy for record in records] == ["m", "m"]
    assert "secret-key" not in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "endpoint"], "need each other"),
        (["--policy", "random", "--base-url", "http://x/v1"], "need each other"),
        (["--base-url", "http://x/v1"], "`--base-url` needs `--model`"),
    ],
)
def test_rollout_refuses_options_that_do_not_go_together(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["rollout", ID, *arguments]) == 2
    assert message in capsys.readouterr().err
