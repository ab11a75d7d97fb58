"""A pool of daemon threads that nothing which hangs can hold."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import threading
import time
import weakref

import gymnasium as gym
import pytest

from llm_gym import ToolEnv
from llm_gym.threads import Workers, blocks
from tests.sample_envs import AsyncEnv, VaultEnv

WHO = contextvars.ContextVar("WHO", default="nobody")


def named(prefix: str) -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith(prefix)]


def await_none(prefix: str) -> bool:
    """Wait until no thread of that name is left."""
    deadline = time.monotonic() + 5
    while named(prefix) and time.monotonic() < deadline:
        time.sleep(0.005)
    return not named(prefix)


@pytest.fixture
def workers():
    pool = Workers(4, "tested")
    yield pool
    pool.close(5)
    assert not named("tested")


def test_a_result_comes_back(workers):
    assert workers.submit(pow, 2, 10).result(5) == 1024
    assert workers.submit(int, "ff", base=16).result(5) == 255


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_comes_back_and_the_thread_lives(workers, error):
    def fail():
        raise error("no")

    with pytest.raises(error, match="no"):
        workers.submit(fail).result(5)
    assert workers.submit(len, "ab").result(5) == 2
    assert len(named("tested")) == 1


def test_a_result_is_not_kept_alive_by_an_idle_thread(workers):
    class Big:
        pass

    future = workers.submit(Big)
    alive = weakref.ref(future.result(5))
    del future
    deadline = time.monotonic() + 5
    while alive() is not None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert alive() is None


def test_an_idle_thread_is_used_again(workers):
    names = {
        workers.submit(lambda: threading.current_thread().name).result(5)
        for _ in range(50)
    }
    assert names == {"tested-0"}


def test_threads_are_started_up_to_the_limit_and_run_at_the_same_time(workers):
    meeting = threading.Barrier(4)
    futures = [workers.submit(meeting.wait, 5) for _ in range(8)]  # two rounds of four
    assert sorted(f.result(5) for f in futures) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(named("tested")) == 4


def test_threads_are_daemons(workers):
    assert workers.submit(lambda: threading.current_thread().daemon).result(5)


def test_the_context_of_the_caller_is_copied(workers):
    token = WHO.set("me")
    assert workers.submit(WHO.get).result(5) == "me"
    workers.submit(WHO.set, "the thread").result(5)
    assert WHO.get() == "me"
    WHO.reset(token)
    assert workers.submit(WHO.get).result(5) == "nobody"


def test_a_future_can_be_awaited_and_cancelled(workers):
    async def main():
        gate = threading.Event()
        busy = [asyncio.wrap_future(workers.submit(gate.wait, 5)) for _ in range(4)]
        late = asyncio.wrap_future(workers.submit(WHO.set, "late"))
        late.cancel()
        gate.set()
        assert all(await asyncio.gather(*busy))
        with pytest.raises(asyncio.CancelledError):
            await late
        return await asyncio.wrap_future(workers.submit(len, "abc"))

    assert asyncio.run(main()) == 3


def test_closing_leaves_no_thread_behind():
    pool = Workers(3, "closing")
    meeting = threading.Barrier(3)
    for future in [pool.submit(meeting.wait, 5) for _ in range(3)]:
        future.result(5)
    assert len(named("closing")) == 3
    assert pool.close() == 0
    assert not named("closing")
    assert pool.close() == 0


def test_closing_waits_for_the_busy_as_long_as_it_is_told():
    pool = Workers(2, "busy")
    future = pool.submit(time.sleep, 0.03)
    assert pool.close(5) == 0
    assert future.done()


def test_closing_leaves_the_hung_behind_and_cancels_what_has_not_begun():
    gate = threading.Event()
    with Workers(1, "hung") as pool:
        began = threading.Event()
        hung = pool.submit(lambda: (began.set(), gate.wait(10)))
        late = pool.submit(len, "ab")
        assert began.wait(5)
        started = time.monotonic()
        assert pool.close(0.02) == 1
        assert time.monotonic() - started < 4
    assert late.cancelled()
    assert not hung.done()
    gate.set()
    assert hung.result(5) == (None, True)
    assert await_none("hung")


def test_closing_from_one_of_its_threads_does_not_wait_for_itself():
    pool = Workers(1, "inner")
    assert pool.submit(pool.close, 10).result(5) == 1
    assert await_none("inner")


def test_a_closed_pool_takes_no_work():
    pool = Workers(1)
    pool.close()
    with pytest.raises(RuntimeError, match="threads of 'llm_gym' are closed"):
        pool.submit(len, "")


def test_a_pool_without_room_is_refused():
    with pytest.raises(ValueError, match="`limit` must be at least 1, not 0"):
        Workers(0)


def test_work_waits_for_a_thread_where_the_system_has_no_more(workers, monkeypatch):
    assert workers.submit(len, "ab").result(5) == 2

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    futures = [workers.submit(len, "ab") for _ in range(9)]
    assert [future.result(5) for future in futures] == [2] * 9
    with pytest.raises(RuntimeError, match="can't start new thread"):
        Workers(2, "none").submit(len, "")


def test_a_forgotten_pool_finishes_its_work_and_ends():
    pool = Workers(2, "forgotten")
    future = pool.submit(len, "abc")
    del pool
    gc.collect()
    assert future.result(5) == 3
    assert await_none("forgotten")


def test_a_hung_thread_does_not_hold_the_interpreters_end():
    code = (
        "import time; from llm_gym.threads import Workers;"
        "pool = Workers(2); hung = pool.submit(time.sleep, 600)\n"
        "while not hung.running(): time.sleep(0.001)\n"
        "print(pool.close())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.stdout, ran.stderr) == ("1\n", "")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # 3.12: threads and fork
def test_a_forked_child_has_threads_of_its_own(workers):
    closed = Workers(1, "shut")
    closed.close()
    assert workers.submit(len, "ab").result(5) == 2
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        try:
            right = workers.submit(len, "abc").result(5) == 3
            right = right and closed._crew.closed
        except Exception:  # noqa: BLE001  # the child must end here
            right = False
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert workers.submit(len, "abcd").result(5) == 4


class Waiting(VaultEnv):
    """Sync tools that wait for something."""

    blocking = True


class Quick(AsyncEnv):
    """Async tools that wait for nothing."""

    blocking = False


@pytest.mark.parametrize(
    ("cls", "expected"),
    [(VaultEnv, False), (AsyncEnv, True), (Waiting, True), (Quick, False)],
)
def test_an_env_blocks_as_it_says_or_as_its_tools_are(cls, expected):
    assert blocks(cls()) is expected
    assert blocks(gym.wrappers.TimeLimit(cls(), 5)) is expected


def test_a_foreign_env_does_not_block():
    assert not blocks(gym.make("CartPole-v1"))
    assert ToolEnv.blocking is None
