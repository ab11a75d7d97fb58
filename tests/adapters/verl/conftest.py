"""VeRL, imported once and quietly: its imports warn of what a CPU lacks."""

from __future__ import annotations

import importlib
import warnings
from importlib.util import find_spec

# Those that need VeRL itself; the others run wherever the tests do.
NEED_VERL = [
    *("test_agent_loop.py", "test_plugin.py", "test_local.py"),
    *("test_settings.py", "test_documents.py", "test_ray.py"),
]

collect_ignore: list[str] = []
if find_spec("verl") is None:
    collect_ignore += NEED_VERL
else:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in ("verl.trainer.ppo.ray_trainer", "verl.workers.config"):
            importlib.import_module(module)
