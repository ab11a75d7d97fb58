"""Models that never learned anything: enough to see a path run."""

from __future__ import annotations

import importlib
import warnings
from importlib.util import find_spec
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

if find_spec("verl") is not None:  # its imports warn of what a CPU lacks
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in ("verl.trainer.ppo.ray_trainer", "verl.workers.config"):
            importlib.import_module(module)


@pytest.hookimpl
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Forgive what TRL and transformers warn of each other."""
    for item in items:
        if "tests/learn" in str(item.path):
            for kind in ("FutureWarning", "DeprecationWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))


@pytest.fixture(scope="session")
def speaker() -> tuple[Any, Any]:
    """Return a model and its tokenizer after three steps of the warm start."""
    from learn.setting import SETTING
    from learn.warm_start import warm_start

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return warm_start(
            SETTING.env_id, SETTING.env_kwargs, seed=0, steps=3, episodes=80
        )
