"""What every wrapper must survive, around environments of two kinds."""

from __future__ import annotations

import copy
import doctest
import pickle

import cloudpickle
import gymnasium as gym
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from llm_gym import Reply, Usage, wrappers
from llm_gym.store import read_trajectories
from llm_gym.wrappers import TextObservation
from tests.wrappers.kit import BAD_CALL, ENV_IDS, MAKERS, PLAIN, best, play

every_wrapper = pytest.mark.parametrize("name", MAKERS)
every_env = pytest.mark.parametrize("env_id", ENV_IDS)
SEES_MESSAGES = ("ChatHistory", "PromptTemplate", "SystemPrompt", "TextObs", "ToolSub")
SEES_REPLIES = ("TextAction", "ToolSubset")


@pytest.fixture
def make(tmp_path):
    def make_one(name, env_id):
        return MAKERS[name](gym.make(env_id), tmp_path)

    return make_one


def test_every_wrapper_is_tried():
    names = {name.partition("-")[0] for name in MAKERS}
    assert names == set(wrappers.__all__)


@pytest.mark.parametrize("name", wrappers.__all__)
def test_the_example_is_true(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = {
        **vars(wrappers),
        "gym": gym,
        "Reply": Reply,
        "Usage": Usage,
        "read_trajectories": read_trajectories,
    }
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(getattr(wrappers, name), name, globs=known)
    result = doctest.DocTestRunner().run(example)
    assert result.attempted >= 4
    assert result.failed == 0


@every_wrapper
@every_env
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped")
def test_gymnasiums_checker_passes(make, name, env_id):
    check_env(make(name, env_id))


@every_wrapper
@every_env
def test_what_is_seen_is_in_the_spaces(make, name, env_id):
    env = make(name, env_id)
    for observation, *_ in play(env, seed=1):
        assert env.observation_space.contains(observation)
    env.reset(seed=2)
    env.step(env.action_space.sample())


@every_wrapper
@every_env
def test_the_same_seed_gives_the_same_again_and_again(make, name, env_id):
    env = make(name, env_id)
    first, record = play(env, seed=4), env.unwrapped.trajectory
    assert play(env, seed=5) != first
    assert play(env, seed=4) == first
    assert env.unwrapped.trajectory == record
    assert play(make(name, env_id), seed=4) == first


@every_wrapper
@every_env
def test_the_spec_makes_it_again(make, name, env_id):
    env = make(name, env_id)
    again = gym.make(env.spec)
    assert type(again) is type(env)
    assert play(again, seed=6) == play(env, seed=6)
    assert again.spec == env.spec


@pytest.mark.parametrize("name", PLAIN)
@every_env
def test_a_spec_in_json_makes_it_again(make, name, env_id):
    env = make(name, env_id)
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert type(again) is type(env)
    assert play(again, seed=6) == play(env, seed=6)


@every_wrapper
@every_env
@pytest.mark.parametrize("through", [pickle, cloudpickle, copy])
def test_a_copy_goes_on_in_the_middle_of_an_episode(make, name, env_id, through):
    env = make(name, env_id)
    env.reset(seed=7)
    env.step(BAD_CALL)
    other = copy.deepcopy(env) if through is copy else pickle.loads(through.dumps(env))
    reply = best(env)
    assert other.step(reply) == env.step(reply)
    assert other.unwrapped.trajectory == env.unwrapped.trajectory


@every_wrapper
@every_env
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_stock_vector_environment_equals_single_ones(make, name, env_id, mode):
    envs = SyncVectorEnv([lambda: make(name, env_id)] * 2, autoreset_mode=mode)
    observations, _ = envs.reset(seed=8)
    steps = envs.step([BAD_CALL, BAD_CALL])
    for slot in range(2):
        env = make(name, env_id)
        assert observations[slot] == env.reset(seed=8 + slot)[0]
        single = env.step(BAD_CALL)
        assert steps[0][slot] == single[0]
        assert [values[slot] for values in steps[1:4]] == list(single[1:4])
    for _ in range(8):
        envs.step([BAD_CALL, BAD_CALL])
    envs.close()


@every_wrapper
@every_env
def test_reset_takes_options(make, name, env_id):
    env = make(name, env_id)
    _, info = env.reset(seed=9)
    task = env.unwrapped.task
    env.reset(seed=10)
    assert env.reset(seed=1, options={"task": task})[1]["task_id"] == info["task_id"]
    with pytest.raises(ValueError, match="`options` must be"):
        env.reset(options={"tusk": task})


@every_wrapper
@every_env
def test_a_snapshot_of_the_inner_environment_is_gone_on_from(make, name, env_id):
    env = make(name, env_id)
    env.reset(seed=11)
    env.step(BAD_CALL)
    inner = env.unwrapped
    snapshot, reply = inner.snapshot(), best(env)
    first, record = env.step(reply), inner.trajectory
    inner.restore(snapshot)
    assert env.step(reply) == first
    assert inner.trajectory == record


@every_wrapper
@every_env
def test_a_fork_of_the_inner_environment_sees_the_same_episode(make, name, env_id):
    env = make(name, env_id)
    env.reset(seed=12)
    fork = env.unwrapped.fork()
    assert fork.trajectory == env.unwrapped.trajectory
    observation = fork.step(BAD_CALL)[0]
    assert observation["messages"] == fork.trajectory.messages
    assert observation.get("tools", []) == list(env.unwrapped.trajectory.tools)


@every_wrapper
def test_what_is_no_tool_env_is_refused(name, tmp_path, monkeypatch):
    class Fake(gym.Env):
        action_space = TextObservation(gym.make(ENV_IDS[0])).unwrapped.action_space

    with pytest.raises(TypeError, match="wraps a ToolEnv, Fake is none"):
        MAKERS[name](Fake(), tmp_path)


def fits(outer, inner):
    blind = inner == "TextObservation" and outer.startswith(SEES_MESSAGES)
    return not (blind or (inner == "TextAction" and outer.startswith(SEES_REPLIES)))


@every_wrapper
@pytest.mark.parametrize("inner", MAKERS)
def test_two_wrappers_in_any_order_keep_the_record_true(name, inner, tmp_path):
    env = MAKERS[inner](gym.make(ENV_IDS[0]), tmp_path)
    if not fits(name, inner):
        with pytest.raises(TypeError, match=r"put `Text\w+` outside of it"):
            MAKERS[name](env, tmp_path)
        return
    env = MAKERS[name](env, tmp_path)
    (first, _), *steps = play(env, seed=13)
    record = env.unwrapped.trajectory
    assert [turn.reward for turn in record.turns] == [step[1] for step in steps]
    assert steps[-1][4]["stop_reason"] == record.stop_reason.value
    assert steps[-1][4]["score"]["value"] == record.score.value
    if isinstance(first, dict):
        assert first["messages"] == list(record.prompt)
        assert first.get("tools", []) == list(record.tools)
