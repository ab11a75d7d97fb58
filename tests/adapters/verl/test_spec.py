import gymnasium as gym
import pytest

import llm_gym  # noqa: F401
from llm_gym.adapters.verl.spec import EpisodeSpec
from llm_gym.policies import ScriptedPolicy
from llm_gym.rollouts.plan import Limits
from llm_gym.rollouts.player import Player
from llm_gym.seeding import seed_of_group

SPEC = EpisodeSpec("llmgym/MultiStep-v0", {"level": 0}, 7, 3, "t", True)


def test_specification_survives_its_json() -> None:
    assert EpisodeSpec.from_json(SPEC.to_json()) == SPEC


def test_specification_is_one_line_of_text() -> None:
    assert "\n" not in SPEC.to_json()
    assert '"level":0' in SPEC.to_json()


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", "not json", '{"env":"x","y":1}']
)
def test_reading_refuses_what_no_export_wrote(text: object) -> None:
    with pytest.raises(ValueError, match="must be the JSON of an episode"):
        EpisodeSpec.from_json(text)


def test_writing_refuses_arguments_that_json_cannot_hold() -> None:
    with pytest.raises((TypeError, ValueError)):
        EpisodeSpec("x", {"tasks": object()}).to_json()


async def played(spec: EpisodeSpec) -> object:
    player = Player(spec.plan(ScriptedPolicy(["no"]), retries=0, limits=Limits()))
    try:
        return await player.play(spec.group)
    finally:
        player.close()


async def plays() -> list[object]:
    return [await played(SPEC), await played(SPEC)]


def test_plan_starts_every_rollout_of_a_row_alike() -> None:
    import asyncio

    first, second = asyncio.run(plays())
    assert first.digest == second.digest


def test_plan_starts_where_a_rollout_of_that_group_does() -> None:
    env = gym.make(SPEC.env, level=0)
    env.reset(seed=seed_of_group(SPEC.seed, SPEC.group))
    plan = SPEC.plan(ScriptedPolicy(["no"]), retries=0, limits=Limits())
    assert plan.reset_arguments(SPEC.group) == {"seed": seed_of_group(7, 3)}
    assert plan.mixture.kwargs == ({"level": 0},)
    env.close()
