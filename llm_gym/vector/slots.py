"""One slot of a vector environment, and where results wait until they are fetched."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from llm_gym.env import ToolEnv
from llm_gym.errors import ActionError, EnvironmentFault
from llm_gym.messages import Reply
from llm_gym.replies import read_reply
from llm_gym.spaces import ReplySpace
from llm_gym.threads import blocks

__all__ = ["Basket", "Outcome", "Result", "Slot", "close_after", "deliver"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of resetting or stepping a slot.

    Attributes:
        observation: What the slot shows now; None where it could not be reset.
        active: Whether its episode runs.
        reward: NaN after a fault.
        terminated: See Gymnasium.
        truncated: See Gymnasium; True after a fault.
        info: The environment's, or after a fault `fault`, `task_id` and `seed`.
        error: What was raised and is no fault.
    """

    observation: Any
    active: bool
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    info: dict[str, Any] = field(default_factory=dict)
    error: BaseException | None = None


class Slot:
    """A place in which one episode runs at a time.

    Attributes:
        env: The environment, with its wrappers.
        kind: Its number among the environments of a mixture.
        tool_env: The environment within its wrappers, None if it is no `ToolEnv`.
        blocks: Whether its steps belong in a thread.
        ticket: Counts what the slot was told to do, so that a late result is known.
        work: What a thread does for it, None where nothing is under way.
        observation: What it showed last.
        rng: What its next environment is drawn with, in a mixture.
    """

    def __init__(self, env: gym.Env[Any, Any], kind: int) -> None:
        self.ticket = 0
        self.work: Future[Outcome] | None = None
        self.observation: Any = None
        self.rng: np.random.Generator | None = None
        self.put(env, kind)

    def put(self, env: gym.Env[Any, Any], kind: int) -> None:
        """Put an environment into the slot."""
        inner = env.unwrapped
        self.env = env
        self.kind = kind
        self.tool_env = inner if isinstance(inner, ToolEnv) else None
        self.blocks = blocks(env)
        self._reads_replies = isinstance(env.action_space, ReplySpace)

    def check(self, action: Any) -> None:
        """Raise `ActionError` if the action is no reply; nothing changes."""
        text = action.message if isinstance(action, Reply) else action
        if isinstance(text, (str, EnvironmentFault)) or not self._reads_replies:
            return  # a text is always a reply, and the costly thing to read
        if type(text) is dict:  # so are its calls: what they lack the model is told
            content = text.get("content")
            short = "" if isinstance(content, str) else content
            action = {**text, "content": short, "tool_calls": None}
        read_reply(action)

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> Outcome:
        """Start an episode; see `ToolEnv.reset`."""
        if self.tool_env is not None:
            task = (options or {}).get("task")
            self.tool_env.forget(
                seed=-1 if seed is None else seed, task_id=task.id if task else ""
            )
        try:
            observation, info = self.env.reset(seed=seed, options=options)
        except EnvironmentFault as err:
            return Outcome(None, False, info=self._fault_info(err))
        except Exception as err:  # noqa: BLE001  # raised where results are fetched
            return Outcome(None, False, error=err)
        return Outcome(observation, True, info=info)

    def step(self, action: Any) -> Outcome:
        """Take a turn; an action that is a fault is the policy's, and ends it."""
        try:
            if isinstance(action, EnvironmentFault):
                raise action
            observation, reward, terminated, truncated, info = self.env.step(action)
        except EnvironmentFault as err:
            info = self._fault_info(err)
            nan = float("nan")
            return Outcome(self.observation, False, nan, truncated=True, info=info)
        except ActionError as err:  # the environment has not changed
            return Outcome(self.observation, True, error=err)
        except Exception as err:  # noqa: BLE001  # raised where results are fetched
            return Outcome(self.observation, False, error=err)
        active = not (terminated or truncated)
        return Outcome(
            observation, active, float(reward), bool(terminated), bool(truncated), info
        )

    def _fault_info(self, fault: EnvironmentFault) -> dict[str, Any]:
        info: dict[str, Any] = {"fault": str(fault)}
        if self.tool_env is not None:
            record = self.tool_env.trajectory
            info["task_id"], info["seed"] = record.task.id, record.seed
        return info


Result = tuple[int, int, Outcome]
"""A slot's number, its ticket, and what came of it."""


class Basket:
    """Where results lie until they are fetched; threads put, one takes."""

    def __init__(self) -> None:
        self.when_put: Callable[[], object] | None = None
        self._results: deque[Result] = deque()
        self._changed = threading.Condition()

    def put(self, result: Result) -> None:
        """Put a result in, and tell whoever wants to be told."""
        with self._changed:
            self._results.append(result)
            self._changed.notify_all()
        when_put = self.when_put
        if when_put is not None:
            when_put()

    def take(self, at_least: int, timeout: float | None) -> list[Result]:
        """Take all results out as soon as there are enough, or the time is up.

        Args:
            at_least: How many to wait for.
            timeout: Seconds, None for ever.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._results) >= at_least, timeout)
            results = list(self._results)
            self._results.clear()
        return results


def deliver(basket: Basket, number: int, ticket: int, work: Future[Outcome]) -> None:
    """Put what came of a thread's work into a basket."""
    error: BaseException | None = RuntimeError("the vector environment was closed")
    if not work.cancelled():
        error = work.exception()
    outcome = work.result() if error is None else Outcome(None, False, error=error)
    basket.put((number, ticket, outcome))


def close_after(env: gym.Env[Any, Any], work: Future[Any]) -> None:
    """Close an environment, now that no thread works in it."""
    env.close()
