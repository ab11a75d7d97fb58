"""An episode can be put aside, taken up elsewhere, and branched."""

from __future__ import annotations

from llm_gym.checks.episodes import Recording, compare, resume, start, take, wander
from llm_gym.checks.subject import Subject
from llm_gym.env import ToolEnv

__all__ = ["check_pickle", "check_snapshot"]

_HINT = "(what changes must be in `self.state`, and in nothing that copies share)"
_SEEDS = 4
"""Seeds whose episodes are branched, since every turn of them is."""


def check_snapshot(subject: Subject) -> str:
    """At every turn: restore a pickled snapshot, fork, and go on from either."""
    seeds = subject.seeds[:_SEEDS]
    recordings = [r for r in subject.recordings if r.seed in seeds]
    for recording in recordings:
        parent = subject.make()
        shown = [start(parent, recording.seed)]
        forks = []
        for turn, reply in enumerate(recording.replies):
            forks.append(parent.fork())
            _branch(subject, recording, parent, shown, turn)
            shown.append(take(parent, reply)[0])
        where = f"played on while forks of it went other ways {_HINT}"
        compare(recording, shown, parent.trajectory.digest, where)
        for turn, fork in enumerate(forks):
            where = f"forked after {turn} replies, gone on after its parent {_HINT}"
            _go_on(fork, recording, shown[: turn + 1], where)
        parent.close()
    return f"every turn of {len(recordings)} episodes"


def check_pickle(subject: Subject) -> str:
    """Pickle an environment before its first episode and midway through each."""
    recordings = subject.recordings
    for recording in recordings:
        env = subject.make()
        _go_on(subject.pickled(env), recording, [], "pickled before `reset`")
        shown = [start(env, recording.seed)]
        middle = len(recording.replies) // 2
        shown += resume(env, recording.replies[:middle])
        _go_on(
            subject.pickled(env), recording, shown, f"pickled after {middle} replies"
        )
        env.close()
    return f"{len(recordings)} episodes, each pickled before and midway"


def _branch(
    subject: Subject,
    recording: Recording,
    parent: ToolEnv,
    shown: list[str],
    turn: int,
) -> None:
    snapshot = parent.snapshot()
    stored = subject.pickled(snapshot)
    stray, other = parent.fork(), subject.make()
    wander(stray, recording.seed + 1)
    stray.restore(snapshot)
    _go_on(stray, recording, shown, f"restored after {turn} replies {_HINT}")
    other.restore(stored)
    where = f"restored by another env after {turn} replies {_HINT}"
    _go_on(other, recording, shown, where)


def _go_on(
    env: ToolEnv, recording: Recording, shown: list[str], circumstance: str
) -> None:
    """Play a recording to its end from where the environment stands."""
    before = shown or [start(env, recording.seed)]
    pages = [*before, *resume(env, recording.replies[len(before) - 1 :])]
    compare(recording, pages, env.trajectory.digest, circumstance)
    env.close()
