"""Where a model's files are, and what they say of the ends of its replies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from llm_gym.policies.embedded import ModelNotFoundError

__all__ = ["eos_ids", "name_of", "place_of"]


def place_of(source: str | Path) -> str:
    """Return a folder's path, or a hub's name as it is.

    Raises:
        ModelNotFoundError: It looks like a path, and there is no such folder.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return str(path)
    text = str(source)
    is_path = isinstance(source, Path) or text[:1] in {".", "~", os.sep}
    if is_path or text.count("/") > 1:
        raise ModelNotFoundError(f"there is no folder {text!r} to load a model from")
    return text


def name_of(place: str) -> str:
    """Return a folder's last part, or a hub's name as it is."""
    return Path(place).name if Path(place).is_dir() else place


def eos_ids(generation_config: Any) -> set[int]:
    """Return the tokens that end a reply, as a checkpoint's settings say."""
    listed = getattr(generation_config, "eos_token_id", None)
    ids = listed if isinstance(listed, list) else [listed]
    return {int(i) for i in ids if i is not None}
