"""Bubblewrap: how a run ends, and that it refuses itself where it does not hold."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from llm_gym.errors import SandboxFault, SandboxUnavailable
from llm_gym.sandbox import RunLimits, Sandbox, Status
from llm_gym.sandbox.providers import open_bubblewrap
from tests.sandbox.processes import descendants

BWRAP = shutil.which("bwrap")
installed = pytest.mark.skipif(BWRAP is None, reason="bubblewrap is not installed")
MIB = 2**20


@pytest.fixture(scope="module")
def bubblewrap():
    with open_bubblewrap() as sandbox:
        yield sandbox


def script(tmp_path, text):
    """Return the path of a program that stands in for bwrap."""
    path = tmp_path / "bwrap"
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    top = Path(tempfile.gettempdir())
    for above in (tmp_path, *tmp_path.parents):
        if top in above.parents:  # pytest's own, which it shut to others
            above.chmod(0o755)
    return str(path)


@installed
def test_a_run_is_stamped_and_complete(bubblewrap):
    assert isinstance(bubblewrap, Sandbox)
    result = bubblewrap.run("print(input())", stdin="hello", files={"a/b.txt": "x"})
    assert (result.status, result.stdout) == (Status.OK, "hello\n")
    assert result.isolation == bubblewrap.isolation == "bubblewrap"


@installed
@pytest.mark.parametrize(
    ("program", "limits", "status", "code"),
    [
        ("import sys; sys.exit(3)", {}, Status.NONZERO, 3),
        ("import os; os.kill(os.getpid(), 15)", {}, Status.SIGNAL, -15),
        ("import time; time.sleep(60)", {"wall_seconds": 0.5}, Status.TIMEOUT, -9),
        ("while True: pass", {"cpu_seconds": 0.3}, Status.TIMEOUT, -9),
        (
            "while True: print('x' * 999)",
            {"output_bytes": 5000},
            Status.OUTPUT_LIMIT,
            -9,
        ),
        (
            "import os\nx = b'x' * 40_000_000\n"
            "if os.fork() == 0: y = b'y' * 40_000_000\n"
            "import time\ntime.sleep(60)",
            {"memory_bytes": 60_000_000},
            Status.OUT_OF_MEMORY,
            -9,
        ),
        (
            "import signal\nsignal.signal(25, signal.SIG_DFL)\n"
            "open('f', 'wb').write(b'x' * 9_000_000)",
            {"disk_bytes": 4 * MIB},
            Status.DISK_LIMIT,
            -25,
        ),
        (
            "import ctypes; ctypes.CDLL(None).unshare(0x10000000)",
            {},
            Status.DENIED,
            -31,
        ),
    ],
)
def test_each_end_has_its_status(bubblewrap, program, limits, status, code):
    result = bubblewrap.run(program, limits=RunLimits(**limits))
    assert (result.status, result.exit_code) == (status, code)
    assert result.truncated == (status is Status.OUTPUT_LIMIT)
    assert bool(result.reason) == (status is not Status.NONZERO)


@installed
def test_a_shell_runs_and_other_languages_do_not(bubblewrap):
    assert bubblewrap.run("echo $((6 * 7))", language="shell").stdout == "42\n"
    with pytest.raises(ValueError, match='must be "python" or "shell" here'):
        bubblewrap.run("1", language="python_subset")


@installed
def test_there_are_no_sessions(bubblewrap):
    with pytest.raises(ValueError, match="bubblewrap has no sessions here"):
        bubblewrap.session()


@installed
def test_a_cancelled_run_ends(bubblewrap):
    async def cancelled():
        task = asyncio.ensure_future(bubblewrap.arun("import time; time.sleep(60)"))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    deadline = time.monotonic() + 5
    while [p for p in descendants(os.getpid()) if _is_bwrap(p)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _is_bwrap(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "bwrap\n"
    except OSError:
        return False


@installed
def test_several_runs_go_on_beside_an_event_loop(bubblewrap):
    async def both():
        runs = (bubblewrap.arun(f"print({i})") for i in range(3))
        return [result.stdout for result in await asyncio.gather(*runs)]

    assert asyncio.run(both()) == ["0\n", "1\n", "2\n"]


@installed
def test_close_ends_what_runs():
    sandbox = open_bubblewrap()
    seen = []

    def run():
        try:
            sandbox.run("import time; time.sleep(60)")
        except SandboxFault as fault:
            seen.append(fault.message)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.3)
    sandbox.close()
    thread.join(5)
    assert seen == ["the run was cancelled"]
    with pytest.raises(ValueError, match="this sandbox is closed"):
        sandbox.run("1")


def test_a_missing_bubblewrap_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxUnavailable, match="apt install bubblewrap"):
        open_bubblewrap()


def test_a_bubblewrap_that_does_not_start_is_unavailable(tmp_path):
    program = script(tmp_path, "echo 'bwrap: no permissions' >&2; exit 1")
    with pytest.raises(SandboxUnavailable, match=r"does not work here.*no permissions"):
        open_bubblewrap(program=program)
    with pytest.raises(SandboxUnavailable, match="could not be started"):
        open_bubblewrap(program=str(tmp_path / "missing"))


def test_a_bubblewrap_that_isolates_nothing_is_refused(tmp_path):
    # Drops the flags and runs the command, telling the exit code as bwrap does.
    text = """fd=; while [ "$1" != -- ]; do
    [ "$1" = --json-status-fd ] && fd=$2; shift; done; shift
cd /tmp; mkdir -p /tmp/bare.$$; cd /tmp/bare.$$
"$@"
code=$?; rm -rf /tmp/bare.$$; echo "{\\"exit-code\\": $code}" >&$fd"""
    with pytest.raises(
        SandboxUnavailable, match=r"did not prove itself.*a file of the host"
    ):
        open_bubblewrap(program=script(tmp_path, text))


def test_a_machine_without_a_python_for_all_says_so(monkeypatch):
    monkeypatch.setattr(sys, "_base_executable", "/nowhere/python")
    monkeypatch.setattr(shutil, "which", lambda name, **where: None)
    with pytest.raises(SandboxUnavailable, match="no Python that every user can read"):
        open_bubblewrap(program="/bin/true")


def test_a_machine_without_room_for_the_check_says_so(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(SandboxUnavailable, match="no file could be made to attack"):
        open_bubblewrap(program="/bin/true")
