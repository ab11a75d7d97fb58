"""Starts: a row of the dataset says how the episodes of a group begin."""

from __future__ import annotations

from collections import Counter

import gymnasium as gym
import pytest

from llm_gym.adapters.trl.starts import Start, draw_starts, make_env, read_places
from tests.sample_envs import EchoEnv, VaultEnv

MIXTURE = {"llmgym/MultipleChoice-v0": 3, "llmgym/MultiTurn-v0": 1}


def test_start_comes_back_from_its_text() -> None:
    start = Start("llmgym/MultiStep-v0", 7, "train-0-é")
    assert Start.from_text(start.to_text()) == start
    assert start.to_text() == Start.from_text(start.to_text()).to_text()


@pytest.mark.parametrize("text", [None, "", "?", "[1, 2]", "{}", 7])
def test_other_texts_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"must hold what `TRLSpec\.train_dataset`"):
        Start.from_text(text)  # type: ignore[arg-type]


def test_starts_begin_as_they_say() -> None:
    places = read_places(VaultEnv, None)
    env, inner = make_env(places[0])
    for start, messages in draw_starts(places, 3, seed=0):
        request, _ = env.reset(**start.reset_arguments())
        assert request["messages"] == messages
        assert inner.task.id == start.task_id


def test_same_seed_gives_the_same_starts_and_another_others() -> None:
    places = read_places(VaultEnv, None)
    first, again = draw_starts(places, 4, seed=1), draw_starts(places, 4, seed=1)
    assert first == again != draw_starts(places, 4, seed=2)


def test_tasks_are_taken_in_turn() -> None:
    starts = draw_starts(read_places(EchoEnv, None), 3, 0, tasks=["hi"])
    assert [start.task_id for start, _ in starts] == ["hi"] * 3
    assert len({start.seed for start, _ in starts}) == 3


def test_mixture_is_drawn_by_weight() -> None:
    starts = draw_starts(read_places(MIXTURE, None), 80, seed=0)
    drawn = Counter(start.env for start, _ in starts)
    assert 45 <= drawn["llmgym/MultipleChoice-v0"] <= 75
    assert set(drawn) == set(MIXTURE)


def test_list_of_ids_has_equal_shares() -> None:
    places = read_places(list(MIXTURE), {"llmgym/MultiTurn-v0": {"max_turns": 3}})
    assert [place.share for place in places] == [0.5, 0.5]
    assert [dict(place.kwargs) for place in places] == [{}, {"max_turns": 3}]


def test_environment_that_is_no_tool_env_is_refused() -> None:
    (place,) = read_places("CartPole-v1", None)
    with pytest.raises(TypeError, match="needs environments that are a ToolEnv"):
        make_env(place)
    gym.make("CartPole-v1").close()
