"""`llm-gym catalogue`: the table of all environments, from their cards."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator

from llm_gym.checks.card_floors import Floors, read_floors
from llm_gym.cli.common import add_json_option, print_json
from llm_gym.env import ToolEnv
from llm_gym.registration import ENVIRONMENTS, EXTRAS
from llm_gym.tasks import ListTasks, Split, TaskSource

__all__ = ["add_parser", "catalogue", "rows"]

_HEAD = """\
# The environments

Written by `llm-gym catalogue --out llm_gym/envs/README.md`; do not edit. Each row is
taken from the class and its card (`llm-gym info ID` shows all of it). The figures are
mean rewards: of the oracle, of an agent that says nothing, of the best constant reply
and of random valid calls, the last on 1,000 tasks and the others on 200 each.
`llm-gym check ID --floors` measures them again.

"""
_BRIDGED = """
## reasoning-gym

Each is `llmgym/reasoning_gym.NAME-v0` and needs the extra `[reasoning-gym]`. An *unfit*
task has a verifier that pays for what is no answer: it can be made, with a warning, and
should not be trained on. Beside it stands the probe that breaks it. The figures are as
above: of the oracle, nothing and random texts on as many *tasks* as are named (slow
ones have fewer), of the best constant answer on 100.

"""
_COLUMNS = {
    "id": "id",
    "asks": "what it asks",
    "tools": "tools",
    "levels": "levels",
    "tasks": "tasks",
    "oracle": "oracle",
    "null": "null",
    "constant": "constant",
    "random": "random",
    "extra": "needs",
}
_BRIDGED_COLUMNS = {
    "name": "name",
    "oracle": "oracle",
    "null": "null",
    "constant": "constant",
    "random": "random",
    "of_tasks": "tasks",
    "unfit": "unfit for training: the probe",
}
_MOST_LEVELS = 100


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("catalogue", help="the table of all environments")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there")
    add_json_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.json:
        print_json({"environments": rows(), "reasoning_gym": bridged_rows()})
    elif options.out is not None:
        options.out.write_text(catalogue(), encoding="utf-8")
    else:
        print(catalogue(), end="")
    return 0


def catalogue() -> str:
    """Return the catalogue as Markdown."""
    text = _HEAD + _table(_COLUMNS, rows())
    bridged = bridged_rows()
    if bridged:
        text += _BRIDGED + _table(_BRIDGED_COLUMNS, bridged)
    return text


def rows() -> list[dict[str, Any]]:
    """Return a row for each environment of this package, in the order of its table."""
    return [_row(env_id) for env_id in ENVIRONMENTS]


def bridged_rows() -> list[dict[str, Any]]:
    """Return a row for each task of reasoning-gym, none if there is no bridge to it."""
    name = "llm_gym.bridges.reasoning_gym"
    if importlib.util.find_spec(name) is None:
        return []
    bridge = importlib.import_module(name)
    unfit: Mapping[str, str] = bridge.UNFIT
    return [_bridged_row(task, unfit.get(task, "")) for task in bridge.NAMES]


def _bridged_row(name: str, unfit: str) -> dict[str, Any]:
    floors = importlib.import_module("llm_gym.bridges.reasoning_gym.floors")
    constant = floors.CONSTANT.get(name, 0.0)
    return {
        "name": name,
        "oracle": "none" if name in floors.WITHOUT_ORACLE else "1.000",
        "null": "0.000",
        "constant": f"{constant:.3f}",
        "random": "0.000",
        "of_tasks": floors.tasks_of(name),
        "unfit": unfit,
    }


def _row(env_id: str) -> dict[str, Any]:
    entry_point = gym.spec(env_id).entry_point
    found: object = load_env_creator(str(entry_point))
    if not (isinstance(found, type) and issubclass(found, ToolEnv)):
        raise TypeError(f"{env_id!r}: expected a ToolEnv class, not {found!r}")
    card = inspect.getdoc(found) or ""
    floors = read_floors(card)
    if floors is None:
        raise ValueError(
            f"{env_id!r}: the card has no floors; `llm-gym check {env_id} --floors` "
            "measures the line"
        )
    return {
        "id": env_id,
        "module": found.__module__.rpartition(".")[2],
        "asks": card.partition("\n")[0],
        "tools": list(found.tool_specs),
        "levels": _levels(found.tasks),
        "tasks": _count(found.tasks),
        **_figures(floors),
        "extra": EXTRAS.get(env_id, ""),
    }


def _figures(floors: Floors) -> dict[str, str]:
    names = ("oracle", "null", "constant", "random")
    return {name: f"{getattr(floors, name):.3f}" for name in names}


def _levels(tasks: TaskSource) -> list[int]:
    """Return the levels of the training tasks, in order."""
    found = []
    for level in range(_MOST_LEVELS):
        try:
            tasks.select("train", level)
        except ValueError:
            continue
        found.append(level)
    return found


def _count(tasks: TaskSource) -> dict[str, int] | None:
    """Return how many tasks each split has, None where they have no end."""
    if not isinstance(tasks, ListTasks):
        return None
    counts: dict[str, int] = {}
    splits: tuple[Split, ...] = get_args(Split)
    for split in splits:
        try:
            counts[split] = len(tasks.select(split, None))
        except ValueError:  # a list need not have every split
            continue
    return counts


def _table(columns: Mapping[str, str], listed: list[dict[str, Any]]) -> str:
    lines = [columns.values(), ["---"] * len(columns)]
    lines += [[_cell(key, row) for key in columns] for row in listed]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cell(key: str, row: Mapping[str, Any]) -> str:
    value = row[key]
    if key == "id":
        return f"[`{value}`]({row['module']}.py)"
    if key == "tools":
        return ", ".join(f"`{name}`" for name in value) or "none"
    if key == "levels":
        return str(len(value))
    if key == "tasks":
        if value is None:
            return "without end"
        return ", ".join(f"{split} {count}" for split, count in value.items())
    if key == "extra":
        return f"`[{value}]`" if value else ""
    return re.sub(r"\s+", " ", str(value)).replace("|", "\\|")
