"""Tools as typed methods: what transformers reads is what the environment declared."""

from __future__ import annotations

import inspect
import json
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from llm_gym import tool
from llm_gym.adapters.trl.docstrings import docstring_of, hint_of, tool_method
from llm_gym.tools import ToolSpec
from tests.sample_envs import VaultEnv

get_json_schema = pytest.importorskip("transformers.utils").get_json_schema


class ShopEnv(VaultEnv):
    """Tools of many types."""

    @tool
    def buy(
        self,
        item: Literal["tea", "bread"],
        count: int = 1,
        notes: list[str] | None = None,
        prices: dict[str, float] | None = None,
    ) -> str:
        """Buy something. Returns: nothing of use.

        Args:
            item: What to buy.
            count: How many.
            notes: What to write on it.
            prices: The most to pay.
        """
        return item


BUY = ShopEnv.tool_specs["buy"]


def method_of(spec: ToolSpec) -> Any:
    """Return a method that tells what it was called with."""
    return tool_method(spec, lambda _, name, arguments: f"{name} {arguments}")


def read(spec: ToolSpec) -> dict[str, Any]:
    """Return what transformers makes of a method."""
    function: dict[str, Any] = get_json_schema(method_of(spec))["function"]
    return function


@pytest.mark.parametrize("spec", VaultEnv.tool_specs.values(), ids=lambda s: s.name)
def test_transformers_reads_names_types_and_descriptions(spec: ToolSpec) -> None:
    told = read(spec)
    assert told["name"] == spec.name
    assert told["description"] == spec.description
    ours, theirs = spec.parameters, told["parameters"]
    assert list(theirs["properties"]) == list(ours["properties"])
    assert theirs.get("required", []) == ours["required"]
    for name, schema in ours["properties"].items():
        assert theirs["properties"][name]["type"] == schema["type"]


def test_choices_defaults_and_containers_survive() -> None:
    properties = read(BUY)["parameters"]["properties"]
    assert properties["item"]["enum"] == ["tea", "bread"]
    assert read(BUY)["parameters"]["required"] == ["item"]
    assert properties["notes"]["items"] == {"type": "string"}
    assert properties["prices"]["additionalProperties"] == {"type": "number"}


def test_description_that_looks_like_a_section_is_kept() -> None:
    assert "nothing of use" in read(BUY)["description"]


def test_bounds_are_told_as_a_schema() -> None:
    schema = {"type": "integer", "minimum": 3, "description": "A number."}
    spec: Any = SimpleNamespace(
        description="Pick.", parameters={"properties": {"n": schema}}
    )
    (line,) = [one for one in docstring_of(spec).splitlines() if "A number." in one]
    assert json.loads(line.partition("JSON schema: ")[2])["minimum"] == 3


@pytest.mark.parametrize(
    ("schema", "hint"),
    [
        ({"type": "string"}, str),
        ({"enum": [1, 2]}, Literal[1, 2]),
        ({"const": "x"}, Literal["x"]),
        ({"type": "array", "items": {"type": "number"}}, list[float]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, int | None),
        ({"type": ["string", "null"]}, Any),
        ({}, Any),
    ],
)
def test_hint_comes_nearest_to_the_schema(schema: Any, hint: Any) -> None:
    assert hint_of(schema) == hint


def test_method_hands_over_what_the_model_wrote_and_has_a_signature() -> None:
    method = method_of(BUY)
    assert method(object(), colour=3) == "buy {'colour': 3}"
    assert method(object(), self=1, item="tea") == "buy {'self': 1, 'item': 'tea'}"
    names = list(inspect.signature(method).parameters)
    assert names == ["self", "item", "count", "notes", "prices"]
