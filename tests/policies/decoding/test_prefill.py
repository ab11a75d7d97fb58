"""Prompts are read in rounds and groups that repeat and pad little."""

import pytest

from llm_gym.policies.decoding.prefill import (
    LEAST_SHARED,
    as_ids,
    buckets,
    common_length,
    left_padded,
    split_round,
)

pytest.importorskip("torch")

START = list(range(10, 10 + LEAST_SHARED))


@pytest.mark.parametrize(
    ("one", "other", "length"),
    [
        ([1, 2, 3], [1, 2, 4], 2),
        ([1, 2, 3], [1, 2, 3], 3),
        ([1, 2], [1, 2, 3, 4], 2),
        ([1, 2, 3], [4, 2, 3], 0),
        ([], [1], 0),
    ],
)
def test_common_length_counts_from_the_start(
    one: list[int], other: list[int], length: int
) -> None:
    assert common_length(as_ids(one), as_ids(other)) == length


def rounds(prompts: list[list[int]], known: list[int] | None = None) -> list[bool]:
    return split_round(list(map(as_ids, prompts)), known or [0] * len(prompts))


def test_rows_wait_for_one_that_reads_what_they_share() -> None:
    prompts = [[*START, 1, 1], [*START, 2, 2], [*START, 3, 3], [99, *START]]
    assert rounds(prompts) == [True, False, False, True]


def test_rows_of_each_group_wait_for_their_own() -> None:
    one, other = [1, *START], [2, *START]
    prompts = [[*one, 1], [*one, 2], [*other, 1], [*other, 2]]
    assert rounds(prompts) == [True, False, True, False]


def test_rows_do_not_wait_for_little_or_for_what_they_know() -> None:
    prompts = [[*START[1:], 1, 1], [*START[1:], 2, 2]]
    assert rounds(prompts) == [True, True]
    prompts = [[*START, 1, 1], [*START, 2, 2]]
    assert rounds(prompts, [0, 20]) == [True, True]


def test_equal_rows_share_all_but_their_last_token() -> None:
    assert rounds([[*START, 5], [*START, 5]]) == [True, False]
    assert rounds([START, START]) == [True, True]  # one token too short


def sizes(lengths: list[int], limit: int = 4096) -> list[list[int]]:
    return buckets(lengths, lambda length: length, limit)


def test_rows_of_like_length_share_a_pass() -> None:
    assert sizes([10, 100, 80, 26, 74]) == [[100, 80], [74], [26, 10]]


def test_pass_is_bounded_with_its_padding() -> None:
    assert sizes([100, 90, 90], limit=250) == [[100, 90], [90]]
    assert sizes([5000, 5000]) == [[5000], [5000]]


def test_nothing_makes_no_pass() -> None:
    assert sizes([]) == []


def test_short_prompts_are_padded_at_the_left() -> None:
    inputs = left_padded([[5, 6, 7], [8]], 2, "cpu")
    assert inputs["input_ids"].tolist() == [[5, 6, 7], [2, 2, 8]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]
