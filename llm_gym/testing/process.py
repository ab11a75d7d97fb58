"""The local server in a process of its own, for what one process has too few files for.

A connection takes a file descriptor at both of its ends.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Self

__all__ = ["ServerProcess"]


class ServerProcess:
    """Runs `python -m llm_gym.testing.server` while it is entered.

    It ends with this process, however that ends.

    Args:
        arguments: The command's arguments, such as `["--delay", "0.5", "2"]`.

    Attributes:
        url: The server's address, once entered.

    Raises:
        RuntimeError: The server did not start.

    Example:
        >>> with ServerProcess(["--delay", "0.5", "2"]) as server:
        ...     policy = EndpointPolicy(server.url, "any-model")
    """

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self._arguments = list(arguments)
        self.url = ""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "llm_gym.testing.server", "--until-eof"]
        self._process = subprocess.Popen(  # noqa: S603  our own module
            [*command, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        out = self._process.stdout
        self.url = out.readline().strip() if out else ""
        if not self.url:
            self.__exit__()
            raise RuntimeError(
                f"the server did not start (exit code {self._process.returncode}): "
                f"see what {self._arguments} made it write"
            )
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()  # the end of its input ends it
