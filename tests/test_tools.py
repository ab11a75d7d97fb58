"""Tools as they are described, validated and refused when their class is defined."""

from __future__ import annotations

import asyncio
import functools
import re
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Optional

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym import DefinitionError, ToolEnv, tool
from llm_gym.jsontext import normalise
from llm_gym.spaces import sample_json
from llm_gym.tools import ToolSpec, collect_tools, unknown_tool
from tests.sample_envs import Colour, KitEnv, Point, Span, VaultEnv

if TYPE_CHECKING:
    from fractions import Fraction


class Kit:
    """Functions to describe; what they do does not matter."""

    def plain(self):
        """Do it."""

    def typed(
        self,
        text: str,
        number: float = 1.5,
        colour: Colour = Colour.RED,
        maybe: Optional[Point] = None,  # noqa: UP045
        mode: Literal["a", "b"] = "a",
    ) -> str:
        """Describe a thing
        over two lines.

        A second paragraph.

        Args:
            text: What is
                written.
            number (float, optional): How much: a number.
            colour: Which.

        Returns:
            Nothing that the model needs.

        Raises:
            ValueError: Never.
        """

    def loose(self, *, only: int) -> None:
        """Take a keyword.

        Arguments:
            only: The one.
        """

    async def slowly(self) -> None:
        """Wait."""
        await asyncio.sleep(0)


def spec(function, **mark):
    return ToolSpec(tool(**mark)(function) if mark else function)


def test_a_schema_is_drawn_from_signature_and_docstring():
    made = spec(Kit.typed)
    assert made.schema()["type"] == "function"
    assert made.description == "Describe a thing over two lines.\n\nA second paragraph."
    assert made.parameters["required"] == ["text"]
    properties = made.parameters["properties"]
    assert properties["text"] == {
        "type": "string",
        "description": "What is written.",
    }
    assert properties["number"] == {
        "type": "number",
        "description": "How much: a number.",
        "default": 1.5,
    }
    assert properties["colour"]["default"] == "red"
    assert properties["maybe"]["default"] is None
    assert "description" not in properties["mode"]
    jsonschema.Draft202012Validator.check_schema(made.parameters)


def test_a_tool_has_the_openai_form():
    schema = spec(Kit.loose).schema()
    assert schema == {
        "type": "function",
        "function": {
            "name": "loose",
            "description": "Take a keyword.",
            "parameters": {
                "type": "object",
                "properties": {"only": {"type": "integer", "description": "The one."}},
                "required": ["only"],
                "additionalProperties": False,
            },
        },
    }


def test_a_spec_knows_name_method_and_kind():
    assert not spec(Kit.plain).is_async
    assert spec(Kit.slowly).is_async
    assert not spec(Kit.plain).ends_episode
    renamed = spec(_marked(name="other-name", ends_episode=True))
    assert (renamed.name, renamed.method, renamed.ends_episode) == (
        "other-name",
        "does",
        True,
    )


def _marked(**mark):
    def does(self) -> None:
        """Do it."""

    return tool(**mark)(does)


def test_tool_works_with_and_without_parentheses():
    class Both(ToolEnv):
        @tool
        def first(self) -> None:
            """Do it."""

        @tool()
        def second(self) -> None:
            """Do it."""

    assert list(Both.tool_specs) == ["first", "second"]
    assert Both().first() is None


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "'text' is a required property"),
        ({"text": 5}, "`text`: 5 is not of type 'string'"),
        ({"text": "a", "txt": "b"}, r"\('txt' was unexpected\)"),
        ({"text": "a", "mode": "c"}, r"`mode`: 'c' is not one of \['a', 'b'\]"),
        ({"text": "a", "number": "1"}, "`number`: '1' is not of type 'number'"),
        ({"text": "a", "number": True}, "`number`: True is not of type 'number'"),
        ({"text": "a", "maybe": {"y": 1}}, "`maybe`"),
        ({"text": "a", "maybe": {"x": 1, "colour": "pink"}}, "`maybe"),
    ],
)
def test_a_problem_names_the_field_and_shows_the_signature(arguments, why):
    problem = spec(Kit.typed).problem(arguments)
    assert re.search(why, problem)
    assert problem.endswith(
        "Expected: typed(text: string, number?: number, colour?: 'red'|'blue', "
        "maybe?: object|null, mode?: 'a'|'b')"
    )


def test_valid_arguments_have_no_problem_and_arrive_as_their_types():
    made = spec(Kit.typed)
    arguments = {"text": "a", "number": 2, "colour": "blue", "maybe": {"x": 1}}
    assert made.problem(arguments) is None
    assert made.build(arguments) == {
        "text": "a",
        "number": 2.0,
        "colour": Colour.BLUE,
        "maybe": Point(1),
    }
    assert arguments["colour"] == "blue"


def test_a_dataclass_that_refuses_its_values_is_the_models_mistake():
    made = KitEnv.tool_specs["span"]
    assert made.problem({"span": {"first": 1, "last": 2}}) is None
    assert made.build({"span": {"first": 1, "last": 2}}) == {"span": Span(1, 2)}
    problem = made.problem({"span": {"first": 2, "last": 1}})
    assert "`last` must not be before `first`" in problem


def test_arrays_and_free_values_are_shown_in_short():
    assert KitEnv.tool_specs["free"].signature() == "free(value: any)"
    shown = KitEnv.tool_specs["spoil"].signature()
    assert shown == "spoil(values: array of string, table: object)"


def _no_docstring(self): ...


def _only_sections(self, a: int) -> None:
    """Args:
    a: One.
    """


def _no_hint(self, a):
    """Do it."""


def _star(self, *a: int):
    """Do it."""


def _double_star(self, **a: int):
    """Do it."""


def _positional(self, a: int, /):
    """Do it."""


def _bad_hint(self, a: object):
    """Do it."""


def _bad_default_hint(self, a: list[bytes] = []):  # noqa: B006
    """Do it."""


def _only_typing(self, a: Fraction):
    """Do it."""


def _broken_hint(self, a: "list[int"):  # noqa: F722
    """Do it."""


def _hint_is_no_generic(self, a: asyncio[int]):
    """Do it."""


def _stranger(self, a: int):
    """Do it.

    Args:
        b: Not there.
    """


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (_no_docstring, "needs a docstring"),
        (_only_sections, "needs a docstring"),
        (_no_hint, "the parameter `a` needs a type hint"),
        (_star, "`a` must be an ordinary parameter"),
        (_double_star, "`a` must be an ordinary parameter"),
        (_positional, "`a` must be an ordinary parameter"),
        (_bad_hint, "`a`: the hint <class 'object'> has no JSON form"),
        (_bad_default_hint, "`a`: the hint <class 'bytes'> has no JSON form"),
        (_only_typing, "cannot be resolved.*Fraction"),
        (_broken_hint, "cannot be resolved"),
        (_hint_is_no_generic, "cannot be resolved"),
        (_stranger, r"describes \['b'\], its parameters are \['a'\]"),
    ],
)
def test_what_no_model_could_call_is_refused_with_the_tools_name(function, why):
    with pytest.raises(DefinitionError, match=f"tool `{function.__name__}`.*{why}"):
        ToolSpec(function)


@pytest.mark.parametrize("name", ["a", "A-b_9", "a" * 64])
def test_a_name_that_servers_take_is_taken(name):
    assert ToolSpec(_marked(name=name)).name == name


@pytest.mark.parametrize("name", ["a b", "é", "a" * 65, "a.b", "-\n"])
def test_a_name_that_servers_refuse_is_refused(name):
    with pytest.raises(DefinitionError, match="a name is 1 to 64 letters"):
        ToolSpec(_marked(name=name))


def define(**body):
    """Define an environment class, as a `class` statement would."""
    return type("Made", (ToolEnv,), body)


@pytest.mark.parametrize(
    "key", ["reset", "step", "verify", "state", "task", "trajectory", "close", "spec"]
)
def test_a_tool_may_not_take_a_name_of_the_environment(key):
    with pytest.raises(DefinitionError, match=f'use @tool\\(name="{key}"\\)'):
        define(**{key: _marked()})


def test_a_tool_may_be_called_like_a_method_of_the_environment():
    made = define(my_reset=_marked(name="reset"))
    assert made.tool_specs["reset"].method == "my_reset"
    assert made().my_reset() is None


def test_two_tools_of_one_name_are_refused():
    with pytest.raises(DefinitionError, match="two tools `same`"):
        define(first=_marked(name="same"), second=_marked(name="same"))


def test_unsupported_hints_fail_when_the_class_is_defined():
    with pytest.raises(DefinitionError, match="tool `bad`, `when`: the hint"):

        class Bad(ToolEnv):
            @tool
            def bad(self, when: complex) -> None:
                """Do it."""


def test_a_tool_made_by_a_factory_runs_under_the_name_of_its_attribute():
    made = define(north=_marked(), south=_marked(name="go-south"))
    assert list(made.tool_specs) == ["north", "go-south"]
    assert [spec.method for spec in made.tool_specs.values()] == ["north", "south"]


def test_tools_are_inherited_overridden_and_taken_away():
    class Child(VaultEnv):
        roll = None

        @tool
        def lookup(self, colour: str) -> str:
            """Look it up, differently."""
            return colour

        @tool
        def extra(self) -> None:
            """Do more."""

    assert list(Child.tool_specs) == ["lookup", "crash", "open", "extra"]
    assert Child.tool_specs["lookup"].description == "Look it up, differently."
    assert VaultEnv.tool_specs["lookup"].description == "Look the code of a vault up."


def test_an_override_that_is_no_tool_is_refused():
    with pytest.raises(DefinitionError, match="overrides a tool and is not marked"):

        class Child(VaultEnv):
            def lookup(self, colour: str) -> str:
                return colour


class Nested(ToolEnv):
    """Its types live in its body."""

    class Side(Enum):
        """Which side."""

        LEFT = "left"

    @dataclass
    class Box:
        """A box."""

        width: int

    @tool
    def turn(self, side: Side, box: Box | None = None) -> str:
        """Turn."""
        return side.value


class NestedChild(Nested):
    """Inherits a tool whose types live in its base."""


@pytest.mark.parametrize("cls", [Nested, NestedChild])
def test_types_of_parameters_may_live_in_the_class(cls):
    properties = cls.tool_specs["turn"].parameters["properties"]
    assert properties["side"] == {"enum": ["left"]}


def test_a_wrapped_function_is_described_by_what_it_wraps():
    def logged(function):
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    made = define(does=tool(logged(Kit.typed)))
    assert "text" in made.tool_specs["does"].parameters["properties"]


@pytest.mark.parametrize(
    "decorated",
    [
        lambda f: staticmethod(tool(f)),
        lambda f: classmethod(tool(f)),
        lambda f: tool(staticmethod(f)),
    ],
    ids=count(),
)
def test_only_a_method_can_be_a_tool(decorated):
    def does(self, a: int) -> None:
        """Do it."""

    with pytest.raises(DefinitionError, match="does"):
        define(does=decorated(does))


def test_tools_come_in_the_order_of_their_definition():
    assert list(VaultEnv.tool_specs) == ["lookup", "roll", "crash", "open"]
    assert list(collect_tools(VaultEnv, ())) == ["lookup", "roll", "crash", "open"]


@pytest.mark.parametrize(
    ("name", "known", "error"),
    [
        ("lokup", ["lookup", "open"], "Did you mean `lookup`? The tools are `lookup`"),
        ("zzz", ["lookup"], "there is no tool 'zzz'. The tools are `lookup`"),
        ("", ["lookup"], "there is no tool ''."),
        ("x", [], "there is no tool 'x': no tools are available"),
        ("\ud800\x00", ["a"], "there is no tool '\\ud800\\x00'"),
    ],
)
def test_an_unknown_tool_is_answered_with_those_that_there_are(name, known, error):
    assert error in unknown_tool(name, known)


def test_an_unknown_tool_of_any_length_is_answered_briefly():
    assert len(unknown_tool("n" * 10**6, ["lookup"])) < 200


@given(st.sampled_from(sorted(KitEnv.tool_specs)), st.integers(0, 2**32))
def test_random_arguments_of_a_schema_have_no_problem(name, seed):
    made = KitEnv.tool_specs[name]
    arguments = normalise(sample_json(made.parameters, np.random.default_rng(seed)))
    problem = made.problem(arguments)
    assert problem is None or "must not be before" in problem
