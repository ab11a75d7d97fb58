"""The Protocol of a policy: what may act, and under which name."""

from __future__ import annotations

import pytest

from llm_gym import Reply, ScriptedPolicy
from llm_gym.policies.base import EnvPolicy, Policy, bound, policy_name
from llm_gym.policies.oracle import OraclePolicy
from llm_gym.policies.random import RandomPolicy
from tests.sample_envs import VaultEnv


class Named:
    """The least that a policy is."""

    name = "my-model"

    async def reply(self, request, trace=None):
        return Reply("hi")


@pytest.fixture
def env():
    env = VaultEnv()
    env.reset(seed=1)
    return env


def test_a_policy_is_itself_in_every_episode(env):
    policy = Named()
    assert isinstance(policy, Policy)
    assert bound(policy, env) is policy


@pytest.mark.parametrize("policy", [OraclePolicy(), RandomPolicy()])
def test_a_policy_that_knows_its_environment_is_bound_to_it(env, policy):
    assert isinstance(policy, EnvPolicy)
    assert not isinstance(policy, Policy)
    assert isinstance(bound(policy, env, 3), Policy)


@pytest.mark.parametrize("other", [None, "gpt", lambda request: "hi", object()])
def test_anything_else_is_no_policy(env, other):
    with pytest.raises(
        TypeError, match=r"must have `async reply\(request, trace=None\)`"
    ):
        bound(other, env)


@pytest.mark.parametrize("cls", [Named, OraclePolicy, RandomPolicy, ScriptedPolicy])
def test_a_class_is_no_policy_but_its_instances_are(env, cls):
    with pytest.raises(TypeError, match="a policy must"):
        bound(cls, env)


def test_a_policy_is_named_by_its_name_or_its_class():
    assert policy_name(Named()) == "my-model"
    assert policy_name(OraclePolicy()) == "OraclePolicy"
