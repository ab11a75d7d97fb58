"""Batching `info`: Gymnasium's form, nothing converted, nothing lost."""

from __future__ import annotations

import numpy as np
import pytest

from llm_gym.vector.infos import batch_infos


def test_numbers_of_one_type_become_an_array_with_a_mask():
    batched = batch_infos([{"n": 3}, {}, {"n": 5}])
    assert batched["n"].tolist() == [3, 0, 5]
    assert batched["_n"].tolist() == [True, False, True]
    assert batched["infos"] == [{"n": 3}, {}, {"n": 5}]
    assert batch_infos([{"b": True}, {"b": False}])["b"].dtype == np.bool_
    assert batch_infos([{"x": np.float32(2)}, {}])["x"].dtype == np.float32


@pytest.mark.parametrize(
    "values",
    [
        [1, 0.5],  # Gymnasium makes it [1, 0]
        [1, None],
        [True, 2],
        [2**70, 1],
        ["a", "bb"],
        [[1], [2, 3]],
        [{"k": 1}, 5],
    ],
)
def test_whatever_is_no_number_is_kept_as_it_is(values):
    batched = batch_infos([{"v": value} for value in values])["v"]
    assert batched.dtype == object
    assert all(kept is value for kept, value in zip(batched, values, strict=True))


def test_dicts_are_batched_within_dicts():
    batched = batch_infos([{"d": {"x": 1.5}}, {"d": {"y": "z"}}, {}])
    assert batched["d"]["x"].tolist() == [1.5, 0.0, 0.0]
    assert batched["d"]["_y"].tolist() == [False, True, False]
    assert batched["_d"].tolist() == [True, True, False]


def test_a_key_that_would_hide_a_mask_is_in_the_list_alone():
    batched = batch_infos([{"n": 1, "_n": 2}])
    assert "n" not in batched
    assert batched["_n"].tolist() == [2]
    assert batched["infos"] == [{"n": 1, "_n": 2}]


def test_the_list_is_not_shared_with_the_caller():
    infos = [{"n": 1}]
    batch_infos(infos)["infos"].clear()
    assert infos == [{"n": 1}]
