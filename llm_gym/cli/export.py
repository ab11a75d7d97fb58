"""`llm-gym export KIND RUN... OUT`: stored episodes as training data."""

from __future__ import annotations

import argparse
from typing import Any

from llm_gym.adapters.offline import Choice, Report, export_sft
from llm_gym.adapters.offline.episodes import FIELDS
from llm_gym.cli.common import add_json_option, print_json

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export", help="episodes as training data: SFT, DPO, KTO, reward models, GRPO"
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    sft = _add_kind(kinds, "sft", "what is to be imitated", _sft)
    sft.add_argument(
        "--form",
        choices=["completion", "messages", "turns"],
        default="completion",
        help="prompt and completion (the default), one list, or a row for each reply",
    )
    sft.add_argument("--tokens", action="store_true", help="exact tokens, not text")
    sft.add_argument("--weight", default="", metavar="EXPR", help="a column `weight`")


def _add_kind(kinds: Any, name: str, help_: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(
        name,
        help=help_,
        epilog=_fields(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a file that `llm-gym rollout` wrote, or NeMo Gym's rollout rows",
    )
    parser.add_argument(
        "out", metavar="OUT", help="NAME.jsonl, NAME.parquet, or a folder"
    )
    parser.add_argument(
        "--where",
        default="",
        metavar="EXPR",
        help='which episodes to take, such as "reward >= 0.8 and turns < 10 and valid"',
    )
    parser.add_argument(
        "--by", default="reward", metavar="EXPR", help="what is better (reward)"
    )
    parser.add_argument(
        "--keep-doubles", action="store_true", help="do not deduplicate"
    )
    parser.add_argument("--per-task", type=int, metavar="N", help="at most N of a task")
    parser.add_argument(
        "--seed", type=int, default=0, help="of what is drawn by chance"
    )
    if name in ("sft", "kto"):
        parser.add_argument(
            "--best", type=int, metavar="N", help="the N best of each task"
        )
        parser.add_argument(
            "--accept",
            type=float,
            metavar="BETA",
            help="rejection sampling: stay with probability exp((by - best by) / BETA)",
        )
    parser.add_argument(
        "--overwrite", action="store_true", help="write over what is at OUT"
    )
    add_json_option(parser)
    parser.set_defaults(run=run)
    return parser


def _fields() -> str:
    width = max(map(len, FIELDS))
    lines = [f"  {name:{width}}  {says}" for name, (_, says) in FIELDS.items()]
    return "\n".join(
        ["fields of EXPR, besides parts.NAME, a part of the score:", *lines]
    )


def _choice(options: argparse.Namespace) -> Choice:
    return Choice(
        where=options.where,
        best=getattr(options, "best", None),
        by=options.by,
        accept=getattr(options, "accept", None),
        per_task=options.per_task,
        doubles=options.keep_doubles,
        seed=options.seed,
    )


def _sft(options: argparse.Namespace) -> int:
    return _tell(
        options,
        export_sft(
            options.runs,
            options.out,
            _choice(options),
            form=options.form,
            tokens=options.tokens,
            weight=options.weight,
            overwrite=options.overwrite,
        ),
    )


def _tell(options: argparse.Namespace, report: Report) -> int:
    if options.json:
        print_json(report.to_json())
    else:
        print(report.table())
        where = report.out or "nothing left to export, so nothing written"
        print(f"rows: {where}\nreport: {options.out.rstrip('/')}.report.json")
    return 0 if report.rows else 1
