"""Doors of the kernel that no program needs, one call each."""

# ruff: noqa: E501
# (programs, as they are)

from __future__ import annotations

from tests.sandbox.attacks.model import FORKING, GO, SYSCALLS, Attack

_STRUCT = "(ctypes.c_ulong * 32)()"

# name: number on x86_64 and arguments, as Python
CALLS = {
    "io_uring_setup": f"425, 8, {_STRUCT}",
    "io_uring_enter": "426, 1023, 1, 0, 0, None, 0",
    "userfaultfd": "323, 0",
    "userfaultfd_user_mode": "323, 1",
    "bpf_map": "321, 0, (ctypes.c_uint * 16)(2, 4, 8, 1), 64",
    "bpf_program": "321, 5, (ctypes.c_uint * 32)(1, 2), 128",
    "perf_event_self": "298, (ctypes.c_uint * 32)(1, 128, 0), 0, -1, -1, 0",
    "keyctl_session": "250, 1, 0",
    "keyctl_read_user_ring": "250, 11, -4, ctypes.create_string_buffer(512), 512",
    "request_key": "249, b'user', b'x', None, -3",
    "unshare_user": "272, 0x10000000",
    "unshare_user_and_mount": "272, 0x10020000",
    "unshare_mount": "272, 0x20000",
    "unshare_net": "272, 0x40000000",
    "unshare_pid": "272, 0x20000000",
    "unshare_time": "272, 0x80",
    "setns": "308, 0, 0",
    "mount_tmpfs": "165, b'x', b'/tmp', b'tmpfs', 0, None",
    "mount_proc": "165, b'x', b'/tmp', b'proc', 0, None",
    "mount_bind": "165, b'/', b'/tmp', None, 4096, None",
    "mount_remount": "165, None, b'/', None, 32 | 4096, None",
    "umount": "166, b'/proc', 2",
    "umount_work": "166, os.getcwd().encode(), 2",
    "fsopen": "430, b'tmpfs', 0",
    "open_tree": "428, -100, b'/', 1",
    "move_mount": "429, -100, b'/', -100, b'/tmp', 0",
    "mount_setattr": f"442, -100, b'/', 0, {_STRUCT}, 32",
    "fspick": "433, -100, b'/', 0",
    "chroot": "161, b'/'",
    "pivot_root": "155, b'.', b'.'",
    "modify_ldt": "154, 1, (ctypes.c_uint * 4)(0, 0, 1, 0), 16",
    "personality_no_random": "135, 0x0040000",
    "personality_read_is_exec": "135, 0x0400000",
    "iopl": "172, 3",
    "ioperm": "173, 0x80, 1, 1",
    "kexec_load": "246, 0, 0, None, 0",
    "kexec_file_load": "320, 0, 0, 0, None, 0",
    "init_module": "175, b'x', 1, b''",
    "finit_module": "313, 0, b'', 0",
    "delete_module": "176, b'x', 0",
    "swapon": "167, b'x', 0",
    "swapoff": "168, b'x'",
    "reboot_off": "169, 0xfee1dead, 672274793, 0, 0",
    "clock_settime": "227, 0, (ctypes.c_long * 2)(1, 0)",
    "settimeofday": "164, (ctypes.c_long * 2)(1, 0), None",
    "adjtimex": "159, (ctypes.c_uint * 64)(0x4000, 0, 1)",
    "clock_adjtime": "305, 0, (ctypes.c_uint * 64)(0x4000, 0, 1)",
    "sethostname": "170, b'attacked', 8",
    "setdomainname": "171, b'attacked', 8",
    "acct": "163, b'x'",
    "quotactl": "179, 0x800001 << 8, b'/', 0, None",
    "quotactl_fd": "443, 0, 0, 0, None",
    "memfd_create": "319, b'x', 0",
    "memfd_secret": "447, 0",
    "fanotify_init": "300, 0, 0",
    "fanotify_user": "300, 0x200, 0",
    "vhangup": "153",
    "lookup_dcookie": "212, 1, ctypes.create_string_buffer(64), 64",
    "nfsservctl": "180, 0, None, None",
    "syslog_size": "103, 10, None, 0",
    "mbind": "237, 0, 0, 0, None, 0, 0",
    "set_mempolicy_bind": "238, 2, (ctypes.c_ulong * 1)(1), 64",
    "setuid_root": "117, 0, 0, 0",
    "setgid_root": "119, 0, 0, 0",
    "setgroups": "116, 1, (ctypes.c_uint * 1)(0)",
    "capset": "126, (ctypes.c_uint * 2)(0x20080522, 0), (ctypes.c_uint * 6)(*([0xffffffff] * 6))",
    "mknod_device": "133, b'device', 0o60666, 0xfe00",
    "mknod_kmem": "133, b'mem', 0o20666, 0x101",
    "uselib": "134, b'/lib/x86_64-linux-gnu/libc.so.6'",
    "ustat_sysfs": "139, 3, 0, 0",
    "ptrace_me": "101, 0, 0, 0, 0",
    "mlockall": "151, 3",
    "mlock": "149, ctypes.create_string_buffer(2**22), 2**22",
    "nice_minus": "141, 0, 0, -20",
    "real_time": "144, 0, 1, (ctypes.c_int * 1)(50)",
    "io_setup": "206, 8, (ctypes.c_ulong * 1)(0)",
    "seccomp_listener": "317, 1, 8, (ctypes.c_ulong * 2)(1, ctypes.addressof((ctypes.c_ulong * 1)(0x7fff000000000006)))",
    "clone3_user": "435, (ctypes.c_ulong * 11)(0x10000000, 0, 0, 0, 17), 88",
    "map_shadow_of_x32_getpid": "0x40000000 + 39",
    "x32_write": "0x40000000 + 1, 1, b'x', 1",
    "tiocsti": "16, 0, 0x5412, b'x'",
    "tioclinux": "16, 0, 0x541C, b'\\x0a'",
    "tiocsctty": "16, 0, 0x540E, 1",
    "sysctl_old": "156, (ctypes.c_ulong * 16)()",
    "landlock_off": "446, -1, 0",
    "process_mrelease": "448, -1, 0",
    "lsm_set": "460, 100, (ctypes.c_ulong * 4)(), 32, 0",
    "listmount": f"458, {_STRUCT}, {_STRUCT}, 32, 0",
    "statmount": f"457, {_STRUCT}, {_STRUCT}, 256, 0",
    "io_pgetevents": "333, 0, 0, 0, None, None, None",
}

# It may succeed there: it has an effect on the calling process alone.
OWN_BUSINESS = {"ptrace_me"}

_INT80 = """
import mmap
code = bytes.fromhex("b814000000" "cd80" "c3")  # mov eax, 20 (getpid of i386); int 0x80; ret
try: block = mmap.mmap(-1, 4096, prot=7)
except (OSError, PermissionError) as error:
    print("refused", error)
    sys.exit(3)
block.write(code)
address = ctypes.addressof(ctypes.c_char.from_buffer(block))
print("BREACH", ctypes.CFUNCTYPE(ctypes.c_int)(address)())
"""

_SET_UID = (
    GO
    + """
import os, subprocess
for program in ("/bin/su", "/bin/mount", "/usr/bin/sudo", "/usr/bin/passwd", "/usr/bin/newgrp"):
    try:
        ran = subprocess.run([program, "-c", "id"], capture_output=True, timeout=0.5, input=b"")
        print(program, "BREACH" if b"uid=0" in ran.stdout else "refused", ran.returncode)
    except Exception as error: print(program, "refused", type(error).__name__)
"""
)

_SWEEP = (
    SYSCALLS
    + """
import subprocess
for number in [*range(134, 136), *range(153, 187), *range(212, 214), *range(236, 240), *range(246, 252),
               *range(298, 300), 303, 304, 305, 308, 310, 311, 312, 313, 320, 321, 323, *range(425, 434),
               *range(437, 444), *range(446, 449), *range(450, 471), 512, 1000]:
    try: pid = os.fork()
    except OSError:
        print("refused")
        break
    if pid == 0:
        value, code = call(number, 0, 0, 0, 0, 0, 0)
        os._exit(1 if value > 0 else 0)
    _, how = os.waitpid(pid, 0)
    if how == 256: print(number, "answered")
"""
)

ATTACKS = [
    *(
        Attack(name, "kernel", SYSCALLS + f"attempt({name!r}, {arguments})\n")
        for name, arguments in CALLS.items()
        if name not in OWN_BUSINESS
    ),
    Attack("int_0x80", "kernel", SYSCALLS + _INT80),
    Attack("programs_that_set_their_user", "kernel", _SET_UID, tiers=FORKING),
    Attack("calls_one_by_one", "kernel", _SWEEP, limits={"wall_seconds": 2.0}),
    Attack(
        "filter_of_its_own",
        "kernel",
        SYSCALLS
        + """
print(_libc.prctl(22, 1, 0, 0, 0), _libc.prctl(38, 0, 0, 0, 0), _libc.prctl(4, 1, 0, 0, 0))
attempt("still refused", 272, 0x10000000)
""",
    ),
    Attack(
        "threads_that_were_there",
        "kernel",
        SYSCALLS
        + """
import threading
def other():
    attempt("unshare in a thread", 272, 0x20000)
thread = threading.Thread(target=other)
thread.start()
thread.join()
""",
    ),
]
