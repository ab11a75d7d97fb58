"""A problem of `llmgym/CodeContest-v0`, and its two forms: a function, a program."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

__all__ = ["EXAMPLES", "Problem"]

EXAMPLES = 2
"""How many of the inputs, the last ones, are shown and are no hidden tests."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem with the program that solves it.

    Attributes:
        name: The function's name.
        parameters: Its parameters' names.
        statement: What it must do, in words.
        source: The reference solution, which defines the function.
        inputs: The arguments of each case, plain JSON.
    """

    name: str
    parameters: tuple[str, ...]
    statement: str
    source: str
    inputs: tuple[list[Any], ...]

    def results(self) -> list[Any]:
        """Return what the reference returns for each input; it is our own code."""
        names: dict[str, Any] = {}
        exec(self.source, names)  # noqa: S102  # the reference, not a model's program
        function = names[self.name]
        return [function(*copy.deepcopy(args)) for args in self.inputs]

    def as_function(self) -> str:
        """Return the task's text for a function."""
        call = f"{self.name}({', '.join(self.parameters)})"
        shown = "\n".join(
            f"{self.name}({', '.join(map(repr, args))}) == {result!r}"
            for args, result in self.examples()
        )
        return (
            f"Write a Python function `{call}`.\n\n{self.statement}\n\n"
            f"The function returns the result.\n\nExamples:\n{shown}"
        )

    def as_program(self) -> str:
        """Return the task's text for a program that reads stdin and prints."""
        shown = "\n\n".join(
            f"Input:\n{self.stdin(args)}\nOutput:\n{json.dumps(result)}"
            for args, result in self.examples()
        )
        many = ", then ".join(f"`{name}`" for name in self.parameters)
        return (
            f"Write a Python program.\n\n{self.statement}\n\n"
            f"The input gives {many}, each as JSON on a line of its own. Print the "
            f"result as JSON on one line, as `json.dumps` writes it.\n\n{shown}"
        )

    def examples(self) -> list[tuple[list[Any], Any]]:
        """Return the cases that the model is shown."""
        pairs = list(zip(self.inputs, self.results(), strict=True))
        return pairs[-EXAMPLES:]

    def stdin(self, args: list[Any]) -> str:
        """Return the input of a case, for a program."""
        return "\n".join(json.dumps(value) for value in args)

    def program(self) -> str:
        """Return the reference solution as a program."""
        reads = "\n".join(f"{name} = json.loads(input())" for name in self.parameters)
        call = f"{self.name}({', '.join(self.parameters)})"
        return f"import json\n\n{self.source}\n{reads}\nprint(json.dumps({call}))\n"
