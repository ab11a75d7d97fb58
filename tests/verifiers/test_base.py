"""The Protocol of a verifier: what counts as one."""

from __future__ import annotations

import pytest

from llm_gym import Rubric, Verifier
from tests.sample_envs import VaultEnv


@pytest.mark.parametrize("verifier", [Rubric({"a": (lambda t: 1.0, 1)}), VaultEnv()])
def test_whatever_verifies_is_a_verifier(verifier):
    assert isinstance(verifier, Verifier)


@pytest.mark.parametrize("other", [None, lambda trajectory: 1.0, object()])
def test_what_does_not_verify_is_none(other):
    assert not isinstance(other, Verifier)
