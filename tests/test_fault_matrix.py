"""The fault matrix is what its file says, and no fault is ever a reward."""

from __future__ import annotations

import pytest

from tests import fault_matrix

pytest.importorskip("aiohttp")


@pytest.fixture(scope="module")
def rows():
    return fault_matrix.rows()


def test_the_file_holds_what_is_seen(rows):
    assert fault_matrix.PATH.read_text() == fault_matrix.page(rows)


def test_no_fault_of_the_infrastructure_that_lasts_has_a_reward(rows):
    assert [row for row in rows if row.infrastructure and row.scored] == []


def test_no_fault_of_the_infrastructure_ends_as_zero(rows):
    seen = [f"{row.once} {row.always}" for row in rows if row.infrastructure]
    assert not [text for text in seen if "reward 0" in text]


def test_the_matrix_covers_every_fault_of_the_server_and_every_policy(rows):
    faults = {row.fault for row in rows}
    assert {f.value.replace("_", " ") for f in fault_matrix.all_faults()} <= faults
    assert len({row.who for row in rows}) == 6
