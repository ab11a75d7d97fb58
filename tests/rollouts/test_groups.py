"""Groups that are judged together."""

from __future__ import annotations

import math

import pytest

from llm_gym import Score, ScriptedPolicy, rollout
from llm_gym.rollouts.summary import summarize
from llm_gym.trajectory import Trajectory
from tests.sample_envs import EchoEnv


class Rank:
    """Gives each member its place by episode number, the first one 0."""

    least_members = 2

    def __init__(self) -> None:
        self.seen: list[int] = []

    def verify_group(self, trajectories):
        self.seen.append(len(trajectories))
        last = len(trajectories) - 1
        return [Score(index / last) for index in range(len(trajectories))]


class Broken:
    """Fails some times, and then gives everybody a half."""

    def __init__(self, failures: int) -> None:
        self.left = failures

    def verify_group(self, trajectories):
        self.left -= 1
        if self.left >= 0:
            raise OSError("the judge is away")
        return [0.5] * len(trajectories)


class RankedEnv(EchoEnv):
    group_verifier = Rank()


def run(env=EchoEnv, **kwargs):
    arguments = {"episodes": 8, "group_size": 4, "concurrency": 8, **kwargs}
    return list(rollout(env, ScriptedPolicy(["x"]), **arguments))


def test_group_verifier_decides_the_returns():
    rank = Rank()
    done = run(group_verifier=rank)
    assert [t.episode_return for t in done[:4]] == [0.0, 1 / 3, 2 / 3, 1.0]
    assert rank.seen == [4, 4]
    assert all(t.group_score is not None for t in done)


def test_verifier_of_the_environment_is_used():
    done = run(RankedEnv)
    assert [t.group_score.value for t in done[4:]] == [0.0, 1 / 3, 2 / 3, 1.0]


def test_argument_goes_before_the_environments_own():
    assert {t.group_score.value for t in run(RankedEnv, group_verifier=Broken(0))} == {
        0.5
    }


def test_digest_and_record_are_what_they_were_without():
    plain, judged = run(), run(group_verifier=Rank())
    assert [t.digest for t in plain] == [t.digest for t in judged]
    again = Trajectory.from_json(judged[1].to_json())
    assert again == judged[1]
    assert again.episode_return == judged[1].episode_return


def test_judge_that_fails_once_is_asked_again():
    done = run(group_verifier=Broken(1), episodes=4)
    assert [t.episode_return for t in done] == [0.5] * 4


def test_judge_that_fails_makes_failures_and_no_zeros():
    done = run(group_verifier=Broken(9), episodes=4)
    assert all(math.isnan(t.episode_return) for t in done)
    assert all("judging the group raised OSError" in t.fault for t in done)
    assert summarize(done).faults == 4


def test_judge_that_forgets_a_member_is_a_fault():
    class Short:
        def verify_group(self, trajectories):
            return [Score(1.0)]

    done = run(group_verifier=Short(), episodes=4)
    assert all("1 scores came for 4 episodes" in t.fault for t in done)


@pytest.mark.parametrize(
    ("env", "kwargs"), [(EchoEnv, {"group_verifier": Rank()}), (RankedEnv, {})]
)
def test_groups_that_are_too_small_are_refused(env, kwargs):
    with pytest.raises(ValueError, match="`Rank` judges groups of at least 2"):
        run(env, group_size=1, **kwargs)


def test_what_judges_no_groups_is_refused():
    with pytest.raises(TypeError, match="must have `verify_group`"):
        run(group_verifier=EchoEnv())
