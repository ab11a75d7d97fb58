"""What came of episodes, and the reward function that tells of it."""

from __future__ import annotations

from typing import Any

import pytest

from llm_gym.adapters.trl.outcomes import EpisodeReturn, Outcome, judged
from llm_gym.adapters.trl.seat import Seat
from llm_gym.adapters.trl.starts import draw_starts, read_places
from tests.adapters.trl.flaky import GroupedEnv, Ranks
from tests.sample_envs import VaultEnv

SAID: Any = [{"role": "assistant", "content": "I give up."}]


def played(env: type[VaultEnv] = VaultEnv) -> Outcome:
    """Return the outcome of an episode that was given up."""
    places = read_places(env, None)
    ((start, messages),) = draw_starts(places, 1, seed=0)
    seat = Seat(places[0])
    seat.reset(start, messages)
    outcome = seat.settle(SAID, cut_off=False)
    seat.close()
    return outcome


def test_value_is_the_return_and_none_for_no_result() -> None:
    outcome = played()
    assert outcome.value == 0.0
    assert outcome.failed("the disk is full").value is None
    assert Outcome(outcome.trajectory, trained=False).value is None


def test_metrics_hold_each_part_of_the_score_and_each_count() -> None:
    named = dict(played().metrics())
    assert named["llm_gym/score/opened"] == 0.0
    assert named["llm_gym/turns"] == 1.0
    assert named["llm_gym/calls_after_end"] == 0.0


def test_metrics_of_no_result_are_the_fault_and_the_counts_alone() -> None:
    named = dict(played().failed("the disk is full").metrics())
    assert named["llm_gym/faults"] == 1.0
    assert "llm_gym/turns" not in named
    assert "llm_gym/score/opened" not in named


def test_reason_of_the_first_failure_stays() -> None:
    twice = played().failed("first").failed("second")
    assert twice.trajectory.fault == "first"


def test_reward_function_needs_one_of_the_paths() -> None:
    reward = EpisodeReturn(lambda *_: [])
    with pytest.raises(ValueError, match=r"RLOOTrainer has neither"):
        reward(completions=[SAID], completion_ids=[[1]])


def test_group_with_a_fault_is_no_result() -> None:
    one = played(GroupedEnv)
    group = judged([one, one.failed("away")], ["a", "a"])
    assert [member.value for member in group] == [None, None]


def test_group_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="judges groups of at least 2, 1 came"):
        judged([played(GroupedEnv)], ["a"])


def test_judge_that_breaks_is_no_result() -> None:
    class Broken(Ranks):
        def verify_group(self, trajectories: Any) -> list[float]:
            raise RuntimeError("no judge")

    record = played().trajectory
    group = [Outcome(record, group_verifier=Broken())] * 2
    assert [member.value for member in judged(group, ["a", "a"])] == [None, None]
