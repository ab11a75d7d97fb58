"""The self-check's attack programs: each prints what it got away with, one a line.

The text of this file is run inside the isolation that is to prove itself, with `HOST` a
dictionary of what to attack. It ends by a system call that must kill it. Standard
library only.
"""

# ruff: noqa: BLE001, PTH101, PTH107, PTH123, PTH208, T201
# (a program of few imports, that prints)

import contextlib
import ctypes
import fcntl
import os
import resource
import struct
import sys
import threading
import time
from typing import Any

HOST: dict[str, Any] = globals().get("HOST", {})
NUMBERS: dict[str, int] = globals().get("NUMBERS", {})
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> int:
    """Return what a system call returns, or raise OSError."""
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    value: int = LIBC.syscall(ctypes.c_long(NUMBERS.get(name, 9999)), *given)
    if value < 0:
        raise OSError(ctypes.get_errno(), name)
    return value


def read_secret() -> bool:
    """Read a file that the host has just made."""
    with open(HOST["secret"]) as file:
        return file.read(1) == str(HOST["first"])


def list_directory() -> bool:
    """List the directory where it stands."""
    return HOST["name"] in os.listdir(HOST["directory"])


def write_outside() -> bool:
    """Write beside it."""
    with open(HOST["directory"] + "/planted", "w") as file:
        file.write("planted")
    return True


def truncate_secret() -> bool:
    """Empty it."""
    os.truncate(HOST["secret"], 0)
    return True


def change_mode() -> bool:
    """Change its mode; the host looks afterwards."""
    os.chmod(HOST["secret"], 0)
    os.utime(HOST["secret"], (1, 1))
    return False


def leaked_variable() -> bool:
    """Find a variable that the host has just set."""
    return HOST["variable"] in os.environ


def see_processes() -> bool:
    """See the host's process."""
    with open(f"/proc/{HOST['pid']}/stat") as file:
        return bool(file.read(1))


def signal_host() -> bool:
    """Reach the host's process by its number."""
    os.kill(HOST["pid"], 0)
    return not HOST["own_processes"]


def signal_zygote() -> bool:
    """Reach the process that forked this one."""
    parent = os.getppid()
    os.kill(parent, 0)
    return parent > 0


def limit_zygote() -> bool:
    """Set a limit of another process."""
    resource.prlimit(os.getppid() or HOST["pid"], resource.RLIMIT_CORE, (0, 0))
    return os.getppid() > 0


def pin_host() -> bool:
    """Change where another process runs."""
    os.sched_setaffinity(os.getppid() or HOST["pid"], {0})
    return True


def ask_of_host() -> bool:
    """Learn that the host's process exists, by its processors."""
    return bool(os.sched_getaffinity(HOST["pid"]))


def read_hosts_clock() -> bool:
    """Read how long it has run, by its clock."""
    return time.clock_gettime((~int(HOST["pid"]) << 3) | 2) > 0


def open_socket() -> bool:
    """Make an internet socket."""
    call("socket", 2, 1, 0)
    return True


def open_unix_socket() -> bool:
    """Make a Unix datagram socket, which could be sent to any path."""
    call("socket", 1, 2, 0)
    return True


def datagram_pair() -> bool:
    """Make a pair whose ends can be sent to any path."""
    call("socketpair", 1, 2, 0, ctypes.create_string_buffer(8))
    return True


def memory_file() -> bool:
    """Make a file that no limit of memory counts."""
    call("memfd_create", b"x", 0)
    return True


def shared_segment() -> bool:
    """Make shared memory that outlives the run."""
    segment = call("shmget", 0, 4096, 0o1600)
    call("shmctl", segment, 0, None)  # IPC_RMID, or it would outlive this check
    return True


def set_owner() -> bool:
    """Have signals sent to another process."""
    fcntl.fcntl(1, 8, os.getppid() or HOST["pid"])  # F_SETOWN
    return True


def new_process() -> bool:
    """Fork where no process may be."""
    if HOST["own_processes"]:
        return False
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return True


def privileges() -> bool:
    """Hold a capability, be root, or be able to gain by running a file."""
    held = ctypes.create_string_buffer(24)
    call("capget", struct.pack("=Ii", 0x20080522, 0), held)
    effective, permitted = struct.unpack_from("=II", held.raw)
    can_gain = bool(LIBC.prctl(39, 0, 0, 0, 0) != 1)  # PR_GET_NO_NEW_PRIVS
    too_much = bool((effective | permitted) & ~int(HOST["kept"]))
    return too_much or can_gain or os.getuid() == 0


def no_filter() -> bool:
    """Run without a filter."""
    return bool(LIBC.prctl(21, 0, 0, 0, 0) != 2)  # PR_GET_SECCOMP


def all_memory() -> bool:
    """Take far more memory than is allowed."""
    return len(bytearray(HOST["too_much"])) > 0


def descriptors() -> bool:
    """Find a descriptor that is none of its own three."""
    for fd in range(3, 64):
        with contextlib.suppress(OSError):
            os.fstat(fd)
            return True
    return False


def works() -> bool:
    """Do what an honest program does; a failure here is a failed check as well."""
    import decimal
    import json

    ran: list[int] = []
    thread = threading.Thread(target=ran.append, args=(1,))
    thread.start()
    thread.join()
    with open("own.txt", "w") as file:
        file.write(json.dumps(str(decimal.Decimal(1))))
    os.remove("own.txt")
    return not ran


ATTACKS = (
    read_secret,
    list_directory,
    write_outside,
    truncate_secret,
    change_mode,
    leaked_variable,
    see_processes,
    signal_host,
    signal_zygote,
    limit_zygote,
    pin_host,
    ask_of_host,
    read_hosts_clock,
    open_socket,
    open_unix_socket,
    datagram_pair,
    memory_file,
    shared_segment,
    set_owner,
    new_process,
    privileges,
    no_filter,
    all_memory,
    descriptors,
)

for attack in ATTACKS:
    try:
        if attack():
            print(attack.__name__, flush=True)
    except (OSError, MemoryError, OverflowError):
        continue
try:
    if works():
        print("threads_do_not_run")
except BaseException as error:
    print(f"honest_program_fails:{type(error).__name__}:{error}")
print("end", flush=True)
sys.stdout.flush()
call(HOST["last"], *[0] * 6)
print(HOST["last"], flush=True)
