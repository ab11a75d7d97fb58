"""A process that keeps what a test runs from hurting the machine.

It starts a program, as another user if asked, takes in every orphan, and kills all of
it when there are too many processes, too much memory, or too little time, and at the
end.

    python -m tests.sandbox.guard SECONDS USER PROGRAM ARGUMENT ...
"""

# ruff: noqa: PTH101, PTH102, PTH106, PTH118, PTH119
# (paths as strings)

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.sandbox.processes import descendants, private_bytes, threads

CHECKOUT = Path(__file__).parents[2]
NOBODY = 65534
MOST_THREADS = 1_000
MOST_BYTES = 4 * 2**30
_libc = ctypes.CDLL(None, use_errno=True)


def can_be_another_user() -> bool:
    """Whether this process may become another user."""
    return os.geteuid() == 0


def guarded(
    *module_and_arguments: str, user: str = "same", seconds: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run `python -m ...` under a guard.

    Args:
        module_and_arguments: What to run.
        user: "same", or "other" for one without rights.
        seconds: How long it may take.

    Returns:
        What it wrote; 125 is the guard's own exit code, where it had to end it.
    """
    command = [sys.executable, "-m", __name__, str(seconds), user]
    return subprocess.run(
        [*command, *module_and_arguments],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )


def _readable_by_nobody(paths: list[str]) -> bool:
    """Whether another user can read the interpreter and what it imports."""
    pid = os.fork()
    if pid == 0:
        _become(NOBODY)
        readable = all(os.access(path, os.R_OK | os.X_OK) for path in paths)
        os._exit(0 if readable else 1)
    return os.waitpid(pid, 0)[1] == 0


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _show(paths: list[str], below: str) -> list[str]:
    """Show directories at places that everybody can reach, in this process alone."""
    new_mounts, bind_all, private_all = 0x20000, 4096 | 16384, 16384 | 1 << 18
    if _libc.unshare(new_mounts) or _libc.mount(None, b"/", None, private_all, None):
        raise OSError(ctypes.get_errno(), "mounts of its own are refused")
    shown = []
    for number, path in enumerate(paths):
        place = Path(below, str(number))
        place.mkdir()
        source = os.fsencode(path)
        if _libc.mount(source, os.fsencode(place), None, bind_all, None):
            raise OSError(ctypes.get_errno(), f"{path} could not be shown")
        shown.append(str(place))
    return shown


def _command(user: str, scratch: str, arguments: list[str]) -> tuple[list[str], str]:
    """Return the program to start and its module path; may change what is mounted."""
    places = [str(CHECKOUT), *[p for p in sys.path if p.endswith("-packages")]]
    program, base = os.path.realpath(sys.executable), sys.base_prefix
    if user == "other" and not _readable_by_nobody([base, program, *places]):
        base, *places = _show([base, *places], scratch)
        program = os.path.join(base, "bin", os.path.basename(program))
    return [program, "-W", "ignore", "-m", *arguments], os.pathsep.join(places)


def _start(user: str, scratch: str, arguments: list[str]) -> int:
    command, module_path = _command(user, scratch, arguments)
    temporary = os.path.join(scratch, "tmp")
    os.mkdir(temporary)
    os.chmod(temporary, 0o1777)  # as /tmp
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "PYTHONPATH": module_path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": temporary,
        "HOME": temporary,
        "LLM_GYM_UNSAFE_SANDBOX": os.environ.get("LLM_GYM_UNSAFE_SANDBOX", ""),
        "LLM_GYM_SOAK": os.environ.get("LLM_GYM_SOAK", ""),
    }
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.chdir(temporary)
        if user == "other":
            _become(NOBODY)
        os.execve(command[0], command, environment)
    return pid


def _watch(child: int, deadline: float) -> int:
    """Wait for the child; return its exit code, or 125 where it was ended."""
    while True:
        pid, how = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            return os.waitstatus_to_exitcode(how)
        alive = descendants(os.getpid())
        reason = ""
        if time.monotonic() > deadline:
            reason = "it took too long"
        elif sum(threads(pid) for pid in alive) > MOST_THREADS:
            reason = "there were too many threads"
        elif sum(private_bytes(pid) for pid in alive) > MOST_BYTES:
            reason = "it took too much memory"
        if reason:
            sys.stderr.write(f"the guard ended it: {reason}\n")
            return 125
        time.sleep(0.1)


def _end_all() -> None:
    """Kill everything beneath this process, however it hides."""
    for _ in range(50):
        left = descendants(os.getpid())
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in left:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def main(arguments: list[str]) -> int:
    """Run a program under guard."""
    seconds, user, *program = arguments
    _libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    scratch = tempfile.mkdtemp(prefix="guard-")
    os.chmod(scratch, 0o755)
    try:
        child = _start(user, scratch, program)
        return _watch(child, time.monotonic() + float(seconds))
    finally:
        _end_all()
        # What is nested too deep for Python's own removal is what some attacks leave.
        subprocess.run(["rm", "-rf", os.path.join(scratch, "tmp")], check=False)
        for place in Path(scratch).iterdir():
            _libc.umount2(os.fsencode(place), 2)
            place.rmdir()
        os.rmdir(scratch)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
