"""Trajectories on disk: nothing acknowledged is lost, nothing torn is read."""

from __future__ import annotations

import fcntl
import os
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_gym import EnvironmentFault, FormatError, store
from llm_gym.store import TrajectoryWriter, read_trajectories
from tests.envs.driving import call, play
from tests.sample_envs import VaultEnv

RECORDS = [play(VaultEnv(), [call("roll"), f"é {n}"], seed=n) for n in range(3)]
LINES = [f"{record.to_json()}\n".encode() for record in RECORDS]
WHOLE = b"".join(LINES)
ENDS = [sum(map(len, LINES[:n])) for n in range(4)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def read_until_error(path):
    """Return what could be read, and the error if there was one."""
    records = []
    try:
        records.extend(read_trajectories(path))
    except FormatError as err:
        return records, err
    return records, None


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "folder" / "rollouts.jsonl"
    with TrajectoryWriter(path) as writer:
        for record in RECORDS:
            writer.write(record)
        assert list(read_trajectories(path)) == RECORDS
    assert path.read_bytes() == WHOLE


def test_a_writer_appends_to_what_there_is(tmp_path):
    path = tmp_path / "rollouts.jsonl"
    for record in RECORDS:
        with TrajectoryWriter(str(path)) as writer:
            writer.write(record)
    assert list(read_trajectories(str(path))) == RECORDS


@given(cut=st.integers(0, len(WHOLE)))
@example(cut=0)
@example(cut=ENDS[1])
@example(cut=ENDS[1] - 1)
@example(cut=ENDS[1] + 1)
def test_a_file_cut_anywhere_loses_at_most_its_last_line(folder, cut):
    path = folder / "cut.jsonl"
    path.write_bytes(WHOLE[:cut])
    whole = sum(end <= cut for end in ENDS[1:])
    records, error = read_until_error(path)
    assert records[:whole] == RECORDS[:whole]
    assert (error is None) == (cut in ENDS or cut + 1 in ENDS)
    assert error is None or f"cut.jsonl, line {whole + 1}: " in str(error)
    with TrajectoryWriter(path) as writer:
        writer.write(RECORDS[0])
    assert list(read_trajectories(path)) == [*RECORDS[:whole], RECORDS[0]]


@given(place=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255))
def test_a_file_with_another_byte_gives_no_other_trajectory(folder, place, byte):
    raw = bytearray(WHOLE)
    raw[place] = byte
    path = folder / "changed.jsonl"
    path.write_bytes(raw)
    records, error = read_until_error(path)
    assert records == RECORDS[: len(records)]
    assert error is not None or len(records) == 3


def test_a_torn_line_of_any_length_is_cut_off(tmp_path):
    path = tmp_path / "rollouts.jsonl"
    for torn in (b"x" * 200_000, b"x"):
        path.write_bytes(LINES[0] + torn)
        TrajectoryWriter(path).close()
        assert path.read_bytes() == LINES[0]
    path.write_bytes(b"x" * 200_000)
    TrajectoryWriter(path).close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("extra", [b"\n", b"{}\n", b"\xff\n", b"null\n"])
def test_a_line_that_is_no_trajectory_is_refused(tmp_path, extra):
    path = tmp_path / "rollouts.jsonl"
    path.write_bytes(LINES[0] + extra + LINES[1])
    with pytest.raises(FormatError, match=r"rollouts\.jsonl"):
        list(read_trajectories(path))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FormatError, match="cannot be read"):
        list(read_trajectories(tmp_path / "none.jsonl"))


def test_a_closed_writer_writes_no_more(tmp_path):
    writer = TrajectoryWriter(tmp_path / "rollouts.jsonl")
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match=r"the writer of .* is closed"):
        writer.write(RECORDS[0])


def test_a_full_disk_is_a_fault_and_leaves_whole_lines(tmp_path, monkeypatch):
    path = tmp_path / "rollouts.jsonl"
    with TrajectoryWriter(path) as writer:
        writer.write(RECORDS[0])
        write = os.write
        monkeypatch.setattr(
            store.os, "write", lambda file, line: write(file, line[:50])
        )
        with pytest.raises(EnvironmentFault, match="the disk took 50 of"):
            writer.write(RECORDS[1])
        monkeypatch.undo()
        writer.write(RECORDS[2])
    assert list(read_trajectories(path)) == [RECORDS[0], RECORDS[2]]


def test_a_disk_that_refuses_is_a_fault(tmp_path, monkeypatch):
    def refuse(file, line):
        raise OSError(28, "No space left on device")

    with TrajectoryWriter(tmp_path / "rollouts.jsonl") as writer:
        monkeypatch.setattr(store.os, "write", refuse)
        with pytest.raises(EnvironmentFault, match=r"cannot write .*No space left"):
            writer.write(RECORDS[0])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_really_full_disk_is_a_fault():
    with (
        TrajectoryWriter("/dev/full") as writer,
        pytest.raises(EnvironmentFault, match="No space"),
    ):
        writer.write(RECORDS[0])


def test_a_writer_waits_while_another_writes(tmp_path):
    path = tmp_path / "rollouts.jsonl"
    first = TrajectoryWriter(path)
    first.write(RECORDS[0])
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        opening = threading.Thread(target=lambda: TrajectoryWriter(path).close())
        writing = threading.Thread(target=first.write, args=[RECORDS[1]])
        for thread in (opening, writing):
            thread.start()
            thread.join(0.05)
            assert thread.is_alive()
        assert path.read_bytes() == LINES[0]
    opening.join(5)
    writing.join(5)
    first.close()
    assert list(read_trajectories(path)) == RECORDS[:2]
