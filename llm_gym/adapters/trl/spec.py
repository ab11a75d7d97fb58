"""`TRLSpec`: an environment's id as the arguments of TRL's GRPOTrainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from llm_gym.adapters.trl.async_grpo import ReplayedReturn, warn_of_rewriting
from llm_gym.adapters.trl.dataset import make_dataset
from llm_gym.adapters.trl.ending import Ending, spec_callback
from llm_gym.adapters.trl.environments import EnvironmentFactory, close_all
from llm_gym.adapters.trl.outcomes import EpisodeReturn, Outcome
from llm_gym.adapters.trl.rollouts import TokenRollouts
from llm_gym.adapters.trl.starts import draw_starts, read_places
from llm_gym.rollouts.plan import EnvSource, Limits
from llm_gym.tasks import Split

__all__ = ["Path", "TRLSpec"]

Path = Literal["rollout", "environment"]


class TRLSpec:
    """The arguments of TRL's GRPOTrainer for an environment, or a mixture.

    There are two paths. `"rollout"` is exact: our engine plays the episodes with the
    trainer's model, through TRL's `rollout_func`, and the loss sees the tokens that
    were sampled; any chat template will do. `"environment"` is TRL's own tool loop,
    through its `environment_factory`: it needs a chat template that TRL knows, and
    bends what it cannot express, which is counted.

    Example:
        >>> spec = TRLSpec("llmgym/MultiStep-v0", level=0, prompts=512)
        >>> trainer = GRPOTrainer(model=model, args=args, **spec.kwargs())
        >>> trainer.train()

    Args:
        env: A registered id, a class or function that makes an environment, or a
            mixture: a list of ids, or ids with weights.
        path: See above.
        prompts: How many rows `train_dataset` has: the starts of so many groups.
        eval_prompts: How many rows `eval_dataset` has; 0 for none.
        seed: Decides the starts. The members of a group share theirs.
        level: The level to draw tasks from, None for all.
        split: The split to train on.
        eval_split: The split that `eval_dataset` is drawn from.
        tasks: Task ids to train on, in turn, instead of drawing tasks.
        env_kwargs: What environments are made with; in a mixture either for all, or by
            id.
        retries: How often a faulted episode (a faulted call on the path
            `"environment"`) is tried again, before it is left out.
        limits: How long a turn's tools and an episode may take, on the path
            `"rollout"`; a limit on a reply would count the whole round.

    Attributes:
        path: See above.

    Raises:
        TypeError: `env` is none of these.
        ValueError: A number is out of range, or `path` is unknown.
        MissingDependencyError: datasets is not installed, once a dataset is asked for.
    """

    def __init__(  # noqa: PLR0913  # one object says all of a run
        self,
        env: EnvSource,
        *,
        path: Path = "rollout",
        prompts: int = 256,
        eval_prompts: int = 0,
        seed: int = 0,
        level: int | None = None,
        split: Split = "train",
        eval_split: Split = "validation",
        tasks: Sequence[str] | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        retries: int = 1,
        limits: Limits | None = None,
    ) -> None:
        _check(path, prompts, eval_prompts, seed, retries)
        self.path: Path = path
        self._prompts, self._eval_prompts = prompts, eval_prompts
        self._seed, self._retries, self._limits = seed, retries, limits
        self._eval_split: Split = eval_split
        self._tasks = None if tasks is None else tuple(tasks)
        self._places = read_places(env, _arguments(env, env_kwargs, level, split))
        if self._tasks is not None and len(self._places) > 1:
            raise ValueError(
                "`tasks` are of one environment: a mixture of "
                f"{len(self._places)} cannot take them"
            )
        self._ending = Ending()
        self._reward = EpisodeReturn(self._read)

    @cached_property
    def train_dataset(self) -> Any:
        """A `datasets.Dataset` with a row for each group's start."""
        return self._dataset(self._prompts, self._seed, None, self._tasks)

    @cached_property
    def eval_dataset(self) -> Any | None:
        """The same from `eval_split`, with starts of its own; None for no rows."""
        if not self._eval_prompts:
            return None
        return self._dataset(self._eval_prompts, self._seed, self._eval_split, None)

    @cached_property
    def environment_factory(
        self,
    ) -> EnvironmentFactory | dict[str, EnvironmentFactory] | None:
        """What makes TRL's environments; None on the path `"rollout"`."""
        if self.path != "environment":
            return None
        factories = {
            place.name: EnvironmentFactory(place, self._retries)
            for place in self._places
        }
        return factories if len(factories) > 1 else next(iter(factories.values()))

    @cached_property
    def rollout_func(self) -> TokenRollouts | None:
        """What plays TRL's batches; None on the path `"environment"`."""
        if self.path != "rollout":
            return None
        return TokenRollouts(self._places, retries=self._retries, limits=self._limits)

    @property
    def reward_funcs(self) -> list[Callable[..., list[float | None]]]:
        """One reward function: what the environment gave, None for no result."""
        return [self._reward]

    @cached_property
    def callbacks(self) -> list[Any]:
        """A callback that tells the spec how replies end, and closes it at the end."""
        return [spec_callback(self._ending, self.close)]

    def kwargs(self, *, callbacks: Sequence[Any] = ()) -> dict[str, Any]:
        """Return the trainer's arguments.

        Args:
            callbacks: Callbacks of your own, to be put after the spec's.
        """
        named = {
            "train_dataset": self.train_dataset,
            "eval_dataset": self.eval_dataset,
            "reward_funcs": self.reward_funcs,
            "environment_factory": self.environment_factory,
            "rollout_func": self.rollout_func,
            "callbacks": [*self.callbacks, *callbacks],
        }
        return {key: value for key, value in named.items() if value is not None}

    def async_kwargs(
        self, processing_class: Any, *, callbacks: Sequence[Any] = ()
    ) -> dict[str, Any]:
        """Return the arguments of TRL's experimental AsyncGRPOTrainer.

        All of them can be pickled if the environments have ids or are classes of a
        module. There is no path `"rollout"` in that trainer.

        Args:
            processing_class: The tokenizer that the trainer gets.
            callbacks: Callbacks of your own.

        Raises:
            ValueError: `path` is not `"environment"`.

        Warns:
            UserWarning: The chat template writes what was sampled otherwise when it
                comes again: AsyncGRPO then trains the last turns alone.
        """
        if self.path != "environment":
            raise ValueError(
                "AsyncGRPO has no `rollout_func`: it needs `path='environment'`, "
                f"not {self.path!r}"
            )
        warn_of_rewriting(processing_class)
        ends = {processing_class.eos_token_id, processing_class.pad_token_id} - {None}
        reward = ReplayedReturn(self._places, frozenset(ends), self._retries)
        return {
            "train_dataset": self.train_dataset,
            "reward_funcs": [reward],
            "environment_factory": self.environment_factory,
            "callbacks": list(callbacks),
        }

    def close(self) -> None:
        """Close the environments; they are made again if training goes on."""
        if self.rollout_func is not None:
            self.rollout_func.close()
        if self.path == "environment":
            close_all(self._places)

    def _dataset(
        self, count: int, seed: int, split: str | None, tasks: Sequence[str] | None
    ) -> Any:
        starts = draw_starts(self._places, count, seed, split=split, tasks=tasks)
        return make_dataset(
            starts,
            in_message=self.path == "rollout",
            named=self.path == "environment" and len(self._places) > 1,
        )

    def _read(
        self,
        environments: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
    ) -> list[Outcome]:
        rows = zip(environments, completions, completion_ids, strict=True)
        return [
            environment._settle(completion, cut_off=self._ending.cut_off(ids))
            for environment, completion, ids in rows
        ]


def _arguments(
    env: EnvSource,
    env_kwargs: Mapping[str, Any] | None,
    level: int | None,
    split: Split,
) -> dict[str, Any]:
    """Return the environments' arguments with those that have names of their own."""
    given = dict(env_kwargs or {})
    own: dict[str, Any] = {} if split == "train" else {"split": split}
    if level is not None:
        own["level"] = level
    by_id = [key for key in given if "/" in key]
    if not by_id:
        return {**own, **given}
    ids = [place.name for place in read_places(env, given)]
    return {key: {**own, **given.get(key, {})} for key in ids}


def _check(path: str, prompts: int, eval_prompts: int, seed: int, retries: int) -> None:
    if path not in ("rollout", "environment"):
        raise ValueError(f'`path` must be "rollout" or "environment", not {path!r}')
    least = {"prompts": 1, "eval_prompts": 0, "seed": 0, "retries": 0}
    given = {
        "prompts": prompts,
        "eval_prompts": eval_prompts,
        "seed": seed,
        "retries": retries,
    }
    for name, lowest in least.items():
        if given[name] < lowest:
            raise ValueError(f"`{name}` must be at least {lowest}, not {given[name]!r}")
