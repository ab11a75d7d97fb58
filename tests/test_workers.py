from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llm_gym.errors import EnvironmentFault
from llm_gym.workers import (
    KillableWorker,
    WorkerCrash,
    WorkerError,
    WorkerTimeout,
    child,
    pool,
)

HERE = "tests.worker_functions"


def worker(name: str, seconds: float = 30.0, **kwargs: Any) -> KillableWorker:
    """Make a worker that is not confined: what is tested here is the worker."""
    return KillableWorker(f"{HERE}:{name}", seconds, confine=False, **kwargs)


def children() -> set[int]:
    """Return the children of this process that have not been waited for."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            found |= set(map(int, (task / "children").read_text().split()))
    return found


BURNER = "import os; os.sched_setaffinity(0, {0}); print(9 ** 9**9)"


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def gone(pid: int) -> bool:
    """Wait until a process is dead, a zombie too."""
    for _ in range(200):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return True
        if stat.rpartition(")")[2].split()[0] in "ZX":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1.5,
        "",
        "\ud800\x00é",
        [1, [2, {}]],
        {"a": [None]},
        "x" * 500_000,
    ],
)
def test_call_carries_plain_data_both_ways(value):
    assert worker("echo").call(value) == value


def test_call_uses_the_same_process_again():
    first, second = worker("warmed").call(), worker("warmed").call()
    assert first == second
    assert first[0] == 1
    assert first[1] == first[2] != os.getpid()


@pytest.mark.parametrize("name", ["burn", "idle", "stopped"])
def test_call_that_hangs_is_killed_at_the_deadline(name):
    hanging = worker(name, 0.3)
    with pytest.raises(WorkerTimeout, match=rf"{name}` took more than 0.3 seconds"):
        hanging.call(9)
    hanging.close()


def test_timeout_leaves_no_process_and_no_descriptor():
    hanging = worker("idle", 0.2)
    before, open_before = children(), descriptors()
    for _ in range(2):
        with pytest.raises(WorkerTimeout):
            hanging.call(9)
    assert children() <= before
    assert descriptors() <= open_before


def test_call_after_a_timeout_is_served_by_a_new_process():
    either = worker("idle", 0.5)
    with pytest.raises(WorkerTimeout):
        either.call(9)
    assert either.call(0) == "slept"


def test_process_that_is_kept_from_the_processor_has_longer():
    starved = worker("crowded", 1.0)
    command = [sys.executable, "-c", BURNER]
    burners = [subprocess.Popen(command, start_new_session=True) for _ in range(3)]
    try:
        used, wall = starved.call(0.4, 0)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
        starved.close()
    assert used >= 0.4
    assert wall > 1.0


def test_one_death_is_retried_on_a_fresh_process(tmp_path):
    assert worker("die_once").call(str(tmp_path / "mark")) == "alive"


def test_process_that_died_while_idle_is_replaced():
    echo = worker("echo", seconds=21.0)
    for value in ("x", "x" * 10_000_000):
        echo.call(0)
        (process,) = pool._pool(echo)._all
        os.kill(process._child.pid, signal.SIGKILL)
        process._child.wait()
        assert echo.call(value) == value
    echo.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_two_deaths_are_a_crash(number):
    with pytest.raises(WorkerCrash, match=f"died twice: exit status -{int(number)}"):
        worker("die").call(int(number))


def test_exception_comes_back_with_type_and_text():
    with pytest.raises(WorkerError, match="fail` raised LookupError: gone") as caught:
        worker("fail").call("gone")
    assert (caught.value.kind, caught.value.text) == ("LookupError", "gone")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.kind) == (str(caught.value), "LookupError")


def test_exit_is_an_error_like_others():
    with pytest.raises(WorkerError, match="SystemExit: 3"):
        worker("leave").call()


def test_result_that_is_no_json_is_an_error():
    with pytest.raises(WorkerError, match="TypeError"):
        worker("no_json").call()


def test_memory_is_bounded_beyond_what_the_start_took():
    small = worker("grow", memory_bytes=200 * 2**20)
    assert small.call(100) == 100 * 2**20
    with pytest.raises(WorkerError, match="more than 209715200 bytes") as caught:
        small.call(300)
    assert caught.value.kind == "MemoryError"
    assert small.call(100) == 100 * 2**20


def test_what_the_function_prints_is_no_reply(capfd):
    assert worker("chatter").call("hello") == "hello"
    assert capfd.readouterr() == ("", "")


def test_process_inherits_nothing_but_its_pipes(monkeypatch):
    monkeypatch.setenv("API_KEY", "secret")
    with Path(__file__).open() as file:
        os.set_inheritable(file.fileno(), True)
        told = worker("surroundings", seconds=29.0).call()
    assert "API_KEY" not in told["environment"]
    assert told["core"] == 0
    assert told["cpu"] == 3600
    assert told["memory"] > 2**30
    assert len(told["descriptors"]) <= 8
    assert told["session"]
    assert told["directory"] == "/"


def test_confined_process_can_neither_write_nor_start_nor_connect(tmp_path):
    confined = KillableWorker(f"{HERE}:reach", seconds=20.0)
    free, bound = worker("reach", 20.0), confined
    assert free.call(str(tmp_path / "free")) == ["wrote", "started", "connected"]
    if not confine_layers():
        pytest.skip("this kernel confines nothing")
    assert bound.call(str(tmp_path / "bound")) == []
    assert not (tmp_path / "bound").exists()


def confine_layers() -> list[str]:
    """Return what `confine` puts on, seen from a process of its own."""
    program = "from llm_gym.sandbox.confine import confine; print(*confine())"
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return [layer for layer in out.stdout.split() if layer != "no_new_privs"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"function": "math.factorial"}, "must be 'module:function'.*'math.factorial'"),
        ({"function": "__main__:main"}, "must be 'module:function'"),
        ({"function": "math:"}, "must be 'module:function'"),
        ({"function": "m:f", "seconds": 0}, "`seconds` must be above 0.*not 0"),
        ({"function": "m:f", "seconds": float("inf")}, "`seconds` must be above 0"),
        ({"function": "m:f", "memory_bytes": -1}, "`memory_bytes` must be above 0"),
        ({"function": "m:f", "start_seconds": 0}, "`start_seconds` must be above 0"),
    ],
)
def test_bad_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        KillableWorker(**kwargs)


def test_arguments_that_are_no_json_are_refused_before_anything_starts():
    with pytest.raises(TypeError, match="not JSON serializable"):
        worker("echo").call({1, 2})
    with pytest.raises(ValueError, match="not JSON compliant"):
        worker("echo").call(float("nan"))
    with pytest.raises(ValueError, match="at most 67108864 bytes"):
        worker("echo").call("x" * 2**26)


GARBAGE = """
    import contextlib, os
    for number in range(3, 30):
        with contextlib.suppress(OSError):
            os.write(number, b"x" * 99)
"""
STARTS = {
    "raises": ("raise ValueError('1 is not 2')", 30, "cannot start: ValueError: 1 is"),
    "hangs": ("import time; time.sleep(60)", 1.5, "took more than 1.5 seconds"),
    "dies": ("import os; os.kill(os.getpid(), 9)", 30, "died: exit status -9"),
    "garbage": (GARBAGE, 30, "it wrote no frame"),
}


@pytest.mark.parametrize("how", STARTS)
def test_warm_up_that_fails_is_a_fault(how, tmp_path, monkeypatch):
    body, seconds, message = STARTS[how]
    module = f"def warm_up():\n    {body}\n"
    (tmp_path / f"start_{how}.py").write_text(module + "def run(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    failing = KillableWorker(f"start_{how}:run", start_seconds=seconds, confine=False)
    with pytest.raises(EnvironmentFault, match=message) as caught:
        failing.call()
    assert not isinstance(caught.value, WorkerCrash)
    failing.close()


def test_module_that_does_not_exist_is_a_fault():
    with pytest.raises(EnvironmentFault, match="No module named 'nonesuch_'"):
        KillableWorker("nonesuch_:run", confine=False).call()


def test_interpreter_that_does_not_exist_is_a_fault(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonesuch/python")
    before = descriptors()
    with pytest.raises(EnvironmentFault, match=r"cannot start: .*/python"):
        worker("echo", seconds=28.0).call(1)
    assert descriptors() <= before


def test_threads_share_processes_and_get_their_own_results():
    shared = worker("echo")
    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(shared.call, range(400)))
    assert results == list(range(400))


def test_pool_has_at_most_a_process_a_processor():
    shared = worker("idle", seconds=27.0)
    before = children()
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(shared.call, [0.02] * 24))
    assert results == ["slept"] * 24
    assert len(children() - before) <= len(os.sched_getaffinity(0))
    shared.close()
    assert children() <= before


def test_process_lives_on_when_the_thread_that_asked_first_ends():
    found: list[Any] = []
    lasting = worker("warmed", seconds=26.0)
    thread = threading.Thread(target=lambda: found.append(lasting.call()))
    thread.start()
    thread.join()
    time.sleep(0.1)
    assert lasting.call() == found[0]


def test_close_while_a_call_runs_lets_the_call_go_on():
    closed = worker("idle", seconds=25.0)
    with ThreadPoolExecutor(1) as threads:
        result = threads.submit(closed.call, 0.5)
        time.sleep(0.2)
        closed.close()
        assert result.result() == "slept"


def test_worker_is_pickled_by_its_arguments():
    first = worker("warmed")
    again = pickle.loads(pickle.dumps(first))
    assert again == first
    assert again.call() == first.call()


def test_interrupt_leaves_no_reply_behind():
    echo = worker("idle", seconds=24.0)
    echo.call(0)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        echo.call(5)
    assert echo.call(0) == "slept"


def test_process_is_replaced_after_many_calls(monkeypatch):
    monkeypatch.setattr("llm_gym.workers.pool._MOST_CALLS", 3)
    counted = worker("warmed", seconds=23.0)
    pids = [counted.call()[2] for _ in range(7)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


def run(program: str) -> subprocess.Popen[str]:
    """Start a program that uses a worker."""
    head = f"""
        import json, os, sys, time
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from llm_gym.workers import KillableWorker
        worker = lambda name, s=30.0: KillableWorker("{HERE}:" + name, s, confine=False)
    """
    source = textwrap.dedent(head) + textwrap.dedent(program)
    command = [sys.executable, "-W", "error", "-c", source]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_child_of_a_fork_starts_its_own_processes():
    program = """
        mine = worker("warmed").call()[2]
        before = len(os.listdir("/proc/self/fd"))
        pid = os.fork()
        if pid == 0:
            held = len(os.listdir("/proc/self/fd"))
            its = worker("warmed").call()[2]
            print(json.dumps([held, before, its != mine]), flush=True)
            sys.exit(0)
        os.waitpid(pid, 0)
        print(json.dumps(worker("warmed").call()[2] == mine))
    """
    out, err = run(program).communicate(timeout=60)
    child, parent = map(json.loads, out.split("\n")[:2])
    assert child[0] == child[1] - 3
    assert child[2]
    assert parent
    assert err == ""


@pytest.mark.parametrize("name", ["idle", "burn"])
def test_process_does_not_outlive_a_killed_parent(name):
    program = f"""
        import threading
        threading.Thread(target=worker("{name}", 60.0).call, args=(9,)).start()
        worker("echo").call(1)
        here, found = f"/proc/{{os.getpid()}}/task", ""
        while len(found.split()) != 2:
            time.sleep(0.05)
            files = [f"{{here}}/{{task}}/children" for task in os.listdir(here)]
            found = " ".join(open(file).read() for file in files)
        time.sleep(0.7)
        print(found, flush=True)
        time.sleep(60)
    """
    parent = run(program)
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.communicate()
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


def test_processes_end_with_the_interpreter():
    program = """
        print(worker("warmed").call()[2], flush=True)
    """
    out, err = run(program).communicate(timeout=60)
    assert gone(int(out))
    assert err == ""


def test_lifeline_alone_ends_a_process_that_holds_the_gil():
    burning = worker("burn", seconds=22.0)
    thread = threading.Thread(target=crash, args=(burning,))
    thread.start()
    while not (started := [p for p in pool._pool(burning)._all if p.calls > 0]):
        time.sleep(0.05)
    time.sleep(0.3)
    lifeline, started[0]._lifeline = started[0]._lifeline, -1
    os.close(lifeline)
    assert gone(started[0]._child.pid)
    burning.close()
    thread.join()


def crash(burning: KillableWorker) -> None:
    """Call what hangs, and be killed."""
    with pytest.raises(EnvironmentFault):
        burning.call(9)


def test_child_answers_every_call_in_plain_data():
    assert child._answer(max, b"[1, 2]") == {"value": 2}
    assert child._answer(max, b"[1, []]")["error"][0] == "TypeError"
    assert child._answer(max, b"[1")["error"][0] == "JSONDecodeError"
    assert child._answer(lambda: "x" * 2**26, b"[]")["error"][0] == "ValueError"
    assert child._answer(mute, b"[]") == {"error": ["Mute", ""]}


def mute() -> None:
    """Raise what cannot be written."""
    raise Mute


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_frames_pass_through_pipes_whole_or_not_at_all():
    out, into = os.pipe()
    child._send(into, {"value": "x" * 1000})
    received = child._receive(out)
    os.write(into, b"half a header"[:5])
    os.close(into)
    assert json.loads(received) == {"value": "x" * 1000}
    assert child._receive(out) is None
    os.close(out)


def test_exit_of_the_interpreter_ends_every_process():
    worker("echo").call(1)
    worker("idle").call(0)
    pool._at_exit()
    assert not any(one._all for one in pool._POOLS.values())
    assert worker("echo").call(2) == 2


def test_child_sets_its_limits_after_the_start(monkeypatch):
    limits: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(child.resource, "setrlimit", limits.__setitem__)
    config = {"function": f"{HERE}:echo", "memory_bytes": 2**40, "confine": False}
    assert child._prepare(config)("x") == "x"
    assert limits[child.resource.RLIMIT_AS][0] > 2**40
    assert limits[child.resource.RLIMIT_CORE] == (0, 0)
