import math

import pytest

from llm_gym.adapters.verl.policy import Budget
from llm_gym.adapters.verl.rows import Row, RowError, check_row, excluded_row, rows_of
from llm_gym.tokens import Segment, Span, TokenRecord

ONE = Segment((1, 2, 3, 4, 5, 6, 7), (Span(0, 3, 5), Span(1, 6, 7)), (-0.1, -0.2, -0.3))
WIDE = Budget(8, 8)


def test_row_is_the_segment_token_by_token() -> None:
    (row,) = rows_of(TokenRecord((ONE,)), WIDE)
    assert row.prompt_ids == (1, 2, 3)
    assert row.response_ids == (4, 5, 6, 7)
    assert row.mask == (1, 1, 0, 1)
    assert row.logprobs == (-0.1, -0.2, 0.0, -0.3)
    assert row.turns == (0, 1)


def test_prompt_that_is_too_long_goes_on_in_the_response() -> None:
    (row,) = rows_of(TokenRecord((ONE,)), Budget(2, 8))
    assert row.prompt_ids + row.response_ids == ONE.ids
    assert row.prompt_ids == (1, 2)
    assert row.mask == (0, 1, 1, 0, 1)
    assert row.logprobs == (0.0, -0.1, -0.2, 0.0, -0.3)


def test_segment_without_a_reply_is_no_row() -> None:
    rows = rows_of(TokenRecord((Segment((1, 2)), ONE), ("why",)), WIDE)
    assert [row.segment for row in rows] == [1]


def test_segment_without_logprobs_has_a_row_without() -> None:
    (row,) = rows_of(TokenRecord((Segment(ONE.ids, ONE.spans),)), WIDE)
    assert row.logprobs is None


def test_rows_refuse_a_segment_that_does_not_fit() -> None:
    with pytest.raises(RowError, match=r"at most 3 response ids, came 4"):
        rows_of(TokenRecord((ONE,)), Budget(8, 3))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (Row((1,), (2, 3), (1,), None), "as many mask as response ids, came 1 for 2"),
        (Row((1,), (2,), (1,), (0.0, 0.0)), "as many log-probabilities as response"),
        (Row((1,), (2,), (1,), (0.0,)), "expected no log-probabilities"),
        (Row((1,) * 9, (2,), (1,), None), "at most 8 prompt ids, came 9"),
    ],
)
def test_check_names_the_rule_that_a_row_breaks(row: Row, problem: str) -> None:
    with pytest.raises(RowError, match=problem):
        check_row(row, WIDE, logprobs=False)


def test_check_refuses_missing_logprobs() -> None:
    with pytest.raises(RowError, match="expected log-probabilities, as"):
        check_row(Row((1,), (2,), (1,), None), WIDE, logprobs=True)


def test_check_refuses_logprobs_that_are_no_numbers() -> None:
    with pytest.raises(RowError, match="finite log-probabilities"):
        check_row(Row((1,), (2,), (1,), (math.nan,)), WIDE, logprobs=True)


@pytest.mark.parametrize("response", [True, False])
@pytest.mark.parametrize("logprobs", [True, False])
def test_excluded_row_keeps_the_rules_and_trains_nothing(
    response: bool, logprobs: bool
) -> None:
    row = excluded_row(5, response=response, logprobs=logprobs)
    assert check_row(row, WIDE, logprobs=logprobs) is row
    assert not any(row.mask)
    assert len(row.response_ids) == response
