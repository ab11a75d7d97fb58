"""Each path takes two steps; that they rise is `make learn`'s to show."""

from __future__ import annotations

import copy
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest

from learn.one import PATHS, trainer_of
from learn.setting import SETTING

NEEDS = {"trl-environment": "trl", "trl-rollout": "trl", "verl-worker": "verl"}
SMALL = replace(SETTING, steps=2, groups=2, group_size=2, warm_up_steps=1)


@pytest.mark.parametrize("path", PATHS)
def test_path_takes_steps_and_tells_of_each(path: str, speaker: Any) -> None:
    needed = NEEDS.get(path, "torch")
    if find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    model, tokenizer = copy.deepcopy(speaker)
    told: list[int] = []
    trainer_of(path)(model, tokenizer, SMALL, 0, lambda step, reward: told.append(step))
    assert told == [0, 1]
    assert not model.training or path == "from-scratch"
