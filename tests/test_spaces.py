"""The spaces: form in constant time, samples that are valid, no shared memory."""

from __future__ import annotations

import json
import pickle
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym.messages import Reply
from llm_gym.replies import read_reply
from llm_gym.spaces import ChatSpace, ReplySpace, sample_json
from tests.json_values import replies
from tests.sample_envs import KitEnv, VaultEnv

TOOLS = VaultEnv._schemas
MESSAGE = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    "observation",
    [{"messages": [MESSAGE]}, {"messages": (MESSAGE,), "tools": []}, {"messages": [5]}],
)
def test_a_request_is_an_observation(observation):
    assert observation in ChatSpace()


@pytest.mark.parametrize(
    "other",
    [
        None,
        5,
        "hi",
        [],
        {},
        {"messages": []},
        {"messages": "hi"},
        {"tools": []},
        {"messages": [MESSAGE], "model": "x"},
    ],
)
def test_anything_else_is_no_observation(other):
    assert other not in ChatSpace()


@pytest.mark.parametrize(
    "action",
    [
        "",
        "hi",
        {"content": None},
        {"role": "assistant"},
        {"role": "assistant", "tool_calls": []},
        Reply("hi"),
        SimpleNamespace(model_dump=dict),
        {"choices": [{"message": {"content": "hi"}}]},
        {"message": {"content": "hi"}},
    ],
)
def test_a_reply_is_an_action(action):
    assert action in ReplySpace()


@pytest.mark.parametrize(
    "other",
    [
        None,
        5,
        b"hi",
        [],
        {},
        {"text": "hi"},
        {"role": "user", "content": "hi"},
        object(),
    ],
)
def test_anything_else_is_no_action(other):
    assert other not in ReplySpace()


@given(replies)
def test_whatever_a_model_writes_is_an_action(reply):
    assert reply in ReplySpace()


def test_contains_does_not_look_at_every_message():
    long = {"messages": [MESSAGE] * 10**6}
    started = time.process_time()
    assert all(long in ChatSpace() for _ in range(1000))
    assert time.process_time() - started < 1


def test_samples_of_observations_are_observations():
    for space in (ChatSpace(seed=1), ChatSpace(TOOLS, seed=1)):
        sample = space.sample()
        assert sample in space
        assert ("tools" in sample) == bool(space.tools)


@given(st.integers(0, 2**31))
def test_samples_of_actions_call_tools_with_valid_arguments(seed):
    space = ReplySpace(TOOLS, seed=seed)
    sample = space.sample()
    assert sample in space
    for call in read_reply(sample).calls:
        assert VaultEnv.tool_specs[call.name].problem(call.arguments) is None


def test_samples_are_mostly_calls_and_without_tools_never():
    space = ReplySpace(TOOLS, seed=1)
    texts = sum("tool_calls" not in space.sample() for _ in range(800))
    assert 60 < texts < 140
    untooled = [ReplySpace(seed=n).sample() for n in range(50)]
    assert all("tool_calls" not in sample for sample in untooled)
    assert {sample["content"].isalpha() for sample in untooled} == {True, False}


@pytest.mark.parametrize("kind", [ChatSpace, ReplySpace])
def test_the_same_seed_gives_the_same_samples(kind):
    first, second, third = (kind(TOOLS, seed=seed) for seed in (1, 1, 2))
    samples = [[space.sample() for _ in range(9)] for space in (first, second, third)]
    assert samples[0] == samples[1] != samples[2]


@pytest.mark.parametrize("kind", [ChatSpace, ReplySpace])
def test_a_space_is_equal_by_its_tools_and_survives_pickling(kind):
    space = pickle.loads(pickle.dumps(kind(TOOLS)))
    assert space == kind(TOOLS)
    assert space != kind()
    assert kind() != (ReplySpace if kind is ChatSpace else ChatSpace)()
    assert repr(space) == f"{kind.__name__}(4 tools)"
    assert not space.is_np_flattenable
    assert space.shape is None


@pytest.mark.parametrize("kind", [ChatSpace, ReplySpace])
def test_samples_make_the_way_through_json(kind):
    space = kind(TOOLS, seed=1)
    samples = [space.sample() for _ in range(3)]
    plain = json.loads(json.dumps(space.to_jsonable(samples)))
    assert space.from_jsonable(plain) == samples


@pytest.mark.parametrize("name", sorted(KitEnv.tool_specs))
def test_sampled_arguments_are_valid_for_every_kind_of_parameter(name):
    spec = KitEnv.tool_specs[name]
    rng = np.random.default_rng(0)
    problems = [spec.problem(sample_json(spec.parameters, rng)) for _ in range(50)]
    assert all(
        problem is None or "must not be before" in problem for problem in problems
    )
    assert None in problems
