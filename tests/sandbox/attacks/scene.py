"""The host that is attacked: secrets, servers and victims, and a look at them after."""

# ruff: noqa: PTH111, PTH208
# (paths as strings)

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import secrets
import selectors
import shutil
import socket
import stat
import sysconfig
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

from tests.sandbox.attacks.model import LIMITS
from tests.sandbox.processes import descendants, private_bytes

__all__ = ["Scene"]

NOBODY = 65534
_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmat.restype = ctypes.c_void_p
_libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
_libc.shmdt.argtypes = [ctypes.c_void_p]
_WATCHED_SETTINGS = (
    "kernel/hostname",
    "kernel/domainname",
    "kernel/core_pattern",
    "kernel/threads-max",
    "kernel/pid_max",
    "kernel/shmmax",
    "vm/overcommit_memory",
    "user/max_user_namespaces",
    "net/ipv4/ip_forward",
)

_PLACES = """/ /tmp /var/tmp /dev/shm /run /run/lock /root /etc /etc/cron.d
/etc/profile.d /usr/lib /home /var/spool/cron /dev/mqueue"""


class Scene:
    """All that stands around a sandbox, made before it and looked at after each attack.

    Everything secret is a random text that no program is told, so that finding it in a
    run's output, in a file or at a server proves that it was read.
    """

    def __init__(self) -> None:
        self.token = secrets.token_hex(6)
        self.secrets: dict[str, str] = {}
        self.notes: list[str] = []
        self.arrived: list[str] = []
        self._more_limits: dict[str, Any] = {}
        self._stop = threading.Event()
        self.directory = Path(tempfile.mkdtemp(prefix="host-"))
        self.directory.chmod(0o755)
        self._make_files()
        self._make_shared_memory()
        self._make_servers()
        self._open_descriptors()
        self.victims = self._start_victims()
        os.environ["ATTACKED_SECRET"] = self.secret("environ")
        self.known = {os.getpid(), *self.victims}
        self.values = self._values()

    def secret(self, name: str) -> str:
        """Return a secret, made when it is first asked for."""
        return self.secrets.setdefault(name, f"CANARY-{name}-{secrets.token_hex(16)}")

    def limits(self, **changes: Any) -> Any:
        """Return the limits of the attack that runs."""
        from llm_gym.sandbox.base import RunLimits

        return RunLimits(**{**LIMITS, **self._more_limits, **changes})

    def begin(self, more_limits: dict[str, Any]) -> None:
        """Forget what was noted of the attack before."""
        self._more_limits = more_limits
        self.notes.clear()
        self.arrived.clear()

    def note(self, what: str) -> None:
        """Note a breach that the attack's driver saw."""
        self.notes.append(what)

    def look(self, data: bytes) -> None:
        """Note every secret in some bytes."""
        for name, secret in self.secrets.items():
            if secret.encode() in data:
                self.note(f"the secret {name!r} was read")

    def fill_in(self, program: str) -> str:
        """Put the scene's values into a program."""
        for name, value in self.values.items():
            program = program.replace(f"@{name}@", value)
        return program

    def _make_files(self) -> None:
        self.secret_file = self.directory / "secret.txt"
        self.secret_file.write_text(self.secret("file"))
        self.open_directory = self.directory / "open"
        self.open_directory.mkdir()
        self.open_directory.chmod(0o777)
        self.open_file = self.open_directory / "file.txt"
        self.open_file.write_text(self.secret("open file"))
        self.open_file.chmod(0o666)
        program = self.open_directory / "program"
        program.write_text(f"#!/bin/sh\necho {self.secret('program')}\n")
        program.chmod(0o755)
        self.home = self.directory / "home"
        self.home.mkdir()
        self.home.chmod(0o777)
        (self.home / "secret.txt").write_text(self.secret("home"))
        (self.home / ".bashrc").write_text(f"# {self.secret('bashrc')}\n")

    def _make_shared_memory(self) -> None:
        self.shm_file = Path(f"/dev/shm/host-{self.token}")
        self.shm_file.write_text(self.secret("posix shared memory"))
        self.shm_file.chmod(0o666)
        self.shm_key = 0x5AFE0000 | secrets.randbelow(2**16)
        self.shm_id = _libc.shmget(self.shm_key, 4096, 0o1666)
        at = _libc.shmat(self.shm_id, None, 0)
        text = self.secret("system v shared memory").encode()
        ctypes.memmove(at, text, len(text))
        _libc.shmdt(at)

    def _make_servers(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.unix = str(self.open_directory / "stream.sock")
        self.unix_datagram = str(self.open_directory / "datagram.sock")
        self.abstract = f"host-{self.token}"
        tcp = self._serve(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        self.tcp_port = tcp.getsockname()[1]
        with contextlib.suppress(OSError):  # some machines have no IPv6
            self._serve(socket.AF_INET6, socket.SOCK_STREAM, ("::1", self.tcp_port))
        udp = self._serve(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        self.udp_port = udp.getsockname()[1]
        self._serve(socket.AF_UNIX, socket.SOCK_STREAM, self.unix)
        self._serve(socket.AF_UNIX, socket.SOCK_DGRAM, self.unix_datagram)
        self._serve(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + self.abstract)
        self._serve(socket.AF_UNIX, socket.SOCK_DGRAM, "\0" + self.abstract + "-d")
        for path in (self.unix, self.unix_datagram):
            Path(path).chmod(0o777)
        free = socket.socket()
        free.bind(("127.0.0.1", 0))
        self.free_port = free.getsockname()[1]
        free.close()
        self._server = threading.Thread(target=self._answer, daemon=True)
        self._server.start()

    def _serve(self, family: int, kind: int, address: Any) -> socket.socket:
        server = socket.socket(family, kind)
        server.bind(address)
        if kind == socket.SOCK_STREAM:
            server.listen()
        server.setblocking(False)
        self._selector.register(server, selectors.EVENT_READ, str(address))
        return server

    def _answer(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.1):
                server: Any = key.fileobj
                self.arrived.append(f"something reached the server at {key.data!r}")
                try:
                    if server.type == socket.SOCK_DGRAM:
                        server.recv(65536)
                    else:
                        connection, _ = server.accept()
                        connection.sendall(self.secret("server").encode())
                        connection.close()
                except OSError:
                    continue

    def _open_descriptors(self) -> None:
        """Leave open what a careless program would hand down to its children."""
        self._held = [os.open(self.secret_file, os.O_RDONLY)]
        self._held.append(os.open(self.open_file, os.O_RDWR))
        self._held.append(os.open(self.directory, os.O_RDONLY))
        reader, writer = os.pipe()
        os.write(writer, self.secret("pipe").encode())
        self._held += [reader, writer]
        for fd in self._held:
            os.set_inheritable(fd, True)

    def _start_victims(self) -> list[int]:
        """Start processes that hold secrets, as every user that a program might be."""
        victims = [self._start_victim(os.getuid())]
        if os.getuid() == 0:
            victims.append(self._start_victim(NOBODY))
        return victims

    def _start_victim(self, uid: int) -> int:
        text = ["/bin/sh", "-c", "read nothing", self.secret(f"command {uid}")]
        environment = {"SECRET": self.secret(f"victim {uid}")}
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            os.dup2(reader, 0)
            os.closerange(3, 256)
            if uid != os.getuid():
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            os.execve(text[0], text, environment)
        os.close(reader)
        self._held.append(writer)
        return pid

    def _values(self) -> dict[str, str]:
        return {
            "TOKEN": self.token,
            "SECRET_FILE": str(self.secret_file),
            "OPEN_DIR": str(self.open_directory),
            "OPEN_FILE": str(self.open_file),
            "TMP": str(self.directory),
            "HOME": str(self.home),
            "CWD": str(Path.cwd()),
            "SHM_FILE": str(self.shm_file),
            "SHM_ID": str(self.shm_id),
            "SHM_KEY": str(self.shm_key),
            "TCP": str(self.tcp_port),
            "UDP": str(self.udp_port),
            "UNIX": self.unix,
            "UNIX_DGRAM": self.unix_datagram,
            "ABSTRACT": self.abstract,
            "ABSTRACT_DGRAM": self.abstract + "-d",
            "FREE_PORT": str(self.free_port),
            "TRAINER": str(os.getpid()),
            "PIDS": str(self.victims),
            "CHECKOUT": str(Path(__file__).parents[3]),
        }

    def state(self) -> dict[str, object]:
        """Return everything that no program may change."""
        seen: dict[str, object] = {}
        for pid in (os.getpid(), os.getppid(), *self.victims):
            seen[f"process {pid}"] = _settings(pid)
        for top in (self.directory, self.shm_file, *_library_files()):
            seen[str(top)] = [_describe(path) for path in _below(Path(top))]
        for name in _WATCHED_SETTINGS:
            path = Path("/proc/sys", name)
            seen[name] = path.read_text() if path.exists() else None
        for name in ("shm", "sem", "msg"):
            table = Path("/proc/sysvipc", name)
            rows = table.read_text().splitlines()[1:] if table.exists() else []
            # By key or size: other programs of the machine make objects too.
            ours = [r.split() for r in rows]
            seen[f"system v {name}"] = sorted(
                row[:2] for row in ours if int(row[0]) == 0x5AFE or str(2**25) in row
            )
        seen["clock"] = round((time.time() - time.monotonic()) / 5)
        seen["umask and directory"] = (_umask(), str(Path.cwd()))
        return seen

    def left_over(self) -> list[str]:
        """Return the files anywhere that bear the attack's token."""
        places = [
            *_PLACES.split(),
            os.path.expanduser("~"),
            str(Path.cwd()),
            tempfile.gettempdir(),
            sysconfig.get_path("stdlib"),
            sysconfig.get_path("purelib"),
        ]
        found = []
        for place in places:
            try:
                names = os.listdir(place)
            except OSError:
                continue
            found += [f"{place}/{n}" for n in names if f"attack-{self.token}" in n]
        abstract = Path("/proc/net/unix").read_text().splitlines()
        found += [line for line in abstract if f"attack-{self.token}" in line]
        if Path("/proc/keys").exists():
            keys = Path("/proc/keys").read_text().splitlines()
            found += [key for key in keys if f"attack-{self.token}" in key]
        for here, _, names in os.walk(self.directory):
            found += [f"{here}/{n}" for n in names if f"attack-{self.token}" in n]
        return found

    def strangers(self) -> list[int]:
        """Return the processes beneath this one, but for the victims."""
        return [pid for pid in descendants(os.getppid()) if pid not in self.known]

    def memory(self) -> int:
        """Return the private bytes of all those processes."""
        return sum(private_bytes(pid) for pid in self.strangers())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._server.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        for fd in self._held:
            os.close(fd)
        for pid in self.victims:
            try:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        _libc.shmctl(self.shm_id, 0, None)
        self.shm_file.unlink(missing_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _settings(pid: int) -> object:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        state = [line for line in status.splitlines() if line.startswith("State")]
        return (
            state[0].split()[1] in "TtZX",
            sorted(os.sched_getaffinity(pid)),
            os.getpriority(os.PRIO_PROCESS, pid),
            os.sched_getscheduler(pid),
            [resource.prlimit(pid, kind) for kind in range(16)],
            _libc.syscall(252, 1, pid),  # ioprio_get
            Path(f"/proc/{pid}/oom_score_adj").read_text(),
        )
    except (ProcessLookupError, FileNotFoundError):
        return "gone"
    except PermissionError:
        return "not ours"


def _below(top: Path) -> list[Path]:
    if not top.is_dir():
        return [top]
    return [top, *sorted(top.rglob("*"))]


def _describe(path: Path) -> tuple[object, ...]:
    try:
        found = path.lstat()
    except OSError:
        return (path.name, "gone")
    content = b""
    if stat.S_ISREG(found.st_mode) and found.st_size < 2**16:
        content = path.read_bytes()
    names = os.listxattr(path, follow_symlinks=False)
    when = 0 if stat.S_ISDIR(found.st_mode) else found.st_mtime_ns
    return (
        path.name,
        found.st_mode,
        found.st_uid,
        found.st_nlink,
        when,
        content,
        names,
    )


def _library_files() -> list[str]:
    import json

    return [json.__file__, os.__file__]
