"""What the sandbox does to the process that it lives in, and when things die."""

import asyncio
import gc
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from llm_gym.errors import SandboxFault
from llm_gym.sandbox import RunLimits, Status, default_sandbox, open_sandbox, zygote
from llm_gym.sandbox.job import Capture, Job, Request
from llm_gym.sandbox.zygote import ZygoteOptions, ZygoteProcess

TIERS = ("ns", "landlock")


def wait_for(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def alive(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def family(pid):
    found, queue = [], [pid]
    while queue:
        here = queue.pop()
        found.append(here)
        for task in Path(f"/proc/{here}/task").glob("*/children"):
            queue += [int(word) for word in task.read_text().split()]
    return found


@pytest.mark.parametrize("tier", TIERS)
def test_a_run_survives_the_death_of_an_idle_zygote(tier):
    with open_sandbox(tiers=(tier,), zygotes=1) as sandbox:
        sandbox.run("pass")
        os.kill(sandbox._idle[0].pid, signal.SIGKILL)
        assert sandbox.run("print(1)").stdout == "1\n"


@pytest.mark.parametrize("tier", TIERS)
def test_a_run_is_done_again_when_its_zygote_dies(tier):
    with open_sandbox(tiers=(tier,), zygotes=1) as sandbox:
        results = []
        program = "import time; time.sleep(0.4); print('end')"
        thread = threading.Thread(target=lambda: results.append(sandbox.run(program)))
        thread.start()
        wait_for(lambda: sandbox._busy)
        (zygote,) = sandbox._busy
        wait_for(lambda: len(family(zygote.pid)) > 1)
        members = family(zygote.pid)
        os.kill(zygote.pid, signal.SIGKILL)
        wait_for(lambda: not any(map(alive, members)), 2.0)
        thread.join(10)
        assert results[0].stdout == "end\n"


def test_a_run_whose_zygotes_die_twice_is_a_fault():
    with open_sandbox(zygotes=1) as sandbox:
        failures = []

        def work():
            with pytest.raises(
                SandboxFault, match="a zygote ended during a run"
            ) as got:
                sandbox.run("import time; time.sleep(20)")
            failures.append(got)

        thread = threading.Thread(target=work)
        thread.start()
        killed = set()
        while thread.is_alive():
            for zygote in list(sandbox._busy):
                members = family(zygote.pid) if zygote.pid else []
                if len(members) > 1 and zygote.pid not in killed:
                    killed.add(zygote.pid)
                    os.kill(zygote.pid, signal.SIGKILL)
            time.sleep(0.01)
        assert len(failures) == 1
        assert len(killed) == 2
        assert sandbox.run("print(2)").stdout == "2\n"


def test_a_zygote_that_stands_still_is_replaced():
    with open_sandbox(zygotes=1) as sandbox:
        sandbox.run("pass")
        stopped = sandbox._idle[0].pid
        os.kill(stopped, signal.SIGSTOP)
        assert sandbox.run("print(3)", limits=RunLimits(wall_seconds=0.1)).ok
        assert not alive(stopped)


@pytest.mark.parametrize("tier", TIERS)
def test_nothing_is_left_in_this_process_or_beside_it(tier):
    def held():
        gc.collect()
        return (
            len(list(Path("/proc/self/fd").iterdir())),
            threading.active_count(),
            len(family(os.getpid())),
        )

    with open_sandbox(tiers=(tier,), zygotes=1) as sandbox:
        sandbox.run("pass")
    before = held()
    for _ in range(2):
        with open_sandbox(tiers=(tier,), zygotes=1) as sandbox:
            sandbox.run("open('f', 'w')")
            sandbox.run("while 1: pass", limits=RunLimits(wall_seconds=0.1))
            asyncio.run(sandbox.arun("print(1)"))
            with sandbox.session() as session:
                session.execute("1")
                session.execute("while 1: pass", limits=RunLimits(wall_seconds=0.1))
            directories = [zygote.directory for zygote in sandbox._idle]
            sandbox.session().execute("1")  # never closed
    assert held() == before
    assert not any(Path(d).exists() for d in directories if d)


def test_runs_do_not_add_descriptors():
    with open_sandbox(zygotes=1) as sandbox:
        sandbox.run("pass")
        its = sandbox._idle[0].pid
        ours, theirs = (
            len(list(Path(f"/proc/{p}/fd").iterdir())) for p in (os.getpid(), its)
        )
        for _ in range(20):
            sandbox.run("pass", files={"a": "b"}, stdin="c")
        assert len(list(Path("/proc/self/fd").iterdir())) == ours
        wait_for(lambda: len(list(Path(f"/proc/{its}/fd").iterdir())) <= theirs)


TRAINER = """
import sys, threading, time
from llm_gym.sandbox import open_sandbox, RunLimits
sandbox = open_sandbox(tiers=(sys.argv[1],), zygotes=1)
program = "import time\\nwhile True: time.sleep(1)"
threading.Thread(target=lambda: sandbox.run(program), daemon=True).start()
session = sandbox.session()
threading.Thread(target=lambda: session.execute(program), daemon=True).start()
time.sleep(0.5)
print("up", *[z.directory for z in sandbox._busy | set(sandbox._hosts)], flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("tier", TIERS)
def test_kill_9_of_the_trainer_leaves_nothing_within_a_second(tier):
    trainer = subprocess.Popen(
        [sys.executable, "-c", TRAINER, tier], stdout=subprocess.PIPE, text=True
    )
    with trainer:
        up, *directories = trainer.stdout.readline().split()
        assert up == "up"
        members = family(trainer.pid)
        assert len(members) >= 6  # two zygotes, a run, a session and its interpreter
        trainer.kill()
        trainer.wait()
        wait_for(lambda: not any(map(alive, members)), 1.0)
        wait_for(lambda: not any(Path(d).exists() for d in directories), 1.0)


def test_a_forked_child_starts_zygotes_of_its_own():
    with open_sandbox(zygotes=1) as sandbox:
        sandbox.run("pass")
        session = sandbox.session()
        session.execute("x = 1")
        zygote = sandbox._idle[0].pid
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                same = sandbox.run("print(5)").stdout == "5\n"
                own = sandbox._idle[0].pid != zygote
                try:
                    session.execute("1")
                except ValueError as error:
                    refused = "belongs to the process that opened it" in str(error)
                session.close()
                sandbox.close()
                code = 0 if same and own and refused else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert session.execute("x").stdout == "1\n"
        assert sandbox.run("print(6)").stdout == "6\n"
        assert sandbox._idle[0].pid == zygote


def test_the_thread_that_started_a_zygote_may_end():
    with open_sandbox(zygotes=1) as sandbox:
        thread = threading.Thread(target=sandbox.run, args=("pass",))
        thread.start()
        thread.join()
        zygote = sandbox._idle[0].pid
        time.sleep(0.1)
        assert alive(zygote)
        assert sandbox.run("print(1)").ok


def test_an_interrupted_run_gives_its_zygote_back():
    with open_sandbox(zygotes=1) as sandbox:
        sandbox.run("pass")

        def interrupt(*_):
            raise KeyboardInterrupt

        previous = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            with pytest.raises(KeyboardInterrupt):
                sandbox.run("while True: pass")
        finally:
            signal.signal(signal.SIGALRM, previous)
        assert sandbox.run("print(1)").stdout == "1\n"
        assert len(sandbox._idle) == 1


def test_the_default_sandbox_is_one_per_process_and_comes_back():
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(default_sandbox()))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = default_sandbox()
    assert found == [first] * 3
    first.close()
    second = default_sandbox()
    assert second is not first
    assert second.run("print(1)").ok
    second.close()


def test_python_paths_can_be_imported_from_and_nothing_else(tmp_path):
    shared = Path(f"/tmp/llm-gym-test-{os.getpid()}")
    shared.mkdir(mode=0o755)
    try:
        (shared / "given.py").write_text("x = 5")
        for tier in TIERS:
            with open_sandbox(
                tiers=(tier,), python_paths=[shared], zygotes=1
            ) as sandbox:
                assert sandbox.run("import given; print(given.x)").stdout == "5\n"
                refused = sandbox.run(f"open({str(shared / 'given.py')!r}, 'w')")
                assert refused.status in (Status.DENIED, Status.NONZERO)
                assert sandbox.run("import llm_gym").status is Status.NONZERO
        assert (shared / "given.py").read_text() == "x = 5"
    finally:
        (shared / "given.py").unlink()
        shared.rmdir()


def test_the_environment_of_this_process_stays_here(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    program = "import os; print(sorted(os.environ))"
    with open_sandbox(zygotes=1) as sandbox:
        shown = sandbox.run(program).stdout
    assert shown == (
        "['HOME', 'LANG', 'PATH', 'PYTHONDONTWRITEBYTECODE', 'PYTHONHASHSEED',"
        " 'TMPDIR']\n"
    )


def test_out_of_descriptors_is_a_fault():
    with open_sandbox(zygotes=1) as sandbox:
        sandbox.run("pass")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        held = [os.open("/dev/null", os.O_RDONLY) for _ in range(32)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (held[-1] + 3, hard))
        try:
            with pytest.raises(SandboxFault, match="Too many open files"):
                sandbox.run("pass")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in held:
                os.close(fd)
        assert sandbox.run("print(1)").ok


def test_an_unknown_tier_is_never_started():
    with pytest.raises(
        SandboxFault,
        match="a zygote did not start: ValueError: there is no tier 'none'",
    ):
        ZygoteProcess(ZygoteOptions("none"))


def test_a_python_that_fails_is_named(monkeypatch):
    monkeypatch.setattr(zygote, "interpreter", lambda: "/bin/false")
    with pytest.raises(SandboxFault, match="a zygote did not start: it ended"):
        ZygoteProcess(ZygoteOptions("landlock"))
    monkeypatch.setattr(zygote, "interpreter", lambda: "/no/such/python")
    with pytest.raises(
        SandboxFault, match=r"no zygote could be started: .*No such file"
    ):
        ZygoteProcess(ZygoteOptions("landlock"))


def test_the_systems_python_stands_in_for_one_that_is_shut(monkeypatch):
    monkeypatch.setattr(sys, "_base_executable", "/no/such/python")
    assert os.access(zygote.interpreter(), os.X_OK)
    monkeypatch.setattr(zygote.shutil, "which", lambda *_, **__: None)
    with pytest.raises(SandboxFault, match="no Python can be started here"):
        zygote.interpreter()


def test_a_zygote_that_is_gone_takes_no_job():
    zygote = ZygoteProcess(ZygoteOptions("landlock"))
    zygote.close()
    request = Request.of("pass", None, "", RunLimits())
    with pytest.raises(SandboxFault, match="a zygote is gone"):
        Job(request, zygote.submit)


def test_a_stream_is_kept_as_far_as_its_bound():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    capture = Capture(reader, 5)
    os.write(writer, b"abc")
    assert capture.drain()
    assert (capture.text, capture.is_cut) == ("abc", False)
    os.write(writer, b"defg")
    assert capture.drain()
    assert (capture.text, capture.is_cut) == ("abcde", True)
    os.close(writer)
    assert not capture.drain()
    os.close(reader)
