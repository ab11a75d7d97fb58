"""The exception tree. Three channels, never mixed.

* **The caller's mistake**: `LLMGymError` subclasses that are also `TypeError` or
  `ValueError`, raised before any state changes.
* **The model's mistake**: `ToolError`, turned into text that the model reads; the
  episode goes on.
* **A fault of the infrastructure**: `EnvironmentFault`; the episode is retried or
  recorded as a failure. It is never a reward of zero.

```
LLMGymError
├── ToolError                      the model may read it
├── EnvironmentFault               nobody's reward
│   ├── PolicyFault                the policy's engine broke
│   ├── JudgeFault                 a judge failed or gave no readable verdict
│   ├── UserFault                  a simulated user broke its contract
│   └── SandboxFault               a run has no outcome that is the program's own
│       └── SandboxUnavailable     no isolation here proves itself
├── DefinitionError (TypeError)    an environment class is written wrongly
├── ActionError (TypeError)        what was handed to `step()` is no reply
├── FormatError (ValueError)       a task file or a stored trajectory is malformed
├── UnknownTaskError (KeyError)    no such task id in this source
├── SnapshotError (ValueError)     a snapshot of another environment
└── MissingDependencyError (ImportError)
```
"""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = [
    "ActionError",
    "DefinitionError",
    "EnvironmentFault",
    "FormatError",
    "JudgeFault",
    "LLMGymError",
    "MissingDependencyError",
    "PolicyFault",
    "SandboxFault",
    "SandboxUnavailable",
    "SnapshotError",
    "ToolError",
    "UnknownTaskError",
    "UserFault",
    "require",
]


class LLMGymError(Exception):
    """The root of every exception that this package defines."""


class ToolError(LLMGymError):
    """A tool refuses: its message is shown to the model and the episode goes on."""


class EnvironmentFault(LLMGymError):
    """Something that is not the model's doing broke; the episode has no reward.

    Args:
        message: What broke, in one sentence.
        env_id: The environment's id, if it has one.
        tool: The tool that was running, if one was.
        task_id: The task of the episode.
        seed: The seed of the episode.
    """

    def __init__(
        self,
        message: str,
        *,
        env_id: str | None = None,
        tool: str | None = None,
        task_id: str | None = None,
        seed: int | None = None,
    ) -> None:
        self.message = message
        self.env_id = env_id
        self.tool = tool
        self.task_id = task_id
        self.seed = seed
        named = {"env": env_id, "tool": tool, "task": task_id, "seed": seed}
        where = ", ".join(f"{k} {v!r}" for k, v in named.items() if v is not None)
        super().__init__(f"{message} ({where})" if where else message)

    def __reduce__(self) -> tuple[object, ...]:
        named = {
            "env_id": self.env_id,
            "tool": self.tool,
            "task_id": self.task_id,
            "seed": self.seed,
        }
        return (_rebuild_fault, (type(self), self.message, named))


def _rebuild_fault(
    kind: type[EnvironmentFault], message: str, named: dict[str, object]
) -> EnvironmentFault:
    return kind(message, **named)  # type: ignore[arg-type]  # what __init__ was given


class PolicyFault(EnvironmentFault):
    """The engine behind a policy broke: out of memory, a kernel, a lost server."""


class JudgeFault(EnvironmentFault):
    """A judge or a reward model failed, or gave no verdict that can be read."""


class UserFault(EnvironmentFault):
    """A simulated user broke its contract: the agent is not to blame."""


class SandboxFault(EnvironmentFault):
    """A sandbox could not run a program, or lost it: nothing that the program did."""


class SandboxUnavailable(SandboxFault):
    """No isolation of this machine proves itself; the message says what to do."""


class DefinitionError(LLMGymError, TypeError):
    """An environment, a tool or a verifier is defined in a way that cannot work."""


class ActionError(LLMGymError, TypeError):
    """What was handed to `step()` is not a reply of a model in any known form."""


class FormatError(LLMGymError, ValueError):
    """A task file or a stored trajectory does not follow its documented schema."""


class UnknownTaskError(LLMGymError, KeyError):
    """A task source has no task of the asked id."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the repr


class SnapshotError(LLMGymError, ValueError):
    """A snapshot was handed to an environment that it was not taken from."""


class MissingDependencyError(LLMGymError, ImportError):
    """An optional package is needed and not installed."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional package or say which extra brings it.

    Args:
        module: The module's dotted name.
        extra: The extra of `llm-gym` that installs it.

    Returns:
        The imported module.

    Raises:
        MissingDependencyError: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as err:
        if (err.name or "").split(".")[0] != module.split(".")[0]:
            raise  # the package is there and lacks something of its own
        raise MissingDependencyError(
            f"`{module}` is not installed: pip install 'llm-gym[{extra}]'"
        ) from err
