"""What should be gone when the run is over."""

# ruff: noqa: E501
# (programs, as they are)

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sandbox.attacks.model import FORKING, GO, SYSCALLS, Attack

if TYPE_CHECKING:
    from llm_gym.sandbox.base import Result, Sandbox
    from tests.sandbox.attacks.scene import Scene

WITNESS = """\
import json, math, os, random, re, sys, builtins
seen = {
    "sum": 1 + 1,
    "json": json.dumps({"a": [1, 2.5, None]}),
    "loads": json.loads("[1, 2]"),
    "len": len("abc"),
    "sqrt": math.sqrt(16),
    "re": re.findall(r"b+", "abbbc"),
    "sorted": sorted([3, 1, 2]),
    "files": os.listdir("."),
    "environ": [n for n in os.environ if "POISON" in n],
    "poison": [n for n in dir(builtins) if "poison" in n] + [
        n for n in sys.modules if "poison" in n],
    "random": random.random(),
    "umask": os.umask(0o022),
    "name": __name__,
}
print(json.dumps(seen, sort_keys=True))
"""
"""What a run says that nothing was done to."""


def _then_witness(sandbox: Sandbox, scene: Scene, program: str) -> list[Result]:
    before = sandbox.run(WITNESS, limits=scene.limits())
    attacked = [sandbox.run(program, limits=scene.limits()) for _ in range(3)]
    return [*attacked, before, sandbox.run(WITNESS, limits=scene.limits())]


def _same_witness(scene: Scene, results: list[Result]) -> str | None:
    before, after = results[-2:]
    if before.stdout == after.stdout and after.ok and '"sum": 2' in after.stdout:
        return None
    return f"the next run differs: {before.stdout!r}, then {after.stdout!r} {after.stderr!r}"


def _poison(name: str, program: str, **other: object) -> Attack:
    return Attack(
        name,
        "persistence",
        GO + program,
        drive=_then_witness,
        judge=_same_witness,
        **other,  # type: ignore[arg-type]
    )


ATTACKS = [
    Attack(
        "daemon",
        "persistence",
        GO
        + """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 256)
        time.sleep(30)
    os._exit(0)
os.wait()
""",
        tiers=FORKING,
        statuses=("OK",),
        harmless=True,
    ),
    Attack(
        "daemon_of_a_shell",
        "persistence",
        "echo go\nsetsid nohup sleep 30 >/dev/null 2>&1 &\nexit 0\n",
        tiers=FORKING,
        language="shell",
        harmless=True,
    ),
    Attack(
        "daemons_that_fork_all_the_time",
        "persistence",
        GO
        + """
import os, time
for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                if os.fork(): os._exit(0)
            except OSError: pass
        os._exit(0)
os._exit(0)
""",
        tiers=FORKING,
    ),
    Attack(
        "process_started_without_a_fork",
        "persistence",
        GO
        + """
import subprocess
try:
    subprocess.Popen(["/bin/sleep", "30"], start_new_session=True)
    print("started")
except OSError as error:
    print("refused", error)
""",
        harmless=True,
    ),
    Attack(
        "thread_that_outlives_main",
        "persistence",
        GO
        + """
import os, threading, time
threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
os._exit(0)
""",
    ),
    Attack(
        "files_everywhere",
        "persistence",
        GO
        + """
import os
for place in ("/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", "/dev/mqueue", "/",
              "/root", "/etc", "/usr/lib", "/home", os.path.expanduser("~"), ".",
              "@OPEN_DIR@", "@TMP@", "@HOME@", "@CWD@", "..", "../..", "../../.."):
    try:
        with open(os.path.join(place, "attack-@TOKEN@"), "w") as file: file.write("here")
        print(place, "written")
    except OSError as error:
        print(place, "refused", error.errno)
""",
        harmless=True,
    ),
    Attack(
        "start_up_files",
        "persistence",
        GO
        + """
import os, subprocess
line = "* * * * * touch /tmp/attack-@TOKEN@\\n"
for path in ("/var/spool/cron/crontabs/root", "/etc/cron.d/attack-@TOKEN@",
             "@HOME@/.bashrc-attack-@TOKEN@", "@HOME@/.config/autostart/attack-@TOKEN@",
             "/etc/profile.d/attack-@TOKEN@.sh", "/etc/ld.so.preload"):
    try:
        with open(path, "a") as file: file.write(line)
        print(path, "written")
    except OSError as error:
        print(path, "refused", error.errno)
try: subprocess.run(["crontab", "-"], input=line.encode(), timeout=1)
except Exception as error: print("refused", error)
""",
    ),
    Attack(
        "system_v_objects",
        "persistence",
        SYSCALLS
        + """
for what, number, arguments in (
    ("shmget", 29, (0x5AFE, 4096, 0o1666)), ("semget", 64, (0x5AFE, 1, 0o1666)),
    ("msgget", 68, (0x5AFE, 0o1666)),
):
    print(what, call(number, *arguments), flush=True)
""",
    ),
    Attack(
        "posix_objects",
        "persistence",
        SYSCALLS
        + """
class Attr(ctypes.Structure):
    _fields_ = [(n, ctypes.c_long) for n in ("flags", "most", "size", "held")] + [
        ("rest", ctypes.c_long * 4)]
print("mq_open", call(240, b"attack-@TOKEN@", 0o102, 0o666, ctypes.byref(Attr(0, 1, 8, 0))))
from multiprocessing import shared_memory, resource_tracker
try: shared_memory.SharedMemory("attack-@TOKEN@", create=True, size=4096)
except OSError as error: print("refused", error)
os._exit(0)
""",
    ),
    Attack(
        "keyring",
        "persistence",
        SYSCALLS
        + """
for ring in (-2, -3, -4, -5):
    attempt("add_key", 248, b"user", b"attack-@TOKEN@", b"here", 4, ring)
""",
    ),
    Attack(
        "standard_library_rewritten",
        "persistence",
        GO
        + """
import importlib.util, json, os, sysconfig
paths = [json.__file__, json.__cached__, os.__file__,
         os.path.join(sysconfig.get_path("purelib"), "sitecustomize.py"),
         os.path.join(sysconfig.get_path("stdlib"), "attack-@TOKEN@"),
         os.path.join(os.path.dirname(json.__file__), "__pycache__", "attack-@TOKEN@")]
for path in paths:
    for mode in ("r+", "a"):
        try:
            with open(path, mode) as file: file.write("")
            print(path, "BREACH opened for writing")
        except OSError as error:
            print(path, "refused", error.errno)
    for action in (lambda: os.utime(path, (1, 1)), lambda: os.chmod(path, 0o777),
                   lambda: os.rename(path, path + "x"), lambda: os.unlink(path)):
        try: action(); print(path, "says that it is done")
        except OSError as error: print("refused", error.errno)
""",
    ),
    _poison(
        "modules_patched",
        """
import builtins, json, math, os, random, re, sys, types
json.dumps = lambda *a, **k: "poisoned"
json.loads = lambda *a, **k: "poisoned"
builtins.print = lambda *a, **k: None
builtins.poison = 1
builtins.len = lambda x: 42
math.sqrt = lambda x: -1
re.findall = lambda *a: ["poisoned"]
sys.modules["poison"] = types.ModuleType("poison")
os.environ["POISON"] = "1"
random.seed(99)
sys.path.insert(0, "/tmp/poison")
os.umask(0)
""",
    ),
    _poison(
        "import_system_patched",
        """
import builtins, sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None): raise ImportError("poisoned")
sys.meta_path.insert(0, Finder)
sys.path_hooks.clear()
sys.path_importer_cache.clear()
builtins.__import__ = lambda *a, **k: None
for name in list(sys.modules):
    if name != "sys": sys.modules.pop(name)
""",
    ),
    _poison(
        "memory_of_the_interpreter_patched",
        """
import ctypes
ctypes.memset(id(2) + 24, 7, 1)
ctypes.memset(id("abc"), 0, 1)
""",
    ),
    _poison(
        "everything_that_the_collector_knows_patched",
        """
import gc, types
for thing in gc.get_objects():
    if type(thing) is dict and "__name__" in thing:
        thing["poison"] = 1
        if "run" in thing: thing["run"] = None
    elif isinstance(thing, types.FunctionType) and thing.__module__ != "__main__":
        try: thing.__code__ = (lambda *a, **k: "poisoned").__code__
        except (ValueError, AttributeError): pass
""",
    ),
    _poison(
        "signal_handlers_timers_and_limits",
        """
import resource, signal, os
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
os.chdir("/")
os._exit(0)
""",
    ),
    _poison(
        "files_in_its_directory",
        """
import os
for name in ("json.py", "sitecustomize.py", "main.py", "re.py"):
    with open(name, "w") as file: file.write("raise SystemExit('poisoned')")
os.mkdir("left")
""",
    ),
    _poison(
        "descriptors_moved_and_closed",
        """
import fcntl, os
for fd in range(3, 256):
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
        os.lseek(fd, 0, 2)
    except OSError: pass
    try: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError: pass
os.closerange(0, 256)
""",
    ),
]
