"""`Mixture`: weights that change between resets."""

from __future__ import annotations

import numpy as np
import pytest

from llm_gym.vector import ChatVectorEnv
from llm_gym.wrappers.vector import Mixture
from tests.sample_envs import VaultEnv

TOOL, STEP = "llmgym/SingleTool-v0", "llmgym/MultiStep-v0"
BOTH = {TOOL: 3.0, STEP: 1.0}


def test_the_same_weights_draw_what_the_vector_environment_draws():
    plain, wrapped = ChatVectorEnv(BOTH, 32), Mixture(ChatVectorEnv(BOTH, 32), BOTH)
    assert plain.reset(seed=6)[0] == wrapped.reset(seed=6)[0]
    assert plain.env_names == wrapped.chat_envs.env_names
    assert wrapped.drawn[TOOL] + wrapped.drawn[STEP] == 32
    assert wrapped.drawn[TOOL] > wrapped.drawn[STEP] > 0


def test_new_weights_hold_from_the_next_reset_on():
    envs = Mixture(ChatVectorEnv(BOTH, 4), {TOOL: 1})
    envs.reset(seed=1)
    assert envs.chat_envs.env_names == (TOOL,) * 4
    envs.weights = {STEP: 2}
    assert envs.weights == {TOOL: 0.0, STEP: 2.0}
    assert envs.chat_envs.env_names == (TOOL,) * 4
    mask = np.array([True, False, True, False])
    envs.reset(options={"reset_mask": mask})
    assert envs.chat_envs.env_names == (STEP, TOOL) * 2
    assert envs.drawn == {TOOL: 4, STEP: 2}


def test_resets_without_seed_repeat_after_a_seed():
    first, again = (Mixture(ChatVectorEnv(BOTH, 8), BOTH) for _ in range(2))
    for envs in (first, again):
        envs.reset(seed=2)
    assert first.reset()[0] == again.reset()[0]
    assert first.reset()[0] != first.reset()[0]


def test_an_environment_may_be_named():
    envs = Mixture(ChatVectorEnv(BOTH, 2), {TOOL: 1})
    envs.reset(seed=1, options={"envs": [STEP, None]})
    assert envs.chat_envs.env_names == (STEP, TOOL)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ({"x": 1}, r"came also \['x'\]"),
        ({TOOL: -1}, "not below 0"),
        ({TOOL: 0}, "one above it"),
        ({TOOL: float("nan")}, "must be finite"),
        ({}, "one above it"),
    ],
)
def test_wrong_weights_are_refused(weights, match):
    with pytest.raises(ValueError, match=match):
        Mixture(ChatVectorEnv(BOTH, 1), weights)


def test_what_is_no_mixture_is_refused():
    with pytest.raises(ValueError, match="`Mixture` wraps a mixture, as"):
        Mixture(ChatVectorEnv(VaultEnv, 1), {"VaultEnv": 1})
