"""An environment that is driven call by call."""

from __future__ import annotations

from typing import Any

import pytest

from llm_gym.adapters.trl.seat import BENDS, FAULTED, OVER, Seat
from llm_gym.adapters.trl.starts import Start, draw_starts, read_places
from tests.sample_envs import VaultEnv

PLACES = read_places(VaultEnv, None)
((START, MESSAGES),) = draw_starts(PLACES, 1, seed=0)
WORD: Any = {"role": "assistant", "content": "Done."}


def seated() -> Seat:
    """Return a seat whose episode has begun."""
    seat = Seat(PLACES[0])
    seat.reset(START, MESSAGES)
    return seat


def solve(seat: Seat) -> str:
    """Open the vault."""
    colour = MESSAGES[-1]["content"].split()[2]
    code = int(seat.call("lookup", {"colour": colour}))
    return seat.call("open", {"code": code})


def test_calls_reach_the_environment_and_are_rewarded() -> None:
    seat = seated()
    solve(seat)
    assert seat.settle([WORD], cut_off=False).value == 1.0
    seat.close()


def test_everything_is_inert_after_the_end() -> None:
    seat = seated()
    solve(seat)
    assert seat.call("open", {"code": 1}) == seat.call("no tool", {}) == OVER
    assert seat.settle([WORD], cut_off=False).counts["calls_after_end"] == 2
    seat.close()


def test_second_episode_remembers_nothing_of_the_first() -> None:
    seat = seated()
    solve(seat)
    first = seat.settle([WORD], cut_off=False)
    seat.reset(START, MESSAGES)
    assert seat.call("open", {"code": -1}) != OVER
    second = seat.settle([WORD], cut_off=False)
    assert (first.value, second.value) == (1.0, 0.0)
    assert set(second.counts) == set(BENDS)
    seat.close()


def test_outcome_is_settled_once() -> None:
    seat = seated()
    assert seat.settle([WORD], cut_off=False) is seat.settle([], cut_off=True)
    seat.close()


def test_prompt_that_is_not_the_environments_is_a_fault() -> None:
    seat = Seat(PLACES[0], retries=0)
    seat.reset(START, [{"role": "user", "content": "Open another vault."}])
    assert seat.call("lookup", {"colour": "red"}) == FAULTED
    outcome = seat.settle([WORD], cut_off=False)
    assert outcome.value is None
    assert "began otherwise" in str(outcome.trajectory.fault)
    seat.close()


def test_seat_without_an_episode_is_a_fault() -> None:
    seat = Seat(PLACES[0])
    assert seat.tools == set()
    assert seat.call("lookup", {"colour": "red"}) == FAULTED
    assert seat.settle([WORD], cut_off=False).value is None


def test_start_of_an_unknown_task_is_a_fault() -> None:
    seat = Seat(PLACES[0], retries=0)
    seat.reset(Start("VaultEnv", 0, "no such task"), MESSAGES)
    assert seat.settle([WORD], cut_off=False).value is None


@pytest.mark.parametrize("cut_off", [True, False])
def test_last_words_that_were_cut_off_are_truncation(cut_off: bool) -> None:
    seat = seated()
    record = seat.settle([WORD], cut_off=cut_off).trajectory
    assert record.stop_reason is not None
    assert record.stop_reason.terminated is not cut_off
    seat.close()
