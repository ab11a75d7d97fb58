"""The example for a GPU goes as far as a CPU lets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "train_unsloth.py"
LITTLE = ["--model=embedded", "--steps=1", "--groups=1", "--group=2", "--completion=32"]


@pytest.mark.slow
@pytest.mark.model
def test_example_trains_the_embedded_model(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *LITTLE, "--out", "adapter"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "step 1: reward 0." in done.stdout
    assert (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size > 0
