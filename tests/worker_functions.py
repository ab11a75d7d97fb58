"""What the tests of `KillableWorker` have called in its processes."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WARMED: list[int] = []


def warm_up() -> None:
    """Say that it was called."""
    WARMED.append(os.getpid())


def echo(value: Any) -> Any:
    """Return the value."""
    return value


def warmed() -> list[int]:
    """Return how often `warm_up` ran, and this process."""
    return [len(WARMED), WARMED[0], os.getpid()]


def burn(digits: int) -> int:
    """Work in C without ever giving the interpreter back."""
    return len(str(9 ** (10**digits)))


def idle(seconds: float) -> str:
    """Sleep."""
    time.sleep(seconds)
    return "slept"


def crowded(seconds: float, processor: int) -> list[float]:
    """Use the processor for so long, on one that others use too."""
    os.sched_setaffinity(0, {processor})
    used, wall = time.process_time(), time.perf_counter()
    while time.process_time() - used < seconds:
        pass
    return [time.process_time() - used, time.perf_counter() - wall]


def stopped(_: int) -> None:
    """Stop the whole process, as no signal handler could."""
    os.kill(os.getpid(), signal.SIGSTOP)


def die_once(path: str) -> str:
    """Die, but only the first time."""
    if Path(path).exists():
        return "alive"
    Path(path).touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def die(number: int) -> None:
    """Die."""
    os.kill(os.getpid(), number)


def fail(text: str) -> None:
    """Raise."""
    raise LookupError(text)


def leave() -> None:
    """Try to end the process."""
    sys.exit(3)


def chatter(text: str) -> str:
    """Print on every stream, and try to read one."""
    sys.stdout.write(text)
    sys.stdout.flush()
    os.write(1, text.encode())
    sys.stderr.write(text)
    sys.stderr.flush()
    return sys.stdin.read() + text


def grow(megabytes: int) -> int:
    """Take memory."""
    return len(bytearray(megabytes * 2**20))


def no_json() -> object:
    """Return what JSON cannot carry."""
    return object()


def reach(path: str) -> list[str]:
    """Try what no grader needs; return what could be done."""
    done = []
    with contextlib.suppress(OSError):
        Path(path).write_text("x")
        done.append("wrote")
    with contextlib.suppress(OSError):
        subprocess.run(["/bin/true"], check=True)
        done.append("started")
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
        done.append("connected")
    return done


def surroundings() -> dict[str, Any]:
    """Tell of the process."""
    return {
        "environment": sorted(os.environ),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "cpu": resource.getrlimit(resource.RLIMIT_CPU)[0],
        "memory": resource.getrlimit(resource.RLIMIT_AS)[0],
        "descriptors": sorted(int(p.name) for p in Path("/proc/self/fd").iterdir()),
        "session": os.getsid(0) == os.getpid(),
        "directory": os.getcwd(),  # noqa: PTH109
    }
