"""`llm-gym info ID`: an environment's card, its tools and an example task."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

from llm_gym.cli.common import add_env_options, add_json_option, make_env, print_json
from llm_gym.transcript import printable, transcript

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("info", help="a card, its tools and an example task")
    add_env_options(parser)
    parser.add_argument("--seed", type=int, default=0, help="draws the example task")
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    env = make_env(options)
    request, info = env.reset(seed=options.seed)
    card = inspect.getdoc(type(env)) or ""
    if options.json:
        tools = request.get("tools", [])
        example = {"task_id": info["task_id"], "messages": request["messages"]}
        print_json({"id": options.id, "card": card, "tools": tools, "example": example})
        return 0
    print(f"{options.id}\n\n{card}\n\nTools\n")
    for spec in env.tool_specs.values():
        print(f"  {spec.signature()}\n      {spec.description}")
    print(f"\nExample (task {printable(info['task_id'])}, seed {options.seed})\n")
    print(transcript(request["messages"]))
    return 0
