"""What VeRL loads at its start: it makes the loop and the estimators known by name.

VeRL 0.9 finds it as the entry point `verl.plugins`; for 0.8 set
`VERL_USE_EXTERNAL_MODULES=llm_gym.adapters.verl.plugin`.
"""

from __future__ import annotations

from llm_gym.adapters.verl.advantage import register_estimators
from llm_gym.adapters.verl.spec import AGENT_NAME, AGENT_TARGET
from llm_gym.errors import require

__all__ = ["register"]


def register() -> None:
    """Make the loop and the estimators known to VeRL, in this process."""
    loops = require("verl.experimental.agent_loop.agent_loop", extra="verl")
    loops._agent_loop_registry.setdefault(AGENT_NAME, {"_target_": AGENT_TARGET})
    register_estimators()


register()
