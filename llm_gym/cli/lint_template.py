"""`llm-gym lint-template MODEL_OR_FILE`: does a chat template keep what it has said?"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from llm_gym.cli.common import add_json_option, print_json
from llm_gym.tokens.chat_tokens import ChatTokens
from llm_gym.tokens.lint import TemplateReport, lint_template
from llm_gym.tokens.loading import load_tokenizer, neutral_tokenizer

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "lint-template",
        help="does a chat template keep what it has said?",
        description="Exit code 1 where a kind of turn breaks the prefix.",
    )
    parser.add_argument(
        "source",
        metavar="MODEL_OR_FILE",
        help="a model's folder or name, or a chat template's file",
    )
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    path = Path(options.source)
    if path.is_file():
        tokenizer = neutral_tokenizer(path.read_text(encoding="utf-8"))
        name = path.name
    else:
        tokenizer, name = load_tokenizer(options.source), options.source
    report = lint_template(ChatTokens(tokenizer, name), name)
    if options.json:
        turns = [
            asdict(turn) | {"stable": turn.stable, "action": turn.action}
            for turn in report.turns
        ]
        print_json(asdict(report) | {"stable": report.stable, "turns": turns})
    else:
        print(_page(report))
    return 0 if report.stable else 1


def _page(report: TemplateReport) -> str:
    broken = sum(not turn.stable for turn in report.turns)
    verdict = (
        f"{broken} of {len(report.turns)} kinds of turn break the prefix"
        if broken
        else "the prefix is stable"
    )
    turns = [(t.turn, t.action, t.problem) for t in report.turns]
    fields = [(f.field, f.status, f.note) for f in report.fields]
    tools = {"native": "as the template writes them", "text": "as text"}[report.tools]
    parts = [
        f"{report.name}: {verdict}",
        f"tools are shown {tools}; replies end with "
        + (" or ".join(map(repr, report.ends)) or "no token"),
        tabulate(turns, ("after", "the library", "because"), "rounded_outline"),
        tabulate(fields, ("part", "is", ""), "rounded_outline"),
        *(f"- {note}" for note in report.notes),
    ]
    return "\n".join(parts)
