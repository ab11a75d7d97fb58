"""What a run is asked to do: mixtures, seeds, limits."""

from __future__ import annotations

from collections import Counter

import pytest

from llm_gym import ScriptedPolicy
from llm_gym.rollouts.plan import Limits, Plan, parse_mixture
from tests.sample_envs import EchoEnv, VaultEnv

ONE, TWO = "llmgym/MultiStep-v0", "llmgym/SingleTool-v0"


def plan(env=EchoEnv, env_kwargs=None, **arguments):
    settings = {
        "policy": ScriptedPolicy(["hi"]),
        "episodes": 4,
        "concurrency": 2,
        "group_size": 1,
        "seed": 0,
        "tasks": None,
        "retries": 0,
        "limits": Limits(),
        **arguments,
    }
    return Plan(mixture=parse_mixture(env, env_kwargs), **settings)


@pytest.mark.parametrize(
    ("env", "shares"),
    [
        (ONE, [1.0]),
        (EchoEnv, [1.0]),
        ([ONE, TWO], [0.5, 0.5]),
        ({ONE: 3, TWO: 1}, [0.75, 0.25]),
        ([(ONE, 1.0), (TWO, 4.0)], [0.2, 0.8]),
    ],
)
def test_an_environment_or_a_mixture_is_read(env, shares):
    assert list(parse_mixture(env, None).shares) == shares


@pytest.mark.parametrize(
    "env", [None, 5, [], {}, [ONE, ONE], [EchoEnv], [(ONE, 1, 2)], {EchoEnv: 1.0}]
)
def test_what_is_no_environment_is_refused(env):
    with pytest.raises(TypeError, match="`env` must be an id, a function"):
        parse_mixture(env, None)


@pytest.mark.parametrize("weight", [0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ValueError, match="weights must be above 0"):
        parse_mixture({ONE: weight}, None)


def test_arguments_are_for_all_or_by_id():
    shared = parse_mixture([ONE, TWO], {"max_turns": 3})
    assert [dict(kwargs) for kwargs in shared.kwargs] == [{"max_turns": 3}] * 2
    named = parse_mixture([ONE, TWO], {TWO: {"level": 0}})
    assert [dict(kwargs) for kwargs in named.kwargs] == [{}, {"level": 0}]


@pytest.mark.parametrize("kwargs", [{"a/b-v0": {}}, {ONE: {}, "max_turns": 3}])
def test_arguments_of_an_unknown_id_are_refused(kwargs):
    with pytest.raises(ValueError, match="`env_kwargs` must be one environment's"):
        parse_mixture([ONE, TWO], kwargs)


def test_a_mixture_is_drawn_by_weight_and_group():
    mixed = plan({ONE: 3, TWO: 1}, episodes=4000, group_size=2)
    drawn = [mixed.which_env(number) for number in range(4000)]
    assert drawn[::2] == drawn[1::2]
    assert Counter(drawn)[0] / 4000 == pytest.approx(0.75, abs=0.04)
    again = plan({ONE: 3, TWO: 1}, episodes=4000, group_size=2, seed=1)
    assert drawn != [again.which_env(number) for number in range(4000)]


def test_a_seed_fits_into_31_bits_and_is_the_groups_own():
    seeds = [plan(group_size=2).reset_arguments(n)["seed"] for n in range(4)]
    assert seeds[0] == seeds[1] != seeds[2] == seeds[3]
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_tasks_of_a_mixture_are_refused():
    with pytest.raises(ValueError, match="`tasks` are of one environment: a mixture"):
        plan([ONE, TWO], tasks=("a",))


@pytest.mark.parametrize("name", ["reply", "tools", "episode"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_that_is_none_is_refused(name, seconds):
    with pytest.raises(ValueError, match=f"`{name}` must be above 0 seconds or None"):
        Limits(**{name: seconds})


def test_each_environment_is_made_with_its_arguments():
    mixture = parse_mixture([ONE, TWO], {ONE: {"max_turns": 3}})
    assert mixture.make(0).unwrapped.max_turns == 3
    assert mixture.make(1).spec.id == TWO
    assert parse_mixture(VaultEnv, {"max_turns": 5}).make(0).max_turns == 5
