"""Running programs that nobody trusts; `docs/sandbox.md` says what is promised."""

from llm_gym.sandbox.base import (
    Files,
    Isolation,
    Language,
    Result,
    RunLimits,
    Sandbox,
    Session,
    Status,
)
from llm_gym.sandbox.opening import default_sandbox, open_sandbox

__all__ = [
    "Files",
    "Isolation",
    "Language",
    "Result",
    "RunLimits",
    "Sandbox",
    "Session",
    "Status",
    "default_sandbox",
    "open_sandbox",
]
