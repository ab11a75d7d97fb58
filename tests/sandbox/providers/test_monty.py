"""Python's subset in Rust: what it runs, how its limits end it, what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading

import pytest

from llm_gym.errors import MissingDependencyError, SandboxFault, SandboxUnavailable
from llm_gym.sandbox import RunLimits, Sandbox, Session, Status
from llm_gym.sandbox.providers import open_monty
from llm_gym.sandbox.providers.monty import MontySandbox
from tests.sandbox.processes import children

pytest.importorskip("pydantic_monty")

SHORT = RunLimits(
    wall_seconds=0.2, cpu_seconds=0.2, memory_bytes=2**24, output_bytes=5_000
)


@pytest.fixture(scope="module")
def monty():
    with open_monty() as sandbox:
        yield sandbox


def run(sandbox, program, **other):
    return sandbox.run(program, language="python_subset", **other)


def test_monty_is_a_sandbox_and_its_sessions_are_sessions(monty):
    assert isinstance(monty, Sandbox)
    with monty.session() as session:
        assert isinstance(session, Session)


def test_a_program_runs_and_is_stamped(monty):
    result = run(monty, "import sys\nprint(1 + 1)\nprint('e', file=sys.stderr)")
    assert (result.status, result.exit_code, result.stdout) == (Status.OK, 0, "2\n")
    assert (result.stderr, result.isolation) == ("e\n", "monty")
    assert result.ok


@pytest.mark.parametrize(
    ("program", "status", "words"),
    [
        ("print(1)\nraise ValueError('no')", Status.NONZERO, "ValueError: no"),
        ("def (", Status.NONZERO, "SyntaxError"),
        ("import subprocess", Status.NONZERO, "ModuleNotFoundError"),
        (
            "open('/etc/passwd')\nopen('/etc/passwd').read()",
            Status.DENIED,
            "Permission",
        ),
        ("while True: pass", Status.TIMEOUT, "time limit"),
        ("x = []\nwhile True: x.append('y' * 9999)", Status.OUT_OF_MEMORY, "memory"),
        ("9 ** 9 ** 9", Status.OUT_OF_MEMORY, "memory"),
        ("while True: print('x' * 99)", Status.OUTPUT_LIMIT, ""),
        ("raise MemoryError('mine')", Status.NONZERO, "mine"),
        ("def f(n): return f(n + 1)\nf(0)", Status.NONZERO, "RecursionError"),
    ],
)
def test_each_end_has_its_status(monty, program, status, words):
    result = run(monty, program, limits=SHORT)
    assert result.status is status
    assert words in result.stderr
    assert not result.ok
    assert len(result.stdout) <= 5_000


def test_a_sleep_takes_no_time_and_chance_is_the_same_again(monty):
    program = "import random, time\ntime.sleep(99)\nprint(random.random())"
    first, second = run(monty, program), run(monty, program)
    assert first.stdout == second.stdout
    assert first.wall_seconds < 5


def test_nothing_of_a_run_is_left_for_the_next(monty):
    run(monty, "held = 1")
    assert "NameError" in run(monty, "held").stderr


def test_other_languages_files_and_input_are_refused(monty):
    with pytest.raises(
        ValueError, match="say language=\"python_subset\", not 'python'"
    ):
        monty.run("print(1)")
    with pytest.raises(ValueError, match="neither files nor a standard input"):
        run(monty, "1", files={"a": "b"})
    with pytest.raises(ValueError, match="neither files nor a standard input"):
        run(monty, "1", stdin="x")


def test_runs_go_on_beside_an_event_loop(monty):
    async def both():
        runs = (monty.arun(f"print({i})", language="python_subset") for i in range(4))
        return [result.stdout for result in await asyncio.gather(*runs)]

    assert asyncio.run(both()) == ["0\n", "1\n", "2\n", "3\n"]


@pytest.mark.parametrize(
    ("code", "stdout"),
    [
        ("1 + 1", "2\n"),
        ("None", ""),
        ("x = 5\nx  # a comment", "5\n"),
        ("'é'; 'ß'", "'ß'\n"),
        ("for i in range(2): print(i)", "0\n1\n"),
        ("", ""),
        ("[", ""),
        ("-" * 5000 + "1", ""),
    ],
)
def test_a_session_prints_its_last_value(monty, code, stdout):
    with monty.session() as session:
        assert session.execute(code).stdout == stdout


def test_a_session_keeps_names_until_a_limit_ends_it(monty):
    with monty.session(limits=SHORT) as session:
        session.execute("a = 1")
        assert session.execute("a + 1").stdout == "2\n"
        assert session.execute("1 / 0").status is Status.NONZERO
        assert session.execute("a").stdout == "1\n"
        assert session.execute("while True: pass").status is Status.TIMEOUT
        assert "NameError" in session.execute("a").stderr
        assert session.run("print(7)", language="python_subset").stdout == "7\n"


def test_a_session_has_no_files(monty):
    with monty.session() as session:
        assert session.list_files() == []
        with pytest.raises(FileNotFoundError, match="there is no 'a'"):
            session.read_file("a")
        with pytest.raises(OSError, match="'a' cannot be written"):
            session.write_file("a", "b")
    with pytest.raises(ValueError, match="this session is closed"):
        session.execute("1")


def test_a_closed_sandbox_says_so():
    sandbox = open_monty()
    sandbox.close()
    sandbox.close()
    with pytest.raises(ValueError, match="this sandbox is closed"):
        run(sandbox, "1")


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    with pytest.raises(MissingDependencyError, match=r"llm-gym\[monty\]"):
        open_monty()


def test_a_monty_that_lets_something_through_is_refused(monkeypatch):
    class Open(MontySandbox):
        def run(self, program, **other):
            return super().run("print(1)", **other)

    monkeypatch.setattr("llm_gym.sandbox.providers.monty.MontySandbox", Open)
    with pytest.raises(SandboxUnavailable, match="ended as ok, not denied"):
        open_monty()


def killing(before):
    """Kill the workers that were started since, until told to stop."""
    over = threading.Event()

    def kill():
        while not over.wait(0.02):
            for pid in set(children(os.getpid())) - before:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return over, thread


def test_a_worker_that_is_lost_is_a_fault_and_the_next_one_is_not():
    before = set(children(os.getpid()))
    limits = RunLimits(wall_seconds=5.0, cpu_seconds=5.0)
    with open_monty(limits=limits) as sandbox, sandbox.session() as session:
        session.execute("a = 1")
        over, thread = killing(before)
        try:
            with pytest.raises(SandboxFault, match="was lost, twice"):
                run(sandbox, "while True: pass")
            with pytest.raises(SandboxFault, match="was lost"):
                session.execute("while True: pass")
        finally:
            over.set()
            thread.join()
        assert run(sandbox, "print(1)").stdout == "1\n"
        assert session.execute("2 + 2").stdout == "4\n"


def test_a_monty_without_its_program_is_unavailable(monkeypatch):
    monkeypatch.setenv("MONTY_BIN", "/nowhere")
    with pytest.raises(SandboxUnavailable, match="cannot start its workers"):
        open_monty()
