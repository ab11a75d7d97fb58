"""Trajectories on disk: one JSON object a line."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from llm_gym.errors import EnvironmentFault, FormatError
from llm_gym.trajectory import Trajectory

__all__ = ["TrajectoryWriter", "read_trajectories"]


class TrajectoryWriter:
    """Appends trajectories to a file, each with one write.

    What was interrupted leaves at most one torn line at the end; opening the file again
    cuts it off. Several writers, in several processes too, may share a file: it is
    locked while one of them writes.

    Args:
        path: The file; its folder is made if there is none.

    Raises:
        EnvironmentFault: On `write`, if the disk did not take the whole line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file: int | None = os.open(self.path, flags, 0o644)
        with _locked(self._file):  # else it could cut what another is writing
            _cut_torn_line(self.path)

    def write(self, trajectory: Trajectory) -> None:
        """Append one trajectory."""
        if self._file is None:
            raise ValueError(f"the writer of {str(self.path)!r} is closed")
        line = trajectory.to_json().encode() + b"\n"
        try:
            with _locked(self._file):
                written = os.write(self._file, line)
                if written != len(line):
                    os.ftruncate(self._file, os.fstat(self._file).st_size - written)
        except OSError as err:
            raise EnvironmentFault(f"cannot write {str(self.path)!r}: {err}") from err
        if written != len(line):
            raise EnvironmentFault(
                f"the disk took {written} of {len(line)} bytes of a trajectory; "
                f"{str(self.path)!r} holds all before it"
            )

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_trajectories(path: str | Path) -> Iterator[Trajectory]:
    """Read a file of trajectories, one after the other.

    Raises:
        FormatError: The file cannot be read, or a line is no trajectory; the message
            names the file and the line.
    """
    try:
        with Path(path).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield Trajectory.from_json(line)
                except FormatError as err:
                    raise FormatError(f"{path}, line {number}: {err}") from err
    except (OSError, UnicodeDecodeError) as err:
        raise FormatError(f"{str(path)!r} cannot be read: {err}") from err


@contextmanager
def _locked(file: int) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _cut_torn_line(path: Path) -> None:
    """Cut off what follows the last newline: a line that was never finished."""
    if not path.is_file():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        position = end
        while position > 0:
            start = max(0, position - 65_536)
            file.seek(start)
            found = file.read(position - start).rfind(b"\n")
            if found >= 0:
                position = start + found + 1
                break
            position = start
        if position != end:
            file.truncate(position)
