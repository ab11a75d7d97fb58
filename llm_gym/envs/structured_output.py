"""Facts in a text, a JSON Schema, and one JSON value that must be right to the letter.

A generated record is told twice: in sentences, and as the value that the schema asks
for. The model sees the sentences and the schema, the verifier the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llm_gym import jsontext
from llm_gym.env import ToolEnv
from llm_gym.envs._draws import pick, some
from llm_gym.envs._records import CONTACTS, KINDS, LEVELS, Fact, Field, Kind
from llm_gym.messages import dumps
from llm_gym.tasks import GeneratedTasks, Task
from llm_gym.trajectory import Score, Trajectory
from llm_gym.validation import SchemaValidator
from llm_gym.verifiers.equality import difference

__all__ = ["StructuredOutputEnv", "difference", "generate"]

FIELDS = (4, 6, 5, 6)
"""How many single facts a schema asks for, by level."""

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class _Node:
    """A property of an object: its key, schema and value."""

    key: str
    schema: dict[str, Any]
    value: Any
    required: bool = True
    present: bool = True


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a record: properties of the schema, sentences of the text."""

    nodes: list[_Node]
    sentences: list[str]


_Style = Callable[[str], str]


def _node(rng: Rng, style: _Style, field: Field, fact: Fact) -> _Node:
    note = f" ({fact.note})" if fact.note else ""
    schema = {"description": field.about + note, **fact.schema}
    return _Node(style(pick(rng, field.names)), schema, fact.value)


def _object(nodes: Sequence[_Node]) -> Fact:
    """Return the object that properties make; its `words` are empty."""
    schema = {
        "type": "object",
        "properties": {node.key: node.schema for node in nodes},
        "required": [node.key for node in nodes if node.required],
        "additionalProperties": False,
    }
    return Fact("", {n.key: n.value for n in nodes if n.present}, schema)


def _singles(rng: Rng, kind: Kind, level: int, style: _Style) -> _Part:
    """Draw the single facts."""
    fixed = list(kind.fields[:2]) if level == LEVELS - 1 else []
    others = [field for field in kind.fields if field not in fixed]
    # Above level 0 the text tells one fact that the schema does not ask for.
    fields = fixed + some(rng, others, FIELDS[level] + bool(level) - len(fixed))
    facts = [(field, field.draw(rng, level)) for field in fields]
    told = [field.sentence.format(fact.words) for field, fact in facts]
    last = FIELDS[level] - 1
    nodes = [_node(rng, style, field, fact) for field, fact in facts[: last + 1]]
    if level:
        untold = bool(rng.integers(2))
        nodes[last] = _perhaps(nodes[last], untold, nullable=bool(rng.integers(2)))
        if untold:
            del told[last]
    return _Part(nodes, told)


def _perhaps(node: _Node, untold: bool, *, nullable: bool) -> _Node:
    """Make a property optional or nullable, and take its value if it is not told."""
    if not nullable:
        return replace(node, required=False, present=not untold)
    inner = {key: v for key, v in node.schema.items() if key != "description"}
    about = f"{node.schema['description']}; null if not told"
    schema = {"description": about, "anyOf": [inner, {"type": "null"}]}
    return replace(node, schema=schema, value=None if untold else node.value)


def _grouped(rng: Rng, nodes: Sequence[_Node], style: _Style) -> list[_Node]:
    """Put some properties into one or two objects of their own."""
    size = len(nodes) // 3
    names = some(rng, ("details", "particulars", "general", "key_facts", "summary"), 2)
    groups = [nodes[:size], nodes[size : 2 * size]][: pick(rng, (1, 2))]
    rest = list(nodes[size * len(groups) :])
    for name, group in zip(names, groups, strict=False):
        whole = _object(group)
        rest.append(_Node(style(name), whole.schema, whole.value))
    return rest


def _listed(rng: Rng, kind: Kind, level: int, style: _Style) -> _Part:
    """Draw an array of objects, each told in a line."""
    key = style(pick(rng, kind.list_names))
    names = [replace(f, names=(pick(rng, f.names),)) for f in kind.item]
    objects, sentences = [], []
    for number in range(int(rng.integers(2, 4 + level // 3))):
        facts = [field.draw(rng, level) for field in names]
        nodes = [_node(rng, style, f, x) for f, x in zip(names, facts, strict=True)]
        words = [f.sentence.format(x.words) for f, x in zip(names, facts, strict=True)]
        objects.append(_object(nodes))
        sentences.append(f"{number + 1}. {', '.join(words)}.")
    schema = {
        "description": "the numbered list, in its order",
        "type": "array",
        "items": objects[0].schema,
        "minItems": 1,
    }
    node = _Node(key, schema, [whole.value for whole in objects])
    return _Part([node], sentences)


def _contact(rng: Rng, style: _Style) -> _Part:
    """Draw a way to reach somebody, whose object has one of two forms."""
    key, way_key = pick(rng, ("contact", "ask_back")), pick(rng, ("channel", "method"))
    branches, told = [], []
    for field in CONTACTS:
        fact, (way, name) = field.draw(rng, 0), field.names
        node = _Node(name, {"description": field.about, **fact.schema}, fact.value)
        branches.append(_object([_Node(style(way_key), {"const": way}, way), node]))
        told.append(field.sentence.format(fact.words))
    chosen = int(rng.integers(len(branches)))
    schema = {
        "description": "where questions go",
        "oneOf": [branch.schema for branch in branches],
    }
    node = _Node(style(key), schema, branches[chosen].value)
    return _Part([node], [told[chosen]])


def generate(rng: Rng, level: int) -> Task:
    """Make a text, a schema and the one value that is right.

    Args:
        rng: Where the randomness comes from.
        level: 0 flat; 1 nested; 2 with an array of objects; 3 with codes, other units
            and alternatives.
    """
    kind, style = pick(rng, KINDS), pick(rng, _STYLES)
    singles = _singles(rng, kind, level, style)
    nodes, sentences = list(singles.nodes), list(singles.sentences)
    listed = _Part([], [])
    if level >= 1:
        nodes = _grouped(rng, nodes, style)
        nodes.append(_Node(style("record_type"), {"const": kind.name}, kind.name))
    if level >= 2:
        listed = _listed(rng, kind, level, style)
    if level >= 3:
        contact = _contact(rng, style)
        nodes += contact.nodes
        sentences += contact.sentences
    nodes += listed.nodes
    whole = _object(some(rng, nodes, len(nodes)))
    told = " ".join([kind.opening, *some(rng, sentences, len(sentences))])
    text = "\n".join([told, *listed.sentences])
    return Task(
        prompt=_PROMPT.format(text=text, schema=dumps(whole.schema)),
        data={"text": text, "schema": whole.schema},
        answer=whole.value,
    )


_PROMPT = """\
Write what this text tells as one JSON value that follows the JSON Schema below.

{text}

JSON Schema:
{schema}

Take each value from the text, letter for letter unless the schema wants another form. \
Leave a property out if it is not required and the text does not tell it. Reply with \
nothing but the JSON, bare or in one ```json block."""


class StructuredOutputEnv(ToolEnv):
    """Turn a text into JSON that follows a schema and is right.

    Task:
        A short generated text tells of an order, a guided walk, an employee or the log
        of a weather station; a JSON Schema says in which form it is wanted. Keys,
        structure, enums, bounds and what is optional vary; each property's description
        says what it holds, and the text determines every value.

    Tools:
        None.

    Observation:
        One user message: the text, the schema (Draft 2020-12), the rules.

    Reply:
        One JSON value and nothing else, bare or as the only content of one fenced block
        that is marked `json`; blanks around either do not matter. It is read strictly:
        no NaN, no infinity, no key twice, no comments, no trailing comma.

    Reward:
        At the end 1.0 if the reply is JSON, valid under the schema, and equal to the
        right value, else 0.0. Equal means: the same keys, arrays in the order of the
        text, strings the same to the letter, `true` and `false` no numbers. Where the
        schema says `number`, 12 and 12.0 are the same; elsewhere a whole number has no
        fraction. Parts, each 0 or 1: `json`, `schema`, `values`.

    Episode end:
        Terminated by the reply, whatever it is; truncated if it was cut off by its
        length limit or calls a tool.

    Levels:
        0: a flat object. 1: objects in the object, dates in words, a fact too much, a
        property that may be missing. 2: an array of objects too. 3: codes for words, a
        smaller unit, and an object with two alternative forms (`oneOf`) too.

    Floors:
        oracle 1.000, null 0.000, constant 0.000, random 0.000 (1,000 episodes, seed 0)

    Data and licence:
        Generated; Apache-2.0, as the package.

    Arguments:
        Those of `ToolEnv`.

    Version history:
        v0: first version.
    """

    tasks = GeneratedTasks(generate, levels=LEVELS)
    max_turns = 1

    def verify(self, trajectory: Trajectory) -> Score:
        """Read the reply as JSON, check it by the schema, compare the values."""
        text = trajectory.answer
        if text is None:
            return _score(0, "the episode ended without an answer")
        fenced = _FENCE.fullmatch(text)
        try:
            value = jsontext.loads(fenced[1] if fenced else text)
        except ValueError as err:
            return _score(0, f"the reply is not one JSON value: {err}")
        problem = SchemaValidator(trajectory.task.data["schema"]).error(value)
        if problem is not None:
            return _score(1, f"the JSON does not follow the schema: {problem}")
        place = difference(value, trajectory.task.answer)
        if place is not None:
            return _score(2, f"the value at `{place}` is not what the text tells")
        return _score(3, "the JSON is valid and right")

    def oracle(self) -> str:
        """Return the right value."""
        return dumps(self.task.answer)


_FENCE = re.compile(r"[ \t\r\n]*```json[ \t]*\r?\n(.*)```[ \t\r\n]*", re.DOTALL)


def _score(passed: int, reason: str) -> Score:
    """Return the score of a reply that passed some of the three checks."""
    names = ("json", "schema", "values")
    parts = {name: float(passed > i) for i, name in enumerate(names)}
    return Score(float(passed == len(names)), parts, reason)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


_STYLES: tuple[_Style, ...] = (
    str,
    _camel,
    lambda name: "".join(word.capitalize() for word in name.split("_")),
    lambda name: name.replace("_", "-"),
)
