"""Playing episodes, and keeping all that they showed as bytes that can be compared."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_gym import jsontext
from llm_gym.checks.verdicts import Failed, difference
from llm_gym.env import ToolEnv
from llm_gym.errors import EnvironmentFault
from llm_gym.spaces import ReplySpace

__all__ = [
    "MAX_TURNS",
    "Actor",
    "Recording",
    "Reply",
    "actors",
    "compare",
    "plain_reply",
    "play",
    "record",
    "resume",
    "start",
    "take",
    "wander",
]

MAX_TURNS = 100
"""Replies after which a recording stops, where the environment itself does not."""

Reply = str | dict[str, Any]
Actor = Callable[[ToolEnv], Any]


@dataclass(frozen=True, slots=True)
class Recording:
    """An episode: what was replied, and all that was shown.

    Attributes:
        seed: What `reset` was given.
        policy: Who replied: "oracle" or "random".
        replies: The replies, plain data.
        shown: The canonical JSON of all that `reset`, then each `step`, returned.
        digest: That of the trajectory.
    """

    seed: int
    policy: str
    replies: tuple[Reply, ...]
    shown: tuple[str, ...]
    digest: str

    @property
    def title(self) -> str:
        """What a finding calls it."""
        task_id = json.loads(self.shown[0])["info"]["task_id"]
        return f"seed {self.seed}, task {task_id!r}, {self.policy} replies"


def actors(seed: int) -> tuple[tuple[str, Actor], ...]:
    """Return the policies whose episodes are recorded, by name: random and oracle."""
    return (("random", _RandomActor(seed)), ("oracle", lambda env: env.oracle()))


class _RandomActor:
    """Random calls, valid by the tools' schemas, as `RandomPolicy` writes them."""

    def __init__(self, seed: int) -> None:
        self._seed = int(np.random.SeedSequence([0, seed]).generate_state(1)[0])
        self._space: ReplySpace | None = None

    def __call__(self, env: ToolEnv) -> Any:
        if self._space is None:
            self._space = ReplySpace(env.trajectory.tools, seed=self._seed)
        return self._space.sample()


def record(
    env: ToolEnv,
    actor: Actor,
    policy: str,
    *,
    seed: int,
    options: dict[str, Any] | None = None,
) -> Recording | None:
    """Play an episode and keep it.

    Returns:
        The recording, None if the actor raised.
    """
    shown = [start(env, seed, options)]
    replies: list[Reply] = []
    ended = False
    most = min(MAX_TURNS, env.max_turns)
    while not ended and len(replies) < most:
        try:
            replies.append(plain_reply(actor(env)))
        except Exception:  # noqa: BLE001  # the boundary: an oracle may raise anything
            return None
        page, ended = take(env, replies[-1])
        shown.append(page)
    digest = env.trajectory.digest
    return Recording(seed, policy, tuple(replies), tuple(shown), digest)


def start(env: ToolEnv, seed: int, options: dict[str, Any] | None = None) -> str:
    """Reset and return what was shown, as canonical JSON."""
    observation, info = env.reset(seed=seed, options=options)
    return _canonical({"observation": observation, "info": info})


def take(env: ToolEnv, reply: Reply) -> tuple[str, bool]:
    """Step and return what was shown, and whether the episode ended."""
    result = env.step(copy.deepcopy(reply))
    observation, reward, terminated, truncated, info = result
    page = {
        "observation": observation,
        "reward": reward,
        "terminated": terminated,
        "truncated": truncated,
        "info": info,
    }
    return _canonical(page), bool(terminated or truncated)


def play(env: ToolEnv, replies: Iterable[Reply], *, seed: int) -> list[str]:
    """Reset, take the replies and return all that was shown."""
    return [start(env, seed), *resume(env, replies)]


def resume(env: ToolEnv, replies: Iterable[Reply]) -> list[str]:
    """Take replies until they or the episode end; return what was shown."""
    shown = []
    for reply in replies:
        page, ended = take(env, reply)
        shown.append(page)
        if ended:
            break
    return shown


def wander(env: ToolEnv, seed: int) -> None:
    """Take two random replies, or fewer if the episode ends or cannot bear them."""
    _, actor = actors(seed)[0]
    with contextlib.suppress(EnvironmentFault):  # other checks tell of it
        resume(env, (plain_reply(actor(env)) for _ in range(2)))


def compare(
    recording: Recording, shown: Sequence[str], digest: str, circumstance: str
) -> None:
    """Demand that an episode showed what a recording did.

    Args:
        recording: What is expected.
        shown: What was shown, from the beginning.
        digest: The trajectory's.
        circumstance: What was done differently, for the message.

    Raises:
        Failed: Something differs.
    """
    where = f"{recording.title}, {circumstance}"
    for turn, (one, other) in enumerate(zip(recording.shown, shown, strict=True)):
        if one != other:
            found = difference(json.loads(one), json.loads(other))
            raise Failed(f"{where}: after {turn} replies {found}")
    if digest != recording.digest:
        raise Failed(
            f"{where}: the trajectory's digest differs, though all that was shown is "
            "the same; compare `outcome` and `score`"
        )


def _canonical(page: Mapping[str, Any]) -> str:
    try:
        return jsontext.canonical(page)
    except (TypeError, ValueError) as err:
        names = ", ".join(f"`{name}`" for name in page if not _is_json(page[name]))
        raise Failed(f"{names}: expected plain JSON data: {err}") from err


def _is_json(value: object) -> bool:
    try:
        jsontext.canonical(value)
    except (TypeError, ValueError):
        return False
    return True


def plain_reply(reply: Any) -> Reply:
    """Return a reply as data that JSON can carry to another process."""
    if isinstance(reply, str):
        return reply
    plain: dict[str, Any] = json.loads(json.dumps(dict(reply)))
    return plain
