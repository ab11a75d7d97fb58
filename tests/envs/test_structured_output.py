"""Every right value follows its schema; what is nearly right scores nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gym import Reply, StopReason, Task, Trajectory
from llm_gym.envs.structured_output import StructuredOutputEnv, difference
from llm_gym.messages import call_text
from llm_gym.policies.oracle import OraclePolicy
from llm_gym.validation import SchemaValidator
from tests.envs.driving import drive, make, play, resume

ENV_ID = "llmgym/StructuredOutput-v0"
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer", "minimum": 0},
        "price": {"type": "number"},
        "gift": {"type": "boolean"},
        "note": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "count", "price", "gift", "tags"],
    "additionalProperties": False,
}
RIGHT = {"name": "Ada", "count": 1, "price": 12.0, "gift": True, "tags": ["x", "y"]}
TASK = Task(
    id="plain",
    prompt=f"Ada, one piece, 12 euros, a gift, tags x and y.\n{json.dumps(SCHEMA)}",
    data={"text": "Ada, one piece", "schema": SCHEMA},
    answer=RIGHT,
)
GOOD = json.dumps(RIGHT)


def answered(reply: object, task: Task = TASK) -> Trajectory:
    return play(make(ENV_ID), [reply], seed=0, options={"task": task})


def changed(**values: Any) -> str:
    return json.dumps({**RIGHT, **values})


@cache
def drawn(level: int) -> list[Task]:
    rng = np.random.default_rng(3)
    tasks = StructuredOutputEnv.tasks.select("train", level)
    return [tasks.sample(rng) for _ in range(500)]


@pytest.mark.parametrize("level", range(4))
def test_oracle_every_level_scores_one(level: int) -> None:
    env = make(ENV_ID, level=level)
    for seed in range(60):
        trajectory = drive(env, OraclePolicy(), seed=seed)
        assert trajectory.score.value == 1.0, seed
        assert trajectory.stop_reason is StopReason.ANSWER


HONEST = {
    "one_line": GOOD,
    "indented": json.dumps(RIGHT, indent=4),
    "other_key_order": json.dumps(dict(reversed(RIGHT.items()))),
    "fenced": f"```json\n{GOOD}\n```",
    "fenced_tightly": f"```json\n{GOOD}```",
    "blanks_around": f"\n\n {GOOD}\t\n",
    "blanks_around_the_fence": f"\n```json \r\n{GOOD}\r\n```\n\n",
    "whole_number_for_a_number": GOOD.replace("12.0", "12"),
    "exponent_for_a_number": GOOD.replace("12.0", "1.2e1"),
    "escaped_letters": GOOD.replace("Ada", "\\u0041da"),
    "after_thinking": f"<think>{changed(count=2)}</think>\n{GOOD}",
    "as_message": {"role": "assistant", "content": GOOD},
}


@pytest.mark.parametrize("reply", HONEST.values(), ids=HONEST)
def test_honest_value_scores_one(reply: object) -> None:
    score = answered(reply).score
    assert score.value == 1.0
    assert score.parts == {"json": 1.0, "schema": 1.0, "values": 1.0}


NOT_JSON = {
    "nothing": "",
    "prose": "The name is Ada.",
    "echo_of_the_prompt": TASK.prompt,
    "sentence_before": f"Here it is: {GOOD}",
    "sentence_after": f"{GOOD}\nDone.",
    "sentence_before_a_fence": f"Here:\n```json\n{GOOD}\n```",
    "fence_of_no_language": f"```\n{GOOD}\n```",
    "fence_of_another_language": f"```python\n{GOOD}\n```",
    "fence_not_closed": f"```json\n{GOOD}",
    "two_fences": f"```json\n{changed(count=2)}\n```\n```json\n{GOOD}\n```",
    "two_values": f"{changed(count=2)}\n{GOOD}",
    "key_twice": GOOD.replace('"count": 1', '"count": 2, "count": 1'),
    "not_a_number": GOOD.replace("12.0", "NaN"),
    "infinity": GOOD.replace("12.0", "1e999"),
    "trailing_comma": GOOD.replace("}", ",}"),
    "comment": GOOD.replace("}", "} // right"),
    "single_quotes": str(RIGHT),
    "byte_order_mark": f"\ufeff{GOOD}",
    "no_break_space": f"{GOOD}\u00a0",
    "leading_zero": GOOD.replace('"count": 1', '"count": 01'),
    "nested_without_end": "[" * 100_000,
    "endless_integer": GOOD.replace('"count": 1', '"count": ' + "1" * 10_000),
    "tool_call": call_text("answer", RIGHT),
    "only_thought": f"<think>{GOOD}",
    "cut_off": Reply(GOOD, finish_reason="length"),
}


@pytest.mark.parametrize("reply", NOT_JSON.values(), ids=NOT_JSON)
def test_not_one_json_value_scores_zero(reply: object) -> None:
    trajectory = answered(reply)
    assert trajectory.stop_reason is not None
    assert trajectory.score.value == 0.0
    assert trajectory.score.parts == {"json": 0.0, "schema": 0.0, "values": 0.0}
    assert trajectory.score.reason


NOT_VALID = {
    "empty_object": "{}",
    "null": "null",
    "the_schema_itself": json.dumps(SCHEMA),
    "in_an_array": f"[{GOOD}]",
    "as_a_string": json.dumps(GOOD),
    "key_too_much": changed(extra=1),
    "key_left_out": json.dumps({k: v for k, v in RIGHT.items() if k != "gift"}),
    "key_in_capitals": GOOD.replace("name", "Name"),
    "key_in_cyrillic": GOOD.replace("name", "n\u0430me"),
    "number_as_string": changed(count="1"),
    "flag_as_string": changed(gift="true"),
    "flag_as_number": changed(gift=1),
    "number_as_flag": changed(count=True),
    "null_for_a_missing_one": changed(note=None),
    "list_as_string": changed(tags="x, y"),
}


@pytest.mark.parametrize("reply", NOT_VALID.values(), ids=NOT_VALID)
def test_not_valid_under_the_schema_scores_zero(reply: str) -> None:
    score = answered(reply).score
    assert score.value == 0.0
    assert score.parts == {"json": 1.0, "schema": 0.0, "values": 0.0}
    assert score.reason.startswith("the JSON does not follow the schema: ")


NOT_RIGHT = {
    "fraction_for_an_integer": (changed(count=1.0), "$.count"),
    "other_number": (changed(price=12.01), "$.price"),
    "nearly_the_number": (GOOD.replace("12.0", "12.0000000001"), "$.price"),
    "other_flag": (changed(gift=False), "$.gift"),
    "other_case": (changed(name="ada"), "$.name"),
    "blank_after": (changed(name="Ada "), "$.name"),
    "cyrillic_letter": (changed(name="\u0410da"), "$.name"),
    "zero_width_space": (changed(name="A\u200bda"), "$.name"),
    "all_in_one": (changed(name="Ada, Bo, Cy"), "$.name"),
    "optional_one_made_up": (changed(note=""), "$.note"),
    "other_order": (changed(tags=["y", "x"]), "$.tags.0"),
    "item_too_much": (changed(tags=["x", "y", "y"]), "$.tags.2"),
    "item_left_out": (changed(tags=["x"]), "$.tags.1"),
}


@pytest.mark.parametrize(("reply", "place"), NOT_RIGHT.values(), ids=NOT_RIGHT)
def test_not_what_the_text_tells_scores_zero(reply: str, place: str) -> None:
    score = answered(reply).score
    assert score.value == 0.0
    assert score.parts == {"json": 1.0, "schema": 1.0, "values": 0.0}
    assert score.reason == f"the value at `{place}` is not what the text tells"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None)
@given(json_values)
def test_difference_itself_has_none(value: Any) -> None:
    assert difference(json.loads(json.dumps(value)), value) is None


@settings(deadline=None)
@given(json_values, json_values)
def test_difference_none_means_the_same_json(value: Any, right: Any) -> None:
    if difference(value, right) is None:
        assert value == right
        assert json.dumps(value).count("true") == json.dumps(right).count("true")


@pytest.mark.parametrize(
    ("value", "right"),
    [
        (1, True),
        (True, 1),
        (True, 1.0),
        (1.0, 1),
        (None, 0),
        ("1", 1),
        ([], {}),
        ({}, []),
    ],
)
def test_difference_of_types_is_told(value: Any, right: Any) -> None:
    assert difference({"a": [value]}, {"a": [right]}) == "$.a.0"


# The generator


@pytest.mark.parametrize("level", range(4))
def test_right_value_follows_its_schema(level: int) -> None:
    for task in drawn(level):
        assert SchemaValidator(task.data["schema"]).error(task.answer) is None
        assert difference(json.loads(json.dumps(task.answer)), task.answer) is None


def leaves(value: Any) -> list[Any]:
    if isinstance(value, (dict, list)):
        children = value.values() if isinstance(value, dict) else value
        return [leaf for child in children for leaf in leaves(child)]
    return [value]


def constants(schema: Any) -> list[Any]:
    """Return all that a schema itself says of values."""
    if isinstance(schema, dict):
        told = [schema["const"]] if "const" in schema else schema.get("enum", [])
        return [*told, *(x for inner in schema.values() for x in constants(inner))]
    return (
        [x for inner in schema for x in constants(inner)]
        if isinstance(schema, list)
        else []
    )


@pytest.mark.parametrize("level", range(3))
def test_text_tells_each_value(level: int) -> None:
    for task in drawn(level):
        text, schema = task.data["text"], task.data["schema"]
        assert text in task.prompt
        for leaf in leaves(task.answer):
            if isinstance(leaf, str) and leaf not in constants(schema):
                assert leaf in text or leaf[:4] in text, leaf  # a date by its year
            elif isinstance(leaf, float):
                assert f"{leaf:g}" in text or str(leaf) in text
            elif isinstance(leaf, int) and not isinstance(leaf, bool):
                assert str(leaf) in text


@pytest.mark.parametrize("level", range(4))
def test_schema_tells_no_fact(level: int) -> None:
    for task in drawn(level)[:100]:
        other = replace(task, answer=None, prompt="")
        schema = json.dumps(other.data["schema"])
        told = [v for v in leaves(task.answer) if isinstance(v, str) and " " in v]
        assert [value for value in told if value in schema] == []


def test_levels_ask_for_more() -> None:
    schemas = [
        [json.dumps(t.data["schema"]) for t in drawn(level)] for level in range(4)
    ]
    assert all(s.count('"object"') == 1 for s in schemas[0])
    assert all(s.count('"object"') > 1 and '"array"' not in s for s in schemas[1])
    assert all('"array"' in s and '"oneOf"' not in s for s in schemas[2])
    assert all('"array"' in s and '"oneOf"' in s for s in schemas[3])
    assert any('"anyOf"' in s for s in schemas[1])


def told(schema: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the description and the value of each property, however deep."""
    for branch in schema.get("oneOf", ()):
        if SchemaValidator(branch).is_valid(value):
            yield from told(branch, value)
    for item in value if isinstance(value, list) else ():
        yield from told(schema["items"], item)
    for key, inner in schema.get("properties", {}).items():
        if key in value:
            yield inner.get("description", ""), value[key]
            yield from told(inner, value[key])


def test_top_level_codes_stand_for_words_in_the_text() -> None:
    for task in drawn(3):
        pairs = told(task.data["schema"], task.answer)
        found = [
            (about, value) for about, value in pairs if re.search(r"\d for", about)
        ]
        ((about, value),) = found
        words = {int(c): word for c, word in re.findall(r"(\d+) for (\w+)", about)}
        assert [w for w in words.values() if w in task.data["text"]] == [words[value]]


def test_top_level_measure_is_in_the_smaller_unit() -> None:
    units = {"g": ("kg", 3), "m": ("km", 3), "cm": ("m", 2), "mm": ("cm", 1)}
    for task in drawn(3):
        pairs = told(task.data["schema"], task.answer)
        ((unit, value),) = [
            (match[1], value)
            for about, value in pairs
            if (match := re.search(r"\(in (\w+)\)", about))
        ]
        large, places = units[unit]
        assert f" {value / 10**places:.{places}f} {large}" in task.data["text"]
        assert type(value) is int


@pytest.mark.parametrize("level", range(4))
def test_dates_are_said_in_words_above_level_zero(level: int) -> None:
    for task in drawn(level):
        for about, value in told(task.data["schema"], task.answer):
            if "as YYYY-MM-DD" in about and value is not None:
                day = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
                words = f"{day.day} {day:%B} {day.year}" if level else value
                assert f" {words}." in task.data["text"]


@pytest.mark.parametrize("level", range(4))
def test_optional_property_is_there_if_told(level: int) -> None:
    optional, present = 0, 0
    for task in drawn(level):
        schema = task.data["schema"]
        for key in schema["properties"].keys() - set(schema["required"]):
            optional += 1
            present += key in task.answer
    assert (optional > 0) == (level > 0)
    assert present < optional or level == 0
    assert present > 0 or level == 0


@pytest.mark.parametrize("level", range(4))
def test_constant_and_neighbour_scores_zero(level: int) -> None:
    """Answers of other tasks are the best constants there are."""
    tasks = drawn(level)
    for task, other in pairwise(tasks):
        assert difference(other.answer, task.answer) is not None


@pytest.mark.parametrize("level", range(4))
def test_tasks_all_differ(level: int) -> None:
    assert len({json.dumps(task.answer) for task in drawn(level)}) == 500


# What every environment must do


def test_same_seed_same_digest() -> None:
    digests = [drive(make(ENV_ID), OraclePolicy(), seed=s).digest for s in (5, 5, 6)]
    assert digests[0] == digests[1] != digests[2]


def test_answer_changed_shows_nothing() -> None:
    shown = [
        make(ENV_ID).reset(seed=0, options={"task": replace(TASK, answer=answer)})
        for answer in (RIGHT, {"name": "Bo"})
    ]
    assert shown[0] == shown[1]


def test_fork_goes_on_equal() -> None:
    env = make(ENV_ID)
    env.reset(seed=9)
    other, snapshot = env.fork(), env.snapshot()
    ended = resume(env, OraclePolicy())
    assert resume(other, OraclePolicy()).digest == ended.digest
    env.restore(snapshot)
    assert resume(env, OraclePolicy()).digest == ended.digest


@pytest.mark.parametrize("reply", [GOOD, "", "{}", changed(count=2), changed(price=12)])
def test_stored_trajectory_scores_the_same(reply: str) -> None:
    trajectory = answered(reply)
    stored = Trajectory.from_json(trajectory.to_json())
    assert StructuredOutputEnv().verify(stored) == trajectory.score


def test_stored_oracle_trajectories_score_one() -> None:
    env = make(ENV_ID)
    for seed in range(40):
        stored = Trajectory.from_json(drive(env, OraclePolicy(), seed=seed).to_json())
        assert StructuredOutputEnv().verify(stored).value == 1.0


def test_gymnasium_checker_passes() -> None:
    check_env(make(ENV_ID), skip_render_check=True)
