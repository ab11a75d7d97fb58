"""TRL, imported once and quietly; tests that need it are left out where it is not."""

from __future__ import annotations

import importlib
import os
import warnings
from importlib.util import find_spec

import pytest

collect_ignore: list[str] = []
if find_spec("trl") is None or find_spec("datasets") is None:
    collect_ignore += ["test_trainers.py", "test_docs.py"]
else:
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("sft", "dpo", "kto", "reward", "grpo"):
            importlib.import_module(f"trl.trainer.{name}_trainer")


@pytest.fixture(autouse=True)
def _own_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep what datasets writes besides out of the user's own cache."""
    if find_spec("datasets") is not None:
        cache = str(tmp_path_factory.getbasetemp() / "datasets")
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)


@pytest.hookimpl
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Forgive what TRL and transformers warn of each other."""
    for item in items:
        if "adapters/offline/test_trainers" in str(item.path):
            for kind in ("FutureWarning", "DeprecationWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))
