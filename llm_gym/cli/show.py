"""`llm-gym show FILE`: read transcripts."""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import sys
from collections.abc import Iterable
from typing import Any

from llm_gym.cli.common import add_json_option, coloured, print_json
from llm_gym.store import read_trajectories
from llm_gym.trajectory import Trajectory
from llm_gym.transcript import printable, transcript

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("show", help="transcripts of a rollouts file")
    parser.add_argument("file", help="what `llm-gym rollout` wrote")
    parser.add_argument("--task", metavar="ID", help="only episodes of this task")
    parser.add_argument(
        "--worst", action="store_true", help="the lowest returns first, faults before"
    )
    parser.add_argument("-n", "--number", type=int, default=1, help="how many (1)")
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    chosen = _choose(read_trajectories(options.file), options)
    if not chosen:
        asked = f"of task {options.task!r} " if options.task else ""
        raise ValueError(f"{options.file!r} holds no episode {asked}to show")
    if options.json:
        print_json([json.loads(trajectory.to_json()) for trajectory in chosen])
        return 0
    for trajectory in chosen:
        print(_page(trajectory, colour=coloured(sys.stdout)))
    return 0


def _choose(
    trajectories: Iterable[Trajectory], options: argparse.Namespace
) -> list[Trajectory]:
    if options.task is not None:
        trajectories = (t for t in trajectories if t.task.id == options.task)
    if options.worst:
        return heapq.nsmallest(options.number, trajectories, key=_badness)
    return list(itertools.islice(trajectories, options.number))


def _badness(trajectory: Trajectory) -> tuple[bool, float]:
    if trajectory.fault is not None:
        return (False, 0.0)
    return (True, trajectory.episode_return)


def _page(trajectory: Trajectory, *, colour: bool) -> str:
    lines = [
        f"== {trajectory.env_id}, task {trajectory.task.id}, seed {trajectory.seed}"
    ]
    lines.append(transcript(trajectory.messages, colour=colour))
    if trajectory.fault is not None:
        lines.append(f"== fault: {printable(trajectory.fault)}")
    elif trajectory.score is not None and trajectory.stop_reason is not None:
        parts = ", ".join(f"{k} {v:g}" for k, v in trajectory.score.parts.items())
        lines.append(
            f"== {trajectory.stop_reason.value}: score {trajectory.score.value:g}"
            + (f" ({parts})" if parts else "")
            + f", return {trajectory.episode_return:g}: "
            + printable(trajectory.score.reason)
        )
    return "\n".join(lines) + "\n"
