"""Tools: methods that a model may call.

`@tool` marks a method; when its class is defined the method becomes a `ToolSpec`, with
a JSON schema drawn from its signature and a description from its docstring. This module
describes and validates; `llm_gym.dispatch` runs.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints, overload

from llm_gym.errors import DefinitionError, ToolError
from llm_gym.messages import ToolSchema
from llm_gym.shapes import object_shape
from llm_gym.validation import SchemaValidator

__all__ = ["ToolOutput", "ToolSpec", "collect_tools", "tool"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool returns when it has more to say than its content.

    Attributes:
        content: What the model reads: a str, or anything that JSON can carry.
        reward: Added to the reward of this step.
        ends_episode: Whether the episode ends here.
    """

    content: Any
    reward: float = 0.0
    ends_episode: bool = False


@dataclass(frozen=True, slots=True)
class _Mark:
    name: str | None
    ends_episode: bool


@overload
def tool(function: F) -> F: ...


@overload
def tool(
    *, name: str | None = None, ends_episode: bool = False
) -> Callable[[F], F]: ...


def tool(
    function: F | None = None, *, name: str | None = None, ends_episode: bool = False
) -> F | Callable[[F], F]:
    """Mark a method, sync or `async def`, as a tool that the model may call.

    The method's docstring is written for the model: its text up to the first section
    is the tool's description, its `Args:` describe the parameters. It returns a str,
    anything that JSON can carry, or a `ToolOutput`; it raises `ToolError` to refuse.

    Args:
        function: The method, where `@tool` is used without arguments.
        name: The tool's name, by default the method's.
        ends_episode: Whether the episode ends with each successful call.

    Raises:
        DefinitionError: When the class is defined, if the method's parameters have
            hints without a JSON form or its docstring does not fit them.
    """

    def mark(method: F) -> F:
        vars(method)[_MARK] = _Mark(name, ends_episode)
        return method

    return mark if function is None else mark(function)


class ToolSpec:
    """A tool as a model sees it, with its compiled validator.

    Attributes:
        name: The name that the model calls.
        method: The name of the method that runs.
        description: What the model is told of it.
        parameters: The schema of its arguments.
        ends_episode: Whether a successful call ends the episode.
        is_async: Whether the method is a coroutine function.
    """

    __slots__ = (
        "_build",
        "_validator",
        "description",
        "ends_episode",
        "is_async",
        "method",
        "name",
        "parameters",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        namespace: Mapping[str, Any] | None = None,
        method: str = "",
    ) -> None:
        mark: _Mark = getattr(function, _MARK, _Mark(None, False))
        self.method: str = method or function.__name__
        self.name = mark.name or self.method
        self.ends_episode = mark.ends_episode
        self.is_async = inspect.iscoroutinefunction(function)
        where = f"tool `{self.name}`"
        if not _NAME.fullmatch(self.name):
            raise DefinitionError(
                f"{where}: a name is 1 to 64 letters, digits, `_` or `-`"
            )
        parameters = _parameters(function, where)
        self.description, descriptions = _read_docstring(function, where)
        unknown = descriptions.keys() - parameters.keys()
        if unknown:
            raise DefinitionError(
                f"{where}: its docstring describes {sorted(unknown)}, "
                f"its parameters are {sorted(parameters)}"
            )
        hints = _resolve_hints(function, parameters, namespace, where)
        optional = {
            key: parameter.default
            for key, parameter in parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        shape = object_shape(hints, optional, where, descriptions)
        self.parameters = shape.schema
        self._build = shape.build
        self._validator = SchemaValidator(shape.schema)

    def schema(self) -> ToolSchema:
        """Return the tool in OpenAI's form."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        }

    def problem(self, arguments: Mapping[str, Any]) -> str | None:
        """Return why arguments do not fit, for the model to read; None if they do."""
        error = self._validator.error(arguments)
        if error is None and self._build is not None:
            try:
                self._build(arguments)
            except (TypeError, ValueError, ToolError) as err:
                error = str(err)  # a dataclass refuses what its types allow
        return None if error is None else f"{error}. Expected: {self.signature()}"

    def build(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Turn valid JSON arguments into the Python values that the method takes."""
        return arguments if self._build is None else self._build(arguments)

    def signature(self) -> str:
        """Return the call in short: `lookup(colour: string, fast?: boolean)`."""
        required = self.parameters["required"]
        shown = (
            f"{key}{'' if key in required else '?'}: {_type_name(schema)}"
            for key, schema in self.parameters["properties"].items()
        )
        return f"{self.name}({', '.join(shown)})"


def collect_tools(cls: type, reserved: Iterable[str]) -> dict[str, ToolSpec]:
    """Return the tools of a class by name, in the order of their definition.

    Args:
        cls: The class whose methods are marked with `@tool`.
        reserved: Attribute names that a tool's method may not take.

    Raises:
        DefinitionError: A tool cannot be described, takes a reserved name, or two
            tools have one name.
    """
    taken = frozenset(reserved)
    order = dict.fromkeys(key for base in reversed(cls.__mro__) for key in vars(base))
    specs: dict[str, ToolSpec] = {}
    for key in order:
        function = inspect.getattr_static(cls, key, None)
        inner = getattr(function, "__func__", None)  # of a static or class method
        if not (hasattr(function, _MARK) or hasattr(inner, _MARK)):
            _refuse_unmarked(cls, key, function)
            continue
        if key in taken or key.startswith("__"):
            raise DefinitionError(
                f"`{cls.__name__}.{key}`: the environment itself has a method of this "
                f'name; rename the method and use @tool(name="{key}")'
            )
        if not inspect.isfunction(function):
            raise DefinitionError(f"`{cls.__name__}.{key}`: a tool must be a method")
        home = next(vars(base) for base in cls.__mro__ if key in vars(base))
        spec = ToolSpec(function, home, key)
        if spec.name in specs:
            raise DefinitionError(f"`{cls.__name__}` has two tools `{spec.name}`")
        specs[spec.name] = spec
    return specs


def unknown_tool(name: str, known: Iterable[str]) -> str:
    """Word the error for a tool that does not exist."""
    names = list(known)
    if not names:
        return f"there is no tool {name[:80]!r}: no tools are available"
    close = difflib.get_close_matches(name[:80], names, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    listed = ", ".join(f"`{n}`" for n in names)
    return f"there is no tool {name[:80]!r}.{hint} The tools are {listed}"


_MARK = "__llm_gym_tool__"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECTION = re.compile(r"^(Args|Arguments|Returns|Raises|Yields|Examples?|Note):\s*$")
_ENTRY = re.compile(r"^(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


def _refuse_unmarked(cls: type, key: str, function: object) -> None:
    """Refuse a method that overrides a tool without being one: surely forgotten."""
    if not inspect.isfunction(function):
        return
    if any(hasattr(vars(base).get(key), _MARK) for base in cls.__mro__):
        raise DefinitionError(
            f"`{cls.__name__}.{key}` overrides a tool and is not marked with @tool; "
            f"mark it, or write `{key} = None` to take the tool away"
        )


def _parameters(
    function: Callable[..., Any], where: str
) -> dict[str, inspect.Parameter]:
    named = dict(list(inspect.signature(function).parameters.items())[1:])  # not self
    for key, parameter in named.items():
        if parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
            parameter.POSITIONAL_ONLY,
        ):
            raise DefinitionError(f"{where}: `{key}` must be an ordinary parameter")
        if parameter.annotation is parameter.empty:
            raise DefinitionError(f"{where}: the parameter `{key}` needs a type hint")
    return named


def _resolve_hints(
    function: Callable[..., Any],
    names: Iterable[str],
    namespace: Mapping[str, Any] | None,
    where: str,
) -> dict[str, Any]:
    try:
        hints = get_type_hints(function, localns=dict(namespace or {}))
    except (NameError, TypeError, SyntaxError) as err:
        raise DefinitionError(
            f"{where}: a type hint cannot be resolved ({err}); types of parameters "
            "must be defined at module level or in the class"
        ) from err
    return {name: hints[name] for name in names}


def _read_docstring(
    function: Callable[..., Any], where: str
) -> tuple[str, dict[str, str]]:
    """Split a Google-style docstring into its description and those of parameters."""
    lines = inspect.getdoc(function)
    if not lines or _SECTION.match(lines.partition("\n")[0]):
        raise DefinitionError(f"{where}: it needs a docstring, which the model reads")
    sections: dict[str, list[str]] = {"": []}
    title = ""
    for line in lines.splitlines():
        if match := _SECTION.match(line):
            title = "Args" if match[1] == "Arguments" else match[1]
            sections[title] = []
        else:
            sections[title].append(line)
    description = re.sub(r"(?<!\n)\n(?!\n)", " ", "\n".join(sections[""]).strip())
    return description, _read_entries(sections.get("Args", []))


def _read_entries(lines: list[str]) -> dict[str, str]:
    text = inspect.cleandoc("\n".join(["", *lines]))
    entries: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        match = _ENTRY.match(line)
        if match and not line.startswith(" "):
            name = match[1]
            entries[name] = match[2].strip()
        elif name and line.strip():
            entries[name] = f"{entries[name]} {line.strip()}".strip()
    return entries


def _type_name(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "|".join(repr(value) for value in schema["enum"])
    if "anyOf" in schema:
        return "|".join(_type_name(option) for option in schema["anyOf"])
    if schema.get("type") == "array" and "items" in schema:
        return f"array of {_type_name(schema['items'])}"
    return str(schema.get("type", "any"))
