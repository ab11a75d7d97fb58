"""Other people's isolations behind the same protocol, each chosen by name.

None of them is ever picked by itself: `open_sandbox` knows only what this package
brings. Each proves itself when it is opened, or raises `SandboxUnavailable`.
"""

from llm_gym.sandbox.providers.bubblewrap import open_bubblewrap
from llm_gym.sandbox.providers.docker import open_docker
from llm_gym.sandbox.providers.monty import open_monty

__all__ = ["open_bubblewrap", "open_docker", "open_monty"]
