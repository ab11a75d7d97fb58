"""`llm-gym check ID...`: what every environment must survive."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm_gym.checks import CHECKS, Finding, Report, check
from llm_gym.checks.card_floors import Floors, measure
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import Failed
from llm_gym.cli.common import add_json_option, coloured, import_module_of, print_json
from llm_gym.registration import ENVIRONMENTS

__all__ = ["add_parser"]

_MARKS = {"passed": ("ok", "32"), "failed": ("FAILED", "31"), "skipped": ("skip", "33")}
_PAID = "paid"
"""Every payment of `fuzz`: for its report, too long for `--json`."""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("check", help="what every environment must survive")
    parser.add_argument("ids", nargs="*", metavar="ID", help="default: all of ours")
    parser.add_argument(
        "--only", action="append", choices=tuple(CHECKS), help="run this check alone"
    )
    parser.add_argument("--seeds", type=int, default=8, metavar="N")
    parser.add_argument(
        "--fuzz-report",
        type=Path,
        metavar="FILE",
        help="write what every probe of `fuzz` was paid, by id, as JSON",
    )
    parser.add_argument(
        "--floors",
        action="store_true",
        help="check nothing: measure the line `Floors` of a card (2,000 episodes)",
    )
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.seeds < 1:
        raise ValueError(f"`--seeds` must be at least 1, not {options.seeds}")
    if options.fuzz_report and options.only and "fuzz" not in options.only:
        raise ValueError("`--fuzz-report` needs the check `fuzz`: add `--only fuzz`")
    ids = options.ids or list(ENVIRONMENTS)
    for env_id in ids:
        import_module_of(env_id)
    if options.floors:
        return _measure(ids, options)
    reports = []
    for env_id in ids:
        report = check(env_id, seeds=range(options.seeds), only=options.only)
        reports.append(report)
        if not options.json:
            _print(report)
    if options.fuzz_report:
        _write(options.fuzz_report, reports)
    if options.json:
        print_json([_plain(report) for report in reports])
    return 0 if all(report.passed for report in reports) else 1


def _measure(ids: list[str], options: argparse.Namespace) -> int:
    lines = {}
    for env_id in ids:
        try:
            figures = measure(Subject(env_id, range(options.seeds)))
        except (Failed, NotImplementedError) as err:
            raise ValueError(f"{env_id!r} has no floors yet: {err}") from err
        floors = Floors(**{name: mean for name, (mean, _) in figures.items()})
        lines[env_id] = floors.line()
        if not options.json:
            print(f"{env_id}\n    {floors.line()}")
    if options.json:
        print_json(lines)
    return 0


def _plain(report: Report) -> dict[str, Any]:
    plain = asdict(report) | {"passed": report.passed}
    for finding in plain["findings"]:
        finding["data"].pop(_PAID, None)
    return plain


def _write(path: Path, reports: list[Report]) -> None:
    fuzzed = {
        report.env_id: finding.data
        for report in reports
        for finding in report.findings
        if finding.check == "fuzz"
    }
    path.write_text(json.dumps(fuzzed, indent=1) + "\n", encoding="utf-8")


def _print(report: Report) -> None:
    print(f"{report.env_id} ({report.seconds:.1f} s)")
    for finding in report.findings:
        word, code = _MARKS[finding.status]
        mark = f"{word:>6}"
        if coloured(sys.stdout):
            mark = f"\x1b[{code}m{mark}\x1b[0m"
        quiet = finding.status == "passed" and not finding.data
        text = "" if quiet else f": {finding.message}"
        print(f"  {mark}  {finding.check}{text}")
        for line in _holes(finding):
            print(f"            {line}")


def _holes(finding: Finding) -> list[str]:
    """Return a line for each family of probes that was paid where it must not be."""
    return [
        f"{family['most']:.3f}  {family['family']}: {family['probe']}"
        for family in finding.data.get("families", ())
        if family["holes"]
    ]
