"""`llm-gym play ID`: act in an environment oneself."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from typing import Any

from llm_gym.cli.common import (
    add_env_options,
    add_json_option,
    coloured,
    make_env,
    print_json,
    value_of,
)
from llm_gym.env import ToolEnv
from llm_gym.messages import call_text
from llm_gym.transcript import transcript

__all__ = ["add_parser"]

_HELP = """\
Type an answer, or a tool call such as: /{example}
Several calls in one reply: /first ... ; /second ...   Help: /help   Leave: /quit"""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("play", help="act in an environment yourself")
    add_env_options(parser)
    parser.add_argument("--seed", type=int, default=None, help="draws the task")
    parser.add_argument("--task", metavar="ID", help="takes this task instead")
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    env = make_env(options)
    chosen = {"task_id": options.task} if options.task else None
    request, _ = env.reset(seed=options.seed, options=chosen)
    out = sys.stderr if options.json else sys.stdout
    shown = 0
    print(_help(env), file=out)
    over = False
    while not over:
        fresh = request["messages"][shown:]
        print(transcript(fresh, colour=coloured(out)), file=out, flush=True)
        shown = len(request["messages"])
        reply = _read_reply(env, out)
        if reply is None:
            print("left before the end", file=out)
            return 1
        request, _, terminated, truncated, _ = env.step(reply)
        over = terminated or truncated
    print(transcript(request["messages"][shown:], colour=coloured(out)), file=out)
    return _conclude(env, options)


def _help(env: ToolEnv) -> str:
    spec = next(iter(env.tool_specs.values()), None)
    if spec is None:
        return "Type an answer. Leave: /quit"
    names = " ".join(f"{name}=VALUE" for name in spec.parameters["properties"])
    tools = "\n".join(f"  /{s.signature()}" for s in env.tool_specs.values())
    return f"{_HELP.format(example=f'{spec.name} {names}'.strip())}\n{tools}"


def _read_reply(env: ToolEnv, out: Any) -> str | None:
    """Read one reply from the terminal; None at the end of input or `/quit`."""
    while True:
        print("> ", end="", file=out, flush=True)
        line = sys.stdin.readline()
        if not line or line.strip() == "/quit":
            return None
        if line.strip() == "/help":
            print(_help(env), file=out)
            continue
        try:
            return _reply_of(line.rstrip("\n"))
        except ValueError as err:
            print(f"not understood: {err}", file=out)


def _reply_of(line: str) -> str:
    """Turn `/name key=value ...; /name ...` into tool calls, other text into itself."""
    if not line.startswith("/"):
        return line
    return "".join(_call_of(part) for part in line.split(";") if part.strip())


def _call_of(text: str) -> str:
    name, *words = shlex.split(text.strip().removeprefix("/"))
    arguments = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"an argument is written name=value, not {word!r}")
        arguments[key] = value_of(value)
    return call_text(name, arguments)


def _conclude(env: ToolEnv, options: argparse.Namespace) -> int:
    trajectory = env.trajectory
    if options.json:
        print_json(json.loads(trajectory.to_json()))
    elif trajectory.score is not None and trajectory.stop_reason is not None:
        print(
            f"{trajectory.stop_reason.value}: score {trajectory.score.value:g}. "
            f"{trajectory.score.reason}"
        )
    return 0
