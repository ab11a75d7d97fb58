"""The local server as a process: `python -m llm_gym.testing.server`.

Writes its address as the first line, then serves until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_gym.testing.faults import Fault, FaultPlan
from llm_gym.testing.local_server import LocalServer

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted, or until the input ends with `--until-eof`."""
    arguments = _parser().parse_args(argv)
    rates = {Fault(name): rate for name, rate in json.loads(arguments.faults).items()}
    server = LocalServer(
        _script(arguments.script),
        faults=FaultPlan(rates=rates, seed=arguments.seed),
        delay_seconds=(arguments.delay[0], arguments.delay[-1]),
        key=os.environ[arguments.key_env] if arguments.key_env else None,
        model=arguments.model,
        port=arguments.port,
        keep_requests=0,
    )
    try:
        asyncio.run(_serve(server, arguments.until_eof))
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(server: LocalServer, until_eof: bool) -> None:
    async with server.listening() as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        if until_eof:
            await asyncio.to_thread(sys.stdin.read)
        else:
            await asyncio.Event().wait()


def _script(path: str | None) -> list[Any] | None:
    """Read a script: one reply a line, a JSON string or an assistant's message."""
    if path is None:
        return None
    lines = Path(path).read_text().splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m llm_gym.testing.server",
        description="A local OpenAI-compatible server that replays a script.",
    )
    add = parser.add_argument
    add("--port", type=int, default=0, help="0, the default, takes a free port")
    add("--script", help="JSON lines, a reply each; without, it echoes")
    add("--delay", type=float, nargs="+", default=[0.0], metavar="SECONDS")
    add("--faults", default="{}", help='such as {"server_error": 0.1, "reset": 0.01}')
    add("--seed", type=int, default=0, help="decides the faults")
    add("--model", help="the only model that it knows")
    add("--key-env", help="the environment variable that holds the key to ask for")
    add("--until-eof", action="store_true", help="end when the input ends")
    return parser


if __name__ == "__main__":
    sys.exit(main())
