"""What every environment must survive: the library behind `llm-gym check`."""

from llm_gym.checks.report import Finding, Report
from llm_gym.checks.runner import CHECKS, Check, check

__all__ = ["CHECKS", "Check", "Finding", "Report", "check"]
