"""The exact path: TRL's `rollout_func` from our engine's episodes and token traces.

What the loss sees is what was sampled: ids, masks and log-probabilities are the
trace's own, nothing is decoded and encoded again.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_gym.adapters.trl.outcomes import OUTCOMES, Outcome
from llm_gym.adapters.trl.policy import TrainerPolicy
from llm_gym.adapters.trl.starts import COLUMN, Place, Start
from llm_gym.errors import require
from llm_gym.rollouts.plan import Limits, Mixture, Plan
from llm_gym.rollouts.player import Player
from llm_gym.tokens.chat_tokens import ChatTokens
from llm_gym.tokens.trace import Sample
from llm_gym.trajectory import Trajectory
from llm_gym.verifiers.base import GroupVerifier

__all__ = ["TokenRollouts"]

_MAX_THREADS = 256


@dataclass(frozen=True, slots=True)
class _Batch(Plan):
    """A plan whose episodes begin as the rows of the present batch say.

    Attributes:
        names: The environments' names, in the mixture's order.
        starts: The batch, refilled for each.
    """

    names: tuple[str, ...] = ()
    starts: list[Start] = field(default_factory=list)

    def which_env(self, episode: int) -> int:
        """Return which environment an episode plays in."""
        return self.names.index(self.starts[episode].env)

    def reset_arguments(self, episode: int) -> dict[str, Any]:
        """Return what `reset` gets."""
        return {**self.starts[episode].reset_arguments()}

    def check_group(self, verifier: GroupVerifier | None) -> None:
        """Accept any: the reward function judges groups, and checks their size."""


class TokenRollouts:
    """TRL's `rollout_func`: plays a batch of episodes with the trainer's own model.

    Each round generates for all episodes that wait; tools that block run in threads
    meanwhile, and the round waits for the slowest. One instance serves one trainer.

    Args:
        places: The environments.
        retries: How often an episode is started again after a fault.
        limits: How long a turn's tools and an episode may take.
    """

    def __init__(
        self, places: Sequence[Place], *, retries: int = 1, limits: Limits | None = None
    ) -> None:
        self._places = tuple(places)
        self._retries = retries
        self._limits = limits or Limits()
        self._theatre: _Theatre | None = None
        self._warned = False

    def __call__(self, prompts: list[Any], trainer: Any) -> dict[str, list[Any]]:
        """Play an episode for each prompt.

        Args:
            prompts: Conversations of the dataset, as `TRLSpec.train_dataset` has them,
                already repeated for each member of a group.
            trainer: The GRPOTrainer.

        Returns:
            `prompt_ids`, `completion_ids`, `logprobs` (None where the engine tells
            none), `env_mask`, and an `Outcome` for each.

        Raises:
            ValueError: The trainer has an environment_factory too, which would lose
                the mask; or the prompts are not the dataset's.
        """
        _refuse_tools(trainer)
        starts = [_start_of(prompt) for prompt in prompts]
        theatre = self._theatre
        if theatre is None or theatre.trainer is not trainer:
            self.close()
            theatre = _Theatre(trainer, self._places, self._retries, self._limits)
            self._theatre = theatre
        records = theatre.play(starts)
        rows = [self._row(record, theatre) for record in records]
        return _columns(rows)

    def close(self) -> None:
        """Close the environments; the next batch makes new ones."""
        if self._theatre is not None:
            self._theatre.close()
            self._theatre = None

    def _row(self, record: Trajectory, theatre: _Theatre) -> _Row:
        samples = [] if record.tokens is None else record.tokens.to_samples()
        counts = {"segments_untrained": float(max(0, len(samples) - 1))}
        if len(samples) > 1:
            self._warn(record)
        trained = bool(samples) and record.fault is None
        counts["unsampled"] = float(not samples and record.fault is None)
        sample = samples[-1] if trained else theatre.blank()
        verifier = theatre.group_verifier(record)
        return _Row(sample, Outcome(record, counts, trained, verifier))

    def _warn(self, record: Trajectory) -> None:
        if self._warned:
            return
        self._warned = True
        breaks = record.tokens.breaks if record.tokens else ()
        warnings.warn(
            "the tokens of an episode do not hang together, and only its last segment "
            "is trained (the metric `llm_gym/segments_untrained` counts the others): "
            f"{breaks[-1] if breaks else ''}",
            UserWarning,
            stacklevel=3,
        )


@dataclass(frozen=True, slots=True)
class _Row:
    sample: Sample
    outcome: Outcome


class _Theatre:
    """A trainer's episodes: their event loop, environments and policy."""

    def __init__(
        self, trainer: Any, places: tuple[Place, ...], retries: int, limits: Limits
    ) -> None:
        self.trainer = trainer
        tokenizer = getattr(trainer, "_tokenizer", trainer.processing_class)
        self._eos = int(tokenizer.eos_token_id)
        ends = getattr(trainer, "eos_token_ids", [self._eos])
        tokens = ChatTokens(_for_training(tokenizer), "the trained model", ends)
        self._policy = TrainerPolicy(tokens, _context_of(trainer))
        self._plan = _plan_of(places, self._policy, retries, limits)
        self._player = Player(self._plan)
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(
            target=self._loop.run_forever, name="llm_gym-trl", daemon=True
        )
        thread.start()
        self._thread = thread

    def play(self, starts: Sequence[Start]) -> list[Trajectory]:
        """Play a batch; the trainer generates in the calling thread."""
        self._plan.starts[:] = starts
        self._policy.budget = self.trainer.max_completion_length
        work = asyncio.run_coroutine_threadsafe(self._play(len(starts)), self._loop)
        work.add_done_callback(lambda _: self._policy.finish())
        try:
            generate = _generator_of(self.trainer)
            for one in self._policy.rounds():
                one.answer(*generate(one.prompts))
            return work.result()
        finally:
            if not work.done():  # generation failed, or Ctrl-C
                work.cancel()
                with contextlib.suppress(BaseException):
                    work.result(timeout=10)
                for _ in self._policy.rounds():
                    pass

    async def _play(self, count: int) -> list[Trajectory]:
        self._policy.expect(count)
        tasks = [asyncio.create_task(self._episode(number)) for number in range(count)]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _episode(self, number: int) -> Trajectory:
        try:
            return await self._player.play(number)
        finally:
            self._policy.left()

    def blank(self) -> Sample:
        """Return a sample of which nothing is trained; TRL takes no empty one."""
        return Sample((self._eos,), (self._eos,), (0,), (0.0,), ())

    def group_verifier(self, record: Trajectory) -> GroupVerifier | None:
        """Return what judges the groups of a record's environment."""
        number = record.run.episode if record.run else 0
        which = self._plan.which_env(number)
        return self._player._group_verifiers.get(which)

    def close(self) -> None:
        self._player.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        if not self._thread.is_alive():
            self._loop.close()


def _for_training(tokenizer: Any) -> Any:
    """Return the tokenizer with the template that TRL trains with in place of its own.

    TRL's keep the thinking of earlier turns where a model's own would drop it, which
    would break an episode into segments; where TRL has none, the own one stays.
    """
    utils = require("trl.chat_template_utils", extra="trl")
    try:
        template = utils.get_training_chat_template(tokenizer)
    except (ValueError, TypeError):  # one that TRL does not know
        return tokenizer
    if template is None:
        return tokenizer
    changed = copy.copy(tokenizer)
    changed.chat_template = template
    return changed


def _plan_of(
    places: tuple[Place, ...], policy: TrainerPolicy, retries: int, limits: Limits
) -> _Batch:
    mixture = Mixture(
        tuple(place.maker for place in places),
        tuple(place.share for place in places),
        tuple(place.kwargs for place in places),
    )
    return _Batch(
        mixture=mixture,
        policy=policy,
        episodes=1,
        concurrency=_MAX_THREADS,
        group_size=1,
        seed=0,
        tasks=None,
        retries=retries,
        limits=limits,
        names=tuple(place.name for place in places),
    )


def _columns(rows: Sequence[_Row]) -> dict[str, Any]:
    samples = [row.sample for row in rows]
    told = [row.sample.logprobs for row in rows if row.outcome.trained]
    exact = bool(told) and all(logprobs is not None for logprobs in told)
    return {
        "prompt_ids": [list(sample.prompt_ids) for sample in samples],
        "completion_ids": [list(sample.completion_ids) for sample in samples],
        "logprobs": [list(s.logprobs or ()) for s in samples] if exact else None,
        "env_mask": [list(sample.mask) for sample in samples],
        OUTCOMES: [row.outcome for row in rows],
    }


def _refuse_tools(trainer: Any) -> None:
    if getattr(trainer, "tools", None) or getattr(
        trainer, "environment_factories", None
    ):
        raise ValueError(
            "`rollout_func` came together with `environment_factory` or `tools`: TRL "
            "would drop the mask and train on what the environment wrote; pass one of "
            "both, as `**spec.kwargs()` does"
        )


def _start_of(prompt: Any) -> Start:
    last: Mapping[str, Any] = prompt[-1] if isinstance(prompt, list) else {}
    if COLUMN not in last:
        raise ValueError(
            f"the last message of a prompt must have the key `{COLUMN}`, as those of "
            f"`TRLSpec(path='rollout').train_dataset` have, not {sorted(last)}"
        )
    return Start.from_text(last[COLUMN])


def _generator_of(trainer: Any) -> Any:
    """Return the trainer's generation as a function of prompts alone."""
    function = trainer._generate_single_turn
    names = inspect.signature(function).parameters
    more = {"num_generations": 1} if "num_generations" in names else {}

    def generate(prompts: list[list[int]]) -> Any:
        return function(prompts, None, {}, **more)

    return generate


def _context_of(trainer: Any) -> int:
    """Return the most tokens that the engine reads, a huge number if it says none."""
    if getattr(trainer, "use_vllm", False) and trainer.vllm_mode == "colocate":
        engine = trainer.vllm_generation.llm.llm_engine
        return int(engine.model_config.max_model_len)
    config = trainer.model.config.get_text_config()
    most = getattr(config, "max_position_embeddings", None) or 2**31
    # Unsloth cuts what is longer than the model was loaded for.
    return min(most, getattr(trainer.model, "max_seq_length", None) or most)
