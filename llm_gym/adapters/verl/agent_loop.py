"""`GymAgentLoop`: VeRL's workers play any environment.

The episode is played by the rollout engine's player, its tokens are kept by its trace:
VeRL's own stitching of turns, which differs from release to release, is not used.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from llm_gym.adapters.verl.advantage import ESTIMATORS
from llm_gym.adapters.verl.policy import Budget, EpisodePolicy, ServerPolicy
from llm_gym.adapters.verl.rows import Row, RowError, check_row, excluded_row, rows_of
from llm_gym.adapters.verl.spec import SPEC_KEY, EpisodeSpec
from llm_gym.errors import EnvironmentFault, require
from llm_gym.rollouts.plan import Limits
from llm_gym.rollouts.player import Player
from llm_gym.trajectory import Trajectory

_loops = require("verl.experimental.agent_loop.agent_loop", extra="verl")

__all__ = ["GymAgentLoop", "OnFault", "Segments"]

OnFault = Literal["exclude", "raise"]
Segments = Literal["all", "last"]

_LARGEST_REWARD = 3.4e38  # VeRL keeps rewards as float32, where more is infinite
_COUNTS = ("success", "fault", "truncated", "tool_errors", "dropped_turns")
_BESIDE = (
    *("min_global_steps", "max_global_steps", "turn_scores", "tool_rewards"),
    *("reward_extra_info", "task_id", "stop_reason", "digest", "raw_prompt"),
)

_log = logging.getLogger(__name__)


class GymAgentLoop(_loops.AgentLoopBase):  # type: ignore[misc, name-defined]  # untyped
    """Plays the episode of a row and returns its tokens and its reward.

    VeRL makes one for each row, with the arguments that its configuration names
    (`agent_loop_config_path`) and those that every loop gets.

    An episode that an infrastructure fault ended is played again; if that fails too it
    has no reward, and never a zero:

    * The trainer of VeRL 0.9 (`trainer.use_v1=True`, its default) is told so by an
      exception: it logs it and goes on without the episode.
    * The older one would end with it. There the row comes without anything to train on
      (mask 0) and `algorithm.adv_estimator=llmgym_grpo` leaves it out of its group's
      mean and deviation, which VeRL's own `grpo` would not.

    Args:
        trainer_config: VeRL's whole configuration, wrapped.
        server_manager: What generates.
        tokenizer: The model's tokenizer.
        processor: Of models that see or hear; not used, environments show texts.
        dataset_cls: Not used.
        data_config: VeRL's `data`, wrapped.
        retries: How often an episode is played again after a fault.
        on_fault: What the older trainer gets after the last fault: a row that is left
            out, or an exception, which ends the run.
        segments: An episode whose conversation was rewritten has several rows. "all"
            returns them all where the trainer takes several (0.9); else, and with
            "last", the last one stands for the episode, and `dropped_turns` counts the
            replies that are not in it.
        parts: The names of parts of the score to report beside it; NaN where an
            episode's score has no such part.
        max_reply_tokens: The most tokens of one reply; None leaves all of the response.
        limits: How long the stages of an episode may take, see `llm_gym.Limits`.
        kwargs: What else VeRL hands to a loop; not used.

    Raises:
        ValueError: An option is unknown.
    """

    def __init__(  # noqa: PLR0913  # VeRL's arguments and the options of ours
        self,
        trainer_config: Any,
        server_manager: Any,
        tokenizer: Any,
        processor: Any,
        dataset_cls: Any,
        data_config: Any,
        *,
        retries: int = 1,
        on_fault: OnFault = "exclude",
        segments: Segments = "all",
        parts: tuple[str, ...] = (),
        max_reply_tokens: int | None = None,
        limits: Mapping[str, float | None] | None = None,
        **kwargs: Any,
    ) -> None:
        # VeRL's own constructor is passed by: it renders trial conversations for a
        # stitching that is not used here, once for every row.
        _check_option("on_fault", on_fault, get_args(OnFault))
        _check_option("segments", segments, get_args(Segments))
        self.config = trainer_config.config
        self.rollout_config = self.config.actor_rollout_ref.rollout
        self.server_manager = server_manager
        self.tokenizer = tokenizer
        self.data_config = data_config.config
        self.retries = retries
        self.on_fault = on_fault
        self.segments = segments
        self.parts = tuple(parts)
        self.limits = Limits(**dict(limits or {}))
        self.budget = Budget(
            self.rollout_config.prompt_length,
            self.rollout_config.response_length,
            max_reply_tokens,
        )

    async def run(
        self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any
    ) -> Any:
        """Play a row's episode.

        Args:
            sampling_params: The settings of sampling.
            priority: Which row of the step it is.
            kwargs: The row's columns.

        Returns:
            VeRL's `AgentLoopOutput`; of an episode with several rows a list of them,
            where the trainer takes one.

        Raises:
            EnvironmentFault: The episode has no result, and the trainer can bear it.
            ValueError: The row is no episode's, or the configuration cannot work.
        """
        many = "session_id" in kwargs  # the trainer of 0.9 numbers the rollouts
        if not many:
            self._check_estimator()
        _check_parts(self.parts, kwargs)
        spec = EpisodeSpec.from_json((kwargs.get("extra_info") or {}).get(SPEC_KEY))
        policy = self._policy(sampling_params, int(priority))
        player = Player(spec.plan(policy, retries=self.retries, limits=self.limits))
        try:
            trajectory = await player.play(spec.group)
        finally:
            player.close()
        if trajectory.fault is not None:
            if many or self.on_fault == "raise":
                raise EnvironmentFault(trajectory.fault)
            _log.warning("an episode is left out: %s", trajectory.fault)
            return self._excluded(trajectory, spec, policy)
        self._check_played(trajectory, spec, policy)
        return self._outputs(trajectory, policy, many=many)

    def _check_estimator(self) -> None:
        """Refuse to begin where a fault would distort its group."""
        estimator = str(self.config.algorithm.adv_estimator)
        if self.on_fault == "exclude" and estimator not in ESTIMATORS:
            raise ValueError(
                f"`algorithm.adv_estimator` must be one of {sorted(ESTIMATORS)} with "
                f"this trainer, not {estimator!r}, which would count an episode that "
                "broke as a reward; or say `on_fault: raise` in the file of "
                "`agent_loop_config_path`, and the first fault ends the run"
            )

    def _policy(
        self, sampling_params: Mapping[str, Any], priority: int
    ) -> ServerPolicy:
        determined = getattr(self.rollout_config, "full_determinism", False)
        arguments = self.data_config.get("apply_chat_template_kwargs") or {}
        return ServerPolicy(
            self.server_manager,
            self.tokenizer,
            sampling_params,
            self.budget,
            chat_template_kwargs=_plain(arguments),
            request_id=f"det-{priority}" if determined else None,
            priority=priority,
        )

    def _check_played(
        self, trajectory: Trajectory, spec: EpisodeSpec, policy: ServerPolicy
    ) -> None:
        played = policy.latest
        if played is not None and played.refused_tokens is not None:
            raise ValueError(
                f"the first prompt of {spec.env} has {played.refused_tokens} tokens "
                f"and leaves no room in {self.budget.prompt_tokens} + "
                f"{self.budget.response_tokens}: raise `data.max_prompt_length`"
            )
        if spec.task_id and spec.task_id != trajectory.task.id:
            raise ValueError(
                f"the row is of task {spec.task_id!r} and {spec.env} now draws "
                f"{trajectory.task.id!r}: export the data again"
            )

    def _outputs(
        self, trajectory: Trajectory, policy: ServerPolicy, *, many: bool
    ) -> Any:
        record = trajectory.tokens
        rows = rows_of(record, self.budget) if record is not None else []
        if not rows:
            raise ValueError(f"{trajectory.env_id} ended before the first reply")
        kept = rows if many and self.segments == "all" else rows[-1:]
        turns = sum(len(row.turns) for row in kept)
        dropped = sum(len(row.turns) for row in rows) - turns
        if dropped:
            _log.warning("%d replies are not trained on: see `segments`", dropped)
        reward = trajectory.episode_return
        if not abs(reward) < _LARGEST_REWARD:  # nor is NaN
            raise RowError(
                "expected a finite reward that float32 can hold, came "
                f"{reward!r} of {trajectory.env_id}"
            )
        extra = self._extra(trajectory, policy.latest, dropped)
        logprobs = bool(policy.sampling.get("logprobs"))
        outputs = []
        for row in kept:
            check_row(row, self.budget, logprobs=logprobs)
            outputs.append(self._output(row, trajectory, policy.latest, reward, extra))
        return outputs if many else outputs[0]

    def _excluded(
        self, trajectory: Trajectory, spec: EpisodeSpec, policy: ServerPolicy
    ) -> Any:
        """Return the row of an episode that broke.

        Its number is read by nobody in training. A mean of validation that it would
        stand in becomes NaN, which says that it is not known.
        """
        filler = self.tokenizer.pad_token_id
        row = excluded_row(
            filler if filler is not None else self.tokenizer.eos_token_id,
            response=_needs_response(),
            logprobs=bool(policy.sampling.get("logprobs")),
        )
        reward = float("nan") if spec.validation else 0.0
        extra = self._extra(trajectory, policy.latest, len(trajectory.turns))
        return self._output(row, trajectory, policy.latest, reward, extra)

    def _output(
        self,
        row: Row,
        trajectory: Trajectory,
        played: EpisodePolicy | None,
        reward: float,
        extra: dict[str, Any],
    ) -> Any:
        timing = trajectory.timing
        routed = {}
        if played is not None and row.segment in played.routed:
            length = len(row.prompt_ids) + len(row.response_ids)
            routed = {"routed_experts": played.routed[row.segment][:length]}
        return _loops.AgentLoopOutput(
            prompt_ids=list(row.prompt_ids),
            response_ids=list(row.response_ids),
            response_mask=list(row.mask),
            response_logprobs=None if row.logprobs is None else list(row.logprobs),
            reward_score=reward,
            num_turns=1 + sum(1 + bool(turn.added) for turn in trajectory.turns),
            metrics=_loops.AgentLoopMetrics(
                generate_sequences=played.seconds if played else 0.0,
                tool_calls=timing.env_seconds if timing else 0.0,
                num_preempted=played.preempted if played else -1,
            ),
            multi_modal_data={},
            extra_fields=dict(extra),
            **routed,
        )

    def _extra(
        self, trajectory: Trajectory, played: EpisodePolicy | None, dropped: int
    ) -> dict[str, Any]:
        """Return what stands beside the tokens; the same keys for every row."""
        parts = trajectory.score.parts if trajectory.score else {}
        reason = trajectory.stop_reason
        counts = (
            trajectory.success,
            trajectory.fault is not None,
            reason is not None and not reason.terminated,
            trajectory.tool_errors,
            dropped,
        )
        info = {
            **dict(zip(_COUNTS, map(float, counts), strict=True)),
            **{name: parts.get(name, float("nan")) for name in self.parts},
        }
        told = played.fields if played else {}
        return {
            "min_global_steps": None,
            "max_global_steps": None,
            **told,
            "turn_scores": [turn.reward for turn in trajectory.turns],
            "tool_rewards": [],
            "reward_extra_info": info,
            "task_id": trajectory.task.id,
            "stop_reason": reason.value if reason else "fault",
            "digest": "" if trajectory.fault else trajectory.digest,
        }


def _check_option(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"`{name}` must be one of {known}, not {value!r}")


def _check_parts(parts: Iterable[str], columns: Iterable[str]) -> None:
    """Refuse names under which VeRL's batch keeps something else, as `uid`."""
    taken = sorted(set(parts) & {*_COUNTS, *_BESIDE, *columns})
    if taken:
        raise ValueError(f"`parts` must not name what the batch holds already: {taken}")


def _plain(value: Any) -> Any:
    """Return a part of VeRL's configuration as plain data."""
    omegaconf = require("omegaconf", extra="verl")
    if omegaconf.OmegaConf.is_config(value):
        return omegaconf.OmegaConf.to_container(value, resolve=True)
    return value


def _needs_response() -> bool:
    """Whether a row needs a token in its response: VeRL 0.8 cannot pad none."""
    version = str(require("verl", extra="verl").__version__)
    major, minor = version.split(".")[:2]
    return (int(major), int(minor)) < (0, 9)
