"""Reads files of episodes twice: once to choose from, once to write the chosen."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_gym import jsontext
from llm_gym.adapters.offline.episodes import Entry, Episode, Place, of_trajectory
from llm_gym.adapters.offline.nemo_gym import episode_of_row
from llm_gym.errors import FormatError
from llm_gym.trajectory import Trajectory

__all__ = ["RunFile", "Runs"]

_OURS = b'"env_hash":'
"""What a line that `Trajectory.to_json` wrote has; within a text it is escaped."""
_MAX_DEPTH = 2 * jsontext.MAX_DEPTH


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file that was read.

    Attributes:
        name: Its name, without folders where that is clear.
        sha256: Of its content, in hexadecimal.
        episodes: How many lines it has that are not blank.
    """

    name: str
    sha256: str
    episodes: int


class Runs:
    """Files of episodes: of `llm-gym rollout`, or NeMo Gym's rollout rows.

    Args:
        paths: The files.

    Raises:
        ValueError: There is none.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        if not paths:
            raise ValueError("there is no file of episodes to export")
        self._paths = [Path(path) for path in paths]
        counts = Counter(path.name for path in self._paths)
        self._names = [p.name if counts[p.name] == 1 else str(p) for p in self._paths]
        self.files: list[RunFile] = []

    def entries(self) -> Iterator[Entry]:
        """Read what selection needs of every episode; `files` is complete after it.

        A line that is no episode is an entry too, which says so as its problem.

        Raises:
            FormatError: A file cannot be read, or no line of it is an episode.
        """
        self.files = []
        for number, path in enumerate(self._paths):
            yield from self._entries_of(number, path)

    def load(self, entry: Entry) -> Episode:
        """Read the whole of an episode again."""
        with self._paths[entry.place.run].open("rb") as file:
            file.seek(entry.place.start)
            return _read(file.readline(), check=False)

    def _entries_of(self, number: int, path: Path) -> Iterator[Entry]:
        digest = hashlib.sha256()
        start = lines = good = 0
        name = self._names[number]
        first = ""
        try:
            with path.open("rb") as file:
                for at, line in enumerate(file, 1):
                    place = Place(number, at, start, name)
                    start += len(line)
                    digest.update(line)
                    if not line.strip():
                        continue
                    entry = _entry(line, place)
                    lines += 1
                    good += not entry.problem.startswith(_UNREADABLE)
                    first = first or entry.problem
                    yield entry
        except OSError as err:
            raise FormatError(f"{str(path)!r} cannot be read: {err}") from err
        if not good:
            why = first.removeprefix(f"{_UNREADABLE}: ") or "it is empty"
            raise FormatError(f"{str(path)!r} holds no episode: {why}")
        self.files.append(RunFile(name, digest.hexdigest(), lines))


_UNREADABLE = "unreadable"


def _entry(line: bytes, place: Place) -> Entry:
    try:
        entry = _read(line, check=True).entry(place)
    except FormatError as err:
        return Entry(place, problem=f"{_UNREADABLE}: {err}")
    entry.facts["run"] = place.name
    return entry


def _read(line: bytes, *, check: bool) -> Episode:
    try:
        text = line.decode()
    except UnicodeDecodeError as err:
        raise FormatError(f"it is not UTF-8: {err}") from err
    if _OURS in line:
        return of_trajectory(Trajectory.from_json(text, check=check))
    return _row(text)


def _row(text: str) -> Episode:
    try:
        row: Any = jsontext.loads(text, max_chars=None, max_depth=_MAX_DEPTH)
    except ValueError as err:
        raise FormatError(f"no JSON: {err}") from err
    try:
        return episode_of_row(row)
    except (AttributeError, TypeError, KeyError, ValueError) as err:
        if isinstance(err, FormatError):
            raise
        raise FormatError(f"no rollout row of NeMo Gym: {err!r:.200}") from err
