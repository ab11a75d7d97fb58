"""docs/new_environment.md, followed word by word in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "new_environment.md").read_text()
BLOCKS = re.findall(r"```(python|sh|text)\n(.*?)```", PAGE, flags=re.DOTALL)
FILE, MENDED, TRAINING = (text for kind, text in BLOCKS if kind == "python")
LOOK, BREAK, CHECK, FLOORS = (text for kind, text in BLOCKS if kind == "sh")
(FAILURES,) = (text for kind, text in BLOCKS if kind == "text")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stock_env.py").write_text(FILE)
    return tmp_path


@pytest.fixture
def mended(folder: Path) -> Path:
    before, _, rest = FILE.partition("    def verify")
    after = rest[rest.index("\n\n\ngym.register") + 1 :]
    (folder / "stock_env.py").write_text(before + MENDED + after)
    return folder


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-e", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_look_at_it(folder: Path) -> None:
    done = run(LOOK, folder)
    assert done.returncode == 0, done.stderr
    assert "mean reward  │ 1.000" in done.stdout
    assert list((folder / "rollouts").iterdir())


@pytest.mark.slow
def test_first_verifier_is_broken_as_told(folder: Path) -> None:
    done = run(BREAK, folder)
    assert done.returncode == 1, done.stderr
    assert all(line in done.stdout for line in FAILURES.splitlines())
    assert re.findall(r"FAILED  (\w+)", done.stdout) == ["fuzz", "mutation"]


@pytest.mark.slow
def test_mended_verifier_passes(mended: Path) -> None:
    done = run(CHECK, mended)
    assert done.returncode == 0, done.stdout
    assert "FAILED" not in done.stdout
    (report,) = json.loads((mended / "fuzz.json").read_text()).values()
    paid = {paid["probe"] for paid in report["paid"]}
    assert "blanks" in paid
    assert "full width" not in paid


def test_training_begins(mended: Path) -> None:
    (mended / "train.py").write_text(TRAINING)
    done = run(f"{sys.executable} train.py", mended)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("0.0 not filled up or not told\n")


@pytest.mark.slow
def test_floors_are_measured(mended: Path) -> None:
    assert "oracle 1.000, null 0.000, constant 0.000" in run(FLOORS, mended).stdout
