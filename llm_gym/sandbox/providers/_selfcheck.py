"""What a foreign isolation must not let through, tried when it is opened."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from pathlib import Path

from llm_gym.errors import SandboxUnavailable
from llm_gym.sandbox.providers._process import CommandSandbox

__all__ = ["prove"]

_PROGRAM = """
import os, socket, sys
found = []
def attempt(name, action):
    try:
        if action(): found.append(name)
    except OSError: pass
def read(path):
    with open(path, "rb") as file: return file.read()
attempt("a file of the host", lambda: read({secret!r}))
attempt("a variable of the host", lambda: {variable!r} in os.environ)
starter = lambda: read("/proc/1/environ")
attempt("a variable of the starter", lambda: {variable!r}.encode() in starter())
attempt("a process of the host", lambda: os.kill({pid}, 0) is None and {pid} > 100)
attempt("a root directory to write in", lambda: os.mkdir("/planted") is None)
def connect(family, address):
    end = socket.socket(family, socket.SOCK_STREAM)
    end.settimeout(1.0)
    end.connect(address)
    return True
attempt("a server of the host", lambda: connect(socket.AF_INET, ("127.0.0.1", {port})))
attempt("an abstract socket of the host", lambda: connect(socket.AF_UNIX, {abstract!r}))
attempt("the rights of root", lambda: os.geteuid() == 0)
print(sum(range(10)), found)
"""


def prove(sandbox: CommandSandbox) -> None:
    """Attack an isolation.

    Raises:
        SandboxUnavailable: It does not work, or lets something through.
    """
    name = f"LLM_GYM_{secrets.token_hex(8)}"
    abstract = f"\0llm-gym-{secrets.token_hex(8)}"
    try:
        directory = tempfile.mkdtemp(prefix="llm-gym-check-")
    except OSError as err:
        raise SandboxUnavailable(f"no file could be made to attack: {err}") from err
    try:
        secret = Path(directory, "secret.txt")
        secret.write_text("bait")
        # Open to everybody, so that nothing but the isolation refuses.
        Path(directory).chmod(0o755)
        with _servers(abstract) as servers:
            port = servers.tcp.getsockname()[1]
            os.environ[name] = "bait"
            program = _PROGRAM.format(
                secret=str(secret),
                variable=name,
                pid=os.getpid(),
                port=port,
                abstract=abstract,
            )
            sandbox.check(program, "45 []\n")
    finally:
        os.environ.pop(name, None)
        shutil.rmtree(directory, ignore_errors=True)


class _servers:  # a context manager that reads as a verb's object
    def __init__(self, abstract: str) -> None:
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.unix.bind(abstract)
        self.unix.listen()

    def __enter__(self) -> _servers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.tcp.close()
        self.unix.close()
