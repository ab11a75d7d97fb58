"""Is a record true? Its episode is executed and its tokens are rendered once more.

Two checks that need nothing of each other: the environment, given the recorded replies,
must answer as recorded; the tokenizer, given the recorded messages, must write the
recorded ids, and read the recorded replies in those that were sampled.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym

from llm_gym import jsontext
from llm_gym.env import ToolEnv
from llm_gym.episode import with_reasoning
from llm_gym.errors import EnvironmentFault, FormatError, LLMGymError, UnknownTaskError
from llm_gym.messages import Message, Reply
from llm_gym.replies import ReadReply, read_reply
from llm_gym.rollouts.rerender import Difference, token_differences
from llm_gym.shapes import dump
from llm_gym.tokens.chat_tokens import ChatTokens
from llm_gym.trajectory import CallRecord, Trajectory, Turn

__all__ = ["Difference", "verify"]


def verify(
    trajectory: Trajectory, tokens: ChatTokens | None = None
) -> list[Difference]:
    """Execute an episode and render its tokens again.

    What follows from the first difference of an execution is not listed: the episode
    took another way. An episode that ran under wrappers is not executed: its record
    names them, and does not tell how they were made.

    Args:
        trajectory: The record; of one that ended in a fault, the turns before it are
            executed.
        tokens: The tokenizer of its policy; None leaves the tokens alone.

    Returns:
        The differences: of the environment's code, the first of the execution, the
        first of the tokens. None but warnings: the record is true.

    Raises:
        LLMGymError: The environment cannot be made as the record says.
    """
    if not trajectory.prompt:
        why = f"it broke before it began: {trajectory.fault}"
        return [Difference("episode", "", why, "nothing to execute", warning=True)]
    if trajectory.run is not None and trajectory.run.wrappers:
        wrappers = f"run under {', '.join(trajectory.run.wrappers)}"
        return [Difference("episode", "", wrappers, "the id alone, which makes none")]
    env = _make(trajectory)
    try:
        differences = _executed(trajectory, env)
        tools = env.trajectory.tools
    finally:
        env.close()
    if trajectory.tokens is not None and tokens is not None:
        if tools == trajectory.tools:  # a file has the keys in another order
            trajectory = replace(trajectory, tools=tools)
        differences += token_differences(trajectory, tokens)
    return differences


def _executed(trajectory: Trajectory, env: ToolEnv) -> list[Difference]:
    """Return how an execution differs, of those that could be meant the best one."""
    found: list[Difference] = []
    for options in _starts(trajectory):
        again = _again(trajectory, env, options)
        if _true(again):
            return again
        if not found or _is_of_another_task(found):
            found = again
    return found


def _starts(trajectory: Trajectory) -> list[dict[str, Any] | None]:
    """Return the ways in which `reset` may have been given the task.

    The record does not say which; each leaves the random numbers in another state.
    """
    return [None, {"task_id": trajectory.task.id}, {"task": trajectory.task}]


def _again(
    trajectory: Trajectory, env: ToolEnv, options: dict[str, Any] | None
) -> list[Difference]:
    """Return how an execution that starts in one way differs."""
    try:
        env.reset(seed=trajectory.seed, options=options)
    except UnknownTaskError as err:
        return [Difference("task", "", repr(trajectory.task.id), str(err))]
    except EnvironmentFault as err:
        return [Difference("fault", "the start", "none", str(err))]
    now = env.trajectory
    differences = [*_first(_episode(trajectory, env))]
    if options is not None:
        why = "a draw of the seed gives another task, or goes on in another way"
        task_id = f"task {trajectory.task.id!r}"
        asked = Difference("seed", str(trajectory.seed), task_id, why, warning=True)
        differences.insert(0, asked)
    if now.env_hash != trajectory.env_hash:
        hashes = (trajectory.env_hash[:12], now.env_hash[:12])
        code = Difference("environment", "its code", *hashes, warning=True)
        differences.insert(0, code)
    return differences


def _is_of_another_task(differences: Sequence[Difference]) -> bool:
    return any(difference.what == "task" for difference in differences)


def _true(differences: Sequence[Difference]) -> bool:
    return all(difference.warning for difference in differences)


def _first(differences: Iterator[Difference]) -> Iterator[Difference]:
    """Yield warnings up to the first difference, and that one."""
    for difference in differences:
        yield difference
        if not difference.warning:
            return


def _make(trajectory: Trajectory) -> ToolEnv:
    env_id = trajectory.env_id
    try:
        module, _, name = env_id.partition(":")
        if name and name.isidentifier():  # a class that was never registered
            kind: Any = importlib.import_module(module)
            for part in name.split("."):
                kind = getattr(kind, part)
            env = kind(**trajectory.env_kwargs)
        else:
            made = gym.make(env_id, disable_env_checker=True, **trajectory.env_kwargs)
            env = made.unwrapped
    except EnvironmentFault:
        raise
    except Exception as err:  # what stands in a record may be anything
        raise LLMGymError(
            f"the environment {env_id!r} cannot be made with "
            f"{trajectory.env_kwargs!r}, as recorded: {type(err).__name__}: {err}"
        ) from err
    if not isinstance(env, ToolEnv):
        raise LLMGymError(f"{env_id!r} is not an environment for language models")
    return env


def _episode(trajectory: Trajectory, env: ToolEnv) -> Iterator[Difference]:
    """Yield how an execution differs; what comes after the first may follow from it."""
    yield from _start_differences(trajectory, env.trajectory)
    for number, turn in enumerate(trajectory.turns):
        where = f"turn {number}"
        if env.trajectory.stop_reason is not None:
            reason = env.trajectory.stop_reason.value
            yield Difference("stop reason", where, "it goes on", reason)
            return
        action = _action_of(turn, number, with_tools=bool(trajectory.tools))
        if action is None:
            why = "a reply of which the record does not keep all"
            yield Difference("reply", where, why, "not executed", warning=True)
            return
        try:
            env.step(action)
        except EnvironmentFault as err:
            yield Difference("fault", where, "none", str(err))
            return
        last = number == len(trajectory.turns) - 1
        if last and _ended_from_outside(trajectory, env):
            yield _end(trajectory, env)
        yield from _turn_differences(turn, env.trajectory.turns[number], where)
    if trajectory.fault is not None:
        after = f"after turn {len(trajectory.turns) - 1}" if trajectory.turns else ""
        why = f"a fault: {trajectory.fault}"
        yield Difference("episode", after, why, "not executed past it", warning=True)
        return
    yield from _end_differences(trajectory, env.trajectory)


def _start_differences(was: Trajectory, now: Trajectory) -> Iterator[Difference]:
    if was.task.content_hash() != now.task.content_hash():
        yield Difference("task", "", *_two(dump(was)["task"], dump(now)["task"]))
    yield from _compare_lists("prompt", "message", was.prompt, now.prompt)
    yield from _compare_lists("tools", "tool", was.tools, now.tools)


def _turn_differences(was: Turn, now: Turn, where: str) -> Iterator[Difference]:
    if was.reply != now.reply:
        yield Difference("reply", where, *_two(was.reply, now.reply))
    yield from _compare_lists("call", f"{where}, call", was.calls, now.calls)
    yield from _compare_lists("message", f"{where}, message", was.added, now.added)
    if was.reward != now.reward:
        yield Difference("reward", where, repr(was.reward), repr(now.reward))


def _end_differences(was: Trajectory, now: Trajectory) -> Iterator[Difference]:
    for name in ("stop_reason", "outcome", "score"):
        old, new = dump(was)[name], dump(now)[name]
        if old != new:
            yield Difference(name.replace("_", " "), "the end", *_two(old, new))


def _compare_lists(
    what: str, where: str, was: Sequence[Any], now: Sequence[Any]
) -> Iterator[Difference]:
    """Yield the first pair that differs."""
    for number in range(max(len(was), len(now))):
        old = _plain(was[number]) if number < len(was) else None
        new = _plain(now[number]) if number < len(now) else None
        if old != new:
            yield Difference(what, f"{where} {number}", *_two(old, new))
            return


def _plain(value: Any) -> Any:
    """Return a record or plain data as plain data."""
    return dump(value) if isinstance(value, CallRecord) else value


def _two(old: Any, new: Any) -> tuple[str, str]:
    """Write two values, in short: only the fields in which two objects differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = [k for k in {**old, **new} if old.get(k) != new.get(k)]
        old = {k: old[k] for k in names if k in old}
        new = {k: new[k] for k in names if k in new}
    texts = ["nothing" if v is None else jsontext.canonical(v) for v in (old, new)]
    return _around_difference(*texts)


_CONTEXT, _SHOWN = 30, 120


def _around_difference(old: str, new: str) -> tuple[str, str]:
    """Cut two texts so that where they differ is in sight."""
    pairs = enumerate(zip(old, new, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(old), len(new)))
    start = max(0, at - _CONTEXT)
    return _cut(old, start), _cut(new, start)


def _cut(text: str, start: int) -> str:
    shown = text[start : start + _SHOWN]
    before, after = "..." * (start > 0), "..." * (start + _SHOWN < len(text))
    return f"{before}{shown}{after}"


def _ended_from_outside(trajectory: Trajectory, env: ToolEnv) -> bool:
    """Whether a wrapper or the clock ended what the environment itself would not."""
    over = trajectory.stop_reason is not None and trajectory.fault is None
    return over and env.trajectory.stop_reason is None


def _end(trajectory: Trajectory, env: ToolEnv) -> Difference:
    reason = trajectory.stop_reason
    if reason is None:
        raise FormatError("an episode that goes on cannot be ended")
    env.end(reason)
    why = f"{reason.value}, which the environment's own rules do not give"
    return Difference("stop reason", "the end", why, "ended so", warning=True)


def _action_of(turn: Turn, number: int, *, with_tools: bool) -> Reply | None:
    """Return an action that is read as the reply was; None if none is found.

    A malformed call is kept in its `CallRecord`, apart from the message that the
    history shows; it was part of the text, or its arguments could not be read.
    """
    for message in (turn.reply, _with_raw(turn), _as_text(turn)):
        action = Reply(_thought_in_text(message), turn.finish_reason, turn.usage)
        read = read_reply(action, turn=number, with_tools=with_tools)
        if with_reasoning(read) == turn.reply and _same_calls(read, turn.calls):
            return action
    return None


def _thought_in_text(message: Message) -> Message:
    """Put an empty thought into the text: as a field it would count as none."""
    if message.get("reasoning_content") != "":
        return message
    changed: Message = {**message, "content": f"<think></think>{message['content']}"}
    del changed["reasoning_content"]
    return changed


def _same_calls(read: ReadReply, records: Sequence[CallRecord]) -> bool:
    if len(read.calls) != len(records):
        return False
    return all(
        (call.id, call.name, call.arguments, call.raw)
        == (record.id, record.name, record.arguments, record.raw)
        and (call.error is None or _says(record, call.error))
        for call, record in zip(read.calls, records, strict=True)
    )


def _says(record: CallRecord, error: str) -> bool:
    """Whether the model was told of the error; a call that never ran says why not."""
    return record.status != "invalid" or error in record.result


def _with_raw(turn: Turn) -> Message:
    """Put what the model wrote in place of arguments that could not be read."""
    calls: list[Any] = [
        {
            **shown,
            "function": {
                "name": record.name,
                "arguments": shown["function"]["arguments"]
                if record.raw is None
                else record.raw,
            },
        }
        for shown, record in zip(
            turn.reply.get("tool_calls", []), turn.calls, strict=False
        )
    ]
    return {**turn.reply, "tool_calls": calls} if calls else turn.reply


def _as_text(turn: Turn) -> Message:
    """Put the calls back into the text where malformed ones must have stood."""
    bodies = [
        f'{{"name": {jsontext.canonical(record.name)}, '
        f'"arguments": {shown["function"]["arguments"]}}}'
        if record.raw is None
        else record.raw
        for shown, record in zip(
            turn.reply.get("tool_calls", []), turn.calls, strict=False
        )
    ]
    calls = "".join(f"<tool_call>{body}</tool_call>" for body in bodies)
    message: Message = {**turn.reply, "content": turn.reply["content"] + calls}
    message.pop("tool_calls", None)
    return message
