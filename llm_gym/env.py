"""`ToolEnv`: the protocol of a turn. An environment supplies tasks, tools, a verifier.

The base class reads replies, runs tools, keeps the conversation and the budgets, asks
the verifier and records the trajectory. What a subclass writes is in its hooks.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import gymnasium as gym

from llm_gym import jsontext
from llm_gym.dispatch import Dispatched, OwnLoop, dispatch, refuse_all
from llm_gym.episode import (
    Episode,
    Response,
    Snapshot,
    plain_kwargs,
    start_messages,
    with_reasoning,
)
from llm_gym.errors import DefinitionError, EnvironmentFault, SnapshotError
from llm_gym.fingerprint import code_hash
from llm_gym.messages import ChatRequest, ToolSchema
from llm_gym.replies import ReadReply, read_reply
from llm_gym.spaces import ChatSpace, ReplySpace
from llm_gym.tasks import BlankTasks, Split, Task, TaskSource, as_source
from llm_gym.tools import ToolSpec, collect_tools
from llm_gym.trajectory import (
    CallRecord,
    Score,
    StopReason,
    Trajectory,
    as_score,
)
from llm_gym.transcript import transcript
from llm_gym.verifiers.base import GroupVerifier, Verifier

__all__ = ["ToolEnv"]


class ToolEnv(gym.Env[ChatRequest, Any]):
    """An environment in which a language model acts by calling tools.

    Subclasses write methods marked with `@tool`, and these hooks:

    * `tasks`: a `TaskSource`; by default tasks that are nothing but an id.
    * `begin(task)`: fills `self.state` and returns the first messages.
    * `respond(reply)`: answers a reply without a tool call; by default it is the answer
      and ends the episode.
    * `verify(trajectory)`: judges the episode; by default `verifier` does.
    * `group_verifier`: judges the members of a group together, in rollouts.
    * `outcome()`: what `verify` must know of the final state, recorded with the
      trajectory so that a stored one can be judged again.
    * `oracle()`: the best next reply, for `llm-gym check` and for baselines.
    * `blocking`: whether steps wait, for a network say; None if async tools alone do.

    All that changes during an episode lives in `self.state`; randomness comes from
    `self.np_random`, or from `self.task.rng()` where it belongs to the task.

    Args:
        tasks: A task source, or the path of a JSONL file, instead of the class's own.
        split: Which split `reset` draws from.
        level: Which level `reset` draws from, None for all.
        max_turns: Replies until the episode is truncated.
        max_tokens: Sampled tokens until it is, as far as replies tell; None for no end.
        max_seconds: Wall-clock seconds from `reset` until it is; None for no end.
            The clock makes an environment nondeterministic.
        render_mode: None or "ansi", a readable transcript.

    Raises:
        ValueError: A budget, the split or the level is out of range.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  # as gymnasium declares it
        "render_modes": ["ansi"],
        "render_fps": 1,  # its checker asks for one
    }

    tasks: TaskSource = BlankTasks()
    verifier: ClassVar[Verifier | None] = None
    group_verifier: GroupVerifier | None = None
    system_prompt: ClassVar[str] = ""
    max_turns: int = 16
    blocking: ClassVar[bool | None] = None
    tool_specs: ClassVar[Mapping[str, ToolSpec]] = {}

    _schemas: ClassVar[tuple[ToolSchema, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.tool_specs = collect_tools(cls, _RESERVED)
        cls._schemas = tuple(spec.schema() for spec in cls.tool_specs.values())

    def __init__(
        self,
        *,
        tasks: TaskSource | str | Path | None = None,
        split: Split = "train",
        level: int | None = None,
        max_turns: int | None = None,
        max_tokens: int | None = None,
        max_seconds: float | None = None,
        render_mode: str | None = None,
    ) -> None:
        source = type(self).tasks if tasks is None else as_source(tasks)
        self.tasks = source.select(split, level)
        self.max_turns = type(self).max_turns if max_turns is None else max_turns
        self.max_tokens = max_tokens
        self.max_seconds = max_seconds
        for name in ("max_turns", "max_tokens", "max_seconds"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise ValueError(f"`{name}` must be positive, not {limit!r}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            known = '`render_mode` must be None or "ansi"'
            raise ValueError(f"{known}, not {render_mode!r}")
        self.render_mode = render_mode
        self.observation_space = ChatSpace(self._schemas)
        self.action_space = ReplySpace(self._schemas)
        self._episode: Episode | None = None
        self._loop = OwnLoop()

    def begin(self, task: Task) -> str | Sequence[Mapping[str, Any]]:
        """Start an episode: fill `self.state`, return the first messages.

        Args:
            task: The task, not to be changed.

        Returns:
            A user's text, or messages. `system_prompt` is put before either.
        """
        self.state = copy.deepcopy(task.data)
        return task.prompt

    def respond(self, reply: ReadReply) -> Response | str | None:
        """Answer a reply that calls no tool.

        Returns:
            None if it was the answer, which ends the episode; the user's next message;
            or a `Response` with a step reward or a stop reason.
        """
        return None

    def verify(self, trajectory: Trajectory) -> Score | float:
        """Judge an ended episode, truncated ones too.

        Returns:
            A score, or its value in [0, 1].
        """
        if self.verifier is None:
            raise DefinitionError(
                f"`{type(self).__name__}` needs a `verify` method or a `verifier`"
            )
        return self.verifier.verify(trajectory)

    def outcome(self) -> Any:
        """Return what `verify` must know of the final state, as plain JSON data."""
        return None

    def oracle(self) -> Mapping[str, Any] | str:
        """Return the best reply to the present observation, knowing all."""
        raise NotImplementedError(f"`{type(self).__name__}` has no oracle")

    @property
    def state(self) -> Any:
        """What changes during the episode; the subclass's to fill in `begin`."""
        return self._running(ended_too=True).state

    @state.setter
    def state(self, value: Any) -> None:
        self._running(ended_too=True).state = value

    @property
    def task(self) -> Task:
        """The task of the episode."""
        return self._running(ended_too=True).task

    @property
    def episode(self) -> Episode:
        """The episode itself, for wrappers: what they change in it is on record."""
        return self._running(ended_too=True)

    @property
    def trajectory(self) -> Trajectory:
        """The record of the episode up to now."""
        return self._record(self._running(ended_too=True))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ChatRequest, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Decides all that is random. Without one a seed is drawn, and stands in
                `info["seed"]`: handed back it gives the same episode.
            options: `{"task_id": str}` for a task of the source, or `{"task": Task}`
                for any other.

        Returns:
            The first observation, and `info` with `task_id` and `seed`.

        Raises:
            ValueError: An option is not known.
            UnknownTaskError: There is no such task.
            EnvironmentFault: The task source or `begin` failed.
        """
        asked = self._asked_task(options)  # may raise: nothing has changed yet
        drawn = self.np_random.integers(2**31) if seed is None else seed
        seed = operator.index(drawn)
        super().reset(seed=seed)
        self._episode = episode = Episode(asked or Task(), seed, tools=self._schemas)
        if asked is None:
            episode.task = self._draw_task()
        episode.task_hash = episode.task.content_hash()
        try:
            start = self.begin(episode.task)
            episode.messages = start_messages(self.system_prompt, start)
        except Exception as err:
            raise self._fault(f"`begin` raised {type(err).__name__}: {err}") from err
        episode.prompt = tuple(episode.messages)
        return self._observe(episode), {"task_id": episode.task.id, "seed": seed}

    def step(
        self, action: Any
    ) -> tuple[ChatRequest, float, bool, bool, dict[str, Any]]:
        """Take a turn: read the reply, run its tools, judge if the episode ends.

        Args:
            action: A `Reply`, an assistant message (a dict or an SDK's object) or its
                text.

        Returns:
            Observation, reward (step rewards, and the score on the last turn),
            terminated, truncated, and `info`: `task_id`, `seed`, `turn` (replies so
            far), `calls` (id, name, status of each), `tool_errors` (so far), and at the
            end `stop_reason` and `score` (value, parts, reason).

        Raises:
            ActionError: The action is no reply; nothing has changed.
            ResetNeeded: There is no running episode.
            EnvironmentFault: A tool, a hook or the verifier failed. The episode is
                over and has no reward.
        """
        episode = self._running()
        turn = len(episode.turns)
        reply = read_reply(action, turn=turn, with_tools=bool(episode.tools))
        try:
            reward, records = self._take_turn(episode, reply)
        except BaseException as err:  # an interrupt too leaves half a turn behind
            episode.fault, episode.stop = str(err) or repr(err), None
            raise
        terminated = episode.stop is not None and episode.stop.terminated
        truncated = episode.stop is not None and not terminated
        info = episode.info(records)
        return self._observe(episode), reward, terminated, truncated, info

    def forget(self, *, seed: int, task_id: str = "") -> None:
        """Put a blank record in place of the last episode's, before a `reset`.

        If the reset fails, in a wrapper or a task source, its fault is then not
        recorded with what the episode before it did.

        Args:
            seed: What `reset` will be given.
            task_id: The task that will be asked for, "" if one is drawn.
        """
        fault = "no episode has begun"
        self._episode = Episode(Task(task_id), seed, tools=self._schemas, fault=fault)

    def end(self, reason: StopReason) -> Score:
        """End the running episode from outside, as a wrapper may, and judge it.

        Args:
            reason: Why it ends: a budget that truncates, or what terminates.

        Returns:
            The score, which the last turn's reward in the trajectory now holds too.

        Raises:
            ResetNeeded: There is no running episode, or it has no turn yet.
            EnvironmentFault: The verifier failed.
        """
        episode = self._running()
        if not episode.turns:
            raise gym.error.ResetNeeded("the episode has no turn yet to be judged by")
        episode.stop = reason
        return self._judge(episode)

    def render(self) -> str | None:
        """Return the conversation as text if `render_mode` is "ansi"."""
        shown = self.render_mode is not None
        return transcript(self._running(ended_too=True).messages) if shown else None

    def close(self) -> None:
        """Release the event loop that async tools ran in."""
        self._loop.close()

    def snapshot(self) -> Snapshot:
        """Return the episode's state at this point."""
        episode = self._running(ended_too=True)
        random = copy.deepcopy((self._np_random, self._np_random_seed))
        return Snapshot(self._kind(), episode.copy(paused=True), random)

    def restore(self, snapshot: Snapshot) -> ChatRequest:
        """Put the episode back to where a snapshot was taken.

        Returns:
            The observation at that point.

        Raises:
            SnapshotError: It was taken from another kind of environment.
        """
        if not isinstance(snapshot, Snapshot) or snapshot._kind != self._kind():
            raise SnapshotError(
                f"expected a snapshot of `{self._kind()}`, "
                f"not {getattr(snapshot, '_kind', snapshot)!r}"
            )
        self._episode = snapshot._episode.copy()
        self._np_random, self._np_random_seed = copy.deepcopy(snapshot._random)
        return self._observe(self._episode)

    def fork(self) -> Self:
        """Return an independent environment at the same point of the same episode."""
        other = copy.copy(self)
        other._loop = OwnLoop()
        other._np_random = copy.deepcopy(self._np_random)
        other.action_space = copy.deepcopy(self.action_space)
        other.observation_space = copy.deepcopy(self.observation_space)
        if self._episode is not None:
            other.restore(self.snapshot())
        return other

    def _take_turn(
        self, episode: Episode, reply: ReadReply
    ) -> tuple[float, tuple[CallRecord, ...]]:
        """Run one turn on the episode; return its reward and its calls."""
        message = with_reasoning(reply)
        episode.messages.append(message)
        if reply.finish_reason == "length":
            why = "this call did not run: the reply was cut off by its length limit"
            done = Dispatched(refuse_all(reply.calls, why), False)
            answer = Response(stop=StopReason.REPLY_LENGTH)
        elif reply.calls:
            done = self._dispatch(reply, episode)
            answer = Response(stop=StopReason.TOOL if done.ends_episode else None)
        else:
            done, answer = Dispatched((), False), self._ask_respond(reply)
        episode.add_turn(message, reply, done.records, answer)
        episode.stop = answer.stop or self._spent(episode)
        if episode.stop is not None:
            self._judge(episode)
        return episode.turns[-1].reward, done.records

    def _dispatch(self, reply: ReadReply, episode: Episode) -> Dispatched:
        return dispatch(
            self,
            episode.allowed(self.tool_specs),
            reply.calls,
            run_async=self._loop.run,
            fault=self._fault,
        )

    def _ask_respond(self, reply: ReadReply) -> Response:
        try:
            answer = self.respond(reply)
        except Exception as err:
            raise self._fault(f"`respond` raised {type(err).__name__}: {err}") from err
        if answer is None:
            return Response(stop=StopReason.ANSWER)
        if isinstance(answer, str):
            return Response(answer)
        if isinstance(answer, Response) and answer.is_sound():
            return answer
        raise self._fault(
            "`respond` must return None, a str or a `Response` with a finite "
            f"reward, not {answer!r}"
        )

    def _spent(self, episode: Episode) -> StopReason | None:
        """Say which budget ran out."""
        if len(episode.turns) >= self.max_turns:
            return StopReason.MAX_TURNS
        if self.max_tokens is not None and episode.tokens >= self.max_tokens:
            return StopReason.MAX_TOKENS
        if self.max_seconds is not None and episode.elapsed() >= self.max_seconds:
            return StopReason.MAX_SECONDS
        return None

    def _judge(self, episode: Episode) -> Score:
        """Ask the verifier and add the score to the last turn's reward."""
        try:
            outcome = self.outcome()
            episode.outcome = None if outcome is None else jsontext.normalise(outcome)
            score = as_score(self.verify(self._record(episode)))
        except Exception as err:
            message = f"the verifier raised {type(err).__name__}: {err}"
            raise self._fault(message) from err
        last = episode.turns[-1]
        episode.turns[-1] = replace(last, reward=last.reward + score.value)
        episode.score = score
        return score

    def _observe(self, episode: Episode) -> ChatRequest:
        if not episode.tools:
            return {"messages": list(episode.messages)}
        return {"messages": list(episode.messages), "tools": list(episode.tools)}

    def _record(self, episode: Episode) -> Trajectory:
        return Trajectory(
            env_id=self._env_id(),
            env_kwargs=plain_kwargs(self.spec),
            env_hash=code_hash(type(self)),
            task=episode.task,
            seed=episode.seed,
            prompt=episode.prompt,
            tools=episode.tools,
            turns=tuple(episode.turns),
            stop_reason=episode.stop,
            outcome=episode.outcome,
            score=episode.score,
            fault=episode.fault,
            task_hash=episode.task_hash,
        )

    def _running(self, *, ended_too: bool = False) -> Episode:
        episode = self._episode
        if episode is None:
            raise gym.error.ResetNeeded("no episode has begun: call `reset()` first")
        over = episode.fault or episode.stop
        if over and not ended_too:
            raise gym.error.ResetNeeded(
                f"the episode is over ({over}): call `reset()` before the next `step()`"
            )
        return episode

    def _draw_task(self) -> Task:
        try:
            return self.tasks.sample(self.np_random).plain()
        except DefinitionError:
            raise
        except Exception as err:
            message = f"drawing a task raised {type(err).__name__}: {err}"
            raise self._fault(message) from err

    def _asked_task(self, options: dict[str, Any] | None) -> Task | None:
        options = options or {}
        unknown = options.keys() - {"task", "task_id"}
        if unknown or len(options) > 1:
            raise ValueError(
                '`options` must be {"task_id": str} or {"task": Task}, '
                f"not {sorted(map(str, options))}"
            )
        if "task" in options:
            task = options["task"]
            if not isinstance(task, Task):
                raise TypeError(f"`options['task']` must be a Task, not {task!r}")
            return task.plain()
        if "task_id" in options:
            return self.tasks.get(options["task_id"]).plain()
        return None

    def _env_id(self) -> str:
        return self.spec.id if self.spec else self._kind()

    def _kind(self) -> str:
        return f"{type(self).__module__}:{type(self).__qualname__}"

    def _fault(self, message: str, tool: str | None = None) -> EnvironmentFault:
        episode = self._episode
        fault = EnvironmentFault(
            message,
            env_id=self._env_id(),
            tool=tool,
            task_id=episode.task.id if episode else None,
            seed=episode.seed if episode else None,
        )
        if episode is not None:
            episode.fault, episode.stop = str(fault), None
        return fault


_RESERVED = frozenset(dir(ToolEnv)) | {"task", "state", "trajectory"}
