"""Touching files that a model may have written, and trees that it left."""

import os
import stat
from pathlib import Path

import pytest

from llm_gym.sandbox import watch
from llm_gym.sandbox.files import as_user, list_files, read_file, write_file
from llm_gym.sandbox.trees import remove_tree


@pytest.fixture
def directory(tmp_path):
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield fd, tmp_path
    os.close(fd)


def test_a_file_is_written_and_read_with_its_directories(directory):
    fd, path = directory
    write_file(fd, "a/b/c.txt", b"content")
    write_file(fd, "a/b/c.txt", b"new")
    assert read_file(fd, "a/b/c.txt", 100) == b"new"
    assert (path / "a/b/c.txt").read_bytes() == b"new"


@pytest.mark.parametrize("held_open", [False, True])
def test_a_fifo_is_neither_read_nor_written(directory, held_open):
    fd, path = directory
    os.mkfifo(path / "fifo")
    held = os.open(path / "fifo", os.O_RDWR | os.O_NONBLOCK) if held_open else None
    for action in (
        lambda: read_file(fd, "fifo", 10),
        lambda: write_file(fd, "fifo", b"x"),
    ):
        with pytest.raises(OSError, match="no regular file"):
            action()
    if held is not None:
        os.close(held)


def test_no_link_is_followed_wherever_it_stands(directory):
    fd, path = directory
    outside = path.parent / f"{path.name}-outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (path / "link").symlink_to(outside / "secret")
    (path / "up").symlink_to(outside)
    for name in ("link", "up/secret"):
        with pytest.raises(OSError, match=r"link|symbolic"):
            read_file(fd, name, 100)
        with pytest.raises(OSError, match=r"link|symbolic"):
            write_file(fd, name, b"x")
    assert (outside / "secret").read_text() == "secret"
    assert list_files(fd, 10) == []


def test_a_file_longer_than_asked_is_not_read(directory):
    fd, path = directory
    (path / "f").write_bytes(b"x" * 11)
    assert read_file(fd, "f", 11) == b"x" * 11
    with pytest.raises(OSError, match="longer than 10 bytes"):
        read_file(fd, "f", 10)


def test_a_file_that_says_nothing_of_its_length_is_bounded_too():
    fd = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError, match="longer than 5 bytes"):
            read_file(fd, "status", 5)
    finally:
        os.close(fd)


def test_files_are_listed_without_what_is_none(directory):
    fd, path = directory
    (path / "d").mkdir()
    for name in ("z", "d/a"):
        (path / name).write_text("")
    os.mkfifo(path / "fifo")
    assert list_files(fd, 4) == ["d/a", "z"]
    with pytest.raises(OSError, match="more than 3 files"):
        list_files(fd, 3)


def test_a_directory_that_was_shut_is_left_out(directory):
    fd, path = directory
    (path / "shut").mkdir(mode=0)
    (path / "open").write_text("")
    os.chown(path, 65534, 65534) if os.geteuid() == 0 else None
    with as_user(65534):
        assert list_files(fd, 10) == ["open"]


def test_as_user_changes_who_touches_files_and_back(directory):
    if os.geteuid() != 0:
        pytest.skip("only root becomes someone else")
    fd, path = directory
    path.chmod(0o777)
    with as_user(65534):
        write_file(fd, "theirs", b"")
    write_file(fd, "ours", b"")
    assert (path / "theirs").stat().st_uid == 65534
    assert (path / "ours").stat().st_uid == 0


def test_a_very_deep_tree_is_removed(tmp_path):
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d" * 100, dir_fd=here)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert watch.disk_use(str(top), 5000)[1] == 5001  # too deep to be counted
    remove_tree(str(top))
    assert list(tmp_path.iterdir()) == []


def test_shut_directories_and_odd_names_are_removed(tmp_path):
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "new\nline").write_text("")
    (top / "a" / "link").symlink_to("/")
    (top / "a" / "b").chmod(0)
    (top / "a").chmod(0)
    remove_tree(str(top))
    assert not top.exists()
    remove_tree(str(top))
    remove_tree("")


def test_disk_use_counts_bytes_and_entries(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x" * 10_000)
    size, entries = watch.disk_use(str(tmp_path), 10)
    assert entries == 2
    assert 10_000 <= size <= 20_480
    assert watch.disk_use(str(tmp_path), 1)[1] == 2


def test_deleted_files_that_are_held_open_are_counted(tmp_path):
    proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    before = watch.open_deleted_bytes(proc_fd, os.getpid())
    with (tmp_path / "f").open("wb") as file:
        file.write(b"x" * 100_000)
        file.flush()
        assert watch.open_deleted_bytes(proc_fd, os.getpid()) == before
        Path(file.name).unlink()
        assert watch.open_deleted_bytes(proc_fd, os.getpid()) >= before + 100_000
    assert stat.S_ISDIR(os.fstat(proc_fd).st_mode)
    os.close(proc_fd)


def test_usage_of_what_is_gone_is_nothing():
    proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    found = watch.usage(proc_fd, 2**22 + 1, descendants=True)
    assert (found.memory_bytes, found.cpu_seconds, found.processes) == (0, 0.0, 0)
    own = watch.usage(proc_fd, os.getpid(), descendants=False)
    assert own.memory_bytes > 2**20
    assert own.processes >= 1
    os.close(proc_fd)
