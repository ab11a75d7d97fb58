"""`llm-gym list`: the environments that there are."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator
from tabulate import tabulate

from llm_gym.cli.common import add_json_option, print_json
from llm_gym.registration import ENVIRONMENTS

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("list", help="the environments, a line each")
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    rows = [{"id": env_id, "summary": _summary(env_id)} for env_id in ENVIRONMENTS]
    if options.json:
        print_json(rows)
    else:
        print(tabulate([row.values() for row in rows], tablefmt="plain"))
    return 0


def _summary(env_id: str) -> str:
    entry_point = gym.spec(env_id).entry_point
    env = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    return (inspect.getdoc(env) or "").partition("\n")[0]
