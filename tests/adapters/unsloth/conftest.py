"""Unsloth, imported before TRL, once and quietly; tests that need it are left out.

One process has one of its two backends, so there are two runs of these tests: a plain
one, and one with `UNSLOTH_ALLOW_CPU=1`, in which Unsloth generates the trainer that it
has on a GPU, as `make test-unsloth` does.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import warnings
from importlib.util import find_spec

import pytest

collect_ignore = ["test_cpu.py", "test_example.py", "test_generated.py"]
if find_spec("unsloth") is not None:
    os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", tempfile.mkdtemp())
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    spoofed = os.environ.get("UNSLOTH_ALLOW_CPU") == "1"
    if spoofed:  # compiled, a first step would take a minute
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unsloth = importlib.import_module("unsloth")
        if spoofed:  # it leaves TRL alone then; a GPU's machine would not
            del os.environ["UNSLOTH_ALLOW_CPU"]
            llama = importlib.import_module("unsloth.models.llama")
            llama.PatchFastRL(FastLanguageModel=llama.FastLlamaModel)
        importlib.import_module("trl.trainer.grpo_trainer")
    on_cpu = unsloth.DEVICE_TYPE == "cpu"
    collect_ignore = ["test_generated.py"] if on_cpu else ["test_cpu.py"]
    if spoofed:
        collect_ignore.append("test_example.py")


@pytest.hookimpl
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Forgive what Unsloth, TRL and transformers warn of each other."""
    for item in items:
        if item.path.parent.name == "unsloth" and item.path.name != "test_check.py":
            item.add_marker(pytest.mark.unsloth)
            for kind in ("FutureWarning", "DeprecationWarning", "UserWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))
