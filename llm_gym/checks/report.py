"""What came of checking an environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Finding", "Report", "Status"]

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check.

    Attributes:
        check: The check's name.
        status: "skipped" where the check, or a part of it, could not be made.
        message: What was looked at; the first counter-example; or why it was skipped.
        seconds: How long it took.
        data: Figures, plain JSON data: of `fuzz` the most that each family of probes
            was paid, of `mutation` the survivors. Empty for most checks.
    """

    check: str
    status: Status
    message: str
    seconds: float
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all checks of one environment.

    Attributes:
        env_id: The environment's id, or `module:Class`.
        findings: One for each check, in their order.
        seconds: How long all took.
    """

    env_id: str
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether no check failed. One that was skipped says so in its finding."""
        return all(finding.status != "failed" for finding in self.findings)
