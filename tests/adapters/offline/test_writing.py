"""Rows on disk: that every form gives back what was written."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from llm_gym.adapters.offline import load_rows
from llm_gym.adapters.offline.writing import (
    check_out,
    is_long,
    report_path,
    write_rows,
)

pytest.importorskip("datasets")


def row(arguments, tools=None, **more):
    call = {"type": "function", "function": {"name": "a", "arguments": arguments}}
    reply = {"role": "assistant", "content": "", "tool_calls": [call]}
    return {
        "prompt": [{"role": "user", "content": "Go."}],
        "completion": [reply],
        "tools": tools,
        "reward": 1.0,
        **more,
    }


FORMS = ["out.jsonl", "out.parquet", "out"]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))


def loaded(rows, out):
    assert write_rows(iter(rows), out)[0] == len(rows)
    return list(load_rows(out))


@pytest.mark.parametrize("form", FORMS)
def test_calls_keep_the_arguments_that_they_had(form, tmp_path):
    tool = {
        "type": "function",
        "function": {"name": "a", "parameters": {"x": [1, "a"]}},
    }
    rows = [
        row({"x": 1}),
        row({"y": "a", "z": None}, [tool]),
        row({}),
        row({"x": [{}]}),
    ]
    assert loaded(rows, tmp_path / form) == rows


@pytest.mark.parametrize("form", FORMS)
def test_parts_and_sources_may_differ(form, tmp_path):
    rows = [
        row({}, parts={"a": 1.0}, source={"env_kwargs": {}, "seed": 3}),
        row({}, parts={}, source={"env_kwargs": {"level": 0}, "seed": None}),
    ]
    assert loaded(rows, tmp_path / form) == rows


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.integers(-(10**6), 10**6).map(lambda n: n / 64)  # few decimals: none rounded
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)
objects = st.dictionaries(st.text("abc\u00e9", max_size=3), json_values, max_size=3)


@pytest.mark.parametrize("form", FORMS)
@settings(
    max_examples=8,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=st.lists(st.builds(row, objects), min_size=1, max_size=4))
def test_any_arguments_come_back(form, tmp_path, rows):
    assert loaded(rows, tmp_path / form) == rows


def test_later_lines_keep_theirs_where_datasets_would_guess(tmp_path):
    first = [row({"a": 1, "b": 2}, tools=[{"x": "y" * 60_000}])] * 200
    rows = [*first, row({"a": 1})]
    out = tmp_path / "out.jsonl"
    write_rows(rows, out)
    assert is_long(out)
    last = load_rows(out)[-1]
    assert last["completion"] == rows[-1]["completion"]


@pytest.mark.parametrize("form", FORMS)
def test_a_broken_stream_leaves_what_was_there(form, tmp_path):
    out = tmp_path / form
    rows = [row({"x": 1})]
    write_rows(rows, out)

    def breaking():
        yield row({"x": 2})
        raise RuntimeError("the disk")

    with pytest.raises(RuntimeError, match="the disk"):
        write_rows(breaking(), out)
    assert list(load_rows(out)) == rows
    assert {path.name for path in tmp_path.iterdir()} - {"cache"} == {form}


def test_lines_are_plain_json(tmp_path):
    out = tmp_path / "deeper" / "out.jsonl"
    write_rows([row({"x": "é"})], out)
    assert out.read_bytes().isascii()
    assert json.loads(out.read_text()) == row({"x": "é"})


def test_no_rows_write_nothing(tmp_path):
    assert write_rows([], tmp_path / "out.jsonl") == (0, {})
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_written_over(tmp_path):
    out = tmp_path / "out.jsonl"
    out.touch()
    with pytest.raises(ValueError, match="exists: name another"):
        check_out(out, overwrite=False)
    assert check_out(out, overwrite=True) == out
    assert report_path(out).name == "out.jsonl.report.json"


def test_only_a_saved_dataset_is_a_folder_to_write_over(tmp_path):
    with pytest.raises(ValueError, match="is a folder, and no saved dataset"):
        check_out(tmp_path, overwrite=True)
    write_rows([row({})], tmp_path / "out")
    assert check_out(tmp_path / "out", overwrite=True)


@pytest.mark.parametrize("name", ["out.csv", "out.json", "out.v2"])
def test_other_suffixes_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match=r"must be NAME\.jsonl, NAME\.parquet, or a f"):
        check_out(tmp_path / name, overwrite=False)


def test_what_was_not_exported_is_not_loaded(tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text('{"other": 1}\n')
    for path in (out, tmp_path / "none.jsonl"):
        with pytest.raises(ValueError, match="is nothing that was exported"):
            load_rows(path)
