"""Handing weights to the processes of an engine, as files.

Knows tensors and folders; knows no engine.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from llm_gym.errors import require
from llm_gym.policies.embedded import ModelNotFoundError

if TYPE_CHECKING:
    import torch

__all__ = ["Weights", "weights_folder"]

Weights: TypeAlias = "Mapping[str, torch.Tensor] | Iterable[tuple[str, torch.Tensor]]"
"""Tensors by their names, or pairs of both."""


@contextmanager
def weights_folder(weights: str | Path | Weights) -> Iterator[str]:
    """Give a folder of safetensors, for an engine's processes to read.

    Args:
        weights: A folder that has them, or tensors by their names.

    Yields:
        The folder's path. One that was made for tensors is gone afterwards.

    Raises:
        ModelNotFoundError: There is no such folder, or no safetensors in it.
    """
    if isinstance(weights, (str, Path)):
        folder = Path(weights).expanduser()
        if not any(folder.glob("*.safetensors")):
            raise ModelNotFoundError(f"there are no safetensors in {str(weights)!r}")
        yield str(folder)
        return
    safetensors = require("safetensors.torch", extra="vllm")
    tensors = _distinct(dict(weights))
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    with tempfile.TemporaryDirectory(dir=_memory_folder(size)) as temporary:
        safetensors.save_file(tensors, Path(temporary) / "model.safetensors")
        yield temporary


def _distinct(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return each tensor once, under its first name, on the CPU: some are tied."""
    seen: set[tuple[int, Any]] = set()
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        where = (tensor.data_ptr(), tensor.shape)
        if where not in seen:
            tensors[name] = tensor.detach().cpu().contiguous()
        seen.add(where)
    return tensors


def _memory_folder(size: int) -> str | None:
    """Return a folder in main memory with room to spare, None if there is none."""
    folder = "/dev/shm"  # noqa: S108  # a folder of ours is made in it
    if not Path(folder).is_dir() or not os.access(folder, os.W_OK):
        return None
    return folder if shutil.disk_usage(folder).free > 2 * size else None
