"""Every example runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# In an environment of its own; tests/adapters/unsloth/test_example.py runs it.
APART = {"train_unsloth.py"}
FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = sorted(path for path in FOLDER.glob("*.py") if path.name not in APART)
PRINTED = {
    "01_loop.py": ["[user]", "[assistant]"],
    "02_custom_env.py": ["'color' was unexpected", "ScriptedPolicy: mean return 1.00"],
    "03_group_rollouts.py": ["group 3: 1 start", "mean reward"],
    "04_batched_policy.py": ["train-0-"],
    "06_judge.py": ["swapped order: [0.5, 0.5, 0.5]", "8/10 -> JudgeFault"],
    "07_user_simulator.py": [
        "user_left: 1.0",
        "UserFault: the user broke its contract",
    ],
    "08_code_env.py": ["endless: timeout", "session: 285", "hack: 0.0", "python: "],
    "09_reward_model.py": ["forged turns: the answer spells a special token"],
    "10_reinforce_from_scratch.py": ["held-out reward before: 0.", "after: "],
    "train_trl.py": ["step 2: reward 0.000", "path rollout: 256 tokens in the loss"],
    "05_engine.py": ["'llmgym/SingleTool-v0':", "with their log-probabilities"],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # other tests run beside it
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for text in PRINTED[path.name]:
        assert text in done.stdout
