"""One run after another, in each tier that this machine has."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from llm_gym.errors import SandboxFault
from llm_gym.sandbox import RunLimits, Status, open_sandbox

TIERS = ("ns", "landlock")


@pytest.fixture(scope="module", params=TIERS)
def sandbox(request):
    with open_sandbox(tiers=(request.param,), zygotes=2) as opened:
        yield opened


def test_a_program_prints_and_says_what_kept_it_in(sandbox):
    result = sandbox.run("print(1 + 1)")
    assert (result.stdout, result.stderr, result.exit_code) == ("2\n", "", 0)
    assert result.ok
    assert result.isolation == sandbox.isolation
    assert 0 < result.cpu_seconds < 5
    assert result.wall_seconds > 0
    assert result.peak_memory_bytes > 2**20


def test_files_and_stdin_reach_the_program(sandbox):
    files = {"a/b.txt": "text", "c.bin": b"\x00\xff", "helper.py": "value = 7"}
    program = (
        "import helper\n"
        "print(open('a/b.txt').read(), open('c.bin', 'rb').read(), helper.value)\n"
        "print(input(), input())"
    )
    result = sandbox.run(program, files=files, stdin="one\ntwo\n")
    assert result.stdout == "text b'\\x00\\xff' 7\none two\n"


def test_the_directory_is_empty_and_nothing_in_it_stays(sandbox):
    program = "import os; print(os.listdir('.')); open('left', 'w').write('x')"
    assert [sandbox.run(program).stdout for _ in range(2)] == ["[]\n", "[]\n"]


def test_stdin_cannot_be_written_to(sandbox):
    program = "import os\ntry: os.write(0, b'x')\nexcept OSError: print('refused')"
    assert sandbox.run(program, stdin="abc").stdout == "refused\n"


@pytest.mark.parametrize(
    ("program", "code", "status"),
    [
        ("pass", 0, Status.OK),
        ("import sys; sys.exit(3)", 3, Status.NONZERO),
        ("import sys; sys.exit('words')", 1, Status.NONZERO),
        ("raise SystemExit", 0, Status.OK),
        ("1/0", 1, Status.NONZERO),
        ("def f(:", 1, Status.NONZERO),
        ("import os; os._exit(9)", 9, Status.NONZERO),
        ("import ctypes; ctypes.string_at(0)", -11, Status.SIGNAL),
        ("x = bytearray(2**40)", 1, Status.OUT_OF_MEMORY),
        ("open('/etc/passwd', 'w')", 1, Status.DENIED),
        ("try: x = bytearray(2**40)\nexcept MemoryError: pass", 0, Status.OK),
    ],
)
def test_a_program_ends_with_its_own_status(sandbox, program, code, status):
    result = sandbox.run(program)
    if "passwd" in program and sandbox.isolation == "ns":
        status = Status.NONZERO  # there is no such file
    assert (result.exit_code, result.status) == (code, status)


def test_an_exception_is_shown_as_python_shows_it(sandbox):
    result = sandbox.run("def f():\n    return 1 / 0\nf()")
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert 'File "main.py", line 2, in f' in result.stderr
    assert "return 1 / 0" in result.stderr
    assert "sandbox" not in result.stderr


def test_exit_functions_threads_and_open_files_end_as_in_python(sandbox):
    program = (
        "import atexit, threading, time\n"
        "atexit.register(print, 'exit')\n"
        "threading.Thread(target=lambda: (time.sleep(.01), print('thread'))).start()\n"
        "print('main')"
    )
    assert sandbox.run(program).stdout == "main\nthread\nexit\n"


def test_two_runs_are_the_same_to_the_byte(sandbox):
    program = (
        "import random\nprint(random.random(), hash('x'), object())\n"
        "print(__name__, __import__('sys').argv)"
    )
    assert sandbox.run(program).stdout == sandbox.run(program).stdout


@pytest.mark.parametrize(
    "program", ["while True: pass", "import time; time.sleep(60)", "input()"]
)
def test_a_wall_clock_limit_ends_a_program(sandbox, program):
    limits = RunLimits(wall_seconds=0.2)
    result = sandbox.run(program, limits=limits)
    if program == "input()":
        assert result.status is Status.NONZERO  # the end of an empty stdin
        return
    assert (result.status, result.exit_code) == (Status.TIMEOUT, -9)
    assert result.reason == "it ran longer than 0.2 s"
    assert result.wall_seconds < 1.7


def test_a_processor_limit_ends_a_program(sandbox):
    limits = RunLimits(wall_seconds=20, cpu_seconds=0.1)
    result = sandbox.run("while True: pass", limits=limits)
    assert result.status is Status.TIMEOUT
    assert result.reason == "it used more than 0.1 s of processor time"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_too_much_output_ends_a_program(sandbox, stream):
    program = f"import sys\nwhile True: sys.{stream}.write('x' * 1000)"
    result = sandbox.run(program, limits=RunLimits(output_bytes=5000))
    assert (result.status, result.truncated, result.ok) == (
        Status.OUTPUT_LIMIT,
        True,
        False,
    )
    assert len(getattr(result, stream)) == 5000


def test_just_enough_output_is_no_offence(sandbox):
    result = sandbox.run("print('x' * 4999)", limits=RunLimits(output_bytes=5000))
    assert (result.status, result.truncated) == (Status.OK, False)


def test_bad_bytes_are_replaced(sandbox):
    assert sandbox.run("import os; os.write(1, b'a\\xff')").stdout == "a\ufffd"


def test_writing_too_much_ends_a_program(sandbox):
    program = "f = open('big', 'wb')\nwhile True: f.write(b'x' * 65536)"
    result = sandbox.run(program, limits=RunLimits(disk_bytes=2**20))
    assert result.status is Status.DISK_LIMIT


def test_many_deleted_files_count_as_well(sandbox):
    program = (
        "import os\nheld = []\nwhile True:\n"
        "    f = open('x', 'wb'); f.write(b'x' * 500_000); os.unlink('x')\n"
        "    held.append(f)"
    )
    result = sandbox.run(program, limits=RunLimits(disk_bytes=2**20, wall_seconds=20))
    assert result.status in (Status.DISK_LIMIT, Status.NONZERO)
    assert result.status is Status.DISK_LIMIT or "Too many open" in result.stderr


def test_too_many_files_end_a_program(sandbox):
    program = "i = 0\nwhile True:\n    open(str(i), 'w').close(); i += 1"
    limits = RunLimits(files=50, wall_seconds=20)
    assert sandbox.run(program, limits=limits).status is Status.DISK_LIMIT


def test_directories_without_end_are_ended_and_removed(sandbox):
    program = "import os\nwhile True:\n    os.mkdir('d' * 200); os.chdir('d' * 200)"
    result = sandbox.run(program, limits=RunLimits(wall_seconds=5))
    assert result.status is Status.DISK_LIMIT


@pytest.mark.parametrize("path", ["/etc/x", "../x", "", "a/../../x", "a\0b", "x" * 300])
def test_a_path_outside_is_the_callers_mistake(sandbox, path):
    with pytest.raises(ValueError, match=r"path"):
        sandbox.run("pass", files={path: "x"})


def test_files_beyond_the_limits_are_the_callers_mistake(sandbox):
    with pytest.raises(ValueError, match="exceed the limits of 1024 files and 10"):
        sandbox.run("pass", files={"a": "x" * 11}, limits=RunLimits(disk_bytes=10))
    with pytest.raises(ValueError, match="cannot be both a file and a directory"):
        sandbox.run("pass", files={"a": "x", "a/b": "y"})


def test_many_small_files_fit_within_their_bytes(sandbox):
    files = {f"d{i}/f": "x" for i in range(100)}
    limits = RunLimits(disk_bytes=100, files=200)
    program = "import os; print(len(os.listdir('.')))"
    assert sandbox.run(program, files=files, limits=limits).stdout == "100\n"


def test_tiny_limits_are_the_programs_loss_and_no_fault(sandbox):
    limits = RunLimits(memory_bytes=1, disk_bytes=1, files=1, processes=1)
    result = sandbox.run("x = 'a' * 10_000_000", limits=limits)
    assert result.status is Status.OUT_OF_MEMORY


def test_an_unknown_language_is_the_callers_mistake(sandbox):
    with pytest.raises(ValueError, match=r'must be "python" or "shell".*not \'cobol\''):
        sandbox.run("x", language="cobol")


def test_shell_runs_in_namespaces_only(sandbox):
    if sandbox.isolation == "landlock":
        with pytest.raises(ValueError, match='"landlock" tier starts no processes'):
            sandbox.run("echo hi", language="shell")
        return
    result = sandbox.run(
        "cat f; read x; echo $x | tr a b; exit 4",
        language="shell",
        files={"f": "file\n"},
        stdin="aa\n",
    )
    assert (result.stdout, result.exit_code) == ("file\nbb\n", 4)


def test_many_threads_share_a_sandbox(sandbox):
    results = {}

    def work(number):
        results[number] = sandbox.run(f"print({number})").stdout

    threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: f"{i}\n" for i in range(12)}


def test_arun_does_not_hold_the_loop(sandbox):
    async def both():
        return await asyncio.gather(*(sandbox.arun(f"print({i})") for i in range(5)))

    assert [r.stdout for r in asyncio.run(both())] == [f"{i}\n" for i in range(5)]


def test_a_cancelled_run_is_ended(sandbox):
    async def give_up():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sandbox.arun("while True: pass"), 0.2)

    asyncio.run(give_up())
    began = time.monotonic()
    assert sandbox.run("print(1)").ok
    assert time.monotonic() - began < 5


def test_a_descendant_does_not_outlive_its_run():
    with open_sandbox(tiers=("ns",), zygotes=1) as sandbox:
        program = (
            "import os, time\n"
            "for _ in range(3):\n"
            "    if os.fork() == 0:\n"
            "        os.setsid(); time.sleep(60)\n"
            "print('out')"
        )
        began = time.monotonic()
        result = sandbox.run(program)
        assert (result.status, result.stdout) == (Status.OK, "out\n")
        assert time.monotonic() - began < 5
        zygote = sandbox._idle[0].pid
        children = Path(f"/proc/{zygote}/task/{zygote}/children").read_text()
        assert children == ""


def test_memory_of_all_processes_counts():
    with open_sandbox(tiers=("ns",), zygotes=1) as sandbox:
        program = (
            "import os, time\n"
            "for _ in range(8):\n"
            "    if os.fork() == 0:\n"
            "        x = bytearray(40 * 2**20); time.sleep(10)\n"
            "time.sleep(10)"
        )
        result = sandbox.run(program, limits=RunLimits(memory_bytes=100 * 2**20))
        assert result.status is Status.OUT_OF_MEMORY
        assert result.peak_memory_bytes > 100 * 2**20


def test_shared_memory_that_no_process_shows_counts():
    with open_sandbox(tiers=("ns",), zygotes=1) as sandbox:
        program = (
            "import mmap, os, time\n"
            "held = []\n"
            "for _ in range(4):\n"
            "    m = mmap.mmap(-1, 60 * 2**20); held.append(m)\n"
            "    if len(held) == 2: os.fork() and held.clear()\n"
            "    if os.fork() == 0: m.write(b'x' * len(m)); os._exit(0)\n"
            "time.sleep(10)"
        )
        result = sandbox.run(program, limits=RunLimits(memory_bytes=130 * 2**20))
        assert result.status in (Status.OUT_OF_MEMORY, Status.NONZERO)


def test_a_fork_bomb_meets_its_limit():
    with open_sandbox(tiers=("ns",), zygotes=1) as sandbox:
        program = "import os\nwhile True: os.fork()"
        result = sandbox.run(program, limits=RunLimits(processes=8, wall_seconds=3))
        assert result.status in (Status.NONZERO, Status.TIMEOUT)
        assert "BlockingIOError" in result.stderr


def test_no_python_path_is_there_unless_given(sandbox, tmp_path):
    os.chmod(tmp_path, 0o755)  # noqa: PTH101  # pytest shuts it to others
    (tmp_path / "extra_module.py").write_text("x = 5")
    program = "import extra_module; print(extra_module.x)"
    assert sandbox.run(program).status is Status.NONZERO


def test_a_closed_sandbox_says_so():
    sandbox = open_sandbox(zygotes=1)
    sandbox.close()
    sandbox.close()
    with pytest.raises(ValueError, match="this sandbox is closed"):
        sandbox.run("pass")
    with pytest.raises(ValueError, match="this sandbox is closed"):
        sandbox.session()


def test_closing_ends_what_runs():
    sandbox = open_sandbox(zygotes=1)
    failures = []

    def work():
        try:
            sandbox.run("while True: pass", limits=RunLimits(wall_seconds=30))
        except SandboxFault as fault:
            failures.append(fault)

    thread = threading.Thread(target=work)
    thread.start()
    while not sandbox._busy:
        time.sleep(0.01)
    sandbox.close()
    thread.join(10)
    assert len(failures) == 1
