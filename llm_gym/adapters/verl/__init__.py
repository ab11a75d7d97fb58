"""VeRL: an agent loop that plays any environment, and the files that a run needs.

`GymAgentLoop` is what VeRL's workers run; `export_verl` writes the data. Nothing here
imports VeRL until it is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["GymAgentLoop", "export_verl"]

_WHERE = {"GymAgentLoop": "agent_loop", "export_verl": "export"}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
