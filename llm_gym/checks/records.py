"""What is kept of an episode can be read and judged again."""

from __future__ import annotations

from llm_gym.checks.episodes import Recording, play, record
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import Failed, demand
from llm_gym.env import ToolEnv
from llm_gym.trajectory import Score, Trajectory, as_score

__all__ = ["check_records"]


def check_records(subject: Subject) -> str:
    """Store each trajectory, read it, and let a fresh environment judge it."""
    env = subject.make()
    env.render_mode = "ansi"
    names: dict[frozenset[str], str] = {}
    count = 0
    for recording in [*subject.recordings, *_silent(env, subject)]:
        play(env, recording.replies, seed=recording.seed)
        title = recording.title
        rendered = env.render()
        demand(
            isinstance(rendered, str),
            f'{title}: with `render_mode="ansi"` render() gave {rendered!r}, no str',
        )
        read = _read_back(env.trajectory, title)
        if read.score is not None:
            score = _judge_again(subject, read, read.score, title)
            names.setdefault(frozenset(score.parts), title)
            count += 1
    if len(names) > 1:
        told = "; ".join(f"{sorted(parts)} ({where})" for parts, where in names.items())
        raise Failed(f"the parts of the score differ by episode: {told}")
    env.close()
    return f"{count} trajectories, read back and judged again"


def _silent(env: ToolEnv, subject: Subject) -> list[Recording]:
    """Return an episode of empty replies for each seed."""
    found = [record(env, lambda _: "", "empty", seed=seed) for seed in subject.seeds]
    return [recording for recording in found if recording is not None]


def _read_back(trajectory: Trajectory, title: str) -> Trajectory:
    try:
        read = Trajectory.from_json(trajectory.to_json())
    except (TypeError, ValueError) as err:
        raise Failed(f"{title}: the trajectory cannot be stored: {err}") from err
    demand(
        read == trajectory and read.digest == trajectory.digest,
        f"{title}: the trajectory is not the same after JSON; `task` and `outcome` "
        "must be plain JSON data (no tuples, no keys other than str)",
    )
    return read


def _judge_again(subject: Subject, read: Trajectory, given: Score, title: str) -> Score:
    demand(
        given.reason.strip(),
        f"{title}: the score {given.value} has no reason; say why in one sentence",
    )
    fresh: ToolEnv = subject.make()
    try:
        score = as_score(fresh.verify(read))
    except Exception as err:
        raise Failed(
            f"{title}: `verify` of an environment that was never reset raised "
            f"{type(err).__name__}: {err}; judge by `trajectory` alone, and record "
            "what it needs of the final state by `outcome()`"
        ) from err
    demand(
        score == given,
        f"{title}: judged again the trajectory scores {score}, it was {given}; judge "
        "by `trajectory` alone, and record what is needed of the state by `outcome()`",
    )
    return score
