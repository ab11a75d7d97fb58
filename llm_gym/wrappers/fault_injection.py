"""`FaultInjection`: tools that fail, wait or talk nonsense, as real ones do."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np

from llm_gym.errors import ToolError
from llm_gym.tools import ToolOutput, ToolSpec
from llm_gym.wrappers._base import Step, ToolWrapper, as_step

__all__ = ["FAILURES", "FaultInjection"]

FAILURES = (
    "the service is not available, try again later",
    "the request timed out after 30 seconds",
    "too many requests, wait before the next one",
    "the connection was closed before the answer came",
)
"""What a failing tool says to the model, unless the wrapper is told otherwise."""


class FaultInjection(ToolWrapper):
    """Makes tools fail, wait and return garbage, and turns break, by chance.

    A failing tool does not run; it refuses, as by `ToolError`, with one of `failures`.
    One that returns garbage has run, with all its effects. Both are in the trajectory
    as the model saw them. A fault is an `EnvironmentFault` before the turn is played:
    the episode is over and has no reward. What was injected stands in
    `info["injected"]`, a dict with `tool` and `kind` for each.

    All is drawn from `seed`, the episode's seed and the turn's number: the same episode
    meets the same, however often it is played or restored. So does a retry; where one
    is to get past a fault, give each environment a `seed` of its own. Calls that are
    not valid, and environments without tools, meet faults only.

    Example:
        >>> env = gym.make("llmgym/MultiStep-v0", level=0)
        >>> env = FaultInjection(env, failure=1.0, failures=["try again later"])
        >>> _ = env.reset(seed=0)
        >>> request, *_, info = env.step(env.unwrapped.oracle())
        >>> request["messages"][-1]["content"]
        'Error: try again later'

        Without the wrapper the message is the tool's result.

    Args:
        env: The environment.
        failure: The probability that a call fails.
        garbage: The probability that a call which does not fail returns garbage.
        delay: The probability that a call waits first. With one above 0 rollouts give
            the environment a thread.
        fault: The probability that a turn is a fault.
        delay_seconds: The least and the most seconds of a delay.
        failures: What failing tools say.
        seed: What all is drawn from, with the episode's own.

    Raises:
        ValueError: A probability, a delay or the seed is out of range, or `failures` is
            empty.
        EnvironmentFault: On `step`, by chance.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        *,
        failure: float = 0.0,
        garbage: float = 0.0,
        delay: float = 0.0,
        fault: float = 0.0,
        delay_seconds: Sequence[float] = (0.05, 0.5),
        failures: Sequence[str] = FAILURES,
        seed: int = 0,
    ) -> None:
        chances = {
            "failure": failure,
            "garbage": garbage,
            "delay": delay,
            "fault": fault,
        }
        _check(chances, delay_seconds, failures, seed)
        super().__init__(
            env,
            **chances,
            delay_seconds=list(delay_seconds),
            failures=list(failures),
            seed=seed,
        )
        self.chances = chances
        self.delay_seconds = tuple(delay_seconds)
        self.failures = tuple(failures)
        self.seed = seed
        if delay:
            vars(self.tool_env)["blocking"] = True

    def step(self, action: Any) -> Step:
        """Take a turn, or break; see `ToolEnv.step`."""
        episode = self.tool_env.episode
        dice = np.random.default_rng([self.seed, episode.seed, len(episode.turns)])
        runs = episode.stop is None and episode.fault is None
        if dice.random() < self.chances["fault"] and runs:
            raise self.fault("an injected fault")
        log: list[_Entry] = []
        with self._injected(dice, log):
            step = as_step(self.env.step(action))
        injected = [{"tool": tool, "kind": kind} for _, tool, kind in sorted(log)]
        return *step[:4], {**step[4], "injected": injected}

    @contextmanager
    def _injected(self, dice: np.random.Generator, log: list[_Entry]) -> Iterator[None]:
        """Put tools that fail in place of the environment's, for one step.

        They take other names than the methods, which the environment may call itself.
        """
        inside = vars(self.tool_env)
        before = dict(inside)
        specs: dict[str, ToolSpec] = {}
        numbers = itertools.count()
        for name, spec in self.tool_env.tool_specs.items():

            def draw(tool: str = name) -> _Mishap:
                return self._draw(dice, next(numbers), tool, log)

            specs[name] = altered = copy.copy(spec)
            altered.method = f"_injected_{id(self)}_{name}"
            method = getattr(self.tool_env, spec.method)
            wrap = _wrap_async if spec.is_async else _wrap
            inside[altered.method] = wrap(method, draw)
        inside["tool_specs"] = specs
        try:
            yield
        finally:
            for spec in specs.values():
                del inside[spec.method]
            del inside["tool_specs"]
            if "tool_specs" in before:  # another of these wrappers is around
                inside["tool_specs"] = before["tool_specs"]

    def _draw(
        self, dice: np.random.Generator, number: int, tool: str, log: list[_Entry]
    ) -> _Mishap:
        """Draw what befalls a call: always as many numbers, so that none shifts."""
        draws = dice.random(6)
        fails = draws[0] < self.chances["failure"]
        waits = draws[1] < self.chances["delay"]
        spoils = draws[2] < self.chances["garbage"]
        least, most = self.delay_seconds
        if waits:
            log.append((number, tool, "delay"))
        if fails:
            log.append((number, tool, "failure"))
        return _Mishap(
            seconds=least + (most - least) * draws[3] if waits else 0.0,
            refusal=self.failures[int(draws[4] * len(self.failures))] if fails else "",
            spoil=_SPOILS[int(draws[5] * len(_SPOILS))] if spoils else None,
            note=lambda: log.append((number, tool, "garbage")),
        )


_Entry: TypeAlias = tuple[int, str, str]
"""What was injected: the call's number in its turn, the tool, the kind."""


@dataclass(frozen=True, slots=True)
class _Mishap:
    """What befalls one call."""

    seconds: float
    refusal: str
    spoil: Callable[[str], str] | None
    note: Callable[[], None]

    def refuse(self) -> None:
        if self.refusal:
            raise ToolError(self.refusal)

    def spoilt(self, result: Any) -> Any:
        if self.spoil is None:
            return result
        self.note()
        output = result if isinstance(result, ToolOutput) else ToolOutput(result)
        text = output.content
        if not isinstance(text, str):
            text = json.dumps(text, ensure_ascii=False, default=str)
        return replace(output, content=self.spoil(text))


def _wrap(
    method: Callable[..., Any], draw: Callable[[], _Mishap]
) -> Callable[..., Any]:
    def run(**arguments: Any) -> Any:
        mishap = draw()
        time.sleep(mishap.seconds)
        mishap.refuse()
        return mishap.spoilt(method(**arguments))

    return run


def _wrap_async(
    method: Callable[..., Any], draw: Callable[[], _Mishap]
) -> Callable[..., Any]:
    async def run(**arguments: Any) -> Any:
        mishap = draw()  # before the first await: in the order of the calls
        await asyncio.sleep(mishap.seconds)
        mishap.refuse()
        return mishap.spoilt(await method(**arguments))

    return run


_PAGE = "<html><head><title>502 Bad Gateway</title></head><body></body></html>"
_SPOILS: tuple[Callable[[str], str], ...] = (
    lambda text: "",
    lambda text: text[: len(text) // 2],
    lambda text: _PAGE,
    lambda text: "\ufffd" * min(len(text), 64),
    lambda text: '{"status": "ok", "data": [null]}',
)
"""What may become of a result."""


def _check(
    chances: dict[str, float],
    delay_seconds: Sequence[float],
    failures: Sequence[str],
    seed: int,
) -> None:
    for name, chance in chances.items():
        if not 0.0 <= chance <= 1.0:
            raise ValueError(f"`{name}` must be a probability, not {chance!r}")
    pair = list(delay_seconds)
    if len(pair) != 2 or not 0.0 <= pair[0] <= pair[1] < math.inf:
        raise ValueError(
            "`delay_seconds` must be the least and the most seconds, "
            f"not {delay_seconds!r}"
        )
    if isinstance(failures, str) or not failures or not all(failures):
        raise ValueError(
            f"`failures` must be texts that are not empty, not {failures!r}"
        )
    if seed < 0:
        raise ValueError(f"`seed` must be at least 0, not {seed!r}")
