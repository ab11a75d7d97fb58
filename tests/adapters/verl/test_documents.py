"""The snippets of docs/train_verl.md do what they say, with a tiny model."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.verl.speaking import vault_tokenizer
from tests.policies.tiny import tiny_model

DOCUMENT = Path(__file__).parents[3] / "docs" / "train_verl.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)

pytestmark = pytest.mark.filterwarnings("ignore")  # VeRL and its data set warn


@pytest.fixture
def model(tmp_path: Path, monkeypatch: Any) -> str:
    tokenizer = vault_tokenizer()
    tokenizer.save_pretrained(tmp_path / "model")
    tiny_model(tokenizer, max_position_embeddings=8192).save_pretrained(
        tmp_path / "model"
    )
    monkeypatch.chdir(tmp_path)
    return str(tmp_path / "model")


def run(snippet: str, **instead: str) -> dict[str, Any]:
    """Run a snippet with some texts of it replaced."""
    for text, other in instead.items():
        assert text in snippet
        snippet = snippet.replace(text, other)
    names: dict[str, Any] = {}
    exec(compile(snippet, str(DOCUMENT), "exec"), names)
    return names


def test_there_are_two_snippets() -> None:
    assert len(SNIPPETS) == 2


def test_snippet_of_the_export_writes_the_files(model: str) -> None:
    few = {"train=4096": "train=4", "val=128": "val=2"}
    names = run(SNIPPETS[0], **few, **{"Qwen/Qwen3-0.6B": model})
    told = Path("runs/verl/data/overrides.txt").read_text()
    assert f"data.max_prompt_length={names['files'].longest_prompt}\n" in told
    assert "rollout.n=8\n" in told


def test_snippet_of_the_worker_plays_what_would_be_trained_on(model: str) -> None:
    played = run(SNIPPETS[1], **{"path/to/model": model})["played"]
    assert len(played) == 8
    assert played.batch["response_mask"].any(dim=-1).all()
