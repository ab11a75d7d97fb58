"""One episode after the other, driven call by call from TRL's own tool loop.

TRL runs the conversation; the environment learns of it what TRL tells: tool calls as
they come, and the rest when the completion is finished. Where that bends what the
environment would have done, it is counted.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym

from llm_gym.adapters.trl.outcomes import Outcome
from llm_gym.adapters.trl.starts import Place, Start, make_env
from llm_gym.env import ToolEnv
from llm_gym.errors import EnvironmentFault
from llm_gym.messages import Message, Reply
from llm_gym.tasks import Task
from llm_gym.trajectory import StopReason, Trajectory

__all__ = ["BENDS", "FAULTED", "OVER", "Seat"]

OVER = "The episode is over."
"""What every tool returns after the end."""

FAULTED = "This tool is out of order. The episode is over."
"""What every tool returns after a fault."""

BENDS = (
    "calls_after_end",
    "calls_not_run",
    "calls_split",
    "calls_unseen",
    "malformed_endings",
    "results_rolled_back",
    "unanswered_endings",
)
"""What is counted of each episode; `docs/train_trl.md` says what each means."""


class Seat:
    """An environment and the episode that is played in it.

    Args:
        place: The environment.
        retries: How often a step that failed is tried again, in a new environment that
            was brought to the same point.
    """

    def __init__(self, place: Place, retries: int = 1) -> None:
        self._place = place
        self._retries = retries
        self._env: gym.Env[Any, Any] | None = None
        self._inner: ToolEnv | None = None
        self._start = Start(place.name, 0, "")
        self._prompt: list[Mapping[str, Any]] = []
        self._messages: list[Message] = []
        self._replies: list[Reply] = []
        self._results: list[str] = []
        self._over = False
        self._fault: str | None = "no episode has begun"
        self._counts: Counter[str] = Counter()
        self._outcome: Outcome | None = None

    @property
    def tools(self) -> set[str]:
        """The names of the environment's tools; none before a `reset`."""
        return set() if self._inner is None else set(self._inner.tool_specs)

    def reset(self, start: Start, prompt: Sequence[Mapping[str, Any]]) -> None:
        """Begin an episode, whatever has become of the one before.

        Args:
            start: How it begins.
            prompt: What the trainer shows the model; the environment must agree.
        """
        self._start = start
        self._prompt = [_text_of(message) for message in prompt]
        self._messages, self._replies, self._results = [], [], []
        self._over, self._fault, self._outcome = False, None, None
        self._counts = Counter()
        self._attempt(None)

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool, as a turn of its own; return what the model is to read."""
        result = self._call(name, arguments)
        self._results.append(result)
        return result

    def settle(
        self, completion: Sequence[Mapping[str, Any]], *, cut_off: bool
    ) -> Outcome:
        """End the episode with what the completion holds, and return what came of it.

        Args:
            completion: The messages that TRL made of the completion.
            cut_off: Whether the completion's last token is none that ends a reply.
        """
        if self._outcome is None:
            self._count(completion)
            if self._fault is None and not self._over:
                self._end(completion[-1] if completion else {}, cut_off=cut_off)
            self._outcome = self._as_outcome()
        return self._outcome

    def close(self) -> None:
        """Close the environment; a later episode makes a new one."""
        env, self._env, self._inner = self._env, None, None
        if env is not None:
            env.close()

    def _call(self, name: str, arguments: Mapping[str, Any]) -> str:
        if self._fault is not None:
            return FAULTED
        if self._over:
            self._counts["calls_after_end"] += 1
            return OVER
        function = {"name": name, "arguments": dict(arguments)}
        entry = {"type": "function", "function": function}
        known = len(self._messages) + 1
        if not self._attempt(Reply({"role": "assistant", "tool_calls": [entry]})):
            return FAULTED
        return "\n".join(message["content"] for message in self._messages[known:])

    def _count(self, completion: Sequence[Mapping[str, Any]]) -> None:
        """Count the turns of several calls, and what only one of both sides saw."""
        ours = deque(self._results)
        for message in completion:
            asked = len(message.get("tool_calls") or ())
            self._counts["calls_split"] += max(0, asked - 1)
            if message.get("role") != "tool":
                continue
            if ours and message.get("content") == ours[0]:
                ours.popleft()
            else:  # TRL's own answer: an unknown tool, or arguments that are no object
                self._counts["calls_unseen"] += 1
        self._counts["results_rolled_back"] += len(ours)

    def _end(self, last: Mapping[str, Any], *, cut_off: bool) -> None:
        """Hand over the last message, of which no tool call has reached us."""
        calls = last.get("tool_calls") or ()
        if last.get("role") != "assistant" or self._counts["results_rolled_back"]:
            self._stop(StopReason.REPLY_LENGTH)  # what it called has run
        elif calls:
            self._counts["calls_not_run"] += len(calls)
            self._attempt(Reply(last, "length"))
        else:
            self._attempt(Reply(last, "length" if cut_off else "stop"))
        if not self._over and self._fault is None:  # it waits for another reply
            asked = self._messages[-1]["role"] == "tool"
            self._counts["malformed_endings" if asked else "unanswered_endings"] += 1
            self._stop(StopReason.MAX_TURNS)

    def _stop(self, reason: StopReason) -> None:
        """End the episode from outside."""
        if self._inner is None or not self._replies:  # no turn to be judged by
            self._attempt(Reply("", "length"))
            return
        try:
            self._inner.end(reason)
            self._over = True
        except EnvironmentFault as err:
            self._fault = str(err)

    def _attempt(self, reply: Reply | None) -> bool:
        """Reset (None) or step, again in a new environment after a fault; say if so.

        The broad except is the boundary to environments and wrappers: what is raised
        into TRL's tool loop is shown to the model, and the episode counts.
        """
        for _ in range(self._retries + 1):
            try:
                if self._env is None and reply is not None:
                    self._bring_back()
                if reply is None:
                    self._begin()
                else:
                    self._step(reply)
                    self._replies.append(reply)
                return True
            except Exception as err:  # noqa: BLE001
                fault = str(err) if isinstance(err, EnvironmentFault) else repr(err)
                with contextlib.suppress(Exception):  # it has failed already
                    self.close()
        self._fault = fault
        return False

    def _bring_back(self) -> None:
        """Bring a new environment to where the episode stands."""
        known = self._messages
        self._begin()
        for reply in self._replies:
            self._step(reply)
        if self._messages != known:
            self._messages = known
            raise EnvironmentFault("the same replies were answered otherwise")

    def _begin(self) -> None:
        if self._env is None:
            self._env, self._inner = make_env(self._place)
        request, _ = self._env.reset(**self._start.reset_arguments())
        self._messages = list(request["messages"])
        if [_text_of(message) for message in self._messages] != self._prompt:
            raise EnvironmentFault("the episode began otherwise than its prompt says")

    def _step(self, reply: Reply) -> None:
        if self._env is None:
            raise EnvironmentFault("the episode has no environment")
        request, _, terminated, truncated, _ = self._env.step(reply)
        self._messages = list(request["messages"])
        self._over = terminated or truncated

    def _as_outcome(self) -> Outcome:
        counts = {name: float(self._counts[name]) for name in BENDS}
        if self._inner is None or self._fault is not None:
            return Outcome(self._no_result(), counts)
        verifier = self._inner.group_verifier
        return Outcome(self._inner.trajectory, counts, group_verifier=verifier)

    def _no_result(self) -> Trajectory:
        fault = self._fault or "the environment was closed"
        start = self._start
        task = Task(start.task_id)
        return Trajectory(start.env, {}, "", task, start.seed, (), (), fault=fault)


def _text_of(message: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"role": message["role"], "content": message["content"]}
