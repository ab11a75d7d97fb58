"""Classes of TRL's form, made from tools."""

from __future__ import annotations

import gc
import inspect

import pytest

from llm_gym import tool
from llm_gym.adapters.trl.environments import (
    EnvironmentFactory,
    close_all,
    environment_class,
)
from llm_gym.adapters.trl.starts import COLUMN, draw_starts, read_places
from tests.adapters.trl.flaky import FlakyEnv
from tests.sample_envs import VaultEnv

(PLACE,) = read_places(VaultEnv, None)


class TakenEnv(VaultEnv):
    """A vault with a tool whose name is taken."""

    @tool
    def get_reward(self) -> str:
        """Ask for the reward."""
        return "1"


def test_there_is_one_class_for_the_same_arguments_and_another_for_others() -> None:
    (other,) = read_places(VaultEnv, {"max_turns": 3})
    assert environment_class(PLACE) is environment_class(PLACE)
    assert environment_class(PLACE) is not environment_class(other)
    assert environment_class(PLACE) is not environment_class(PLACE, 0)


def test_public_functions_are_the_tools_and_reset() -> None:
    members = inspect.getmembers(environment_class(PLACE), inspect.isfunction)
    public = {name for name, _ in members if not name.startswith("_")}
    assert public == {"reset", *VaultEnv.tool_specs}


def test_reset_takes_the_row_and_adds_nothing_to_its_prompt() -> None:
    ((start, messages),) = draw_starts([PLACE], 1, seed=0)
    one = EnvironmentFactory(PLACE)()
    row = {COLUMN: start.to_text(), "prompt": messages, "more": 1}
    assert one.reset(**row) is None  # type: ignore[func-returns-value]
    assert one.lookup(colour="red").isdigit()  # type: ignore[attr-defined]
    one._close()


def test_row_of_another_dataset_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must hold what `TRLSpec\.train_dataset`"):
        EnvironmentFactory(PLACE)().reset(prompt=[])


def test_tool_whose_name_trl_keeps_is_refused() -> None:
    (place,) = read_places(TakenEnv, None)
    with pytest.raises(ValueError, match="cannot have a tool named 'get_reward'"):
        environment_class(place)


def test_environments_are_closed_at_will_and_when_nobody_has_them() -> None:
    gc.collect()  # what other tests have left
    (place,) = read_places(FlakyEnv, None)
    close_all((place,))
    ((start, messages),) = draw_starts([place], 1, seed=0)
    row = {COLUMN: start.to_text(), "prompt": messages}
    one, other = EnvironmentFactory(place)(), EnvironmentFactory(place)()
    one.reset(**row)
    other.reset(**row)
    FlakyEnv.closed.clear()
    del other
    gc.collect()
    assert len(FlakyEnv.closed) == 1
    close_all((place,))
    assert len(FlakyEnv.closed) == 2
