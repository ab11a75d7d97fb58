"""Sessions: an interpreter and a directory that last, in each tier."""

import asyncio
import os
import threading
import time

import pytest

from llm_gym.errors import SandboxFault
from llm_gym.sandbox import RunLimits, Status, open_sandbox


@pytest.fixture(scope="module", params=("ns", "landlock"))
def sandbox(request):
    with open_sandbox(tiers=(request.param,), zygotes=1) as opened:
        yield opened


@pytest.fixture
def session(sandbox):
    with sandbox.session(files={"given/a.txt": "given"}) as opened:
        yield opened


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("1 + 1", "2\n"),
        ("'text'", "'text'\n"),
        ("None", ""),
        ("x = 5", ""),
        ("x = 5\nx * 2", "10\n"),
        ("3\n4", "4\n"),
        ("print(3)", "3\n"),
        ("for i in range(2): i", ""),
        ("", ""),
        ("def f():\n    return 7\nf()", "7\n"),
    ],
)
def test_the_value_of_a_last_expression_is_shown(session, code, shown):
    result = session.execute(code)
    assert (result.stdout, result.stderr, result.status) == (shown, "", Status.OK)


def test_names_last(session):
    session.execute("import math\nclass A: pass\ndef f(): return math.pi")
    assert session.execute("f() > 3, A.__module__").stdout == "(True, '__main__')\n"


def test_an_exception_is_shown_and_the_session_goes_on(session):
    session.execute("x = 3")
    result = session.execute("def f():\n    1 / 0\nf()")
    assert (result.status, result.exit_code) == (Status.NONZERO, 1)
    assert result.stderr.startswith(
        'Traceback (most recent call last):\n  File "<code>'
    )
    assert "ZeroDivisionError" in result.stderr
    assert session.execute("x").stdout == "3\n"


def test_a_syntax_error_shows_no_file_of_the_host(session):
    result = session.execute("x ==== 3")
    assert "SyntaxError" in result.stderr
    assert "/" not in result.stderr


def test_what_goes_to_the_descriptors_is_captured_too(session):
    result = session.execute(
        "import os, sys\nos.write(1, b'one ')\nprint('two')\nos.write(2, b'three')"
    )
    assert (result.stdout, result.stderr) == ("one two\n5\n", "three")


def test_the_same_directory_is_seen_by_all(session):
    session.execute("open('made.txt', 'w').write('made')")
    session.write_file("new/deep/file.txt", "new")
    program = "print(open('made.txt').read(), open('new/deep/file.txt').read())"
    assert session.run(program).stdout == "made new\n"
    session.run("open('by_run', 'w').write('z')")
    assert session.read_file("by_run") == b"z"
    assert session.list_files() == [
        "by_run",
        "given/a.txt",
        "made.txt",
        "new/deep/file.txt",
    ]


def test_what_the_host_wrote_the_model_can_change(session):
    session.write_file("f", "one")
    session.execute("open('f', 'a').write(' two')")
    session.write_file("f", session.read_file("f") + b" three")
    assert session.read_file("f") == b"one two three"
    session.write_file("f", "short")
    assert session.read_file("f") == b"short"


def test_a_run_does_not_see_the_interpreters_names_nor_end_it(session):
    session.execute("x = 1")
    assert session.run("print(x)").status is Status.NONZERO
    assert session.run("print(input())", stdin="in").stdout == "in\n"
    assert session.execute("x").stdout == "1\n"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("while True: pass", Status.TIMEOUT),
        ("print('x' * 100_000)", Status.OUTPUT_LIMIT),
        ("import os; os._exit(3)", Status.NONZERO),
        ("import sys; sys.exit(0)", Status.OK),
        ("import ctypes; ctypes.string_at(0)", Status.SIGNAL),
    ],
)
def test_an_end_starts_a_new_interpreter_on_the_same_files(session, code, status):
    session.execute("x = 1; open('kept', 'w').write('kept')")
    limits = RunLimits(wall_seconds=0.3, output_bytes=2000)
    assert session.execute(code, limits=limits).status is status
    assert session.execute("x").status is Status.NONZERO
    assert session.execute("open('kept').read()").stdout == "'kept'\n"


def test_processor_time_is_bounded_for_each_call(session):
    limits = RunLimits(wall_seconds=20, cpu_seconds=0.2)
    for _ in range(3):
        result = session.execute("for i in range(10**5): pass", limits=limits)
        assert result.status is Status.OK
    assert session.execute("while 1: pass", limits=limits).status is Status.TIMEOUT


def test_memory_is_the_sessions(sandbox):
    with sandbox.session(limits=RunLimits(memory_bytes=64 * 2**20)) as session:
        result = session.execute("x = bytearray(100 * 2**20)")
        assert result.status is Status.OUT_OF_MEMORY
        assert session.execute("1").ok


def test_a_background_thread_cannot_run_for_ever(sandbox):
    limits = RunLimits(cpu_seconds=0.3)
    with sandbox.session(limits=limits) as session:
        session.execute(
            "import threading\n"
            "def spin():\n    while True: pass\n"
            "threading.Thread(target=spin, daemon=True).start()"
        )
        deadline = time.monotonic() + 10
        while (r := session.execute("1", limits=limits)).ok:
            assert time.monotonic() < deadline
            time.sleep(1.5)
        assert r.status in (Status.TIMEOUT, Status.NONZERO)


@pytest.mark.parametrize("forged", ["b'xxxxxxxx'", "b'x'", "b'y' * 3000"])
def test_a_forged_answer_ends_the_interpreter(session, forged):
    result = session.execute(f"import os; os.write(4, {forged}); print('after')")
    assert result.status is Status.DENIED
    assert "its sandbox's own channel" in result.reason
    assert session.execute("1").stdout == "1\n"


def test_closing_the_channel_ends_the_interpreter(session):
    result = session.execute("import os; os.close(4)")
    assert not result.ok
    assert session.execute("2").stdout == "2\n"


def test_long_code_reaches_the_interpreter(session):
    text = "x" * 3_000_000
    assert session.execute(f"len('{text}')").stdout == "3000000\n"


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a\0b", ""])
def test_a_path_outside_is_the_callers_mistake(session, path):
    with pytest.raises(ValueError, match="a path must be relative"):
        session.read_file(path)
    with pytest.raises(ValueError, match="a path must be relative"):
        session.write_file(path, "x")


def test_links_fifos_and_giants_are_not_read(session, sandbox):
    session.execute(
        "import os\nos.symlink('/etc/passwd', 'link')\nos.symlink('/etc', 'etc')\n"
        "os.mkdir('directory')\n"
        "open('giant', 'w').truncate(60 * 2**20)"
    )
    for path in ("link", "etc/passwd", "directory"):
        with pytest.raises(OSError, match=r"link|regular|directory"):
            session.read_file(path)
        with pytest.raises(OSError, match=r"link|regular|directory"):
            session.write_file(path, "x")
    with pytest.raises(OSError, match="longer than 1000 bytes"):
        session.read_file("giant", max_bytes=1000)
    with pytest.raises(FileNotFoundError):
        session.read_file("absent")
    assert session.list_files() == ["giant", "given/a.txt"]


def test_too_many_files_are_not_listed(sandbox):
    with sandbox.session(limits=RunLimits(files=20)) as session:
        session.execute("for i in range(19): open(str(i), 'w').close()")
        assert len(session.list_files()) == 19
        if sandbox.isolation == "landlock":
            session.execute("for i in range(19, 30): open(str(i), 'w').close()")
            with pytest.raises(OSError, match="more than 20 files"):
                session.list_files()


def test_a_host_file_beyond_the_disk_is_refused(sandbox):
    with (
        sandbox.session(limits=RunLimits(disk_bytes=1000)) as session,
        pytest.raises(OSError, match="longer than the 1000 bytes"),
    ):
        session.write_file("f", "x" * 1001)


def test_shell_in_a_session(session, sandbox):
    if sandbox.isolation == "landlock":
        with pytest.raises(ValueError, match='"landlock" tier'):
            session.run("ls", language="shell")
    else:
        assert session.run("ls", language="shell").stdout == "given\n"


def test_many_sessions_at_once(sandbox):
    sessions = [sandbox.session() for _ in range(24)]
    for number, session in enumerate(sessions):
        session.execute(f"x = {number}")
    assert [s.execute("x").stdout for s in sessions] == [f"{n}\n" for n in range(24)]
    for session in sessions:
        session.close()


def test_threads_take_turns(session):
    session.execute("seen = []")
    threads = [
        threading.Thread(target=session.execute, args=(f"seen.append({i})",))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.execute("sorted(seen)").stdout == f"{list(range(8))}\n"


def test_a_closed_session_says_so(sandbox):
    session = sandbox.session()
    session.execute("1")
    session.close()
    session.close()
    for action in (
        lambda: session.execute("1"),
        lambda: session.run("1"),
        session.list_files,
    ):
        with pytest.raises(ValueError, match="this session is closed"):
            action()


def test_a_killed_zygote_is_a_fault_of_the_session(sandbox):
    session = sandbox.session()
    session.execute("1")
    os.kill(sandbox._hosts[-1].pid, 9)
    with pytest.raises(SandboxFault):
        session.execute("while True: pass")
    with pytest.raises(SandboxFault):
        session.execute("1")
    session.close()
    with sandbox.session() as other:
        assert other.execute("1").ok


def test_closing_ends_a_call_of_another_thread(sandbox):
    session = sandbox.session()
    session.execute("1")
    faults = []

    def work():
        try:
            session.execute("while True: pass", limits=RunLimits(wall_seconds=30))
        except SandboxFault as fault:
            faults.append(fault)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.2)
    session.close()
    thread.join(5)
    assert len(faults) == 1


def test_event_loops_use_a_session_too(session):
    async def both():
        await session.aexecute("x = 20")
        shown = await session.aexecute("x + 1")
        ran = await session.arun("print(open('given/a.txt').read())")
        return shown.stdout, ran.stdout

    assert asyncio.run(both()) == ("21\n", "given\n")


@pytest.mark.parametrize("call", ["aexecute", "arun"])
def test_a_cancelled_call_is_ended(session, call):
    async def cancelled():
        session.execute("x = 1")
        long = getattr(session, call)("import time\ntime.sleep(8)")
        began = time.monotonic()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(long, 0.3)
        return time.monotonic() - began

    assert asyncio.run(cancelled()) < 4.0
    names = session.execute("'x' in globals()").stdout
    assert names == ("True\n" if call == "arun" else "False\n")


def test_a_call_that_is_cancelled_before_its_turn_ends_no_other(session):
    async def two():
        first = asyncio.ensure_future(
            session.aexecute("import time\ntime.sleep(1)\nprint('right')")
        )
        await asyncio.sleep(0.2)
        second = asyncio.ensure_future(session.aexecute("y = 1"))
        await asyncio.sleep(0.2)
        second.cancel()
        return (await first).stdout

    assert asyncio.run(two()) == "right\n"
    assert session.execute("'y' in globals()").stdout == "False\n"
