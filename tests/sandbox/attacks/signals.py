"""What a process may do to others of its user without any right to read them."""

# ruff: noqa: E501
# (programs, as they are)

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tests.sandbox.attacks.model import GO, SYSCALLS, WITH_SESSIONS, Attack

if TYPE_CHECKING:
    from llm_gym.sandbox.base import Language, Result, Sandbox
    from tests.sandbox.attacks.scene import Scene

OTHERS = "[1, os.getppid(), @TRAINER@, *@PIDS@]"


def _attack(name: str, program: str, **other: object) -> Attack:
    return Attack(name, "signals", program, **other)  # type: ignore[arg-type]


def _beside_runs(
    sandbox: Sandbox, scene: Scene, program: str, language: Language = "python"
) -> list[Result]:
    """Run it while an honest run and an honest session go on; they must not notice."""
    honest: list[Result] = []
    source = "import time\nfor i in range(10): time.sleep(0.05)\nprint('unharmed')\n"
    limits = scene.limits(wall_seconds=3.0)
    thread = threading.Thread(
        target=lambda: honest.append(sandbox.run(source, limits=limits))
    )
    with sandbox.session(limits=limits) as session:
        session.execute("kept = 'unharmed'")
        thread.start()
        time.sleep(0.1)
        attacked = sandbox.run(program, limits=scene.limits(), language=language)
        thread.join(10)
        honest.append(session.execute("print(kept)"))
    return [*honest, attacked]


def _unharmed(scene: Scene, results: list[Result]) -> str | None:
    seen = [r.stdout for r in results[:-1]]
    if seen == ["unharmed\n"] * 2:
        return None
    return f"the runs beside it were harmed: {results[:-1]}"


def _beside(name: str, program: str, **other: object) -> Attack:
    return _attack(
        name,
        program,
        tiers=WITH_SESSIONS,
        drive=_beside_runs,
        judge=_unharmed,
        **other,
    )


def _shell_beside_runs(sandbox: Sandbox, scene: Scene, program: str) -> list[Result]:
    return _beside_runs(sandbox, scene, program, "shell")


ATTACKS = [
    _beside(
        "kill_all",
        GO
        + """
import os, signal
for target in (-1, 0, -os.getppid()):
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
        try: os.kill(target, number)
        except OSError as error: print("refused", error)
""",
    ),
    _beside(
        "kill_others",
        GO
        + f"""
import os, signal
for pid in {OTHERS}:
    for number in (signal.SIGSTOP, signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
            print("sent", pid)
        except OSError as error: print("refused", error)
""",
    ),
    _beside(
        "kill_the_parent",
        GO
        + "import os, signal\nfor n in (19, 15, 9):\n    try: os.kill(os.getppid(), n)\n"
        "    except OSError as error: print('refused', error)\n",
    ),
    _beside(
        "kill_neighbours_by_number",
        GO
        + """
import os
for pid in range(max(2, os.getpid() - 40), os.getpid() + 40):
    if pid == os.getpid(): continue
    try: os.kill(pid, 9)
    except OSError: pass
""",
    ),
    _attack(
        "kill_all_of_a_shell",
        "echo go\ntrap '' TERM\nkill -9 -1\nkill -9 1 $PPID\n",
        language="shell",
        tiers=("ns",),
        drive=_shell_beside_runs,
        judge=_unharmed,
    ),
    _beside(
        "other_ways_to_signal",
        SYSCALLS
        + f"""
info = ctypes.create_string_buffer(128)
info[8:12] = (-1).to_bytes(4, "little", signed=True)
for pid in {OTHERS}:
    for what, number, arguments in (
        ("kill", 62, (pid, 9)), ("tkill", 200, (pid, 9)), ("tgkill", 234, (pid, pid, 9)),
        ("queue", 129, (pid, 9, info)), ("tgqueue", 297, (pid, pid, 9, info)),
    ):
        print(what, call(number, *arguments), flush=True)
""",
    ),
    _attack(
        "process_descriptors",
        SYSCALLS
        + f"""
for pid in {OTHERS}:
    fd, code = call(434, pid, 0)
    print("pidfd_open", fd, code, flush=True)
    if fd < 0: continue
    print("signal", call(424, fd, 9, 0, 0), flush=True)
    for n in range(3, 40):
        got, code = call(438, fd, n, 0)
        if got >= 0: print("BREACH took", n, os.pread(got, 100, 0))
    print("madvise", call(440, fd, 0, 0, 21, 0), call(448, fd, 0), flush=True)
""",
    ),
    _attack(
        "limits_of_others",
        SYSCALLS
        + f"""
new = (ctypes.c_ulong * 2)(5, 5)
for pid in {OTHERS}:
    for kind in (7, 3, 0): print("prlimit", call(302, pid, kind, new, None), flush=True)
""",
    ),
    _attack(
        "processors_of_others",
        SYSCALLS
        + f"""
mask = (ctypes.c_ulong * 16)(1)
for pid in {OTHERS}: print(call(203, pid, 128, mask), flush=True)
""",
        harmless=True,
    ),
    _attack(
        "priorities_of_others",
        SYSCALLS
        + f"""
for pid in {OTHERS}:
    print(call(141, 0, pid, 19), call(251, 1, pid, 3 << 13), flush=True)
    print(call(144, pid, 3, (ctypes.c_int * 1)(0)), flush=True)
    print(call(314, pid, (ctypes.c_uint * 12)(48, 3), 0), flush=True)
print(call(141, 1, 0, 19), call(141, 2, os.getuid(), 19), call(251, 3, os.getuid(), 3 << 13))
""",
        harmless=True,
    ),
    _attack(
        "signals_by_descriptor",
        GO
        + f"""
import fcntl, os, socket
for pid in {OTHERS}:
    ends = socket.socketpair()
    for pair in (os.pipe(), (ends[0].fileno(), ends[1].fileno())):
        for action in (lambda: fcntl.fcntl(pair[0], 10, 9), lambda: fcntl.fcntl(pair[0], 8, pid),
                       lambda: fcntl.fcntl(pair[0], 15, pid.to_bytes(4, "little").rjust(8, bytes(1))),
                       lambda: fcntl.fcntl(pair[0], fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK),
                       lambda: os.write(pair[1], b"x"), lambda: fcntl.ioctl(pair[0], 0x8901, pid.to_bytes(4, "little")),
                       lambda: fcntl.ioctl(pair[0], 0x8902, pid.to_bytes(4, "little"))):
            try: action()
            except OSError as error: print("refused", error)
""",
    ),
    _attack(
        "files_of_the_host_changed",
        SYSCALLS
        + """
import shutil
path, folder = "@OPEN_FILE@", "@OPEN_DIR@"
for action in (
    lambda: os.chmod(path, 0o777), lambda: os.chmod(folder, 0o700), lambda: os.utime(path, (1, 1)),
    lambda: os.truncate(path, 0), lambda: os.chown(path, os.getuid(), os.getgid()),
    lambda: os.setxattr(path, "user.attack", b"x"), lambda: os.mkdir(folder + "/attack-@TOKEN@"),
    lambda: os.symlink("x", folder + "/attack-@TOKEN@-l"), lambda: os.mkfifo(folder + "/attack-@TOKEN@-f"),
    lambda: open(path, "a").write("attacked"), lambda: os.link(path, folder + "/attack-@TOKEN@-h"),
    lambda: os.rename(path, folder + "/attack-@TOKEN@-r"), lambda: os.unlink(path),
    lambda: shutil.rmtree(folder),
):
    try: action(); print("it says that it is done")
    except OSError as error: print("refused", error)
fd = os.open(path, 0o10000000) if os.path.exists(path) else -1
for what, number, arguments in (
    ("fchmodat2", 452, (fd, b"", 0o777, 0x1000)), ("fchownat", 260, (fd, b"", 0, 0, 0x1000)),
    ("utimensat", 280, (-100, b"@OPEN_FILE@", None, 0)), ("truncate", 76, (b"@OPEN_FILE@", 0)),
    ("chmod", 90, (b"@OPEN_FILE@", 0o777)), ("fchmodat", 268, (-100, b"@OPEN_FILE@", 0o777)),
    ("utime", 132, (b"@OPEN_FILE@", None)), ("utimes", 235, (b"@OPEN_FILE@", None)),
    ("futimesat", 261, (-100, b"@OPEN_FILE@", None)), ("lchown", 94, (b"@OPEN_FILE@", 65534, 65534)),
    ("setxattr", 188, (b"@OPEN_FILE@", b"user.attack", b"x", 1, 0)),
    ("setxattrat", 463, (-100, b"@OPEN_FILE@", 0, b"user.attack", (ctypes.c_ulong * 2)(0, 0), 16)),
):
    print(what, call(number, *arguments), flush=True)
""",
        harmless=True,
    ),
    _attack(
        "trace",
        SYSCALLS
        + f"""
for pid in {OTHERS}:
    for request in (16, 0x4206): attempt("ptrace", 101, request, pid, 0, 0)
""",
    ),
    _attack(
        "memory_of_others_written",
        SYSCALLS
        + f"""
data = ctypes.create_string_buffer(64)
here = (ctypes.c_ulong * 2)(ctypes.addressof(data), 64)
there = (ctypes.c_ulong * 2)(0x400000, 64)
for pid in {OTHERS}:
    attempt("process_vm_writev", 311, pid, here, 1, there, 1, 0)
    for name in ("mem", "oom_score_adj", "coredump_filter", "timerslack_ns", "comm", "clear_refs",
                 "autogroup", "loginuid", "attr/current"):
        try:
            with open(f"/proc/{{pid}}/{{name}}", "wb") as file: file.write(b"1")
            print("BREACH", pid, name) if pid != 1 else print("own", name)
        except OSError as error: print("refused", error)
""",
    ),
    _attack(
        "pages_and_scheduling_of_others",
        SYSCALLS
        + f"""
for pid in {OTHERS}:
    for what, number, arguments in (
        ("move_pages", 279, (pid, 0, None, None, None, 0)), ("migrate_pages", 256, (pid, 0, None, None)),
        ("kcmp", 312, (pid, pid, 0, 0, 0)), ("setpgid", 109, (pid, 0)),
        ("sched_setparam", 142, (pid, (ctypes.c_int * 1)(0))), ("get_robust_list", 274, (pid, None, None)),
        ("perf", 298, ((ctypes.c_uint * 32)(1, 128), pid, -1, -1, 0)),
    ):
        print(what, call(number, *arguments), flush=True)
""",
    ),
    _attack(
        "settings_of_the_machine_by_file",
        GO
        + """
for path, text in (
    ("/proc/sys/kernel/hostname", "attacked"), ("/proc/sys/kernel/core_pattern", "|/tmp/attack"),
    ("/proc/sys/vm/overcommit_memory", "1"), ("/proc/sysrq-trigger", "h"),
    ("/proc/sys/kernel/threads-max", "100"), ("/proc/sys/kernel/pid_max", "1000"),
    ("/proc/sys/user/max_user_namespaces", "0"), ("/proc/sys/net/ipv4/ip_forward", "1"),
    ("/proc/sys/fs/binfmt_misc/register", ":x:M::x::/x:"), ("/sys/power/state", "mem"),
    ("/sys/fs/cgroup/cgroup.procs", "1"), ("/proc/irq/default_smp_affinity", "1"),
    ("/proc/sys/fs/mqueue/msg_max", "1"), ("/proc/sys/kernel/shmmax", "1"), ("/dev/kmsg", "attack"),
):
    try:
        with open(path, "w") as file: file.write(text)
        print("BREACH", path)
    except OSError as error: print("refused", path, error.errno)
""",
    ),
    _beside(
        "zygote_held_up",
        GO
        + """
import fcntl, os
for fd in range(3, 256):
    for action in (lambda: fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC),
                   lambda: fcntl.fcntl(fd, 8, os.getppid()), lambda: fcntl.flock(fd, fcntl.LOCK_EX),
                   lambda: fcntl.ioctl(fd, 0x5421, b"\\1\\0\\0\\0")):
        try: action()
        except OSError: pass
os.kill(os.getppid(), 19)
""",
    ),
]
