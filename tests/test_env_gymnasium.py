"""Everything else is Gymnasium: its checker, wrappers and vector environments."""

from __future__ import annotations

import pickle

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit

from llm_gym import ActionError
from llm_gym.errors import EnvironmentFault
from tests.envs.driving import call
from tests.sample_envs import AskEnv, EchoEnv, KitEnv, VaultEnv

ROLL = call("roll")
VAULT_ID = "tests/Vault-v0"


@pytest.fixture
def registered():
    gym.register(
        VAULT_ID, entry_point="tests.sample_envs:VaultEnv", kwargs={"level": 1}
    )
    yield VAULT_ID
    del gym.registry[VAULT_ID]


@pytest.mark.parametrize("kind", [VaultEnv, AskEnv, KitEnv])
def test_gymnasiums_checker_passes(kind, monkeypatch):
    env = kind()
    monkeypatch.setattr(env.action_space, "sample", lambda *_: "fine")
    check_env(env, skip_render_check=True)
    env.close()


def test_gymnasiums_checker_passes_where_it_renders(registered, monkeypatch):
    env = gym.make(registered, render_mode="ansi").unwrapped
    monkeypatch.setattr(env.action_space, "sample", lambda *_: ROLL)
    check_env(env)


def test_an_environment_is_made_by_its_id(registered):
    env = gym.make(registered, max_turns=2, render_mode="ansi")
    env.reset(seed=1)
    env.step(ROLL)
    record = env.unwrapped.trajectory
    assert record.env_id == registered == env.spec.id
    assert record.env_kwargs == {"level": 1, "max_turns": 2}
    assert "roll" in env.render()
    assert gym.spec(registered).kwargs == {"level": 1}


def test_a_made_environment_is_pickled_in_the_middle_of_an_episode(registered):
    env = gym.make(registered)
    env.reset(seed=1)
    env.step(ROLL)
    other = pickle.loads(pickle.dumps(env))
    assert other.step(ROLL * 3) == env.step(ROLL * 3)
    assert other.unwrapped.trajectory == env.unwrapped.trajectory


def test_a_made_environment_refuses_what_is_no_reply(registered):
    env = gym.make(registered)
    env.reset(seed=1)
    with pytest.raises(ActionError, match="an action must be a str"):
        env.step(5)


def test_time_limit_truncates():
    env = TimeLimit(VaultEnv(), 2)
    env.reset(seed=1)
    assert env.step(ROLL)[3] is False
    *_, terminated, truncated, info = env.step(ROLL)
    assert (terminated, truncated) == (False, True)
    assert "score" not in info


def test_record_episode_statistics_sums_the_rewards():
    env = RecordEpisodeStatistics(AskEnv())
    env.reset(seed=1)
    env.step("pay")
    *_, info = env.step("bye")
    assert (info["episode"]["r"], info["episode"]["l"]) == (1.25, 2)


def vectors():
    yield SyncVectorEnv([VaultEnv] * 3)
    yield AsyncVectorEnv([VaultEnv] * 3, shared_memory=False)


@pytest.mark.parametrize("index", [0, 1])
def test_a_vector_environment_equals_single_ones(index):
    envs = list(vectors())[index]
    observations, infos = envs.reset(seed=5)
    steps = envs.step(["é\x00\U0001f600 " + ROLL, call("zzz"), "end"])
    envs.close()
    for slot in range(3):
        env = VaultEnv()
        observation, info = env.reset(seed=5 + slot)
        assert observations[slot] == observation
        assert infos["task_id"][slot] == info["task_id"]
        step = env.step(["é\x00\U0001f600 " + ROLL, call("zzz"), "end"][slot])
        assert steps[0][slot] == step[0]
        assert [float(steps[1][slot]), bool(steps[2][slot])] == list(step[1:3])


def test_shared_memory_is_refused_with_a_clear_error():
    with pytest.raises(ValueError, match="shared_memory"):
        AsyncVectorEnv([VaultEnv] * 2, shared_memory=True)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_make_vec_makes_them(registered, mode):
    kwargs = {"shared_memory": False} if mode == "async" else {}
    envs = gym.make_vec(registered, 2, vectorization_mode=mode, vector_kwargs=kwargs)
    observations, _ = envs.reset(seed=1)
    assert [len(observation["messages"]) for observation in observations] == [2, 2]
    envs.step([ROLL, ROLL])
    envs.close()


def test_a_vector_environment_gives_the_same_task_to_every_slot():
    envs = SyncVectorEnv([EchoEnv] * 2)
    _, infos = envs.reset(options={"task_id": "he"})
    assert list(infos["task_id"]) == ["he", "he"]
    envs.close()


def test_a_fault_in_a_slot_is_raised():
    envs = SyncVectorEnv([VaultEnv] * 2)
    envs.reset(seed=1)
    with pytest.raises(EnvironmentFault, match="kaput"):
        envs.step([ROLL, call("crash")])
    envs.close()
