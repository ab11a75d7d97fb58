"""`llm-gym check ID...`: what every environment must survive."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from llm_gym.checks import CHECKS, Report, check
from llm_gym.cli.common import add_json_option, coloured, import_module_of, print_json
from llm_gym.registration import ENVIRONMENTS

__all__ = ["add_parser"]

_MARKS = {"passed": ("ok", "32"), "failed": ("FAILED", "31"), "skipped": ("skip", "33")}


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("check", help="what every environment must survive")
    parser.add_argument("ids", nargs="*", metavar="ID", help="default: all of ours")
    parser.add_argument(
        "--only", action="append", choices=tuple(CHECKS), help="run this check alone"
    )
    parser.add_argument("--seeds", type=int, default=8, metavar="N")
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.seeds < 1:
        raise ValueError(f"`--seeds` must be at least 1, not {options.seeds}")
    reports = []
    for env_id in options.ids or ENVIRONMENTS:
        import_module_of(env_id)
        report = check(env_id, seeds=range(options.seeds), only=options.only)
        reports.append(report)
        if not options.json:
            _print(report)
    if options.json:
        print_json([asdict(report) | {"passed": report.passed} for report in reports])
    return 0 if all(report.passed for report in reports) else 1


def _print(report: Report) -> None:
    print(f"{report.env_id} ({report.seconds:.1f} s)")
    for finding in report.findings:
        word, code = _MARKS[finding.status]
        mark = f"{word:>6}"
        if coloured(sys.stdout):
            mark = f"\x1b[{code}m{mark}\x1b[0m"
        text = "" if finding.status == "passed" else f": {finding.message}"
        print(f"  {mark}  {finding.check}{text}")
