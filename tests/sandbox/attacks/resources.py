"""Too much of everything."""

# ruff: noqa: E501
# (programs, as they are)

from __future__ import annotations

from tests.sandbox.attacks.model import FORKING, GO, SYSCALLS, Attack

MEMORY = ("OUT_OF_MEMORY", "NONZERO", "SIGNAL", "TIMEOUT", "DENIED", "DISK_LIMIT")
SLOW = ("TIMEOUT",)
FLOOD = ("OUTPUT_LIMIT",)


def _attack(name: str, program: str, *statuses: str, **other: object) -> Attack:
    return Attack(name, "resources", GO + program, statuses=statuses, **other)  # type: ignore[arg-type]


ATTACKS = [
    _attack(
        "fork_bomb",
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n",
        *SLOW,
        "DENIED",
        "OUT_OF_MEMORY",
    ),
    Attack(
        "fork_bomb_shell",
        "resources",
        "echo go\nbomb() { bomb | bomb & }\nbomb\nwait\nsleep 5\n",
        tiers=FORKING,
        language="shell",
    ),
    _attack(
        "thread_bomb",
        """
import threading, time
try:
    while True:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
except RuntimeError:
    print("no more")
time.sleep(60)
""",
        *SLOW,
        "DENIED",
        "OUT_OF_MEMORY",
    ),
    _attack(
        "memory_of_one_process",
        "held = []\nwhile True: held.append(b'x' * 2**20)\n",
        *MEMORY,
    ),
    _attack(
        "memory_error_swallowed",
        """
held = []
while True:
    try: held.append(bytearray(2**20))
    except MemoryError: pass
""",
        "OUT_OF_MEMORY",
        "TIMEOUT",
    ),
    _attack(
        "memory_of_many_processes",
        """
import os, time
for _ in range(8):
    if os.fork() == 0:
        held = [bytes([i % 255 + 1]) * 2**20 for i in range(90)]
        time.sleep(60)
time.sleep(60)
""",
        *MEMORY,
        tiers=FORKING,
    ),
    _attack(
        "memory_shared_by_mmap",
        """
import mmap, time
held = []
while True:
    block = mmap.mmap(-1, 2**24)
    for at in range(0, 2**24, 4096): block[at] = 1
    held.append(block)
""",
        *MEMORY,
    ),
    _attack(
        "memory_shared_and_unmapped_by_all_but_one",
        """
import mmap, os, time
for _ in range(6):
    block = mmap.mmap(-1, 2**26)
    for at in range(0, 2**26, 4096): block[at] = 1
    if os.fork() == 0: time.sleep(60)
    block.close()
time.sleep(60)
""",
        *MEMORY,
        tiers=FORKING,
    ),
    _attack(
        "mappings_without_end",
        """
import mmap
held = []
while True: held.append(mmap.mmap(-1, 4096, prot=mmap.PROT_READ))
""",
    ),
    Attack(
        "memory_in_memfd",
        "resources",
        SYSCALLS
        + """
for name in range(64):
    fd = attempt("memfd", 319, b"x", 0)
    if fd < 0: break
    for _ in range(64):
        try: os.write(fd, b"x" * 2**20)
        except OSError: break
""",
    ),
    _attack(
        "memory_in_posix_shm",
        """
from multiprocessing import shared_memory
import time
held = []
for i in range(20):
    try:
        held.append(shared_memory.SharedMemory(create=True, size=2**24))
        held[-1].buf[:] = b"x" * 2**24
    except OSError as error:
        print("refused", error)
        break
time.sleep(0.2)
""",
    ),
    Attack(
        "memory_in_system_v_shm",
        "resources",
        SYSCALLS
        + """
import time
_libc.shmat.restype = ctypes.c_void_p
for key in range(64):
    segment, code = call(29, 0, 2**25, 0o1666)
    if segment < 0:
        print("refused", code)
        break
    at = _libc.shmat(segment, None, 0)
    if at in (None, 2**64 - 1): break
    ctypes.memset(at, 1, 2**25)
time.sleep(0.2)
""",
    ),
    _attack(
        "memory_in_pipes",
        """
import fcntl, os, time
held = []
try:
    while True:
        ends = os.pipe()
        held.append(ends)
        fcntl.fcntl(ends[1], 1031, 2**20)
        os.set_blocking(ends[1], False)
        while True:
            try: os.write(ends[1], b"x" * 65536)
            except BlockingIOError: break
except OSError as error:
    print("refused", error)
time.sleep(0.2)
""",
    ),
    _attack(
        "memory_in_socket_buffers",
        """
import socket, time
held = []
try:
    while True:
        ends = socket.socketpair()
        held.append(ends)
        ends[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**24)
        ends[0].setblocking(False)
        while True:
            try: ends[0].send(b"x" * 65536)
            except BlockingIOError: break
except OSError as error:
    print("refused", error)
time.sleep(0.2)
""",
    ),
    _attack(
        "bigger_socket_buffers",
        """
import socket
ends = socket.socketpair()
for option in (7, 8, 32, 33):
    before = ends[0].getsockopt(1, 7), ends[0].getsockopt(1, 8)
    try: ends[0].setsockopt(socket.SOL_SOCKET, option, 2**28)
    except OSError as error: print("refused", error)
    if before != (ends[0].getsockopt(1, 7), ends[0].getsockopt(1, 8)): print("BREACH", option)
""",
        "OK",
    ),
    _attack(
        "socket_buffers_of_many_processes",
        """
import os, socket, time
for _ in range(12):
    if os.fork(): continue
    held = [socket.socketpair() for _ in range(120)]
    for end in (end for pair in held for end in pair):
        end.setblocking(False)
        try:
            while True: end.send(b"x" * 65536)
        except BlockingIOError: pass
    time.sleep(60)
time.sleep(60)
""",
        "OUT_OF_MEMORY",
        tiers=("ns",),
        limits={"wall_seconds": 3.0, "cpu_seconds": 3.0},
    ),
    _attack(
        "files_in_flight",
        """
import array, os, socket
ends = socket.socketpair()
for number in range(8):
    fd = os.open("big", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"x" * 2**20)
    os.unlink("big")
    try:
        ends[0].sendmsg([b"."], [(1, 1, array.array("i", [fd]))])
        print("BREACH", number)
    except OSError as error: print("refused", error)
    os.close(fd)
""",
        "OK",
    ),
    _attack("cpu", "while True: pass\n", *SLOW),
    _attack(
        "cpu_of_many_processes",
        "import os\nfor _ in range(3): os.fork()\nwhile True: pass\n",
        *SLOW,
        tiers=FORKING,
        limits={"wall_seconds": 3.0, "cpu_seconds": 1.0},
    ),
    _attack(
        "cpu_of_children_that_end",
        """
import os
while True:
    if os.fork() == 0:
        for _ in range(10**6): pass
        os._exit(0)
    os.wait()
""",
        *SLOW,
        tiers=FORKING,
        limits={"wall_seconds": 4.0, "cpu_seconds": 1.0},
    ),
    _attack("sleep", "import time\ntime.sleep(600)\n", *SLOW),
    _attack(
        "sleep_with_all_signals_ignored",
        """
import signal, time
for number in signal.valid_signals():
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
while True: time.sleep(600)
""",
        *SLOW,
    ),
    _attack(
        "stopped_by_itself",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n",
        *SLOW,
        "DENIED",
        "OK",  # the first process of a namespace cannot be stopped from within
    ),
    _attack(
        "stdin_never_ends", "import sys, time\nsys.stdin.read()\ntime.sleep(9)\n", *SLOW
    ),
    _attack("stdout_flood", "while True: print('x' * 10000)\n", *FLOOD),
    _attack(
        "stderr_flood",
        "import sys\nwhile True: sys.stderr.write('x' * 10000)\n",
        *FLOOD,
    ),
    _attack(
        "both_streams_flood",
        "import os\nwhile True:\n    os.write(1, b'x' * 9999)\n    os.write(2, b'y' * 9999)\n",
        *FLOOD,
    ),
    _attack(
        "flood_of_a_child",
        "import os\nif os.fork() == 0:\n    while True: os.write(1, b'x' * 9999)\nos.wait()\n",
        *FLOOD,
        tiers=FORKING,
    ),
    _attack(
        "flood_then_a_clean_exit",
        "import os\nos.write(1, b'x' * 60000)\nos.write(1, b'y' * 60000)\nos._exit(0)\n",
        *FLOOD,
    ),
    _attack(
        "disk_flood",
        """
with open("big", "wb") as file:
    while True: file.write(b"x" * 2**20)
""",
        "DISK_LIMIT",
        "NONZERO",
        "SIGNAL",
    ),
    _attack(
        "disk_flood_in_many_files",
        """
for i in range(200):
    with open(f"part{i}", "wb") as file: file.write(b"x" * 2**20)
""",
        "DISK_LIMIT",
        "NONZERO",
        "SIGNAL",
        "TIMEOUT",
    ),
    _attack(
        "disk_flood_in_deleted_files",
        """
import os, time
held = []
try:
    for i in range(100):
        fd = os.open("gone", os.O_CREAT | os.O_RDWR)
        os.unlink("gone")
        held.append(fd)
        os.write(fd, b"x" * 2**20)
except OSError as error:
    print("refused", error)
time.sleep(0.5)
""",
    ),
    _attack(
        "disk_flood_in_tmp",
        """
import tempfile, time
held = []
try:
    for i in range(100):
        held.append(tempfile.NamedTemporaryFile(delete=False))
        held[-1].write(b"x" * 2**20)
        held[-1].flush()
except OSError as error:
    print("refused", error)
time.sleep(0.2)
""",
    ),
    _attack(
        "disk_by_fallocate",
        """
import os, time
fd = os.open("big", os.O_CREAT | os.O_RDWR)
try: os.posix_fallocate(fd, 0, 2**32)
except OSError as error: print("refused", error)
time.sleep(0.2)
""",
    ),
    _attack(
        "inode_flood",
        """
import os, time
made = 0
try:
    for made in range(20000): open(f"file{made}", "w").close()
except OSError as error:
    print("refused", error)
time.sleep(0.3)
""",
        "DISK_LIMIT",
        "OK",
        "NONZERO",
        "TIMEOUT",
    ),
    _attack(
        "directories_without_end",
        """
import os
try:
    while True:
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
except OSError as error:
    print("refused", error)
""",
    ),
    _attack(
        "names_that_no_one_can_say",
        r"""
import os
for name in (b"\xff\xfe", b"new\nline", b"-rf *", b"x" * 255, b"\x1b[2J"):
    open(name, "w").close()
os.mkdir("closed")
open("closed/in", "w").close()
os.chmod("closed", 0)
""",
    ),
    _attack(
        "sparse_giant",
        "import os\nopen('big', 'w').close()\ntry: os.truncate('big', 2**42)\n"
        "except OSError as error: print('refused', error)\n",
    ),
    _attack(
        "descriptor_flood",
        """
import os, time
held = []
try:
    while True: held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    print("refused", len(held), error)
""",
    ),
    _attack(
        "kernel_objects_flood",
        """
import ctypes, select, time
libc = ctypes.CDLL(None, use_errno=True)
for maker in (lambda: libc.eventfd(0, 0), lambda: libc.inotify_init1(0),
              lambda: libc.timerfd_create(1, 0), lambda: libc.epoll_create1(0)):
    for _ in range(5000):
        if maker() < 0: break
print("refused", ctypes.get_errno())
""",
    ),
    _attack(
        "deep_recursion",
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return repr([f(n + 1)])\nf(0)\n",
        "SIGNAL",
        "NONZERO",
        "OUT_OF_MEMORY",
        "TIMEOUT",
    ),
    _attack("redos", "import re\nre.match(r'(a+)+$', 'a' * 64 + 'b')\n", *SLOW),
    _attack("huge_integer", "x = 9 ** 9 ** 9\n", *SLOW, "OUT_OF_MEMORY", "NONZERO"),
    _attack(
        "integer_as_text",
        "import sys\nsys.set_int_max_str_digits(0)\nstr(1 << 60_000_000)\n",
        *SLOW,
        "OUT_OF_MEMORY",
        "NONZERO",
    ),
    _attack(
        "zombies",
        "import os, time\nfor _ in range(14):\n    if os.fork() == 0: os._exit(0)\ntime.sleep(60)\n",
        *SLOW,
        tiers=FORKING,
    ),
    _attack(
        "daemon_holds_stdout",
        """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: time.sleep(60)
    os._exit(0)
print("left")
sys.stdout.flush()
os._exit(0)
""",
        "OK",
        tiers=FORKING,
        judge=lambda scene, results: (
            None
            if results[-1].wall_seconds < 0.9 and results[-1].stdout == "go\nleft\n"
            else f"the daemon held the run for {results[-1].wall_seconds:.2f} s"
        ),
    ),
    _attack(
        "exit_function_that_hangs",
        "import atexit, time\natexit.register(time.sleep, 600)\n",
        *SLOW,
    ),
    _attack(
        "thread_that_never_ends",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n",
        *SLOW,
        "DENIED",
        "NONZERO",
    ),
    _attack(
        "destructor_that_hangs",
        """
class Trap:
    def __del__(self):
        while True: pass
held = Trap()
""",
        *SLOW,
    ),
]
