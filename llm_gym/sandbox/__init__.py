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

__all__ = [
    "Files",
    "Isolation",
    "Language",
    "Result",
    "RunLimits",
    "Sandbox",
    "Session",
    "Status",
]
