"""The table of environments, and what every registered one must do at least."""

from __future__ import annotations

import pickle
import subprocess
import sys

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv

from llm_gym import ToolEnv, Trajectory
from llm_gym.policies.oracle import OraclePolicy
from llm_gym.policies.random import RandomPolicy
from llm_gym.registration import ENVIRONMENTS, register_all
from llm_gym.vector import ChatVectorEnv
from tests.envs.driving import drive, make, play

each_id = pytest.mark.parametrize("env_id", sorted(ENVIRONMENTS))


def test_registering_twice_changes_nothing():
    before = dict(gym.registry)
    register_all()
    assert dict(gym.registry) == before


def test_an_id_that_someone_else_took_is_left_alone(monkeypatch):
    mine = gym.spec("llmgym/MultiStep-v0")
    monkeypatch.setitem(gym.registry, "llmgym/MultiStep-v0", "theirs")
    register_all()
    assert gym.registry["llmgym/MultiStep-v0"] == "theirs"
    assert mine.entry_point == ENVIRONMENTS["llmgym/MultiStep-v0"]


def test_an_environment_is_made_without_importing_first():
    code = (
        "import gymnasium as gym;"
        "env = gym.make('llm_gym:llmgym/SingleTool-v0');"
        "print(env.reset(seed=1)[1]['seed'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert ran.stdout == "1\n"


@each_id
def test_an_id_follows_the_pattern(env_id):
    name = env_id.removeprefix("llmgym/").rpartition("-v")[0]
    module, _, cls = ENVIRONMENTS[env_id].partition(":")
    assert cls == f"{name}Env"
    assert module == "llm_gym.envs." + "".join(
        f"_{c.lower()}" if c.isupper() else c for c in name
    ).lstrip("_")
    assert gym.spec(env_id).kwargs == {}


@each_id
def test_an_environment_passes_gymnasiums_checker(env_id):
    env = make(env_id, render_mode="ansi")
    assert isinstance(env, ToolEnv)
    check_env(env)
    env.close()


@each_id
def test_an_environment_gives_the_same_bytes_and_takes_pickling(env_id):
    first = drive(make(env_id), RandomPolicy(3), seed=4)
    again = drive(pickle.loads(pickle.dumps(make(env_id))), RandomPolicy(3), seed=4)
    assert again.to_json() == first.to_json()
    assert Trajectory.from_json(first.to_json()) == first


@each_id
def test_an_environment_is_solved_by_its_oracle_and_not_by_silence(env_id):
    assert drive(make(env_id), OraclePolicy(), seed=5).score.value == 1.0
    assert play(make(env_id), [""] * 99, seed=5).score.value == 0.0


@each_id
def test_an_environment_is_made_in_vectors(env_id):
    single, _ = make(env_id).reset(seed=6)
    for mode, kind in ((None, ChatVectorEnv), ("sync", SyncVectorEnv)):
        envs = gym.make_vec(env_id, 2, vectorization_mode=mode)
        assert type(envs) is kind
        observations, _ = envs.reset(seed=5)
        assert observations[1] == single
        envs.close()
