"""Which system calls a program may make: allow-lists, and the filter made of them.

Everything that is not listed is refused. What a program may merely not have comes back
as EPERM; what only an attack on the kernel or on other processes asks for kills the
program (SIGSYS, `Status.DENIED`). Numbers that this module does not know, and `clone3`,
whose flags no filter can see, do not exist (ENOSYS), so that the C library falls back.

This module runs in the zygote too: standard library only.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Literal

from llm_gym.sandbox.syscalls import AUDIT_ARCH, NUMBERS, prctl, syscall

__all__ = ["Profile", "for_pid", "install", "program"]

Profile = Literal["ns", "landlock", "confine"]

# One reason per group.
_FILES = """read write open openat close stat fstat lstat newfstatat statx poll ppoll
lseek pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 access faccessat
faccessat2 pipe pipe2 select pselect6 dup dup2 dup3 sendfile flock fsync fdatasync
ftruncate getdents getdents64 getcwd chdir fchdir rename renameat renameat2 mkdir
mkdirat rmdir creat link linkat unlink unlinkat symlink symlinkat readlink readlinkat
umask fallocate fadvise64 copy_file_range splice tee sync_file_range statfs fstatfs
epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd
eventfd2 timerfd_create timerfd_settime timerfd_gettime close_range"""
"""Descriptors and paths: mounts and Landlock decide which paths there are."""
_MEMORY = "mmap mprotect munmap brk mremap madvise msync mincore membarrier"
"""Memory of the process itself: bounded by its limits and the watchdog."""
_SIGNALS = """rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait
rt_sigsuspend sigaltstack alarm setitimer getitimer pause timer_create timer_settime
timer_gettime timer_getoverrun timer_delete restart_syscall"""
"""Handling signals, and timers that signal oneself."""
_CLOCKS = """nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time
times getrusage"""
"""Reading clocks; none can be set."""
_THREADS = """futex futex_waitv set_robust_list set_tid_address rseq arch_prctl gettid
sched_yield getcpu exit exit_group wait4 waitid"""
"""What threads of one process, and waiting for one's children, need."""
_IDENTITY = """getpid getppid getpgid getpgrp getsid getuid geteuid getgid getegid
getgroups getresuid getresgid capget getrandom uname sysinfo getrlimit getpriority
sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max
sched_get_priority_min"""
"""Questions about oneself and the machine's size."""
_PAIRS = "recvfrom recvmsg shutdown getsockopt setsockopt getsockname getpeername"
"""For the ends of a socketpair (asyncio); no other socket can be made. No sendmsg: a
descriptor that is on its way is held by nobody, and what it holds is not counted."""
_MODES = "chmod fchmod fchmodat utime utimes utimensat futimesat"
"""Modes and times: harmless where mounts are read-only; Landlock does not see them."""
_PROCESSES = "fork vfork execve setsid setpgid kill truncate"
"""Processes of one's own process namespace, and paths of one's own mounts."""
_OF_PROCESS = """getpgid getsid sched_getaffinity sched_setaffinity sched_getparam
sched_getscheduler prlimit64"""
"""Of oneself only, where others could be asked of: even that they exist is not told."""
_OF_CLOCK = "clock_gettime clock_getres clock_nanosleep timer_create"
"""Of the machine's and one's own clocks; other numbers name another process's."""
_XATTRS = """getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr
lsetxattr fsetxattr removexattr lremovexattr fremovexattr"""
"""Extended attributes: "not supported", with which `ls -l` and `cp -a` are content."""
_ATTACKS = """ptrace process_vm_readv process_vm_writev process_madvise process_mrelease
kcmp bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register
io_setup io_submit io_destroy keyctl add_key request_key kexec_load kexec_file_load
init_module finit_module delete_module mount umount2 pivot_root chroot setns unshare
move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr open_by_handle_at
name_to_handle_at modify_ldt iopl ioperm reboot swapon swapoff sethostname setdomainname
settimeofday clock_settime clock_adjtime adjtimex acct quotactl quotactl_fd syslog
vhangup nfsservctl lookup_dcookie migrate_pages move_pages fanotify_init fanotify_mark
pidfd_getfd pidfd_send_signal memfd_secret"""
"""No honest program asks for these: the kernel's surface, and other processes."""

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS, _EINVAL = _ERRNO | 1, _ERRNO | 38, _ERRNO | 22
_ENOTSUP = _ERRNO | 95
_NOTHING = _ERRNO | 0  # the call does nothing and says that it worked
_LAST_KNOWN = 450  # of the tables in syscalls.py

_LOAD, _JEQ, _JGE, _JSET, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NR, _ARCH = 0, 4  # offsets in struct seccomp_data

_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1031, 1032)
"""F_DUPFD to F_SETLKW, F_OFD_*, F_DUPFD_CLOEXEC, pipe sizes: no owner, no signal."""
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_PRCTL = (3, 15, 16, 21, 39, 0x53564D41)
"""GET_DUMPABLE, SET_NAME, GET_NAME, GET_SECCOMP, GET_NO_NEW_PRIVS, SET_VMA."""
_SOCKET_OPTIONS = (2, 9, 20, 21)
"""SO_REUSEADDR, _KEEPALIVE, _RCVTIMEO, _SNDTIMEO; above all not the buffers' sizes."""
_CLOCK_IDS = 16
_NEW_NAMESPACES = 0x7E020080
_CLONE_THREAD, _AF_UNIX, _SOCK_STREAM = 0x10000, 1, 1

_Code = list[tuple[int, int, int, int]]


def _argument(index: int) -> tuple[int, int, int, int]:
    return (_LOAD, 0, 0, 16 + 8 * index)  # its low half


def _when(index: int, allowed: tuple[int, ...]) -> _Code:
    """Allow if the low half of an argument is one of these, else EPERM."""
    load = _argument(index)
    code: _Code = [load]
    for value in allowed:
        code += [(_JEQ, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [*code, (_RETURN, 0, 0, _EPERM)]


def _below(index: int, bound: int) -> _Code:
    """Allow if the low half of an argument is below a bound, else EPERM."""
    load = _argument(index)
    return [load, (_JGE, 0, 1, bound), (_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]


def _clone(profile: Profile) -> _Code:
    load = _argument(0)
    code: _Code = [load, (_JSET, 0, 1, _NEW_NAMESPACES), (_RETURN, 0, 0, _KILL)]
    if profile != "ns":
        code += [(_JSET, 1, 0, _CLONE_THREAD), (_RETURN, 0, 0, _EPERM)]
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _socketpair() -> _Code:
    # Of a stream only: a datagram end could still be sent to any named socket.
    family, kind = _argument(0), _argument(1)
    return [
        family,
        (_JEQ, 1, 0, _AF_UNIX),
        (_RETURN, 0, 0, _EPERM),
        kind,
        (_AND, 0, 0, 0xF),
        (_JEQ, 1, 0, _SOCK_STREAM),
        (_RETURN, 0, 0, _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _special(profile: Profile, own_pid: int) -> dict[str, _Code]:
    itself = (own_pid, 0) if own_pid else (0,)
    rules = {
        "fcntl": _when(1, _FCNTL),
        "ioctl": _when(1, _IOCTL),
        "prctl": _when(0, _PRCTL),
        "clone": _clone(profile),
        "clone3": [(_RETURN, 0, 0, _ENOSYS)],
        "socketpair": _socketpair(),
        "sendto": _when(4, (0,)),
        "setsockopt": _when(2, _SOCKET_OPTIONS),
        "prlimit64": _when(0, itself),
        "sched_setaffinity": _when(0, (0,)),
        "setrlimit": [(_RETURN, 0, 0, _ALLOW)],
    }
    if profile != "ns":
        rules |= {name: _when(0, (own_pid,)) for name in ("kill", "tgkill")}
        rules |= {name: _when(0, itself) for name in _OF_PROCESS.split()}
        rules |= {name: _below(0, _CLOCK_IDS) for name in _OF_CLOCK.split()}
        rules["getpriority"] = _when(1, itself)
        for name in _MODES.split():
            rules[name] = [(_RETURN, 0, 0, _NOTHING)]
    rules |= {name: [(_RETURN, 0, 0, _ENOTSUP)] for name in _XATTRS.split()}
    return rules


def _allowed(profile: Profile) -> list[str]:
    groups = [_FILES, _MEMORY, _SIGNALS, _CLOCKS, _THREADS, _IDENTITY, _PAIRS]
    if profile == "ns":
        groups += [_PROCESSES, _MODES, "tgkill"]
    return " ".join(groups).split()


def program(profile: Profile, own_pid: int = 0) -> bytes:
    """Assemble the filter.

    Args:
        profile: "ns" (processes of its own namespace), "landlock" (threads only) or
            "confine" (as "landlock").
        own_pid: The process's own number, the only one that it may signal outside "ns".

    Returns:
        The instructions, as `struct sock_filter` after `struct sock_filter`.
    """
    code: _Code = [
        (_LOAD, 0, 0, _ARCH),
        (_JEQ, 1, 0, AUDIT_ARCH),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NR),
        (_JGE, 0, 1, 0x40000000),  # x32
        (_RETURN, 0, 0, _KILL),
    ]
    special = _special(profile, own_pid)
    for name in _allowed(profile):
        if name in NUMBERS and name not in special:
            code += [(_JEQ, 0, 1, NUMBERS[name]), (_RETURN, 0, 0, _ALLOW)]
    for name, rule in special.items():
        if name in NUMBERS:
            code += [(_JEQ, 0, len(rule), NUMBERS[name]), *rule]
    for name in _ATTACKS.split():
        if name in NUMBERS:
            code += [(_JEQ, 0, 1, NUMBERS[name]), (_RETURN, 0, 0, _KILL)]
    code += [
        (_JGE, 0, 1, _LAST_KNOWN + 1),
        (_RETURN, 0, 0, _ENOSYS),
        (_RETURN, 0, 0, _EPERM),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def for_pid(instructions: bytes, before: int, pid: int) -> bytes:
    """Return a filter for another process than it was assembled for."""
    old, new = (struct.pack("=HBBI", _JEQ, 0, 1, number) for number in (before, pid))
    return instructions.replace(old, new)


def install(instructions: bytes, *, every_thread: bool = False) -> None:
    """Put a filter on this process for good, after `no_new_privs`.

    Args:
        instructions: What `program` returned.
        every_thread: On all threads; else on the calling one and those it starts.

    Raises:
        OSError: The kernel refused it.
    """
    prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    held = ctypes.create_string_buffer(instructions, len(instructions))
    pointer = ctypes.addressof(held)
    header = struct.pack("=HxxxxxxQ", len(instructions) // 8, pointer)
    # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
    if syscall("seccomp", 1, 1 if every_thread else 0, header):
        raise OSError(1, "a thread could not be brought under the filter")
