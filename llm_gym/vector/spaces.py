"""The spaces of a vector environment: a tuple with one for each slot."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym

from llm_gym.spaces import ChatSpace, ReplySpace

__all__ = ["batched_space", "common_space"]


def batched_space(spaces: Iterable[gym.Space[Any]]) -> gym.spaces.Tuple[Any]:
    """Return the space of one element of each of these spaces."""
    return gym.spaces.Tuple([_fresh(space) for space in spaces])


def common_space(spaces: Sequence[gym.Space[Any]]) -> gym.Space[Any]:
    """Return a space for all of these: theirs, or one with the tools of all.

    Raises:
        ValueError: They differ in more than their tools.
    """
    first = spaces[0]
    if all(space == first for space in spaces):
        return _fresh(first)
    for cls in (ChatSpace, ReplySpace):
        if all(type(space) is cls for space in spaces):
            tools = {tool["function"]["name"]: tool for s in spaces for tool in s.tools}  # type: ignore[attr-defined]  # cls has them
            return cls(tuple(tools.values()))
    raise ValueError(
        "environments of one vector must observe and act alike, these have the spaces "
        f"{list(spaces)}"
    )


def _fresh(space: gym.Space[Any]) -> gym.Space[Any]:
    """Return a copy with a generator of its own; tools are shared, not copied."""
    if isinstance(space, ChatSpace | ReplySpace):
        return type(space)(space.tools)
    return copy.deepcopy(space)
