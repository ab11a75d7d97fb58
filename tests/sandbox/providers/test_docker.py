"""Docker, without an engine: its command line, and what is said where it is missing."""

from __future__ import annotations

import itertools
import json

import pytest

from llm_gym.errors import SandboxFault, SandboxUnavailable
from llm_gym.sandbox import RunLimits, Sandbox, Status
from llm_gym.sandbox.providers import open_docker
from llm_gym.sandbox.providers.docker import DockerSandbox


def stand_in(tmp_path, run):
    """Return the path of a program that answers as a Docker client would."""
    path = tmp_path / "docker"
    path.write_text(
        "#!/bin/sh\ncase $1 in\nversion) echo 28.0;;\nimage) exit 0;;\n"
        f"kill) echo $2 >> {tmp_path}/killed;;\nrun) {run};;\nesac\n"
    )
    path.chmod(0o755)
    return str(path)


def following(arguments, flag):
    return [b for a, b in itertools.pairwise(arguments) if a == flag]


def test_a_container_is_shut_by_its_command_line():
    limits = RunLimits(memory_bytes=2**27, disk_bytes=2**20, processes=7)
    command = DockerSandbox("docker", "an-image", None)._command(limits)
    arguments = list(command.arguments)
    assert arguments[:2] == ["docker", "run"]
    assert {"--rm", "--read-only", "--init", "--interactive"} <= set(arguments)
    for flag, value in (
        ("--network", "none"),
        ("--ipc", "none"),
        ("--pull", "never"),
        ("--cap-drop", "ALL"),
        ("--security-opt", "no-new-privileges"),
        ("--user", "65534:65534"),
        ("--pids-limit", "9"),
        ("--memory", str(2**27 + 2**26)),
        ("--memory-swap", str(2**27 + 2**26)),
    ):
        assert following(arguments, flag) == [value]
    assert "/work:rw,nosuid,nodev,mode=1777,size=1048576" in following(
        arguments, "--tmpfs"
    )
    assert "--privileged" not in arguments
    assert "--volume" not in arguments
    assert arguments.index("an-image") < arguments.index("python3")
    assert command.stop == ["docker", "kill", following(arguments, "--name")[0]]


def test_every_container_has_a_name_of_its_own():
    sandbox = DockerSandbox("docker", "an-image", None)
    names = {
        following(sandbox._command(RunLimits()).arguments, "--name")[0]
        for _ in range(9)
    }
    assert len(names) == 9


def test_a_missing_docker_says_what_to_do(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxUnavailable, match="Docker is not installed"):
        open_docker()


def test_a_docker_without_engine_or_image_says_what_to_do(tmp_path):
    path = tmp_path / "docker"
    path.write_text("#!/bin/sh\n[ $1 = image ] || { echo no daemon >&2; exit 1; }\n")
    path.chmod(0o755)
    with pytest.raises(SandboxUnavailable, match="no daemon; start its engine"):
        open_docker(program=str(path))
    path.write_text("#!/bin/sh\n[ $1 = version ] || exit 1\n")
    with pytest.raises(
        SandboxUnavailable, match=r"it failed; `docker pull python:3\.11-slim`"
    ):
        open_docker(program=str(path))
    with pytest.raises(SandboxUnavailable, match=r"cannot be used.*missing"):
        open_docker(program=str(tmp_path / "missing"))


def test_a_docker_that_runs_nothing_is_unavailable(tmp_path):
    program = stand_in(tmp_path, "echo 'docker: oci failed' >&2; exit 125")
    with pytest.raises(
        SandboxUnavailable, match=r"docker does not work here.*oci failed"
    ):
        open_docker(program=program)


def test_a_docker_that_lets_something_through_is_refused(tmp_path):
    program = stand_in(tmp_path, "cat >/dev/null; echo \"45 ['a server of the host']\"")
    with pytest.raises(SandboxUnavailable, match=r"did not prove itself.*a server"):
        open_docker(program=program)


def test_a_docker_that_proves_itself_is_opened(tmp_path):
    program = stand_in(tmp_path, "cat >/dev/null; echo '45 []'")
    with open_docker(program=program) as sandbox:
        assert isinstance(sandbox, Sandbox)
        assert sandbox.isolation == "docker"


@pytest.mark.parametrize(
    ("exit_code", "status", "code"),
    [(0, Status.OK, 0), (3, Status.NONZERO, 3), (139, Status.SIGNAL, -11)],
)
def test_exit_codes_are_the_programs(tmp_path, exit_code, status, code):
    program = stand_in(tmp_path, f"cat >/dev/null; exit {exit_code}")
    result = DockerSandbox(program, "an-image", None).run("1")
    assert (result.status, result.exit_code) == (status, code)


def test_an_exit_code_of_docker_itself_is_a_fault(tmp_path):
    program = stand_in(tmp_path, "echo 'docker: no such image' >&2; exit 125")
    with pytest.raises(SandboxFault, match="no such image"):
        DockerSandbox(program, "an-image", None).run("1")


def test_a_container_that_runs_too_long_is_killed_by_name(tmp_path):
    program = stand_in(tmp_path, "sleep 60")
    limits = RunLimits(wall_seconds=0.3)
    result = DockerSandbox(program, "an-image", None).run("1", limits=limits)
    assert result.status is Status.TIMEOUT
    assert (tmp_path / "killed").read_text().startswith("llm-gym-")


def test_the_launcher_is_told_everything(tmp_path):
    program = stand_in(tmp_path, f"cat > {tmp_path}/body")
    sandbox = DockerSandbox(program, "an-image", None)
    sandbox.run("echo x", files={"a/b": "data"}, stdin="input", language="shell")
    body = (tmp_path / "body").read_bytes()
    size = int(body[:16])
    header, rest = json.loads(body[16 : 16 + size]), body[16 + size :]
    assert header["script"] == "/source/main.sh"
    assert header["files"] == [["a/b", 4]]
    assert rest == b"data" + b"echo x" + b"input"
