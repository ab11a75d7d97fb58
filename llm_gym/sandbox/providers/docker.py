"""Docker, with what is needed to shut a container.

Untested against a real engine: none runs where this is developed. Tested are the
command line that it makes and what it says where there is no engine. Lacks: sessions, a
limit on the number of files, and the difference between a signal and an exit code above
128. Who can reach Docker's socket is root on the machine, which is a risk of its own.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess  # a known program, started with a list and no shell

from llm_gym.errors import SandboxFault, SandboxUnavailable
from llm_gym.sandbox.base import Isolation, RunLimits
from llm_gym.sandbox.providers._process import (
    LAUNCHER,
    PYTHON_FLAGS,
    Command,
    CommandSandbox,
    Ended,
)
from llm_gym.sandbox.providers._selfcheck import prove

__all__ = ["DockerSandbox", "open_docker"]

_NOT_RUN = (125, 126, 127)
"""Exit codes of `docker run` itself (docs.docker.com, `docker container run`)."""


class DockerSandbox(CommandSandbox):
    """Runs each program in a container of its own; made by `open_docker`.

    Args:
        program: The path of `docker`.
        image: A local image that has `python3`.
        limits: What a run may use unless it says otherwise.
    """

    def __init__(self, program: str, image: str, limits: RunLimits | None) -> None:
        super().__init__(limits)
        self._program = program
        self._image = image

    @property
    def isolation(self) -> Isolation:
        """What keeps programs in."""
        return "docker"

    @property
    def _scratch(self) -> str:
        return "/source"

    def _command(self, limits: RunLimits) -> Command:
        name = f"llm-gym-{secrets.token_hex(8)}"
        memory = str(int(limits.memory_bytes) + 2**26)
        disk = int(limits.disk_bytes)
        rights = "rw,nosuid,nodev,mode=1777"
        flags = ["--rm", "--interactive", "--init", "--name", name, "--pull", "never"]
        flags += ["--network", "none", "--ipc", "none", "--hostname", "sandbox"]
        flags += ["--read-only", "--cap-drop", "ALL", "--user", "65534:65534"]
        flags += ["--security-opt", "no-new-privileges", "--log-driver", "none"]
        flags += ["--pids-limit", str(int(limits.processes) + 2)]
        flags += ["--memory", memory, "--memory-swap", memory, "--cpus", "1"]
        flags += ["--ulimit", "core=0", "--ulimit", "nofile=256"]
        flags += ["--tmpfs", f"/work:{rights},size={disk}"]
        flags += ["--tmpfs", f"/tmp:{rights},size={disk}"]  # noqa: S108
        flags += ["--tmpfs", f"/source:{rights},size=4m", "--workdir", "/work"]
        flags += ["--env", "HOME=/work", "--env", "PYTHONHASHSEED=0"]
        python = ["python3", *PYTHON_FLAGS, LAUNCHER]
        return Command(
            [self._program, "run", *flags, self._image, *python],
            stop=[self._program, "kill", name],
        )

    def _exit_code(self, ended: Ended) -> int:
        words = ended.streams[1].decode("utf-8", "replace").strip()
        if ended.code < 0 or (ended.code in _NOT_RUN and "docker:" in words):
            raise SandboxFault(f"docker did not run the program: {words[-300:]}")
        return 128 - ended.code if ended.code > 128 else ended.code


def open_docker(
    image: str = "python:3.11-slim",
    *,
    limits: RunLimits | None = None,
    program: str | None = None,
) -> DockerSandbox:
    """Open a sandbox that runs each program in a container, and see that it holds.

    Args:
        image: A local image that has `python3`; nothing is pulled.
        limits: What a run may use unless it says otherwise.
        program: The path of `docker`, looked up if None.

    Raises:
        SandboxUnavailable: Docker or the image is not there, or does not hold.
    """
    found = program or shutil.which("docker")
    if found is None:
        raise SandboxUnavailable(
            "Docker is not installed: install its engine, or use `open_sandbox()`"
        )
    if reason := _why_not(found, image):
        raise SandboxUnavailable(f"Docker cannot be used: {reason}")
    sandbox = DockerSandbox(found, image, limits)
    try:
        prove(sandbox)
    except BaseException:
        sandbox.close()
        raise
    return sandbox


def _why_not(program: str, image: str) -> str:
    """Return what keeps Docker from running containers of an image, "" if nothing."""
    for arguments, remedy in (
        (["version", "--format", "{{.Server.Version}}"], "start its engine"),
        (["image", "inspect", image], f"`docker pull {image}`"),
    ):
        try:
            ran = subprocess.run(  # noqa: S603  # a list, and no shell
                [program, *arguments], capture_output=True, timeout=20.0, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as err:
            return f"{err}; {remedy}"
        if ran.returncode:
            words = ran.stderr.decode("utf-8", "replace").strip().splitlines()
            return f"{words[-1] if words else 'it failed'}; {remedy}"
    return ""
