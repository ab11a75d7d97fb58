"""What every registered environment must do, whatever its task."""

from __future__ import annotations

import inspect
import re

import gymnasium as gym
import pytest
from gymnasium.vector import AsyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit

from llm_gym import rollout
from llm_gym.checks import check
from llm_gym.policies import OraclePolicy, RandomPolicy, ScriptedPolicy
from llm_gym.registration import ENVIRONMENTS
from llm_gym.rollouts.summary import summarize

pytestmark = pytest.mark.parametrize("env_id", ENVIRONMENTS)

POLICIES = {
    "oracle": OraclePolicy(),
    "null": ScriptedPolicy([""]),
    "random": RandomPolicy(0),
}


def test_check_passes(env_id: str) -> None:
    report = check(env_id, seeds=range(3))
    assert report.passed, [f for f in report.findings if f.status != "passed"]


@pytest.mark.parametrize("policy", POLICIES)
def test_floors_on_the_card_are_as_measured(env_id: str, policy: str) -> None:
    card = inspect.getdoc(type(gym.make(env_id).unwrapped)) or ""
    stated = re.search(rf"{policy} ([0-9.]+)", card)
    assert stated is not None
    # Programs take their time, and no random one was ever paid.
    slow = env_id in ("llmgym/CodeRepair-v0", "llmgym/CodeContest-v0")
    episodes = 1000 if policy == "random" and not slow else 200
    done = rollout(env_id, POLICIES[policy], episodes=episodes)
    assert summarize(done).mean_reward == pytest.approx(float(stated[1]), abs=0.002)


def test_module_prefix_registers(env_id: str) -> None:
    assert gym.make(f"llm_gym:{env_id}").spec.id == env_id


def test_spec_round_trip_makes_the_same(env_id: str) -> None:
    spec = gym.make(env_id, level=1).spec
    again = gym.make(gym.envs.registration.EnvSpec.from_json(spec.to_json()))
    first, _ = gym.make(spec).reset(seed=5)
    assert again.reset(seed=5)[0] == first
    assert gym.spec(env_id).entry_point == ENVIRONMENTS[env_id]


def test_stock_wrappers_work(env_id: str) -> None:
    env = RecordEpisodeStatistics(TimeLimit(gym.make(env_id), max_episode_steps=2))
    env.reset(seed=1)
    over = False
    while not over:
        *_, terminated, truncated, info = env.step("")
        over = terminated or truncated
    assert info["episode"]["r"] == 0.0
    assert info["episode"]["l"] <= 2


def test_shared_memory_is_refused_clearly(env_id: str) -> None:
    def make() -> gym.Env:
        return gym.make(env_id)

    with pytest.raises(ValueError, match="shared_memory"):
        AsyncVectorEnv([make, make], shared_memory=True)


def test_group_starts_from_the_same_bytes(env_id: str) -> None:
    done = list(rollout(env_id, RandomPolicy(), episodes=8, group_size=4, seed=2))
    starts: dict[int, set[str]] = {}
    for trajectory in done:
        starts.setdefault(trajectory.run.group, set()).add(str(trajectory.prompt))
    assert [len(start) for start in starts.values()] == [1, 1]
    assert starts[0] != starts[1]
