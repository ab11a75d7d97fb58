"""One of each wrapper, around any environment, and episodes in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym

import llm_gym  # noqa: F401  # registers the environments
from llm_gym import ToolEnv
from llm_gym.messages import ChatRequest
from llm_gym.wrappers import (
    ChatHistoryWindow,
    FaultInjection,
    PromptTemplate,
    RecordTrajectories,
    RewardScale,
    RewardShaping,
    SystemPrompt,
    TextAction,
    TextObservation,
    TokenBudget,
    ToolSubset,
    TurnLimit,
)
from llm_gym.wrappers.text_action import reply_text

ENV_IDS = ("llmgym/MultiStep-v0", "llmgym/MultiTurn-v0")
BAD_CALL = '<tool_call>{"name": "?", "arguments": {}}</tool_call>'


def count_messages(request: ChatRequest) -> int:
    """Count a message as a token."""
    return len(request["messages"])


def turns(env: ToolEnv) -> float:
    """Say how many turns there have been, as a potential."""
    return 0.25 * env.trajectory.turns.__len__()


def half_the_tools(env: gym.Env[Any, Any], path: Path) -> ToolSubset:
    """Leave the first half of an environment's tools."""
    names = [tool["function"]["name"] for tool in env.unwrapped.action_space.tools]
    return ToolSubset(env, names[: (len(names) + 1) // 2])


def chaos(env: gym.Env[Any, Any], path: Path) -> FaultInjection:
    """Let much go wrong, but for faults."""
    return FaultInjection(
        env, failure=0.3, garbage=0.3, delay=0.1, delay_seconds=(0.0, 0.001), seed=3
    )


Maker = Callable[[gym.Env[Any, Any], Path], gym.Env[Any, Any]]
MAKERS: dict[str, Maker] = {
    "ChatHistoryWindow": lambda env, _: ChatHistoryWindow(env, max_turns=1),
    "ChatHistoryWindow-tokens": lambda env, _: ChatHistoryWindow(
        env, max_tokens=6, count_tokens=count_messages
    ),
    "FaultInjection": chaos,
    "PromptTemplate": lambda env, _: PromptTemplate(env, "Task: {prompt} {{}}"),
    "RecordTrajectories": lambda env, path: RecordTrajectories(
        env, path / "rollouts.jsonl"
    ),
    "RewardScale": lambda env, _: RewardScale(env, 10.0),
    "RewardShaping": lambda env, _: RewardShaping(env, turns, 0.5),
    "SystemPrompt": lambda env, _: SystemPrompt(env, "Be brief. é\U0001f600", "append"),
    "TextAction": lambda env, _: TextAction(env),
    "TextObservation": lambda env, _: TextObservation(env),
    "TokenBudget": lambda env, _: TokenBudget(env, 500, len),
    "ToolSubset": half_the_tools,
    "TurnLimit": lambda env, _: TurnLimit(env, 3),
}
PLAIN = sorted(
    MAKERS.keys() - {"ChatHistoryWindow-tokens", "RewardShaping", "TokenBudget"}
)
"""Those whose arguments are plain data."""


def best(env: gym.Env[Any, Any]) -> str:
    """Return the best next reply as a text."""
    return reply_text(env.unwrapped.oracle())


def play(env: gym.Env[Any, Any], turns: int = 30, **reset: Any) -> list[Any]:
    """Play the best replies, a bad one second; return all that came back."""
    results: list[Any] = [env.reset(**reset)]
    for turn in range(turns):
        results.append(env.step(BAD_CALL if turn == 1 else best(env)))
        if results[-1][2] or results[-1][3]:
            break
    return results
