"""`RecordTrajectories`: every finished episode in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.error import ResetNeeded

from llm_gym.episode import Episode
from llm_gym.errors import EnvironmentFault
from llm_gym.store import TrajectoryWriter
from llm_gym.trajectory import StopReason
from llm_gym.wrappers._base import Step, ToolWrapper, as_step

__all__ = ["RecordTrajectories"]


class RecordTrajectories(ToolWrapper):
    """Appends the trajectory of every finished episode to a file of JSON lines.

    `llm_gym.store.read_trajectories` and `llm-gym show` read the file. It holds the
    episodes that ended, those that a fault ended too, and none that was left. An
    episode that another wrapper truncates without a verdict, as gymnasium's `TimeLimit`
    does, is judged first. Any number of environments, in any number of processes, may
    append to one file.

    A trajectory is the episode's own record: the prompt as `SystemPrompt` and
    `PromptTemplate` made it, the tools that `ToolSubset` left, what `FaultInjection`
    showed, the rewards of `RewardScale` and `RewardShaping` inside of this wrapper, and
    the whole conversation under a `ChatHistoryWindow`. Which wrappers there were is not
    in it, nor what only a rollout engine knows (policy, times, tokens). Episodes that a
    wrapper outside of this one ends are written at the next `reset` or `close`; put it
    outermost.

    Example:
        >>> env = gym.make("llmgym/MultipleChoice-v0")
        >>> env = RecordTrajectories(env, "rollouts.jsonl")
        >>> _ = env.reset(seed=0)
        >>> _ = env.step(env.unwrapped.oracle())
        >>> [record.score.value for record in read_trajectories("rollouts.jsonl")]
        [1.0]

        Without the wrapper the record is gone with the next `reset`.

    Args:
        env: The environment.
        path: The file; its folder is made if there is none.

    Raises:
        OSError: The file cannot be opened.
        EnvironmentFault: On `step`, `reset` or `close`, if the disk takes no more.
    """

    def __init__(self, env: gym.Env[Any, Any], path: str | Path) -> None:
        super().__init__(env, path=str(path))
        self.path = Path(path)
        self._writer: TrajectoryWriter | None = TrajectoryWriter(path)
        self._open: Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; see `ToolEnv.reset`."""
        self._write_ended()
        before = self._present()
        try:
            result = self.env.reset(seed=seed, options=options)
        except EnvironmentFault:
            if self._present() is not before:
                self._open = self._present()
                self._write_ended()
            raise
        self._open = self._present()
        return result

    def step(self, action: Any) -> Step:
        """Take a turn; see `ToolEnv.step`."""
        present = self._present()
        if present is not None and not _ended(present):
            self._open = present  # another one after a `restore`
        try:
            step = as_step(self.env.step(action))
        except EnvironmentFault:
            self._write_ended()
            raise
        if step[2] or step[3]:
            if self.tool_env.episode.stop is None:
                self.tool_env.end(StopReason.GOAL if step[2] else StopReason.MAX_TURNS)
            self._write_ended()
        return step

    def close(self) -> None:
        """Close the file and the environment."""
        self._write_ended()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        super().close()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_writer": None}

    def _present(self) -> Episode | None:
        try:
            return self.tool_env.episode
        except ResetNeeded:
            return None

    def _write_ended(self) -> None:
        """Write the open episode if it has ended, once."""
        episode = self._open
        if episode is None or not _ended(episode):
            return
        self._open = None
        if self._writer is None:
            self._writer = TrajectoryWriter(self.path)
        # An engine may have put a blank record in its place already: `ToolEnv.forget`.
        self._writer.write(self.tool_env._record(episode))


def _ended(episode: Episode) -> bool:
    return episode.stop is not None or episode.fault is not None
