"""Running the tool calls of one reply.

Calls run in their order; neighbouring `async def` tools run concurrently. A call that
is not valid, or that its tool refuses, becomes text for the model; anything else that a
tool raises is a fault.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from llm_gym import jsontext
from llm_gym.errors import EnvironmentFault, ToolError
from llm_gym.messages import ToolCall
from llm_gym.tools import ToolOutput, ToolSpec, unknown_tool
from llm_gym.trajectory import CallRecord

__all__ = ["MAX_CALLS", "Dispatched", "OwnLoop", "dispatch", "refuse_all"]

MAX_CALLS = 32
"""Calls of one reply that run; the model is told of each one past them."""

Fault = Callable[[str, str], EnvironmentFault]
P = ParamSpec("P")
T = TypeVar("T")
RunAll = Callable[[Coroutine[Any, Any, list[Any]]], list[Any]]


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What came of the calls of one reply.

    Attributes:
        records: One for each call, in order.
        ends_episode: Whether one of the tools ended the episode.
    """

    records: tuple[CallRecord, ...]
    ends_episode: bool


class OwnLoop:
    """An event loop for async tools, made when it is first needed.

    It is the same loop for all calls, so that what a tool keeps between them (a
    connection, a lock) stays usable. A copy or a pickle of it starts without a loop.
    """

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, coroutine: Coroutine[Any, Any, list[Any]]) -> list[Any]:
        """Run a coroutine to its end, also where another loop runs already."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return _outside_loops(self._runner.run, coroutine)

    def close(self) -> None:
        """End the loop; the next `run` makes a new one."""
        runner, self._runner = self._runner, None
        if runner is not None:
            _outside_loops(runner.close)

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[OwnLoop], tuple[()]]:
        return (OwnLoop, ())


def _outside_loops(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function where no event loop runs: here, or in a thread for a moment."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function(*args, **kwargs)
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: context.run(function, *args, **kwargs)).result()


def dispatch(
    owner: object,
    specs: Mapping[str, ToolSpec],
    calls: Sequence[ToolCall],
    *,
    run_async: RunAll,
    fault: Fault,
) -> Dispatched:
    """Run calls in order until one of them ends the episode.

    Args:
        owner: The object whose methods are the tools.
        specs: The tools that may be called, by name.
        calls: The calls of one reply.
        run_async: Runs a coroutine to its end and returns its result.
        fault: Makes the exception for what a tool raised: (message, tool's name).

    Raises:
        EnvironmentFault: A tool raised something other than `ToolError`, or returned
            what JSON cannot carry.
    """
    records: list[CallRecord] = []
    ended = False
    pending = [(call, *_prepare(call, specs)) for call in calls[:MAX_CALLS]]
    while pending and not ended:
        count = _concurrent(pending)
        batch, pending = pending[:count], pending[count:]
        outputs = _run_batch(owner, batch, run_async)
        for (call, spec, problem), output in zip(batch, outputs, strict=True):
            if spec is None:
                records.append(_refused(call, problem))
                continue
            record, ends = _record(call, spec, output, fault)
            records.append(record)
            ended = ended or ends
    late = calls[len(records) :]
    if late:
        why = "the episode had ended before it"
        if not ended:
            why = f"a reply may hold {MAX_CALLS} calls"
        records += refuse_all(late, f"this call did not run: {why}")
    return Dispatched(tuple(records), ended)


def refuse_all(calls: Sequence[ToolCall], why: str) -> tuple[CallRecord, ...]:
    """Return records for calls of which none is run."""
    return tuple(_refused(call, why, "not_run") for call in calls)


_Prepared = tuple[ToolCall, ToolSpec | None, str]


def _prepare(
    call: ToolCall, specs: Mapping[str, ToolSpec]
) -> tuple[ToolSpec | None, str]:
    """Return the tool of a valid call, or None and why the call is not valid."""
    spec = specs.get(call.name)
    if call.arguments is None:
        expected = f". Expected: {spec.signature()}" if spec else ""
        return None, f"{call.error}{expected}"
    if spec is None:
        return None, unknown_tool(call.name, specs)
    problem = spec.problem(call.arguments)
    return (spec, "") if problem is None else (None, problem)


def _concurrent(pending: Sequence[_Prepared]) -> int:
    """Return how many of the first calls run together: async ones, else one."""
    count = 0
    for _, spec, _ in pending:
        if spec is None or not spec.is_async:
            break
        count += 1
        if spec.ends_episode:  # what follows it may not have to run
            break
    return max(count, 1)


def _run_batch(
    owner: object, batch: Sequence[_Prepared], run_async: RunAll
) -> list[Any]:
    """Run one sync call or several async ones; exceptions are among the results."""
    call, spec, _ = batch[0]
    if spec is None:
        return [None]
    if spec.is_async:
        return run_async(_gather(owner, batch))
    try:
        return [_call(owner, call, spec)]
    except (Exception, SystemExit) as err:  # noqa: BLE001  # sorted in `_record`
        return [err]


async def _gather(owner: object, batch: Sequence[_Prepared]) -> list[Any]:
    async def run(call: ToolCall, spec: ToolSpec) -> Any:
        try:
            return await _call(owner, call, spec)
        except SystemExit as err:  # it would end the loop
            return err

    runs = [run(call, spec) for call, spec, _ in batch if spec is not None]
    return await asyncio.gather(*runs, return_exceptions=True)


def _call(owner: object, call: ToolCall, spec: ToolSpec) -> Any:
    arguments = call.arguments or {}
    if any(type(value) in (list, dict) for value in arguments.values()):
        arguments = deepcopy(arguments)  # the tool may change them, the record may not
    return getattr(owner, spec.method)(**spec.build(arguments))


def _record(
    call: ToolCall, spec: ToolSpec, output: Any, fault: Fault
) -> tuple[CallRecord, bool]:
    if isinstance(output, ToolError):
        return _refused(call, str(output), "tool_error"), False
    if isinstance(output, EnvironmentFault):
        raise fault(output.message, spec.name) from output
    if isinstance(output, BaseException):
        message = f"the tool raised {type(output).__name__}: {output}"
        raise fault(message, spec.name) from output
    if not isinstance(output, ToolOutput):
        output = ToolOutput(output)
    try:
        text = jsontext.clean_text(_content(output.content))
        reward = _finite(output.reward)
    except (TypeError, ValueError, RecursionError) as err:
        kind = type(output.content).__name__
        message = f"the tool returned what is neither text nor JSON ({kind}): {err}"
        raise fault(message, spec.name) from err
    record = CallRecord(call.id, call.name, "ok", call.arguments, None, text, reward)
    return record, spec.ends_episode or output.ends_episode


def _finite(reward: float) -> float:
    if not math.isfinite(reward):
        raise ValueError(f"a reward must be finite, not {reward!r}")
    return float(reward)


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    return _RESULT.encode(content)


_RESULT = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _refused(call: ToolCall, why: str, status: Any = "invalid") -> CallRecord:
    text = jsontext.clean_text(f"Error: {why}")
    return CallRecord(call.id, call.name, status, call.arguments, call.raw, text)
