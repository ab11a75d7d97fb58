"""`llm-gym verify FILE`: are the recorded episodes true?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm_gym.cli.common import add_json_option, import_module_of, print_json
from llm_gym.errors import FormatError
from llm_gym.rollouts.rerender import Difference
from llm_gym.rollouts.verify import verify
from llm_gym.tokens.chat_tokens import ChatTokens
from llm_gym.tokens.loading import load_tokenizer
from llm_gym.trajectory import Trajectory
from llm_gym.transcript import printable

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify",
        help="execute recorded episodes again and compare",
        description="Exit code 1 where an episode is not as it was recorded.",
    )
    parser.add_argument("file", help="what `llm-gym rollout` wrote")
    parser.add_argument(
        "--model", help="its folder or name: render the tokens again with its tokenizer"
    )
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    tokens = None
    if options.model is not None:
        tokens = ChatTokens(load_tokenizer(options.model), options.model)
    reports = []
    for number, trajectory, differences in _verified(options.file, tokens):
        reports.append(_report(number, trajectory, differences))
        if not options.json:
            for difference in differences:
                word = "warning" if difference.warning else "differs"
                print(f"line {number}: {word}: {printable(str(difference))}")
    if not reports:
        raise ValueError(f"{options.file!r} holds no episode to verify")
    false = sum(not report["verified"] for report in reports)
    if options.json:
        print_json(reports)
    else:
        _print_summary(reports, false, rendered=tokens is not None)
    return 1 if false else 0


def _print_summary(
    reports: list[dict[str, Any]], false: int, *, rendered: bool
) -> None:
    with_tokens = sum(report["tokens"] for report in reports)
    text = f"{len(reports) - false} of {len(reports)} episodes verified"
    if with_tokens and not rendered:
        text += f"; the tokens of {with_tokens} were not rendered: give a `--model`"
    elif with_tokens:
        text += f", the tokens of {with_tokens} rendered again"
    print(text)


def _report(
    number: int, trajectory: Trajectory, differences: list[Difference]
) -> dict[str, Any]:
    return {
        "line": number,
        "env_id": trajectory.env_id,
        "task_id": trajectory.task.id,
        "seed": trajectory.seed,
        "tokens": trajectory.tokens is not None,
        "verified": all(difference.warning for difference in differences),
        "differences": [asdict(difference) for difference in differences],
    }


def _verified(
    file: str, tokens: ChatTokens | None
) -> Iterator[tuple[int, Trajectory, list[Difference]]]:
    """Verify each line of a file, one whose seal is broken too."""
    try:
        with Path(file).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    trajectory, seal = _read(line)
                    import_module_of(_module_name(trajectory.env_id))
                    yield number, trajectory, [*verify(trajectory, tokens), *seal]
                except FormatError as err:
                    raise FormatError(f"{file}, line {number}: {err}") from err
    except UnicodeDecodeError as err:
        raise FormatError(f"{file!r} cannot be read: {err}") from err


def _module_name(env_id: str) -> str:
    """Return an id with the module that it needs, "" for what is registered."""
    return env_id if ":" in env_id else ""


def _read(line: str) -> tuple[Trajectory, list[Difference]]:
    try:
        return Trajectory.from_json(line), []
    except FormatError as err:
        trajectory = Trajectory.from_json(line, check=False)
        return trajectory, [Difference("record", "its seal", "intact", str(err))]
