"""The rows that a trainer draws from."""

from __future__ import annotations

from typing import Any

import pytest

from llm_gym.adapters.trl.dataset import make_dataset
from llm_gym.adapters.trl.starts import COLUMN, Start

pytest.importorskip("datasets")
START = Start("one", 3, "t")
ASKED: Any = {"role": "user", "content": "Go."}
SYSTEM: Any = {"role": "system", "content": "Be brief."}


def test_row_has_the_prompt_and_the_start() -> None:
    rows = make_dataset([(START, [SYSTEM, ASKED])], in_message=False, named=False)
    assert rows[0] == {"prompt": [SYSTEM, ASKED], COLUMN: START.to_text()}


def test_start_rides_in_every_message_for_a_rollout_function() -> None:
    rows = make_dataset([(START, [SYSTEM, ASKED])], in_message=True, named=False)
    assert [message[COLUMN] for message in rows[0]["prompt"]] == [START.to_text()] * 2


def test_mixture_names_the_environment() -> None:
    rows = make_dataset([(START, [ASKED])], in_message=False, named=True)
    assert rows["environment"] == ["one"]


def test_first_message_that_is_more_than_text_is_refused() -> None:
    odd: Any = {"role": "assistant", "content": "", "tool_calls": []}
    with pytest.raises(ValueError, match="a role and a content alone"):
        make_dataset([(START, [odd])], in_message=False, named=False)
