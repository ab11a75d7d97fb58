"""A policy that asks the environment itself."""

from __future__ import annotations

import asyncio

import pytest

from llm_gym.policies.base import bound
from llm_gym.policies.oracle import OraclePolicy
from tests.envs.driving import drive
from tests.sample_envs import EchoEnv, VaultEnv


@pytest.mark.parametrize("seed", range(5))
def test_the_oracle_reaches_full_marks(seed):
    assert drive(VaultEnv(), OraclePolicy(), seed=seed).success


def test_an_environment_without_an_oracle_says_so():
    env = EchoEnv()
    observation, _ = env.reset(seed=1)
    with pytest.raises(NotImplementedError, match="`EchoEnv` has no oracle"):
        asyncio.run(bound(OraclePolicy(), env).reply(observation))
