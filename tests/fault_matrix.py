"""What becomes of an episode when something breaks: policy x fault -> outcome.

`python -m tests.fault_matrix` writes docs/fault_matrix.md from real runs: a real server
over HTTP, a real model, real environments. tests/test_fault_matrix.py runs them again
and holds the file to what it sees.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from llm_gym import (
    Limits,
    Reply,
    ScriptedPolicy,
    Task,
    TaskSource,
    ToolEnv,
    Trajectory,
    rollout,
    tool,
)
from llm_gym.errors import LLMGymError
from llm_gym.policies import Sampling, TransformersPolicy
from llm_gym.policies.endpoint import EndpointLimits, EndpointPolicy
from llm_gym.testing import Fault, FaultPlan, LocalServer, all_faults
from tests.envs.driving import call
from tests.policies.tiny import PLAIN, tiny_model, tiny_tokenizer

PATH = Path(__file__).parents[1] / "docs" / "fault_matrix.md"


@dataclass(frozen=True)
class Row:
    """What one fault did to a run.

    Attributes:
        who: The policy, or the environment's part.
        fault: What broke.
        once: The outcome where it broke once, "" where it was not tried.
        always: The outcome where it broke every time.
        scored: Whether an episode that it hit has a reward.
        infrastructure: Whether it is nobody's doing in the episode; then no reward may
            come of it.
    """

    who: str
    fault: str
    once: str
    always: str
    scored: bool
    infrastructure: bool = True


class GreetingEnv(ToolEnv):
    """Any reply that says something is worth 1, an empty one is worth 0."""

    def begin(self, task: Task) -> str:
        return "Say hello."

    def verify(self, trajectory: Trajectory) -> float:
        return float(bool(trajectory.turns[-1].reply["content"]))


def outcome_of(
    policy: Any, env: Any = GreetingEnv, limits: Limits | None = None
) -> tuple[str, bool]:
    """Run an episode; return in words what became of it, and whether it scored."""
    try:
        (first,) = rollout(env, policy, episodes=1, limits=limits)
    except LLMGymError as err:
        return f"the run stops: {type(err).__name__}", False
    if first.fault is not None:
        return f"fault after {first.run.attempts} attempts, no reward", False
    return f"{first.stop_reason.value}, reward {first.episode_return:g}", True


# The policy over HTTP.

MODELS_OWN = {
    Fault.CONTEXT_OVERFLOW,
    Fault.CONTEXT_OVERFLOW_WORDS,
    Fault.CONTENT_FILTER,
}
"""What a server answers because of what the model has said or read."""

ENDLESS = {Fault.SILENCE, Fault.SLOW_BODY}
LIMITS = EndpointLimits(
    attempts=2,
    attempt_seconds=20.0,
    backoff_seconds=0.001,
    most_wait_seconds=0.01,
    body_bytes=100_000,
    seed=0,
)


def endpoint_rows() -> Iterator[Row]:
    """Inject each fault into each API, once and for ever."""
    tokenizer = tiny_tokenizer(PLAIN)
    for api in ("chat", "responses", "tokens"):
        for fault in all_faults():
            if fault.ids_only and api != "tokens":
                continue
            once, always = (
                _over_http(api, plan, _limits(fault), tokenizer)
                for plan in (FaultPlan([fault]), FaultPlan(always=fault))
            )
            yield Row(
                f"EndpointPolicy, {api}",
                fault.value.replace("_", " "),
                once[0],
                always[0],
                always[1],
                fault not in MODELS_OWN,
            )


def _limits(fault: Fault) -> EndpointLimits:
    return replace(LIMITS, attempt_seconds=0.3) if fault in ENDLESS else LIMITS


def _over_http(
    api: Any, faults: FaultPlan, limits: EndpointLimits, tokenizer: Any
) -> tuple[str, bool]:
    known = tokenizer if api == "tokens" else None
    with LocalServer(["hello"], faults=faults, tokenizer=known) as server:
        policy = EndpointPolicy(
            server.url, "any", api=api, limits=limits, tokenizer=known
        )
        return outcome_of(policy)


# The policy on this machine.


class Breaking:
    """A model whose forward pass raises, the first time or always."""

    def __init__(self, times: int | None, error: Callable[[], Exception]) -> None:
        self.left = times
        self.error = error

    def policy(self) -> TransformersPolicy:
        tokenizer = tiny_tokenizer(PLAIN)
        model = tiny_model(tokenizer)
        forward = model.forward

        def broken(*args: Any, **kwargs: Any) -> Any:
            if self.left is None or self.left > 0:
                self.left = None if self.left is None else self.left - 1
                raise self.error()
            return forward(*args, **kwargs)

        model.forward = broken
        sampling = Sampling(max_new_tokens=4)
        return TransformersPolicy(model, tokenizer=tokenizer, sampling=sampling)


def transformers_rows() -> Iterator[Row]:
    """Break a model's forward pass, and overflow its context."""
    errors: dict[str, Callable[[], Exception]] = {
        "out of memory": lambda: MemoryError("out of memory"),
        "a kernel fails": lambda: RuntimeError("CUDA error: illegal address"),
    }
    for name, error in errors.items():
        once, always = (
            outcome_of(Breaking(times, error).policy()) for times in (1, None)
        )
        yield Row("TransformersPolicy", name, once[0], always[0], always[1])
    tokenizer = tiny_tokenizer(PLAIN)
    small = tiny_model(tokenizer, max_position_embeddings=8)
    always = outcome_of(TransformersPolicy(small, tokenizer=tokenizer))
    yield Row("TransformersPolicy", "context overflow", "", always[0], always[1], False)


# A policy of the user's, and the environment.


class Hanging:
    """A policy that never replies."""

    async def reply(self, request: Any, trace: Any = None) -> Reply:
        await __import__("asyncio").Event().wait()
        raise AssertionError


class HangingEnv(GreetingEnv):
    """Its tool hangs until the matrix is done."""

    gate = threading.Event()

    @tool
    def hang(self) -> str:
        """Hang."""
        self.gate.wait(60)
        return "at last"


class NoTasks(TaskSource):
    """A task source whose disk is away."""

    def sample(self, rng: Any) -> Task:
        raise OSError("the disk is away")

    def get(self, task_id: str) -> Task:
        raise OSError("the disk is away")

    def select(self, split: Any, level: Any) -> TaskSource:
        return self


class BreaksEnv(GreetingEnv):
    """Each of its parts breaks when it is told to."""

    def __init__(self, part: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.part = part

    def _maybe(self, part: str) -> None:
        if part == self.part:
            raise RuntimeError("kaput")

    def begin(self, task: Task) -> str:
        self._maybe("begin")
        return super().begin(task)

    @tool
    def use(self) -> str:
        """Do something."""
        self._maybe("a tool")
        return "done"

    def respond(self, reply: Any) -> None:
        self._maybe("respond")

    def outcome(self) -> None:
        self._maybe("outcome")

    def verify(self, trajectory: Trajectory) -> float:
        self._maybe("the verifier")
        return super().verify(trajectory)


def environment_rows() -> Iterator[Row]:
    """Break each part of an environment, and let each stage hang."""
    script = ScriptedPolicy([call("use"), "hello"])
    for part in ("begin", "a tool", "respond", "outcome", "the verifier"):
        said, scored = outcome_of(script, lambda part=part: BreaksEnv(part))
        yield Row("the environment", f"{part} raises", "", said, scored)
    said, scored = outcome_of(script, lambda: GreetingEnv(tasks=NoTasks()))
    yield Row("the environment", "the task source raises", "", said, scored)
    said, scored = outcome_of(
        ScriptedPolicy([call("hang"), "hello"]), HangingEnv, Limits(tools=0.05)
    )
    HangingEnv.gate.set()
    yield Row("the environment", "a tool hangs, with a limit", "", said, scored)
    said, scored = outcome_of(Hanging(), limits=Limits(reply=0.05))
    yield Row("a policy", "it hangs, with a limit", "", said, scored)
    said, scored = outcome_of(Hanging(), limits=Limits(episode=0.05))
    yield Row("a policy", "the episode hangs, with a limit", "", said, scored)


def rows() -> list[Row]:
    """Return the whole matrix."""
    found = [*endpoint_rows(), *transformers_rows(), *environment_rows()]
    gc.collect()
    return found


def page(found: list[Row]) -> str:
    """Return the matrix as the text of its file."""
    table = tabulate(
        [
            [r.who, r.fault, "yes" if r.infrastructure else "no", r.once, r.always]
            for r in found
        ],
        ["where", "what breaks", "infrastructure", "once", "every time"],
        tablefmt="github",
        disable_numparse=True,
    )
    return f"{_HEAD}\n{table}\n"


_HEAD = """# What becomes of an episode when something breaks

Written by `python -m tests.fault_matrix` from real runs, and held to them by
`tests/test_fault_matrix.py`. The environment gives a reward of 1 for any reply that
says something. Policies try a request twice; the engine tries an episode twice. A
context that overflows and a filter that refuses are the model's own doing and have a
reward; all else is a fault of the infrastructure, and no such fault ends as a reward
of 0.
"""


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(page(rows()))
