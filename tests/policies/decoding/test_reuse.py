"""Finished rows are found by how they begin, and the oldest go first."""

import pytest

from llm_gym.policies.decoding.cache import StoredRow
from llm_gym.policies.decoding.prefill import as_ids
from llm_gym.policies.decoding.reuse import ReuseStore


def row() -> StoredRow:
    return StoredRow(())


def test_row_that_begins_most_alike_is_found() -> None:
    store, rows = ReuseStore(100), [row(), row(), row()]
    for ids, one in zip(([1, 2, 9], [1, 2, 3, 4], [5]), rows, strict=True):
        store.add(ids, one)
    assert store.longest(as_ids([1, 2, 3, 7])) == 3
    assert store.take(as_ids([1, 2, 3, 7])) is rows[1]
    assert store.longest(as_ids([8])) == 0


def test_row_that_is_continued_is_handed_over() -> None:
    store = ReuseStore(100)
    store.add([1, 2, 3], row())
    store.take(as_ids([1, 2, 3, 4]))
    assert (len(store), store.tokens) == (0, 0)


def test_row_that_is_branched_off_stays_as_new() -> None:
    store, used = ReuseStore(6), row()
    store.add([1, 2, 3], used)
    store.add([5, 6, 7], row())
    assert store.take(as_ids([1, 2, 4])) is used
    store.add([8, 9], row())
    assert store.longest(as_ids([1, 2, 3])) == 3
    assert store.longest(as_ids([5, 6, 7])) == 0
    assert store.tokens == 5


@pytest.mark.parametrize(("tokens", "kept"), [(0, False), (6, True), (7, False)])
def test_row_is_taken_if_it_fits(tokens: int, kept: bool) -> None:
    assert ReuseStore(6).takes(tokens) is kept


def test_store_of_nothing_takes_nothing_and_forgets_all() -> None:
    store = ReuseStore(0)
    assert not store.takes(1)
    store = ReuseStore(5)
    store.add([1], row())
    store.clear()
    assert (len(store), store.tokens) == (0, 0)
