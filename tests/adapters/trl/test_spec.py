"""One object, whose properties are the trainer's arguments."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest
import trl

from llm_gym.adapters.trl import TRLSpec
from llm_gym.adapters.trl.environments import EnvironmentFactory
from llm_gym.adapters.trl.starts import Start
from tests.sample_envs import EchoEnv, VaultEnv

IDS = ["llmgym/MultiStep-v0", "llmgym/SingleTool-v0"]


def starts_of(spec: TRLSpec) -> list[Start]:
    """Return what the rows of the training data begin with."""
    return [Start.from_text(text) for text in spec.train_dataset["llm_gym"]]


@pytest.mark.parametrize("path", ["rollout", "environment"])
def test_arguments_are_those_of_the_trainer(path: Any) -> None:
    given = TRLSpec(VaultEnv, path=path, prompts=2, eval_prompts=1).kwargs()
    known = inspect.signature(trl.GRPOTrainer.__init__).parameters
    assert given.keys() <= known.keys()
    assert ("rollout_func" in given) is (path == "rollout")
    assert ("environment_factory" in given) is (path == "environment")


def test_list_and_weights_make_a_factory_for_each() -> None:
    for mixture in (IDS, dict.fromkeys(IDS, 1.0)):
        spec = TRLSpec(mixture, path="environment", prompts=6)
        factories = spec.environment_factory
        assert isinstance(factories, dict)
        assert list(factories) == IDS
        assert set(spec.train_dataset["environment"]) <= set(IDS)


def test_weights_decide_how_often_an_environment_is_drawn() -> None:
    spec = TRLSpec({IDS[0]: 9, IDS[1]: 1}, prompts=40)
    drawn = [start.env for start in starts_of(spec)]
    assert drawn.count(IDS[0]) > 25


def test_level_split_and_arguments_reach_the_environments() -> None:
    kwargs: Any = {IDS[0]: {"max_turns": 3}}
    spec = TRLSpec(IDS, level=0, split="test", env_kwargs=kwargs, prompts=4)
    assert spec.rollout_func is not None
    assert [dict(place.kwargs) for place in spec.rollout_func._places] == [
        {"split": "test", "level": 0, "max_turns": 3},
        {"split": "test", "level": 0},
    ]
    assert all("test" in start.task_id for start in starts_of(spec))


def test_evaluation_has_starts_of_its_own() -> None:
    spec = TRLSpec(VaultEnv, prompts=3, eval_prompts=3)
    assert len(spec.eval_dataset) == 3
    assert not set(spec.eval_dataset["llm_gym"]) & set(spec.train_dataset["llm_gym"])
    assert TRLSpec(VaultEnv, prompts=3).eval_dataset is None


def test_same_seed_gives_the_same_rows() -> None:
    one, same, other = (TRLSpec(VaultEnv, prompts=3, seed=s) for s in (1, 1, 2))
    assert one.train_dataset.to_list() == same.train_dataset.to_list()
    assert one.train_dataset.to_list() != other.train_dataset.to_list()


def test_tasks_are_taken_in_turn() -> None:
    assert {start.task_id for start in starts_of(TRLSpec(EchoEnv, tasks=["hi"]))} == {
        "hi"
    }


def test_factory_can_be_pickled() -> None:
    factory = TRLSpec(IDS[0], path="environment").environment_factory
    assert isinstance(factory, EnvironmentFactory)
    again = pickle.loads(pickle.dumps(factory))
    assert again == factory
    assert type(again()) is type(factory())


def test_own_callbacks_come_after_the_specs() -> None:
    spec = TRLSpec(VaultEnv, prompts=2)
    mine = object()
    assert spec.kwargs(callbacks=[mine])["callbacks"] == [*spec.callbacks, mine]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "both"}, '`path` must be "rollout" or "environment"'),
        ({"prompts": 0}, "`prompts` must be at least 1"),
        ({"retries": -1}, "`retries` must be at least 0"),
        ({"eval_prompts": -1}, "`eval_prompts` must be at least 0"),
    ],
)
def test_numbers_out_of_range_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TRLSpec(VaultEnv, **settings)


def test_tasks_of_a_mixture_are_refused() -> None:
    with pytest.raises(ValueError, match="`tasks` are of one environment"):
        TRLSpec(IDS, tasks=["x"])


def test_rloo_has_no_place_for_it_and_says_so_on_the_first_step() -> None:
    known = inspect.signature(trl.RLOOTrainer.__init__).parameters
    assert not {"rollout_func", "environment_factory"} & known.keys()
    (reward,) = TRLSpec(VaultEnv, prompts=2).reward_funcs
    with pytest.raises(ValueError, match="RLOOTrainer has neither"):
        reward(prompts=[], completions=["x"], completion_ids=[[1]])
