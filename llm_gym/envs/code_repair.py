"""A small repository with a failing test, to be mended; hidden tests decide."""

from __future__ import annotations

import json
import re
from typing import Any

from llm_gym.env import ToolEnv
from llm_gym.envs._repair_tasks import LEVELS, generate
from llm_gym.errors import ToolError
from llm_gym.messages import call_text
from llm_gym.sandbox import RunLimits, Sandbox, default_sandbox
from llm_gym.tasks import GeneratedTasks, Task
from llm_gym.tools import tool
from llm_gym.trajectory import Score, Trajectory
from llm_gym.verifiers.code import CodeTests

__all__ = ["CodeRepairEnv"]

LIMITS = RunLimits(wall_seconds=5.0, cpu_seconds=3.0, output_bytes=50_000)
"""What a run of the tests may use, the visible or the hidden ones."""

_MOST_CHARS = 50_000
_SHOWN = 6_000


class CodeRepairEnv(ToolEnv):
    """Find the bug in a small Python repository and mend it.

    Task:
        A generated package of one to six modules with docstrings, and unit tests of
        which at least one fails, for one or two bugs were put in.

    Tools:
        `list_files`, `read_file`, `edit_file` (replaces a text that occurs once),
        `write_file`, `run_tests` (all of `tests/`, or one file).

    Observation:
        A system message with the rules; the user's message names the package.

    Reply:
        Tool calls; a reply without one ends the episode, whatever it says.

    Reward:
        At the end 1.0 if hidden tests pass, eight calls of each function, else 0.0.
        Their arguments are handed to the mended package in the sandbox, and what comes
        back is compared outside of it: there is nothing in there that tells right from
        wrong. Files of `tests/` count for nothing. Part `passed`: the share of calls
        that are right.

    Episode end:
        Terminated by a reply without a tool call; truncated after 20 turns, judged on
        the files as they are then, or if a reply was cut off by its length limit.

    Levels:
        0: one module. 1: three. 2: four. 3: five, and two bugs.

    Floors:
        oracle 1.000, null 0.000, constant 0.000, random 0.000 (1,000 episodes, seed 0)

    Data and licence:
        Generated from modules of our own; Apache-2.0, as the package.

    Arguments:
        sandbox: Where tests run; the process's own sandbox if None.
        Others are those of `ToolEnv`.

    Version history:
        v0: first version.
    """

    tasks = GeneratedTasks(generate, levels=LEVELS)
    max_turns = 20
    blocking = True
    system_prompt = """\
You mend Python code in a small repository with the tools that you have. Only Python's \
standard library is there. Hidden tests decide: make the code do what its docstrings \
say for all arguments, not only for those of the visible tests."""

    def __init__(self, *, sandbox: Sandbox | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._sandbox = sandbox

    def begin(self, task: Task) -> str:
        """Put the broken repository into the state."""
        self.state = {"files": dict(task.data["files"])}
        return str(task.prompt)

    @tool
    def list_files(self) -> str:
        """List the files of the repository."""
        return "\n".join(sorted(self.state["files"]))

    @tool
    def read_file(self, path: str) -> str:
        """Show a file.

        Args:
            path: Its path in the repository.
        """
        return self._file(path) or "(the file is empty)"

    @tool
    def edit_file(self, path: str, old: str, new: str) -> str:
        """Replace a text in a file by another one.

        Args:
            path: The file's path in the repository.
            old: The text, which must occur in the file exactly once.
            new: What stands there afterwards.
        """
        content = self._file(path)
        count = content.count(old) if old else 0
        if count != 1:
            raise ToolError(
                f"`old` must occur once in {path!r}, it occurs {count} times"
            )
        return self._write(path, content.replace(old, new))

    @tool
    def write_file(self, path: str, content: str) -> str:
        """Write a whole file, a new one or in place of what was there.

        Args:
            path: Its path in the repository.
            content: What it holds from now on.
        """
        return self._write(path, content)

    @tool
    def run_tests(self, path: str = "tests") -> str:
        """Run the unit tests and show what came of them.

        Args:
            path: One file of the tests, or `tests` for all.
        """
        files = self.state["files"]
        chosen = [
            name
            for name in sorted(files)
            if name == path
            or (path == "tests" and re.fullmatch(r"tests/test_\w+\.py", name))
        ]
        if not chosen:
            raise ToolError(f"there is no test file {path!r}; see `list_files`")
        modules = [name.removesuffix(".py").replace("/", ".") for name in chosen]
        sandbox = self._sandbox or default_sandbox()
        result = sandbox.run(
            _RUNNER.replace("MODULES", json.dumps(modules)), files=files, limits=LIMITS
        )
        text = result.stdout + result.stderr
        if result.reason:
            text += f"\nThe tests were ended: {result.reason}."
        text = _SECONDS.sub("", text).strip()
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}\n... and more"

    def outcome(self) -> dict[str, str]:
        """Return the files as they are, those of the tests left out."""
        return {
            path: content
            for path, content in self.state["files"].items()
            if not path.startswith("tests/")
        }

    def verify(self, trajectory: Trajectory) -> Score:
        """Call the package's functions on hidden arguments."""
        cases = {"cases": trajectory.task.answer["cases"]}
        tests = CodeTests(limits=LIMITS, sandbox=self._sandbox)
        return tests.score_files(trajectory.outcome, cases)

    def oracle(self) -> str:
        """Look at the tests, write the right modules, look again, then end."""
        for path, content in self.task.answer["fixed"].items():
            if self.state["files"][path] != content:
                return call_text("write_file", {"path": path, "content": content})
        if not any(turn.calls[-1].name == "run_tests" for turn in self._turns()):
            return call_text("run_tests", {})
        return "The package is mended."

    def _turns(self) -> list[Any]:
        return [turn for turn in self.trajectory.turns if turn.calls]

    def _file(self, path: str) -> str:
        files: dict[str, str] = self.state["files"]
        if path not in files:
            raise ToolError(f"there is no file {path!r}; see `list_files`")
        return files[path]

    def _write(self, path: str, content: str) -> str:
        if not _PATH.fullmatch(path) or len(path) > 100:
            raise ToolError(
                f"a path must be like `{self.task.data['package']}/name.py`, of "
                f"letters, digits and `_`, not {path[:100]!r}"
            )
        others = {
            name: text for name, text in self.state["files"].items() if name != path
        }
        if sum(map(len, others.values())) + len(content) > _MOST_CHARS:
            raise ToolError(f"the repository may hold {_MOST_CHARS} characters in all")
        if path.rpartition("/")[0] in others or any(
            name.startswith(f"{path}/") for name in others
        ):
            raise ToolError(f"{path!r} cannot be a file and a folder at once")
        self.state["files"][path] = content
        return f"{path} has {len(content.splitlines())} lines now"


_PATH = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*){0,3}\.(py|txt|md)", re.ASCII)
_SECONDS = re.compile(r" in \d+\.\d+s$", re.MULTILINE)
_RUNNER = """\
import os, sys, unittest
sys.dont_write_bytecode = True
sys.path.insert(0, os.getcwd())
suite = unittest.defaultTestLoader.loadTestsFromNames(MODULES)
result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
sys.exit(not result.wasSuccessful())
"""
