"""The same bytes from another process, with another hash seed, time zone and locale."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from llm_gym.checks.episodes import Recording, compare
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import Failed, Skipped
from llm_gym.fingerprint import code_hash

__all__ = ["check_new_process"]

_TIMEOUT_SECONDS = 300
# Fourteen hours east and twelve hours west, so that the date always differs; written
# as POSIX has it, since a machine may lack the table of zones.
_CIRCUMSTANCES: tuple[dict[str, str], ...] = (
    {
        "PYTHONHASHSEED": "1",
        "TZ": "<+14>-14",
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
    },
    {"PYTHONHASHSEED": "2", "TZ": "<-12>12", "LC_ALL": "C.UTF-8"},
)


def check_new_process(subject: Subject) -> str:
    """Replay each episode in two processes of other circumstances."""
    spec = subject.portable()
    recordings = subject.recordings
    episodes = [{"seed": r.seed, "replies": r.replies} for r in recordings]
    job = json.dumps({"spec": spec, "episodes": episodes})
    started = [_start(settings) for settings in _CIRCUMSTANCES]
    try:
        for process, settings in zip(started, _CIRCUMSTANCES, strict=True):
            answer = _ask(process, job)
            if answer["env_hash"] != code_hash(subject.kind):
                raise Skipped(
                    "the code was changed since this process loaded it; check again"
                )
            _compare_all(recordings, answer["episodes"], settings)
    finally:
        for process in started:
            process.kill()
            process.communicate()
    return f"{len(recordings)} episodes, each replayed in {len(started)} processes"


def _start(settings: dict[str, str]) -> subprocess.Popen[str]:
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)  # noqa: PTH100
    environ = {**os.environ, "PYTHONPATH": path, **settings}
    return subprocess.Popen(  # our own module, by this interpreter
        [sys.executable, "-m", "llm_gym.checks.replay"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        encoding="utf-8",
        errors="replace",
    )


def _ask(process: subprocess.Popen[str], job: str) -> dict[str, Any]:
    try:
        output, errors = process.communicate(job, timeout=_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as err:
        raise Failed(
            f"a new process had not replayed the episodes in {_TIMEOUT_SECONDS} s"
        ) from err
    if process.returncode != 0:
        last = (errors.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise Failed(f"a new process could not replay the episodes: {last}")
    answer: dict[str, Any] = json.loads(output)
    return answer


def _compare_all(
    recordings: tuple[Recording, ...],
    answers: list[dict[str, Any]],
    settings: dict[str, str],
) -> None:
    named = ", ".join(f"{key}={value}" for key, value in settings.items())
    for recording, answer in zip(recordings, answers, strict=True):
        circumstance = f"replayed in a new process with {named}"
        compare(recording, answer["shown"], answer["digest"], circumstance)
