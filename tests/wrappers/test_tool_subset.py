"""`ToolSubset`: what is hidden is neither shown nor callable."""

from __future__ import annotations

import pytest

from llm_gym.wrappers import FaultInjection, ToolSubset
from tests.envs.driving import call
from tests.sample_envs import EchoEnv, VaultEnv


def names(tools):
    return [tool["function"]["name"] for tool in tools]


def started(*tools):
    env = ToolSubset(VaultEnv(), tools)
    return env, env.reset(seed=1)[0]


def test_what_is_left_is_declared_in_the_environments_order():
    env, observation = started("open", "lookup")
    assert names(observation["tools"]) == ["lookup", "open"]
    assert names(env.step(call("lookup", colour="red"))[0]["tools"]) == names(
        env.unwrapped.trajectory.tools
    )
    assert names(env.observation_space.tools) == names(env.action_space.tools)
    assert names(env.action_space.tools) == ["lookup", "open"]


def test_a_hidden_tool_is_unknown():
    env, _ = started("lookup", "open")
    observation, *_, info = env.step(call("roll"))
    content = observation["messages"][-1]["content"]
    assert content.startswith("Error: there is no tool 'roll'.")
    assert content.endswith("The tools are `lookup`, `open`")
    assert info["calls"][0]["status"] == "invalid"


def test_none_at_all_may_be_left():
    env, observation = started()
    assert "tools" not in observation
    observation, *_ = env.step(call("roll"))
    assert "no tools are available" in observation["messages"][-1]["content"]
    assert env.unwrapped.trajectory.tools == ()


def test_the_inner_environment_keeps_its_tools():
    env, _ = started("lookup")
    inner = env.unwrapped
    fork = inner.fork()
    assert fork.step(call("roll"))[4]["calls"][0]["status"] == "invalid"
    inner.reset(seed=1)
    assert inner.step(call("roll"))[4]["calls"][0]["status"] == "ok"


def test_two_subsets_leave_what_both_leave():
    env = ToolSubset(ToolSubset(VaultEnv(), ["roll", "open"]), ["open"])
    assert names(env.reset(seed=1)[0]["tools"]) == ["open"]
    with pytest.raises(ValueError, match="names `roll`, the environment's are `open`"):
        ToolSubset(env, ["roll"])


@pytest.mark.parametrize("outside", [True, False])
def test_hidden_tools_stay_hidden_where_faults_are_injected(outside):
    env = ToolSubset(VaultEnv(), ["lookup"])
    env = (
        FaultInjection(env, garbage=1.0)
        if outside
        else ToolSubset(FaultInjection(VaultEnv(), garbage=1.0), ["lookup"])
    )
    env.reset(seed=1)
    both = call("roll") + call("lookup", colour="red")
    calls = env.step(both)[4]["calls"]
    assert [entry["status"] for entry in calls] == ["invalid", "ok"]


@pytest.mark.parametrize(
    ("kind", "tools", "error", "match"),
    [
        (VaultEnv, "open", TypeError, "must be a list of names, not the text 'open'"),
        (
            VaultEnv,
            ["opne"],
            ValueError,
            "names `opne`, the environment's are `lookup`",
        ),
        (EchoEnv, ["open"], ValueError, "names `open`, the environment's are none"),
    ],
)
def test_bad_names_are_refused(kind, tools, error, match):
    with pytest.raises(error, match=match):
        ToolSubset(kind(), tools)
