"""Tasks: strict files, generators without end, splits that share nothing."""

from __future__ import annotations

import json
import pickle
from contextlib import suppress
from itertools import count

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym import (
    DefinitionError,
    FormatError,
    GeneratedTasks,
    JsonlTasks,
    ListTasks,
    Task,
    UnknownTaskError,
)
from llm_gym.tasks import TASK_SCHEMA, BlankTasks, as_source, read_task
from tests.json_values import any_text, json_texts, json_values
from tests.sample_envs import VaultEnv, make_vault

SPLITS = ("train", "validation", "test")
VAULTS = GeneratedTasks(make_vault, levels=2)


def rng(seed=0):
    return np.random.default_rng(seed)


def write_lines(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tasks.jsonl"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tasks")


def test_a_file_is_read_line_by_line(path):
    full = Task("b", "Hi", {"x": [1]}, {"y": None}, "test", 2)
    write_lines(path, '{"id": "a"}', json.dumps(full.to_json()))
    tasks = JsonlTasks(path)
    assert list(tasks) == [Task("a"), full]
    assert tasks.get("b") == full


def test_a_prompt_may_be_messages(path):
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    write_lines(path, json.dumps({"id": "a", "prompt": prompt}))
    assert JsonlTasks(path).get("a").prompt == prompt


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "expected one JSON object: Expecting value"),
        ("[]", r"\[\] is not of type 'object'"),
        ('"a"', "'a' is not of type 'object'"),
        ("{", "expected one JSON object"),
        ('{"id": "a"} {"id": "b"}', "Extra data"),
        ("{}", "'id' is a required property"),
        ('{"id": ""}', "`id`: expected a non-empty str, came ''"),
        ('{"id": 5}', "`id`: 5 is not of type 'string'"),
        ('{"id": "a", "promt": "x"}', "'promt' was unexpected"),
        ('{"id": "a", "prompt": 5}', "`prompt`: 5 is not"),
        ('{"id": "a", "prompt": [{"role": "tool", "content": ""}]}', "`prompt"),
        ('{"id": "a", "prompt": [{"role": "user"}]}', "`prompt"),
        ('{"id": "a", "data": []}', r"`data`: \[\] is not of type 'object'"),
        ('{"id": "a", "split": "dev"}', "`split`: 'dev' is not one of"),
        ('{"id": "a", "level": "0"}', "`level`: '0' is not of type 'integer'"),
        ('{"id": "a", "level": true}', "`level`: True is not of type 'integer'"),
        ('{"id": "a", "answer": NaN}', "NaN is not a JSON number"),
        ('{"id": "a", "answer": 1e999}', "too large"),
        ('{"id": "a", "id": "b"}', "the key 'id' appears twice"),
        ('{"id": "ok"}', "`id`: 'ok' was used in line 1 already"),
        ('{"id": "a", "data": ' + "[" * 10_000, "nested deeper"),
    ],
    ids=count(),
)
def test_a_bad_line_is_named_with_file_line_field_and_why(path, line, why):
    write_lines(path, '{"id": "ok"}', line, '{"id": "never"}')
    with pytest.raises(FormatError, match=rf"tasks\.jsonl, line 2: .*{why}"):
        JsonlTasks(path)


def test_bytes_that_are_no_utf8_are_named_with_their_line(path):
    path.write_bytes(b'{"id": "a"}\n{"id": "\xff"}\n')
    with pytest.raises(FormatError, match=r"tasks\.jsonl, line 2: .*utf-8"):
        JsonlTasks(path)


def test_a_file_that_cannot_be_read_or_is_empty_is_named(path):
    with pytest.raises(FormatError, match=r"tasks\.jsonl' cannot be read"):
        JsonlTasks(path)
    path.write_text("")
    with pytest.raises(FormatError, match=r"tasks\.jsonl"):
        JsonlTasks(path)


def test_the_schema_is_documented_and_valid():
    jsonschema.Draft202012Validator.check_schema(TASK_SCHEMA)
    assert TASK_SCHEMA["required"] == ["id"]
    assert sorted(TASK_SCHEMA["properties"]) == sorted(Task("a").to_json())


@given(json_texts)
def test_any_file_is_read_or_a_format_error(folder, text):
    path = folder / "any.jsonl"
    lines = f'{{"id": "a"}}\n{{"id": "b", "answer": {text}}}\n'
    path.write_bytes(lines.encode(errors="surrogatepass"))
    with suppress(FormatError):
        assert [task.id for task in JsonlTasks(path)] == ["a", "b"]


@given(
    any_text.filter(bool), any_text, st.dictionaries(any_text, json_values), json_values
)
def test_a_task_makes_the_round_trip(task_id, prompt, data, answer):
    task = Task(task_id, prompt, data, answer, "validation", 3)
    assert read_task(json.loads(json.dumps(task.to_json())), "here") == task


def test_a_plain_task_is_what_its_record_would_hold():
    task = Task("a", data={"pair": (1, 2), "by_number": {10: "a"}}, answer=(None,))
    plain = task.plain()
    assert plain == Task(
        "a", data={"pair": [1, 2], "by_number": {"10": "a"}}, answer=[None]
    )
    assert plain.content_hash() == plain.plain().content_hash()
    assert plain.content_hash() == Task("b", "", plain.data, [None]).content_hash()
    assert plain.content_hash() != Task("a", "", plain.data, []).content_hash()


@pytest.mark.parametrize("data", [{"a": {1, 2}}, {"a": float("nan")}, {"a": object()}])
def test_a_task_that_json_cannot_carry_is_refused(data):
    with pytest.raises(ValueError, match=r"\w"):
        Task("a", data=data).plain()


def test_a_plain_task_may_be_large():
    assert len(Task("a", data={"text": "x" * 10**6}).plain().data["text"]) == 10**6


def test_a_task_has_a_generator_of_its_own():
    numbers = Task(id="a").rng().integers(10**9, size=4)
    assert list(Task(id="a", prompt="x").rng().integers(10**9, size=4)) == list(numbers)
    assert list(Task(id="b").rng().integers(10**9, size=4)) != list(numbers)


def test_a_task_of_any_id_has_a_generator():
    assert Task(id="\ud800").rng().random() < 1


@pytest.mark.parametrize(
    ("tasks", "why"),
    [
        ([], "at least one task"),
        ([Task()], "an id of its own"),
        ([Task("a"), Task("a", "other")], "'a' is empty or taken"),
    ],
)
def test_a_list_needs_tasks_with_ids_of_their_own(tasks, why):
    with pytest.raises(FormatError, match=why):
        ListTasks(tasks)


def test_a_list_is_narrowed_to_a_split_and_a_level():
    tasks = ListTasks(
        [Task(f"{s}{n}", split=s, level=n) for s in SPLITS for n in (0, 1)]
    )
    assert len(tasks) == 6
    assert [task.id for task in tasks.select("test", None)] == ["test0", "test1"]
    assert [task.id for task in tasks.select("test", 1)] == ["test1"]
    assert tasks.select("test", 1).select("train", 0).get("test0").level == 0
    with pytest.raises(ValueError, match="no task has split 'train' and level 5"):
        tasks.select("train", 5)


def test_a_list_is_drawn_from_uniformly_and_by_seed():
    tasks = ListTasks([Task(str(n)) for n in range(4)])
    drawn = [tasks.sample(generator).id for generator in [rng()] * 400]
    assert all(70 < drawn.count(str(n)) < 130 for n in range(4))
    assert tasks.sample(rng(7)) == tasks.sample(rng(7))


@pytest.mark.parametrize(
    "source",
    [ListTasks([Task("a")]), VAULTS, ListTasks([Task("a")]).select("train", 0)],
)
def test_an_unknown_task_is_refused(source):
    with pytest.raises(UnknownTaskError, match="'zzz'"):
        source.get("zzz")


def test_a_file_is_pickled_as_its_path_and_its_choice(path):
    write_lines(path, '{"id": "a"}', '{"id": "b", "split": "test"}')
    for source in (JsonlTasks(path), JsonlTasks(path).select("test", None)):
        again = pickle.loads(pickle.dumps(source))
        assert list(again) == list(source)
        assert again.get("a") == Task("a")
    assert len(pickle.dumps(source)) < 300


def test_the_same_id_gives_the_same_task():
    task = VAULTS.sample(rng(1))
    assert VAULTS.get(task.id) == task
    assert VAULTS.select("test", 1).get(task.id) == task
    assert VAULTS.get("train-0-7") == VAULTS.get("train-0-7")
    assert VAULTS.get("train-0-7").data != VAULTS.get("train-0-8").data


@pytest.mark.parametrize(
    ("task_id", "colour", "code"),
    [
        ("train-0-0", "green", 636961),
        ("validation-1-7", "black", 382657),
        ("test-0-123456789", "black", 452267),
    ],
)
def test_an_id_gives_the_same_task_for_ever(task_id, colour, code):
    """If this fails, every stored result names other tasks than it was run on."""
    task = VAULTS.get(task_id)
    assert (task.prompt, task.answer["code"]) == (f"Open the {colour} vault.", code)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("level", [0, 1])
def test_a_selection_draws_its_split_and_level_only(split, level):
    source = VAULTS.select(split, level)
    drawn = [source.sample(generator) for generator in [rng()] * 20]
    assert {(task.split, task.level) for task in drawn} == {(split, level)}
    assert all(task.id.startswith(f"{split}-{level}-") for task in drawn)
    assert len({task.id for task in drawn}) == 20


def test_without_a_level_all_are_drawn():
    assert {VAULTS.sample(generator).level for generator in [rng()] * 30} == {0, 1}


def make_one_of_thirty(generator, level):
    return Task(prompt=str(int(generator.integers(30))), answer=level)


def test_splits_share_no_content_even_where_there_is_little():
    source = GeneratedTasks(make_one_of_thirty)
    contents = []
    for split in SPLITS:
        ids = (f"{split}-0-{n}" for n in range(200))
        contents.append({source.get(task_id).prompt for task_id in ids})
    assert all(contents)
    assert sum(map(len, contents)) == len(set.union(*contents)) <= 30


def test_a_generator_that_makes_too_little_is_refused():
    source = GeneratedTasks(lambda generator, level: Task(prompt="always"))
    assert source.get("train-0-1").prompt == "always"
    for split in ("validation", "test"):
        with pytest.raises(DefinitionError, match="makes too few different tasks"):
            source.get(f"{split}-0-1")


@pytest.mark.parametrize(
    "task_id",
    [
        "",
        "train",
        "train-0",
        "train-0-",
        "train-0--1",
        "train-2-1",
        "dev-0-1",
        "train-0-x",
        "train-0-1\n",
        " train-0-1",
        "train-0-٣",
        "train-0-" + "9" * 16,
        "train-1e0-1",
    ],
)
def test_an_id_of_another_form_is_unknown_to_a_generator(task_id):
    with pytest.raises(UnknownTaskError, match="a task id must be"):
        VAULTS.get(task_id)


@pytest.mark.parametrize(
    ("split", "level"), [("dev", None), ("train", 2), ("train", -1)]
)
def test_a_selection_that_a_generator_lacks_is_refused(split, level):
    with pytest.raises(ValueError, match=r"`split` must be|`level` must be"):
        VAULTS.select(split, level)


def test_a_generator_survives_pickling():
    again = pickle.loads(pickle.dumps(VAULTS.select("test", 1)))
    assert again.sample(rng()) == VAULTS.select("test", 1).sample(rng())


def test_blank_tasks_are_nothing_but_an_id():
    source = BlankTasks().select("test", 2)
    task = source.sample(rng())
    assert task == Task(id=task.id, split="test", level=2)
    assert source.get(task.id) == task
    assert source.get("anything") == Task(id="anything", split="test", level=2)
    assert BlankTasks().select("train", None).get("test-3-4").level == 3
    assert BlankTasks().select("train", None).sample(rng()).level == 0
    assert BlankTasks().sample(rng()).id.startswith("train-0-")
    with pytest.raises(ValueError, match="`split` must be"):
        source.select("dev", None)


def test_as_source_takes_sources_and_paths(path):
    write_lines(path, '{"id": "a"}')
    assert as_source(VAULTS) is VAULTS
    assert list(as_source(path)) == list(as_source(str(path))) == [Task("a")]
    with pytest.raises(TypeError, match="a TaskSource or the path of a JSONL file"):
        as_source([Task("a")])


def test_an_environment_reads_its_tasks_from_a_file(path):
    task = make_vault(rng(), 0).to_json() | {"id": "mine", "split": "test"}
    write_lines(path, json.dumps(task))
    env = VaultEnv(tasks=path, split="test")
    _, info = env.reset(seed=1)
    assert info["task_id"] == "mine"
