"""Secrets that the test lays out around the sandbox."""

# ruff: noqa: E501
# (programs, as they are)

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sandbox.attacks.model import (
    FORKING,
    GO,
    SHOW,
    SYSCALLS,
    WITH_SESSIONS,
    Attack,
)

if TYPE_CHECKING:
    from llm_gym.sandbox.base import Result, Sandbox
    from tests.sandbox.attacks.scene import Scene


def _attack(name: str, program: str, **other: object) -> Attack:
    return Attack(name, "host_data", program, **other)  # type: ignore[arg-type]


def _beside_a_session(sandbox: Sandbox, scene: Scene, program: str) -> list[Result]:
    """Run it while a session holds a secret in a file and in its memory."""
    secret = scene.secret("session")
    with sandbox.session(limits=scene.limits()) as session:
        session.write_file("secret.txt", secret)
        session.execute("held = open('secret.txt').read()")
        return [sandbox.run(program, limits=scene.limits())]


def _after_a_run(sandbox: Sandbox, scene: Scene, program: str) -> list[Result]:
    """Run it after a run whose input and files held a secret."""
    secret = scene.secret("before")
    sandbox.run(
        "import sys\nheld = sys.stdin.read() * 100\nopen('f', 'w').write(held)\n",
        stdin=secret,
        files={"secret.txt": secret},
        limits=scene.limits(),
    )
    return [sandbox.run(program, limits=scene.limits()) for _ in range(2)]


SEARCH = (
    GO
    + """
import re
mark = b"CANARY" + b"-"
def search(maps, memory):
    try: spans = open(maps).read().splitlines()
    except OSError as error:
        print(maps, "refused", error.errno)
        return
    try: file = open(memory, "rb", 0)
    except OSError as error:
        print(memory, "refused", error.errno)
        return
    for line in spans:
        span, rights = line.split()[:2]
        if not rights.startswith("r"): continue
        start, end = (int(part, 16) for part in span.split("-"))
        if end - start > 2**27: continue
        try:
            file.seek(start)
            data = file.read(end - start)
        except (OSError, ValueError, OverflowError, MemoryError): continue
        at = 0
        while (at := data.find(mark, at)) >= 0:
            print("found", data[at : at + 48])
            at += 1
"""
)

WALK = (
    GO
    + """
import os
mark = "CANARY" + "-"
seen = 0
for top in TOPS:
    for here, below, names in os.walk(top):
        below[:] = [d for d in below if os.path.join(here, d) not in ("/proc", "/sys", "/usr")]
        for name in names:
            seen += 1
            try:
                with open(os.open(os.path.join(here, name), os.O_RDONLY | os.O_NONBLOCK), "rb") as f:
                    data = f.read(10000)
                if mark.encode() in data: print(here, name, data)
            except OSError: pass
        if seen > 20000: break
"""
)

ATTACKS = [
    _attack("secret_file", SHOW + "show('@SECRET_FILE@')\n", harmless=True),
    _attack(
        "secret_file_of_a_shell",
        "echo go\ncat @SECRET_FILE@\n",
        language="shell",
        tiers=FORKING,
        harmless=True,
    ),
    _attack(
        "secret_in_shared_memory_file", SHOW + "show('@SHM_FILE@')\n", harmless=True
    ),
    _attack(
        "walk_upwards",
        SHOW
        + """
import os
for depth in range(1, 12):
    show("../" * depth + "@SECRET_FILE@".lstrip("/"))
    show("/tmp/" + "../" * depth + "@SECRET_FILE@".lstrip("/"))
os.chdir("/")
show("@SECRET_FILE@".lstrip("/"))
""",
    ),
    _attack(
        "roots_of_others_in_proc",
        SHOW
        + """
import os
pids = [n for n in os.listdir("/proc") if n.isdigit()] if os.path.isdir("/proc") else []
for pid in {"self", "thread-self", "1", str(os.getppid()), "@TRAINER@", *pids[:60]}:
    for way in ("root", "cwd/../../../../../../..", "task/1/root"):
        show(f"/proc/{pid}/{way}@SECRET_FILE@")
""",
        tiers=("ns", "landlock", "bubblewrap"),
    ),
    _attack(
        "link_to_a_secret",
        SHOW
        + """
import os
os.symlink("@SECRET_FILE@", "soft")
show("soft")
os.symlink("@OPEN_DIR@/..", "dir")
show("dir/secret.txt")
try:
    os.link("@SECRET_FILE@", "hard")
    show("hard")
except OSError as error: print("refused", error)
try:
    os.rename("@SECRET_FILE@", "moved")
    show("moved")
except OSError as error: print("refused", error)
""",
    ),
    _attack(
        "accounts",
        SHOW
        + "for n in ('passwd', 'shadow', 'group', 'sudoers', 'hosts', 'machine-id'):\n    show('/etc/' + n)\n",
        harmless=True,
    ),
    _attack(
        "environments_of_others",
        SHOW
        + """
import os
show("/proc/self/environ")
show(f"/proc/{os.getppid()}/environ")
for pid in os.listdir("/proc") if os.path.isdir("/proc") else ():
    if pid.isdigit(): show(f"/proc/{pid}/environ")
for pid in @PIDS@: show(f"/proc/{pid}/environ")
print(os.environ)
""",
        harmless=True,
    ),
    _attack(
        "environment_of_the_interpreter",
        GO
        + """
import ctypes, os
print(dict(os.environ))
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
i = 0
while environ and environ[i]:
    print(environ[i])
    i += 1
""",
    ),
    _attack(
        "stack_of_the_process",
        SEARCH + "search('/proc/self/maps', '/proc/self/mem')\n",
    ),
    _attack(
        "own_memory_by_address",
        GO
        + """
import ctypes, gc
mark = "CANARY" + "-"
for thing in gc.get_objects():
    if type(thing) in (dict, list, tuple):
        for part in (list(thing.values()) if type(thing) is dict else thing):
            if type(part) in (str, bytes) and (mark if type(part) is str else mark.encode()) in part:
                if len(part) > 8: print("found", part[:200])
environ = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "environ").value
""",
    ),
    _attack(
        "command_lines_of_others",
        SHOW
        + """
import os
for pid in os.listdir("/proc") if os.path.isdir("/proc") else ():
    if pid.isdigit(): show(f"/proc/{pid}/cmdline")
for pid in @PIDS@: show(f"/proc/{pid}/cmdline")
""",
        harmless=True,
    ),
    _attack(
        "memory_of_others",
        SEARCH
        + """
import os
for pid in [os.getppid(), 1, @TRAINER@, *@PIDS@]:
    search(f"/proc/{pid}/maps", f"/proc/{pid}/mem")
""",
    ),
    _attack(
        "memory_of_others_by_system_call",
        SYSCALLS
        + """
buffer = ctypes.create_string_buffer(65536)
class Vector(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
here = Vector(ctypes.addressof(buffer), 65536)
address = 0x400000
for line in open("/proc/self/maps") if os.path.exists("/proc/self/maps") else ():
    if "[stack]" in line: address = int(line.split("-")[1].split()[0], 16) - 65536
for pid in [os.getppid(), 1, @TRAINER@, *@PIDS@]:
    there = Vector(address, 65536)
    value, code = call(310, pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    print("BREACH" if value > 0 else "refused", pid, code, buffer.raw[:100] if value > 0 else "")
""",
    ),
    _attack(
        "inherited_descriptors",
        GO
        + """
import os
for fd in range(3, 1024):
    try: what = os.readlink(f"/proc/self/fd/{fd}")
    except OSError: what = "?"
    try: os.set_blocking(fd, False)
    except OSError: continue
    for way in (lambda: os.pread(fd, 4096, 0), lambda: os.read(fd, 4096)):
        try: print(fd, what, way())
        except OSError as error: print(fd, what, "refused", error.errno)
""",
    ),
    _attack(
        "inherited_directories",
        SHOW
        + """
import os
for fd in range(0, 1024):
    try: os.fchdir(fd)
    except OSError: continue
    for up in ("", "../" * 3, "../" * 12): show(up + "@SECRET_FILE@".lstrip("/"))
""",
    ),
    _attack(
        "file_handles",
        SYSCALLS
        + """
class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("kind", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]
handle, mount = Handle(128), ctypes.c_int()
for path in (b"@SECRET_FILE@", b"/", b"/usr"):
    value, code = call(303, -100, path, ctypes.byref(handle), ctypes.byref(mount), 0)
    print("name", value, code)
    root = os.open("/", os.O_RDONLY)
    handle.size, handle.kind = 8, 1
    ctypes.memmove(handle.data, (2).to_bytes(4, "little") + bytes(4), 8)
    fd = attempt("open_by_handle_at", 304, root, ctypes.byref(handle), 0)
    if fd >= 0: print(os.listdir(fd))
""",
    ),
    _attack(
        "other_ways_to_open",
        SYSCALLS
        + """
path = b"@SECRET_FILE@"
for what, number, arguments in (
    ("open", 2, (path, 0)), ("openat", 257, (-100, path, 0)), ("creat", 85, (path, 0o600)),
    ("openat2", 437, (-100, path, (ctypes.c_ulonglong * 3)(0, 0, 0), 24)),
):
    fd = attempt(what, number, *arguments)
    if fd >= 0: print(os.read(fd, 4096))
print("path only", call(257, -100, path, 0o10000000))
try:
    fd = os.open("@SECRET_FILE@", 0o10000000)
    print(open(f"/proc/self/fd/{fd}").read())
except OSError as error: print("refused", error)
""",
    ),
    _attack(
        "program_of_the_host_run",
        GO
        + """
import os
for program in ("@SECRET_FILE@", "@OPEN_DIR@/program"):
    try: os.execv(program, [program])
    except OSError as error: print("refused", error.errno)
try: os.execv("/lib64/ld-linux-x86-64.so.2", ["ld", "--preload", "@SECRET_FILE@", "/bin/true"])
except OSError as error: print("refused", error.errno)
""",
    ),
    _attack(
        "sources_of_the_library",
        SHOW
        + """
import importlib.util, sys
for name in ("llm_gym", "llm_gym.sandbox.base", "tests.sandbox.attacks.scene"):
    try:
        spec = importlib.util.find_spec(name)
        print(name, spec and open(spec.origin).read())
    except Exception as error: print(name, "refused", type(error).__name__)
for path in ("llm_gym/sandbox/base.py", "tests/sandbox/attacks/scene.py", "README.md",
             ".git/HEAD", "pyproject.toml"):
    show("@CHECKOUT@/" + path)
""",
    ),
    _attack(
        "home_and_keys",
        SHOW
        + "for n in ('.ssh/id_rsa', '.bashrc', '.netrc', '.bash_history'):\n    show('@HOME@/' + n)\nshow('@HOME@/secret.txt')\n",
    ),
    _attack(
        "devices",
        SHOW
        + """
import glob, os, stat
for path in glob.glob("/dev/*") + ["/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/proc/kcore",
                                    "/proc/kallsyms", "/proc/config.gz", "/sys/kernel/notes"]:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            if path.split("/")[-1] not in ("null", "zero", "full", "random", "urandom"):
                print(path, "BREACH opened")
    except OSError as error: print(path, "refused", error.errno)
""",
    ),
    _attack(
        "kernel_log",
        SYSCALLS
        + "b = ctypes.create_string_buffer(4096)\nattempt('syslog', 103, 3, b, 4096)\n",
    ),
    _attack(
        "shared_memory_of_the_host",
        SYSCALLS
        + """
_libc.shmat.restype = ctypes.c_void_p
at = _libc.shmat(@SHM_ID@, None, 0o10000)
print("refused" if at in (None, 2**64 - 1) else ctypes.string_at(at, 64))
segment, code = call(29, @SHM_KEY@, 0, 0)
print(segment, code)
""",
        harmless=True,
    ),
    _attack(
        "watching_the_host",
        SYSCALLS
        + """
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(0)
print("watch", libc.inotify_add_watch(fd, b"@OPEN_DIR@", 0xFFF))
attempt("fanotify_init", 300, 0, 0)
""",
    ),
    _attack(
        "files_of_a_session",
        WALK.replace(
            "TOPS",
            '("/", "/tmp", "/var/tmp", "/dev/shm", "/run", "@TMP@", "..", "../..")',
        ),
        drive=_beside_a_session,
        tiers=WITH_SESSIONS,
        limits={"wall_seconds": 3.0, "cpu_seconds": 3.0},
    ),
    _attack(
        "memory_of_a_session",
        SEARCH
        + """
import os
for pid in os.listdir("/proc") if os.path.isdir("/proc") else ():
    if pid.isdigit() and int(pid) != os.getpid(): search(f"/proc/{pid}/maps", f"/proc/{pid}/mem")
for pid in range(os.getpid() - 12, os.getpid() + 12):
    if pid != os.getpid(): search(f"/proc/{pid}/maps", f"/proc/{pid}/mem")
""",
        drive=_beside_a_session,
        tiers=WITH_SESSIONS,
    ),
    _attack(
        "files_of_the_run_before",
        WALK.replace("TOPS", '("/tmp", "/dev/shm", "@TMP@", "..", ".")'),
        drive=_after_a_run,
        limits={"wall_seconds": 3.0, "cpu_seconds": 3.0},
    ),
    _attack(
        "memory_of_the_run_before",
        SEARCH + "search('/proc/self/maps', '/proc/self/mem')\n",
        drive=_after_a_run,
    ),
]
