"""TRL, imported once and quietly; tests that need it are left out where it is not."""

from __future__ import annotations

import importlib
import os
import warnings
from importlib.util import find_spec

import pytest

# Those that need TRL itself; the others run wherever transformers is.
NEED_TRL = [
    "test_async_grpo.py",
    "test_environment_path.py",
    "test_families.py",
    "test_rollout_path.py",
]

collect_ignore: list[str] = []
if find_spec("trl") is None or find_spec("datasets") is None:
    collect_ignore += [*NEED_TRL, "test_spec.py"]
else:
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("trl.trainer.grpo_trainer")


@pytest.hookimpl
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Forgive what TRL and transformers warn of each other."""
    for item in items:
        if "adapters/trl" in str(item.path):
            for kind in ("FutureWarning", "DeprecationWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))
