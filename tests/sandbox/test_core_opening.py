"""Opening a sandbox: what proves itself, what does not, and what is said of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import llm_gym
from llm_gym.errors import SandboxUnavailable
from llm_gym.sandbox import (
    RunLimits,
    Sandbox,
    Session,
    Status,
    open_sandbox,
    opening,
    selfcheck,
)
from llm_gym.sandbox.zygote import ZygoteOptions, ZygoteProcess

CODE = Path(llm_gym.__file__).parents[1]


def proof(tier, *without):
    zygote = ZygoteProcess(ZygoteOptions(tier, (), without))
    try:
        return selfcheck.prove(zygote)
    finally:
        zygote.close()


@pytest.mark.parametrize("tier", ["ns", "landlock"])
def test_each_tier_proves_itself(tier):
    assert proof(tier) == ""


@pytest.mark.parametrize("tier", ["ns", "landlock"])
def test_a_tier_without_its_filter_is_refused(tier):
    reason = proof(tier, "seccomp")
    assert "attacks succeeded" in reason
    assert "open_socket" in reason
    assert "memory_file" in reason


def test_a_landlock_tier_without_landlock_is_refused():
    reason = proof("landlock", "landlock")
    assert "read_secret" in reason
    assert "write_outside" in reason


@pytest.mark.parametrize("abi", [1, 4])
@pytest.mark.parametrize("tier", ["ns", "landlock"])
def test_older_versions_of_landlock_do_as_well(tier, abi):
    zygote = ZygoteProcess(ZygoteOptions(tier, landlock_abi=abi))
    try:
        assert selfcheck.prove(zygote) == ""
    finally:
        zygote.close()


def test_the_unsafe_tier_does_not_prove_itself():
    reason = proof("unsafe")
    assert "read_secret" in reason
    assert "no_filter" in reason


def test_a_host_file_that_changed_is_seen(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s" * 32)
    secret.chmod(0o666)
    bait = {"secret": str(secret), "directory": str(tmp_path)}
    assert selfcheck._touched(bait) == ""
    secret.write_text("")
    assert "changed a host directory" in selfcheck._touched(bait)
    os.utime(secret, (1, 1))
    assert "changed the mode or the times" in selfcheck._touched(bait)


@pytest.mark.parametrize(
    ("lines", "code", "said"),
    [
        ([], 1, "did not finish: exit code 1"),
        (["open_socket", "end"], -31, "attacks succeeded"),
        (["end"], 0, "`ptrace` did not end a program"),
        (["end"], -31, ""),
    ],
)
def test_a_verdict_says_what_went_wrong(lines, code, said):
    found = selfcheck._verdict(lines, code, "", "ptrace")
    assert said in found
    assert bool(found) == bool(said)


def test_the_best_tier_comes_first():
    with open_sandbox() as best, open_sandbox(tiers=("landlock", "ns")) as other:
        assert (best.isolation, other.isolation) == ("ns", "landlock")
        assert isinstance(best, Sandbox)
        with best.session() as session:
            assert isinstance(session, Session)


def test_what_does_not_prove_itself_is_unavailable(monkeypatch):
    monkeypatch.setattr(opening, "_proved", set())
    monkeypatch.setattr(opening, "prove", lambda zygote: "attacks succeeded: []")
    with pytest.raises(
        SandboxUnavailable,
        match=r"no isolation .* ns: the self-check failed.*user namespaces.*landlock:",
    ):
        open_sandbox()


def test_a_proof_is_made_once_per_process(monkeypatch):
    open_sandbox(tiers=("landlock",)).close()
    monkeypatch.setattr(opening, "prove", lambda zygote: "again")
    with open_sandbox(tiers=("landlock",)) as sandbox:
        assert sandbox.run("print(1)").ok


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tiers": ()}, "`tiers` must be some of"),
        ({"tiers": "ns"}, "`tiers` must be some of"),
        ({"tiers": ("docker",)}, "`tiers` must be some of"),
        ({"zygotes": 0}, "`zygotes` must be at least 1, not 0"),
        ({"python_paths": ["/no/such/place"]}, "`python_paths` must name directories"),
        ({"unsafe": True}, "needs the environment variable LLM_GYM_UNSAFE_SANDBOX=1"),
    ],
)
def test_a_wrong_argument_is_the_callers_mistake(arguments, message, monkeypatch):
    monkeypatch.delenv(opening.UNSAFE_VARIABLE, raising=False)
    with pytest.raises(ValueError, match=message):
        open_sandbox(**arguments)


def test_unsafe_is_stamped_on_every_result(monkeypatch):
    monkeypatch.setenv(opening.UNSAFE_VARIABLE, "1")
    with open_sandbox(unsafe=True, zygotes=1) as sandbox:
        result = sandbox.run("import os; print(os.path.exists('/etc/passwd'))")
        assert (result.isolation, result.stdout) == ("unsafe", "True\n")
        assert sandbox.run("exit 3", language="shell").exit_code == 3
        limits = RunLimits(wall_seconds=0.2)
        assert sandbox.run("while True: pass", limits=limits).status is Status.TIMEOUT
        with sandbox.session() as session:
            assert session.execute("1 + 1").isolation == "unsafe"
            session.write_file("f", "x")
            assert session.run("print(open('f').read())").stdout == "x\n"


NOBODY = """
import os, sys, types
if os.geteuid() == 0:
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(*[65534] * 3)
root = sys.argv[1]
package = types.ModuleType("llm_gym")
package.__path__ = [root + "/llm_gym"]
sys.modules["llm_gym"] = package
from llm_gym.sandbox import open_sandbox
for tier in ("ns", "landlock"):
    with open_sandbox(tiers=(tier,), zygotes=1) as sandbox:
        print(sandbox.isolation, sandbox.run("import os, json; print(os.getuid())"))
        with sandbox.session(files={"a": "b"}) as session:
            session.execute("x = open('a').read()")
            session.write_file("c", "d")
            print(session.execute("x, open('c').read()").stdout, session.list_files())
        if tier == "ns":
            print(sandbox.run("echo $((1 + 1))", language="shell").stdout)
"""


def system_python():
    for path in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if not Path(path).exists():
            continue
        found = subprocess.run(
            [path, "-c", "import sys; print(sys.version_info >= (3, 11))"],
            capture_output=True,
            text=True,
        )
        if found.stdout == "True\n":
            return path
    return None


@pytest.mark.skipif(
    not (system_python() and os.access(CODE, os.R_OK)), reason="no Python for everybody"
)
def test_an_ordinary_user_has_both_tiers():
    found = subprocess.run(
        [system_python(), "-c", NOBODY, str(CODE)],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
    )
    assert found.returncode == 0, found.stderr
    assert "ns Result(status=<Status.OK" in found.stdout
    assert "landlock Result(status=<Status.OK" in found.stdout
    assert found.stdout.count("('b', 'd')\n ['a', 'c']") == 2
    assert found.stderr == ""


CONFINED = """
import os, socket, threading, sys
from llm_gym.sandbox.confine import confine
print(confine([sys.argv[1]]))
def attempt(action):
    try:
        action()
    except OSError as error:
        return error.errno
    return "went through"
print(attempt(lambda: socket.socket()), attempt(os.fork),
      attempt(lambda: os.execv("/bin/true", ["true"])),
      attempt(lambda: open("/tmp/planted", "w")),
      attempt(lambda: os.kill(os.getppid(), 0)),
      attempt(lambda: open("/etc/passwd")),
      attempt(lambda: open(sys.argv[1] + "/f")), attempt(lambda: open(os.__file__)))
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
import decimal, sqlite3
print("end")
"""


def test_a_confined_process_has_no_network_programs_or_files(tmp_path):
    (tmp_path / "f").write_text("")
    found = subprocess.run(
        [sys.executable, "-c", CONFINED, str(tmp_path)], capture_output=True, text=True
    )
    lines = found.stdout.splitlines()
    assert lines[0] == "('no_new_privs', 'landlock', 'seccomp')", found.stderr
    assert lines[1] == "1 1 1 13 1 13 went through went through"
    assert lines[2:] == ["thread", "end"]


def test_confinement_says_what_it_could_not_put_on():
    program = (
        "from llm_gym.sandbox import syscalls, confine\n"
        "syscalls.SUPPORTED = False\nprint(confine.confine())"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout == "('no_new_privs',)\n"


CONTAINER = """
import struct
from llm_gym.errors import SandboxUnavailable
from llm_gym.sandbox import open_sandbox, seccomp, syscalls

def refuse(*names):
    code = [(0x20, 0, 0, 0)]
    for name in names:
        code += [(0x15, 0, 1, syscalls.NUMBERS[name]), (0x06, 0, 0, 0x50001)]
    code.append((0x06, 0, 0, 0x7FFF0000))
    seccomp.install(b"".join(struct.pack("=HBBI", *line) for line in code))

refuse("unshare", "mount", "setns", "pivot_root", "clone3")
with open_sandbox(zygotes=1) as sandbox:
    print(sandbox.isolation, sandbox.run("print(1 + 1)").stdout)
refuse("landlock_create_ruleset")
from llm_gym.sandbox import opening
opening._proved.clear()
try:
    open_sandbox()
except SandboxUnavailable as error:
    print(error)
"""


def test_a_container_without_namespaces_has_landlock_and_without_it_nothing():
    found = subprocess.run(
        [sys.executable, "-c", CONTAINER], capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 0, found.stderr
    first, second, last = found.stdout.split("\n", 2)
    assert (first, second) == ("landlock 2", "")
    assert last.startswith("no isolation of this machine proves itself. ns: ")
    assert (
        "landlock: a zygote did not start: OSError: the kernel has no Landlock" in last
    )
