"""`llm-gym export KIND RUN... OUT`: stored episodes as training data."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from llm_gym.adapters.offline import (
    Choice,
    Pairing,
    Report,
    export_dpo,
    export_grpo,
    export_kto,
    export_reward_model,
    export_sft,
)
from llm_gym.adapters.offline.episodes import FIELDS
from llm_gym.adapters.offline.prompts import TASK_FIELDS
from llm_gym.adapters.verl.export import export_verl
from llm_gym.cli.common import (
    add_env_options,
    add_json_option,
    env_kwargs,
    make_env,
    print_json,
)

__all__ = ["add_parser"]

Run = Callable[[argparse.Namespace], int]


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export", help="training data: SFT, DPO, KTO, reward models, GRPO, VeRL"
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    _add_sft(kinds)
    _add_pairs(kinds)
    _add_kto(kinds)
    _add_grpo(kinds)
    _add_verl(kinds)


def _add_sft(kinds: Any) -> None:
    parser = _add_kind(kinds, "sft", "what is to be imitated", _sft)
    _add_selection(parser)
    _add_best(parser)
    parser.add_argument(
        "--form",
        choices=["completion", "messages", "turns"],
        default="completion",
        help="prompt and completion (the default), one list, or a row for each reply",
    )
    parser.add_argument("--tokens", action="store_true", help="exact tokens, not text")
    parser.add_argument(
        "--weight", default="", metavar="EXPR", help="a column `weight`"
    )


def _add_pairs(kinds: Any) -> None:
    dpo = _add_kind(kinds, "dpo", "a better and a worse episode of one task", _dpo)
    dpo.add_argument(
        "--form",
        choices=["episode", "reply"],
        default="episode",
        help="all that followed the prompt, or the first reply in which they differ",
    )
    model = _add_kind(kinds, "reward-model", "likewise, to tell them apart", _reward)
    model.add_argument("--tokens", action="store_true", help="exact tokens, not text")
    model.add_argument(
        "--with-margin",
        action="store_true",
        help="a column `margin`, which TRL's loss subtracts",
    )
    for parser in (dpo, model):
        _add_selection(parser)
        parser.add_argument(
            "--margin",
            type=float,
            default=0.1,
            help="how much better at least; what is closer is left out (0.1)",
        )
        parser.add_argument(
            "--pairs",
            choices=["ends", "all"],
            default="ends",
            help="the best with the worst of each task (the default), or every pair",
        )
        parser.add_argument(
            "--chosen", default="", metavar="EXPR", help="must hold for the better one"
        )
        parser.add_argument(
            "--same-group",
            action="store_true",
            help="pair only members of one group of one run",
        )


def _add_kto(kinds: Any) -> None:
    parser = _add_kind(kinds, "kto", "episodes with a label: good or bad", _kto)
    _add_selection(parser)
    _add_best(parser)
    parser.add_argument(
        "--good",
        default="reward >= 0.5",
        metavar="EXPR",
        help="what is labelled True (reward >= 0.5)",
    )
    parser.add_argument(
        "--bad", default="", metavar="EXPR", help="what is labelled False (all else)"
    )


def _add_grpo(kinds: Any) -> None:
    parser = _add_kind(kinds, "grpo", "tasks as prompts, with how often solved", _grpo)
    parser.epilog = f"{_table(FIELDS)}\n\nfields of --tasks:\n{_table(TASK_FIELDS)}"
    parser.add_argument(
        "--where", default="", metavar="EXPR", help="which episodes to count"
    )
    parser.add_argument(
        "--tasks",
        default="",
        metavar="EXPR",
        help='which tasks to take, such as "solved > 0 and solved < 1"',
    )
    parser.add_argument(
        "--in-message",
        action="store_true",
        help="the start also in the messages, as `TRLSpec` wants for path `rollout`",
    )


def _add_verl(kinds: Any) -> None:
    parser = kinds.add_parser(
        "verl", help="an environment's tasks and a run's settings"
    )
    add_env_options(parser)
    parser.add_argument("out", metavar="OUT", help="the folder to write")
    parser.add_argument("--train", type=int, default=1024, metavar="N")
    parser.add_argument("--val", type=int, default=128, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--group-size", type=int, default=8, metavar="N")
    parser.add_argument("--tokenizer", metavar="NAME", help="measures the prompts")
    parser.add_argument("--max-prompt-length", type=int, default=1024, metavar="N")
    parser.add_argument("--max-response-length", type=int, default=2048, metavar="N")
    add_json_option(parser)
    parser.set_defaults(run=_verl)


def _add_kind(
    kinds: Any, name: str, help_: str, make: Callable[[argparse.Namespace], Report]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(
        name,
        help=help_,
        epilog=_table(FIELDS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a file that `llm-gym rollout` wrote, or NeMo Gym's rollout rows",
    )
    parser.add_argument(
        "out", metavar="OUT", help="NAME.jsonl, NAME.parquet, or a folder"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="write over what is at OUT"
    )
    add_json_option(parser)
    parser.set_defaults(run=lambda options: _tell(options, make(options)))
    return parser


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--where",
        default="",
        metavar="EXPR",
        help='which episodes to take, such as "reward >= 0.8 and turns < 10 and valid"',
    )
    parser.add_argument(
        "--by", default="reward", metavar="EXPR", help="what is better (reward)"
    )
    parser.add_argument("--per-task", type=int, metavar="N", help="at most N of a task")
    parser.add_argument(
        "--keep-doubles",
        action="store_true",
        help="also episodes that went word for word like another",
    )


def _add_best(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--best", type=int, metavar="N", help="the N best of each task")
    parser.add_argument(
        "--accept",
        type=float,
        metavar="BETA",
        help="rejection sampling: stay with probability exp((by - best by) / BETA)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is left to chance")


def _table(fields: dict[str, tuple[Any, str]]) -> str:
    width = max(map(len, fields))
    return "fields of EXPR, besides parts.NAME, a part of the score:\n" + "\n".join(
        f"  {name:{width}}  {says}" for name, (_, says) in fields.items()
    )


def _sft(options: argparse.Namespace) -> Report:
    return export_sft(
        options.runs,
        options.out,
        _choice(options),
        form=options.form,
        tokens=options.tokens,
        weight=options.weight,
        overwrite=options.overwrite,
    )


def _dpo(options: argparse.Namespace) -> Report:
    return export_dpo(
        options.runs,
        options.out,
        Choice(where=options.where, doubles=options.keep_doubles),
        _pairing(options),
        form=options.form,
        overwrite=options.overwrite,
    )


def _reward(options: argparse.Namespace) -> Report:
    return export_reward_model(
        options.runs,
        options.out,
        Choice(where=options.where, doubles=options.keep_doubles),
        _pairing(options),
        tokens=options.tokens,
        margins=options.with_margin,
        overwrite=options.overwrite,
    )


def _kto(options: argparse.Namespace) -> Report:
    return export_kto(
        options.runs,
        options.out,
        _choice(options),
        good=options.good,
        bad=options.bad,
        overwrite=options.overwrite,
    )


def _grpo(options: argparse.Namespace) -> Report:
    return export_grpo(
        options.runs,
        options.out,
        Choice(where=options.where),
        tasks=options.tasks,
        in_message=options.in_message,
        overwrite=options.overwrite,
    )


def _choice(options: argparse.Namespace) -> Choice:
    return Choice(
        where=options.where,
        best=options.best,
        by=options.by,
        accept=options.accept,
        per_task=options.per_task,
        doubles=options.keep_doubles,
        seed=options.seed,
    )


def _pairing(options: argparse.Namespace) -> Pairing:
    return Pairing(
        by=options.by,
        margin=options.margin,
        take=options.pairs,
        chosen=options.chosen,
        per_task=options.per_task,
        same_group=options.same_group,
    )


def _tell(options: argparse.Namespace, report: Report) -> int:
    if options.json:
        print_json(report.to_json())
    else:
        print(report.table())
        if report.out is None:
            print("nothing was left to export: no rows were written")
        else:
            print(f"rows: {report.out}")
        print(f"report: {report.path}")
    return 0 if report.rows else 1


def _verl(options: argparse.Namespace) -> int:
    make_env(options).close()  # an unknown id is told before anything is written
    files = export_verl(
        options.id,
        options.out,
        train=options.train,
        val=options.val,
        seed=options.seed,
        group_size=options.group_size,
        env_kwargs=env_kwargs(options),
        tokenizer=options.tokenizer,
        max_prompt_length=options.max_prompt_length,
        max_response_length=options.max_response_length,
    )
    paths = {
        "train": files.train,
        "val": files.val,
        "agent_loop": files.agent_loop,
        "overrides": files.overrides,
    }
    if options.json:
        told = {name: str(path) for name, path in paths.items()}
        longest = files.longest_prompt
        print_json({**told, "tasks": files.tasks, "longest_prompt": longest})
        return 0
    for name, path in paths.items():
        print(f"{name}: {path}")
    print(f"different tasks to train on: {files.tasks}")
    return 0
