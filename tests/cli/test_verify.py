"""`llm-gym verify`, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_gym import Trajectory, rollout
from llm_gym.cli import main
from llm_gym.messages import Reply, call_text
from llm_gym.store import TrajectoryWriter
from llm_gym.tokens import ChatTokens
from tests.policies.tiny import END, HERMES, PLAIN, tiny_tokenizer
from tests.sample_envs import VaultEnv
from tests.tokens.speaking import SpeakingPolicy

TEXTS = [call_text("roll", {}), call_text("open", {"code": 7})]


@pytest.fixture
def model(tmp_path: Path) -> str:
    """The folder of a tokenizer."""
    folder = tmp_path / "model"
    tiny_tokenizer(HERMES).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of two episodes with tokens."""
    policy = SpeakingPolicy(ChatTokens(tiny_tokenizer(HERMES), "tiny"), TEXTS, END)
    path = tmp_path / "run.jsonl"
    with TrajectoryWriter(path) as writer:
        for record in rollout(VaultEnv, policy, episodes=2, concurrency=1):
            writer.write(record)
    return path


def change(path: Path, **changes: Any) -> None:
    """Change the first record of a file without mending its hashes."""
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), **changes}), *others]))


def test_true_file_is_0(
    file: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(file)]) == 0
    hint = "the tokens of 2 were not rendered: give a `--model`"
    assert capsys.readouterr().out == f"2 of 2 episodes verified; {hint}\n"
    assert main(["verify", str(file), "--model", model]) == 0
    text = capsys.readouterr().out
    assert text == "2 of 2 episodes verified, the tokens of 2 rendered again\n"


def test_changed_record_is_1_and_the_change_is_named(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(file, outcome={"opened": 8})
    assert main(["verify", str(file)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        'line 1: differs: outcome, the end: recorded {"opened":8}, found {"opened":7}'
    )
    assert lines[1].startswith("line 1: differs: record, its seal: recorded intact")
    assert lines[2].startswith("1 of 2 episodes verified")


def test_changed_token_is_1_and_named(
    file: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = json.loads(file.read_text().splitlines()[0])["tokens"]
    tokens["segments"][0]["ids"][4] = 70
    change(file, tokens=tokens)
    assert main(["verify", str(file), "--model", model]) == 1
    text = capsys.readouterr().out
    assert "differs: token, segment 0, token 4: recorded 70 (" in text
    assert "`certificate.ids`: expected" in text


def test_other_template_is_1_and_named(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_tokenizer(PLAIN).save_pretrained(tmp_path / "other")
    assert main(["verify", str(file), "--model", str(tmp_path / "other")]) == 1
    assert "line 1: differs: template: recorded" in capsys.readouterr().out


def test_warning_alone_is_0(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = Trajectory.from_json(file.read_text().splitlines()[0])
    (fault,) = rollout(VaultEnv, _Crashing(), episodes=1, retries=0)
    file.write_text(f"{record.to_json()}\n{fault.to_json()}\n")
    assert main(["verify", str(file)]) == 0
    assert "line 2: warning: episode: recorded a fault" in capsys.readouterr().out


class _Crashing:
    """Calls what crashes."""

    async def reply(self, request: Any, trace: Any = None) -> Any:
        """Call it."""
        return Reply(call_text("crash", {}))


def test_json_carries_the_differences(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(file, outcome={"opened": 8})
    assert main(["verify", str(file), "--json"]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert (first["line"], first["verified"], first["tokens"]) == (1, False, True)
    assert first["differences"][0]["what"] == "outcome"
    assert (second["verified"], second["differences"]) == (True, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no episode to verify"),
        ("{}", "line 1: `schema_version`"),
        ("no json", "line 1: not a trajectory"),
    ],
)
def test_unusable_file_is_2(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    assert main(["verify", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_file_of_bytes_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.jsonl").write_bytes(b"\xff")
    assert main(["verify", str(tmp_path / "run.jsonl")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "absent")]) == 2


def test_environment_that_is_not_there_is_2(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(file, env_id="llmgym/Absent-v0")
    assert main(["verify", str(file)]) == 2
    assert "'llmgym/Absent-v0' cannot be made" in capsys.readouterr().err
