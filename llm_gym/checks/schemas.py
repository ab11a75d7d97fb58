"""The tools as a model sees them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from llm_gym import jsontext
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import Failed, demand, difference
from llm_gym.errors import DefinitionError
from llm_gym.validation import SchemaValidator

__all__ = ["MAX_SCHEMA_BYTES", "check_schemas"]

MAX_SCHEMA_BYTES = 32_768
"""Of all tools together; every request carries them."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_schemas(subject: Subject) -> str:
    """Every tool is described, and every observation has the same tools."""
    env = subject.make()
    actions: Any = env.action_space
    observations: Any = env.observation_space
    tools = json.loads(jsontext.canonical(actions.tools))
    for tool in tools:
        _look_at(tool)
    size = len(jsontext.canonical(tools))
    demand(
        size < MAX_SCHEMA_BYTES,
        f"the tools' schemas are {size} bytes, expected less than {MAX_SCHEMA_BYTES}",
    )
    names = [tool["function"]["name"] for tool in tools]
    demand(len(set(names)) == len(names), f"two tools have one name: {names}")
    spaces = json.loads(jsontext.canonical(observations.tools))
    demand(spaces == tools, "the tools of the observation and action space differ")
    for recording in subject.recordings:
        for turn, page in enumerate(recording.shown):
            shown = json.loads(page)["observation"].get("tools", [])
            found = difference(tools, shown, "tools")
            demand(found is None, f"{recording.title}: after {turn} replies {found}")
    env.close()
    return f"{len(tools)} tools, {size} bytes"


def _look_at(tool: Mapping[str, Any]) -> None:
    demand(
        tool.keys() == {"type", "function"} and tool["type"] == "function",
        f"a tool is not in OpenAI's form: {tool!r}",
    )
    function = tool["function"]
    name = function.get("name", "")
    demand(_NAME.fullmatch(name), f"{name!r} is no name that servers take for a tool")
    demand(
        str(function.get("description", "")).strip(),
        f"`{name}` has no description; its docstring's first part is what the model "
        "reads",
    )
    parameters = function["parameters"]
    try:
        SchemaValidator(parameters)
    except DefinitionError as err:
        raise Failed(f"`{name}`: {err}") from err
    demand(
        parameters.get("type") == "object",
        f"`{name}`: the parameters must be an object, not {parameters.get('type')!r}",
    )
    for key, schema in parameters.get("properties", {}).items():
        demand(
            isinstance(schema, dict) and str(schema.get("description", "")).strip(),
            f"`{name}`: the parameter `{key}` has no description; write one in the "
            "`Args:` of the tool's docstring",
        )
