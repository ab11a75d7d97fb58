"""What several commands share: finding an environment, its arguments, printing."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from typing import IO, Any

import gymnasium as gym

from llm_gym import jsontext
from llm_gym.env import ToolEnv

__all__ = [
    "add_env_options",
    "add_json_option",
    "coloured",
    "env_kwargs",
    "import_module_of",
    "make_env",
    "print_json",
    "value_of",
]


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON, nothing else")


def add_env_options(parser: argparse.ArgumentParser) -> None:
    """Add an environment's id and what it is made with."""
    parser.add_argument(
        "id",
        help='an id such as "llmgym/MultiStep-v0", or "module:Name-v0" of your own',
    )
    parser.add_argument("--split", help="train (the default), validation or test")
    parser.add_argument("--level", type=int, help="a level of difficulty, from 0")
    parser.add_argument(
        "--env-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another argument of the environment; VALUE is JSON, or else a string",
    )


def env_kwargs(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say the environment is to be made with.

    Raises:
        ValueError: An `--env-arg` has no `=`.
    """
    kwargs: dict[str, Any] = {}
    for pair in options.env_arg:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"`--env-arg` takes NAME=VALUE, not {pair!r}")
        kwargs[name] = value_of(value)
    if options.split is not None:
        kwargs["split"] = options.split
    if options.level is not None:
        kwargs["level"] = options.level
    return kwargs


def value_of(text: str) -> Any:
    """Read a value that a person typed: JSON, or else the text itself."""
    try:
        return jsontext.loads(text)
    except ValueError:
        return text


def import_module_of(env_id: str) -> None:
    """Import the module that an id names before its colon.

    The working directory comes first, as for `python -m`.

    Raises:
        ValueError: There is no such module.
    """
    if os.getcwd() not in sys.path:  # noqa: PTH109  # sys.path holds strings
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    module, colon, _ = env_id.partition(":")
    if not colon:
        return
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as err:
        raise ValueError(
            f"{env_id!r}: there is no module {module!r} in this folder or installed"
        ) from err


def make_env(options: argparse.Namespace, **more: Any) -> ToolEnv:
    """Make the environment that the options name.

    Raises:
        ValueError: It is none of ours.
    """
    import_module_of(options.id)
    env = gym.make(options.id, **env_kwargs(options), **more).unwrapped
    if not isinstance(env, ToolEnv):
        raise ValueError(f"{options.id!r} is not an environment for language models")
    return env


def coloured(stream: IO[str]) -> bool:
    """Say whether to use colour: a terminal, and no `NO_COLOR` (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def print_json(value: Any) -> None:
    """Print a value as JSON; what is not a number there (NaN) becomes null."""
    print(json.dumps(_finite(value), indent=2, ensure_ascii=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
