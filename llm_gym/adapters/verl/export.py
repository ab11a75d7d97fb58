"""The files that a run of VeRL needs: rows of episodes, and its settings.

Knows what VeRL reads; which tasks there are, the environments say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import gymnasium as gym

from llm_gym import jsontext
from llm_gym.adapters.verl.policy import chat_tokens_of
from llm_gym.adapters.verl.spec import AGENT_NAME, AGENT_TARGET, SPEC_KEY, EpisodeSpec
from llm_gym.env import ToolEnv
from llm_gym.errors import require
from llm_gym.messages import ChatRequest
from llm_gym.replies import text_of
from llm_gym.rollouts.plan import EnvSource, Limits, Plan, parse_mixture
from llm_gym.tokens.chat_tokens import ChatTokens
from llm_gym.tokens.loading import load_tokenizer

__all__ = ["VerlFiles", "export_verl"]


@dataclass(frozen=True, slots=True)
class VerlFiles:
    """What `export_verl` wrote.

    Attributes:
        train: Rows to train on, parquet.
        val: Rows to measure with, parquet.
        agent_loop: The options of the agent loop, YAML.
        overrides: The settings for `main_ppo`, one a line.
        tasks: How many different tasks there are to train on.
        longest_prompt: The most tokens of a first prompt; None without a tokenizer.
    """

    train: Path
    val: Path
    agent_loop: Path
    overrides: Path
    tasks: int
    longest_prompt: int | None = None


def export_verl(  # noqa: PLR0913  # one call says all of a data set
    env: EnvSource,
    out: str | Path,
    *,
    train: int = 1024,
    val: int = 128,
    seed: int = 0,
    group_size: int = 8,
    env_kwargs: Mapping[str, Any] | None = None,
    val_kwargs: Mapping[str, Any] | None = None,
    tokenizer: Any = None,
    max_prompt_length: int = 1024,
    max_response_length: int = 2048,
    agent_options: Mapping[str, Any] | None = None,
    v1: bool | None = None,
) -> VerlFiles:
    """Write the parquet files and the settings of a run of VeRL.

    Row `i` is the task of group `i` of `rollout(env, policy, seed=seed)`.

    Args:
        env: An id, or a mixture of ids, as `rollout` takes it.
        out: The folder, made if it is not there.
        train: Rows to train on.
        val: Rows to measure with.
        seed: Decides the tasks.
        group_size: Rollouts of each row.
        env_kwargs: What environments are made with, as `rollout` takes it.
        val_kwargs: What those of the rows to measure with are made with besides; None
            for `{"split": "validation"}`.
        tokenizer: The model's tokenizer, its folder or the hub's name of it: then first
            prompts are measured, and the longest decides `data.max_prompt_length`.
        max_prompt_length: The tokens of a prompt, where no tokenizer tells.
        max_response_length: The tokens of an episode after its first prompt.
        agent_options: Options of `GymAgentLoop`.
        v1: Whether the trainer is that of VeRL 0.9 (`trainer.use_v1`); None asks the
            installed VeRL, and takes it to be so where none is.

    Returns:
        Where the files are.

    Raises:
        ValueError: A number is out of range, an argument has no JSON form, or groups of
            the environment are judged together, which VeRL's workers cannot.
        TypeError: `env` is no id and no mixture of them.
        MissingDependencyError: pyarrow is not installed.
    """
    for name, number in {"train": train, "val": val, "group_size": group_size}.items():
        if number < 1:
            raise ValueError(f"`{name}` must be at least 1, not {number!r}")
    if isinstance(tokenizer, (str, Path)):
        tokenizer = load_tokenizer(tokenizer)
    tokens = None if tokenizer is None else chat_tokens_of(tokenizer)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    plan = _plan(env, env_kwargs, max(train, val), seed)
    more = {"split": "validation"} if val_kwargs is None else val_kwargs
    training = list(_rows(plan, train, {}, tokens, validation=False))
    measuring = list(_rows(plan, val, more, tokens, validation=True))
    files = VerlFiles(
        folder / "train.parquet",
        folder / "val.parquet",
        folder / "agent_loop.yaml",
        folder / "overrides.txt",
        len({row.task_id for row in training}),
        max(row.tokens for row in [*training, *measuring]) if tokens else None,
    )
    _write_parquet(training, files.train)
    _write_parquet(measuring, files.val)
    files.agent_loop.write_text(_agent_loop(agent_options or {}), encoding="utf-8")
    lengths = (files.longest_prompt or max_prompt_length, max_response_length)
    newer = _has_v1() if v1 is None else v1
    settings = _settings(files, lengths, group_size, newer=newer)
    files.overrides.write_text("\n".join(settings) + "\n", encoding="utf-8")
    return files


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a file, and what is counted of it."""

    columns: dict[str, Any]
    task_id: str
    tokens: int


def _plan(
    env: EnvSource, env_kwargs: Mapping[str, Any] | None, rows: int, seed: int
) -> Plan:
    mixture = parse_mixture(env, env_kwargs)
    named = [maker for maker in mixture.makers if not isinstance(maker, str)]
    if named:
        raise TypeError(
            "`env` must be a registered id or a mixture of ids, so that a worker in "
            f"another process can make it, not {named[0]!r}"
        )
    return Plan(mixture, None, rows, 1, 1, seed, None, 0, Limits())  # type: ignore[arg-type]  # nobody acts


def _rows(
    plan: Plan,
    count: int,
    more: Mapping[str, Any],
    tokens: ChatTokens | None,
    *,
    validation: bool,
) -> Iterator[_Row]:
    """Reset each row's environment and write down what it shows."""
    kwargs = tuple({**own, **more} for own in plan.mixture.kwargs)
    mixture = replace(plan.mixture, kwargs=kwargs)
    made: dict[int, gym.Env[Any, Any]] = {}
    try:
        for number in range(count):
            which = plan.which_env(number)
            if which not in made:
                made[which] = _single(mixture.make(which))
            request, _ = made[which].reset(**plan.reset_arguments(number))
            inner: Any = made[which].unwrapped
            spec = EpisodeSpec(
                str(mixture.makers[which]),
                kwargs[which],
                plan.seed,
                number,
                inner.trajectory.task.id,
                validation,
            )
            length = len(tokens.prompt(request).ids) if tokens else 0
            yield _Row(_columns(spec, request), spec.task_id, length)
    finally:
        for env in made.values():
            env.close()


def _single(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Return an environment whose episodes can be judged one by one."""
    inner = env.unwrapped
    problem = ""
    if not isinstance(inner, ToolEnv):
        problem = "only those keep a trajectory: it must be a ToolEnv"
    elif inner.group_verifier is not None:
        problem = "its groups are judged together, and VeRL plays each row by itself"
    if problem:
        env.close()
        raise ValueError(f"{type(inner).__name__} cannot be exported: {problem}")
    return env


def _columns(spec: EpisodeSpec, request: ChatRequest) -> dict[str, Any]:
    """Return a row as VeRL reads it; the prompt in it is for people and logs."""
    return {
        "prompt": [
            {"role": message["role"], "content": text_of(message.get("content"))}
            for message in request["messages"]
        ],
        "data_source": spec.env,
        "agent_name": AGENT_NAME,
        "reward_model": {"style": "llm_gym", "ground_truth": ""},
        "extra_info": {
            "index": spec.group,
            "split": "val" if spec.validation else "train",
            SPEC_KEY: spec.to_json(),
        },
    }


def _write_parquet(rows: Sequence[_Row], path: Path) -> None:
    pyarrow = require("pyarrow", extra="verl")
    parquet = require("pyarrow.parquet", extra="verl")
    text = pyarrow.string()
    schema = {
        "prompt": pyarrow.list_(pyarrow.struct({"role": text, "content": text})),
        "data_source": text,
        "agent_name": text,
        "reward_model": pyarrow.struct({"style": text, "ground_truth": text}),
        "extra_info": pyarrow.struct(
            {"index": pyarrow.int64(), "split": text, SPEC_KEY: text}
        ),
    }
    columns = [row.columns for row in rows]
    table = pyarrow.Table.from_pylist(columns, schema=pyarrow.schema(schema.items()))
    parquet.write_table(table, str(path))


def _agent_loop(options: Mapping[str, Any]) -> str:
    lines = [f"- name: {AGENT_NAME}", f"  _target_: {AGENT_TARGET}"]
    told = {"retries": 1, "segments": "all", "on_fault": "exclude", **options}
    lines += [f"  {name}: {jsontext.canonical(value)}" for name, value in told.items()]
    return "\n".join(lines) + "\n"


def _settings(
    files: VerlFiles, lengths: tuple[int, int], group_size: int, *, newer: bool
) -> list[str]:
    rollout = "actor_rollout_ref.rollout"
    prompt, response = lengths
    return [
        f"data.train_files={files.train.resolve()}",
        f"data.val_files={files.val.resolve()}",
        f"data.max_prompt_length={prompt}",
        f"data.max_response_length={response}",
        "data.return_raw_chat=True",
        "data.filter_overlong_prompts=False",
        f"{rollout}.n={group_size}",
        f"{rollout}.calculate_log_probs=True",
        f"{rollout}.agent.default_agent_loop={AGENT_NAME}",
        f"{rollout}.agent.agent_loop_config_path={files.agent_loop.resolve()}",
        f"algorithm.adv_estimator={'grpo' if newer else 'llmgym_grpo'}",
        "trainer.use_v1=True" if newer else "++trainer.use_v1=False",  # 0.8 has none
    ]


def _has_v1() -> bool:
    try:
        major, minor = metadata.version("verl").split(".")[:2]
    except metadata.PackageNotFoundError:
        return True
    return (int(major), int(minor)) >= (0, 9)
