"""The command `llm-gym`.

Exit codes: 0, it went well; 1, it ran and the outcome is bad (a check failed, every
episode ended in a fault); 2, it could not be run as asked; 130, interrupted. Each
command takes `--json` for one JSON object or array on standard output; everything that
is not the result goes to standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import gymnasium as gym

import llm_gym
from llm_gym.cli import (
    catalogue,
    check,
    export,
    info,
    lint_template,
    list_envs,
    play,
    rollout,
    show,
    verify,
)
from llm_gym.errors import EnvironmentFault, LLMGymError

__all__ = ["main"]

_COMMANDS = (
    *(list_envs, info, rollout, show, play, check, verify, lint_template),
    *(export, catalogue),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What stands after the program's name; None for `sys.argv`.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="llm-gym", description="Environments for training language models."
    )
    parser.add_argument("--version", action="version", version=llm_gym.__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.add_parser(commands)
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # `llm-gym show ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("llm-gym: interrupted", file=sys.stderr)
        return 130
    except EnvironmentFault as err:
        print(f"llm-gym: fault: {err}", file=sys.stderr)
        return 1
    except (LLMGymError, gym.error.Error, ValueError, TypeError, OSError) as err:
        print(f"llm-gym: error: {err}", file=sys.stderr)
        return 2
    return code
