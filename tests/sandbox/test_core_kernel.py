"""What the kernel is asked for: filters, rulesets, layouts, and what /proc says."""

import errno
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from llm_gym.sandbox import landlock, seccomp, watch
from llm_gym.sandbox.layout import layout_of
from llm_gym.sandbox.syscalls import AUDIT_ARCH, NUMBERS, prctl, syscall

ALLOW, KILL, EPERM, ENOSYS, NOTHING = (
    0x7FFF0000,
    0x80000000,
    0x50001,
    0x50000 | errno.ENOSYS,
    0x50000,
)
OWN = 4242


def verdict(profile, name, *arguments, arch=AUDIT_ARCH):
    """Run a filter on a call, as the kernel would."""
    number = NUMBERS[name] if isinstance(name, str) else name
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, arch, 0, *(a & 2**64 - 1 for a in padded))
    code = list(struct.iter_unpack("=HBBI", seccomp.program(profile, OWN)))
    accumulator, at = 0, 0
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        if operation == 0x06:
            return value
        if operation == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif operation == 0x54:
            accumulator &= value
        else:
            holds = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[operation]
            at += if_true if holds else if_false


@pytest.mark.parametrize("profile", ["ns", "landlock", "confine"])
@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (("read",), ALLOW),
        (("socket", 2, 1), EPERM),
        (("socket", 1, 1), EPERM),
        (("socketpair", 1, 1), ALLOW),
        (("setsockopt", 3, 1, 2), ALLOW),
        (("setsockopt", 3, 1, 7), EPERM),  # SO_SNDBUF
        (("setsockopt", 3, 1, 8), EPERM),
        (("setsockopt", 3, 1, 32), EPERM),
        (("sendmsg", 3, 0, 0), EPERM),
        (("sendto", 3, 0, 1, 0, 0), ALLOW),
        (("socketpair", 1, 1 | 0o2000000), ALLOW),
        (("socketpair", 1, 2), EPERM),
        (("socketpair", 2, 1), EPERM),
        (("sendto", 3, 0, 0, 0, 0), ALLOW),
        (("sendto", 3, 0, 0, 0, 0x7FFF), EPERM),
        (("connect",), EPERM),
        (("memfd_create",), EPERM),
        (("shmget",), EPERM),
        (("mq_open",), EPERM),
        (("clone3",), ENOSYS),
        ((460,), ENOSYS),
        ((0x40000000,), KILL),
        (("clone", 0x10000000), KILL),
        (("clone", 0x10000 | 0x100), ALLOW),
        (("ptrace",), KILL),
        (("io_uring_setup",), KILL),
        (("unshare",), KILL),
        (("mount",), KILL),
        (("setns",), KILL),
        (("bpf",), KILL),
        (("keyctl",), KILL),
        (("userfaultfd",), KILL),
        (("process_vm_readv",), KILL),
        (("open_by_handle_at",), KILL),
        (("prlimit64", 0), ALLOW),
        (("prlimit64", 1), EPERM),
        (("prctl", 15), ALLOW),
        (("prctl", 1), EPERM),
        (("prctl", 4), EPERM),
        (("fcntl", 1, 3), ALLOW),
        (("fcntl", 1, 8), EPERM),
        (("fcntl", 1, 10), EPERM),
        (("ioctl", 1, 0x5412), EPERM),
        (("setpriority",), EPERM),
        (("tkill",), EPERM),
        (("pidfd_open",), EPERM),
        (("execveat",), EPERM),
        (("setresuid",), EPERM),
    ],
)
def test_a_call_meets_its_verdict_in_every_tier(profile, call, expected):
    assert verdict(profile, *call) == expected


@pytest.mark.parametrize(
    ("call", "in_namespaces", "otherwise"),
    [
        (("clone", 0x11), ALLOW, EPERM),
        (("execve",), ALLOW, EPERM),
        (("kill", 1), ALLOW, EPERM),
        (("kill", OWN), ALLOW, ALLOW),
        (("kill", -1), ALLOW, EPERM),
        (("tgkill", OWN), ALLOW, ALLOW),
        (("tgkill", 1), ALLOW, EPERM),
        (("fchmod",), ALLOW, NOTHING),
        (("utimensat",), ALLOW, NOTHING),
        (("truncate",), ALLOW, EPERM),
        (("sched_getaffinity", 1), ALLOW, EPERM),
        (("sched_getaffinity", OWN), ALLOW, ALLOW),
        (("getpriority", 0, 1), ALLOW, EPERM),
        (("getpriority", 0, 0), ALLOW, ALLOW),
        (("clock_gettime", 1), ALLOW, ALLOW),
        (("clock_gettime", (~1 << 3) | 2), ALLOW, EPERM),
    ],
)
def test_a_call_depends_on_there_being_a_process_namespace(
    call, in_namespaces, otherwise
):
    assert verdict("ns", *call) == in_namespaces
    assert verdict("landlock", *call) == otherwise
    assert verdict("confine", *call) == otherwise


def test_another_architecture_is_killed():
    assert verdict("ns", "read", arch=0x40000003) == KILL  # int 0x80


def test_a_filter_is_made_for_another_process():
    assert seccomp.for_pid(seccomp.program("landlock", 1234567), 1234567, OWN) == (
        seccomp.program("landlock", OWN)
    )


def test_a_filter_holds_in_the_kernel():
    program = (
        "import os, socket\nfrom llm_gym.sandbox import seccomp\n"
        "seccomp.install(seccomp.program('landlock', os.getpid()), every_thread=True)\n"
        "try: socket.socket()\nexcept PermissionError: print('refused', flush=True)\n"
        "from llm_gym.sandbox.syscalls import syscall\nsyscall('ptrace', 0, 0, 0, 0)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert (found.stdout, found.returncode) == (b"refused\n", -signal.SIGSYS)


def test_a_call_that_fails_or_is_not_there_says_so():
    with pytest.raises(OSError, match="Bad file descriptor: openat2") as got:
        syscall("openat2", -5, b"x\0", bytes(24), 24)
    assert got.value.errno == errno.EBADF
    with pytest.raises(OSError, match="not implemented: no_such_call"):
        syscall("no_such_call")
    with pytest.raises(OSError, match=r"Invalid argument: prctl\(99999\)"):
        prctl(99999)


def test_a_ruleset_takes_paths_that_are_there(tmp_path):
    version = landlock.abi()
    assert version >= 1
    (tmp_path / "file").write_text("")
    for abi in {1, 3, 4, version}:
        rules = landlock.Ruleset(min(abi, version))
        rules.allow(str(tmp_path), landlock.ALL)
        rules.allow(str(tmp_path / "file"), landlock.ALL)
        rules.allow_all([str(tmp_path / "absent")], landlock.READ)
        with pytest.raises(FileNotFoundError):
            rules.allow(str(tmp_path / "absent"), landlock.READ)
        os.close(rules.fd)


def test_without_landlock_its_version_is_0(monkeypatch):
    monkeypatch.setattr(landlock, "syscall", lambda *_: syscall("no_such_call"))
    assert landlock.abi() == 0


def test_packages_are_masked_unless_they_are_given(tmp_path):
    standard = os.path.realpath(Path(os.__file__).parent)
    packages = str(Path(standard) / "site-packages")
    found = layout_of(whole_system=False, python_paths=[str(tmp_path)])
    assert standard in found.show
    assert str(tmp_path) in found.show
    assert "/usr/bin" not in found.show
    assert packages in found.mask
    given = layout_of(whole_system=True, python_paths=[packages])
    assert "/usr/bin" in given.show
    assert packages not in given.mask


def test_usage_adds_descendants_up():
    program = (
        "import mmap, os, time\nm = mmap.mmap(-1, 30 * 2**20)\n"
        "x = bytearray(20 * 2**20)\n"
        "os.fork()\nprint('up', flush=True); time.sleep(30)"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert sorted(child.stdout.read(6)) == sorted(b"up\nup\n")
        alone = watch.usage(proc_fd, child.pid, descendants=False)
        both = watch.usage(proc_fd, child.pid, descendants=True)
        assert (alone.processes, both.processes) == (1, 2)
        # Shared memory counts by its size, touched or not, and once.
        assert both.memory_bytes > alone.memory_bytes + 50 * 2**20
        assert both.memory_bytes < alone.memory_bytes + 90 * 2**20
        assert both.cpu_seconds >= alone.cpu_seconds
    finally:
        os.close(proc_fd)
        for task in Path(f"/proc/{child.pid}/task").glob("*/children"):
            for word in task.read_text().split():
                os.kill(int(word), signal.SIGKILL)
        child.kill()
        child.wait()
        child.stdout.close()
