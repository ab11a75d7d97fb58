"""`llm-gym list`: the environments that there are."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator
from tabulate import tabulate

from llm_gym.bridges.reasoning_gym import UNFIT
from llm_gym.cli.common import add_json_option, print_json
from llm_gym.registration import BRIDGED, ENVIRONMENTS

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("list", help="the environments, a line each")
    parser.add_argument(
        "--all", action="store_true", help="each task of reasoning-gym too"
    )
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    rows = [{"id": env_id, "summary": _summary(env_id)} for env_id in ENVIRONMENTS]
    if options.all:
        rows += [{"id": i, "summary": _bridged(name)} for i, name in BRIDGED.items()]
    if options.json:
        print_json(rows)
        return 0
    print(tabulate([row.values() for row in rows], tablefmt="plain"))
    if not options.all:
        print(
            f"\nand {len(BRIDGED)} ids llmgym/reasoning_gym.NAME-v0, which "
            "`llm-gym list --all` lists"
        )
    return 0


def _bridged(name: str) -> str:
    """Return a task's summary without importing reasoning-gym, which takes seconds."""
    unfit = " (unfit for training)" if name in UNFIT else ""
    return f"The task `{name}` of reasoning-gym{unfit}."


def _summary(env_id: str) -> str:
    entry_point = gym.spec(env_id).entry_point
    env = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    return (inspect.getdoc(env) or "").partition("\n")[0]
