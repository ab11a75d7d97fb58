"""What a run of episodes comes to."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from llm_gym import Reply, Usage
from llm_gym.rollouts.summary import summarize
from tests.envs.driving import call, play
from tests.sample_envs import AskEnv, VaultEnv

SPENT = Usage(100, 10)
LOST = play(VaultEnv(), [Reply(call("roll") + call("zzz"), usage=SPENT), "end"], seed=1)
CUT = play(VaultEnv(max_turns=1), [call("roll")], seed=1)
WON = play(AskEnv(), ["pay", "bye"], seed=1)
BROKEN = replace(LOST, fault="broke", score=None, stop_reason=None)


def test_means_are_over_episodes_that_ended():
    summary = summarize([LOST, CUT, WON, BROKEN], seconds=2.0)
    assert (summary.episodes, summary.faults) == (3, 1)
    assert summary.mean_reward == pytest.approx(1.25 / 3)
    assert summary.success == pytest.approx(1 / 3)
    assert summary.turns == pytest.approx(5 / 3)
    assert summary.tool_calls == pytest.approx(1.0)
    assert summary.tool_errors == pytest.approx(1 / 3)
    assert summary.stop_reasons == {"answer": 1, "max_turns": 1, "user_left": 1}


def test_tokens_count_in_faulted_episodes_too():
    summary = summarize([LOST, BROKEN, WON], seconds=2.0)
    assert summary.tokens == 20
    assert summary.tokens_per_second == 10.0
    assert summarize([LOST]).tokens_per_second == 0.0


@pytest.mark.parametrize("trajectories", [[], [BROKEN]])
def test_where_nothing_ended_means_are_not_a_number_and_no_zero(trajectories):
    summary = summarize(iter(trajectories))
    assert summary.episodes == 0
    for mean in ("mean_reward", "success", "turns", "tool_calls", "tool_errors"):
        assert math.isnan(getattr(summary, mean))
    assert "nan" in summary.table()


def test_stop_reasons_come_most_frequent_first():
    reasons = summarize([CUT, LOST, LOST]).stop_reasons
    assert list(reasons.items()) == [("answer", 2), ("max_turns", 1)]


def test_the_table_is_for_people():
    table = summarize([LOST, WON], seconds=4.0).table()
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in table.splitlines()
    ]
    figures = dict(row for row in rows if len(row) == 2)
    assert figures["mean reward"] == "0.625"
    assert figures["success"] == "50.0%"
    assert figures["stop reasons"] == "answer 1, user_left 1"
    assert figures["tokens/s"] == "2.5"
    assert figures["episodes/s"] == "0.50"
    assert "untold" in summarize([WON]).table()
