"""A vector of environments shows what single ones show."""

from __future__ import annotations

import json
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # has no stubs
import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv

from llm_gym import jsontext
from llm_gym.checks.episodes import Recording, Reply
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import Skipped, demand, difference
from llm_gym.messages import call_text

__all__ = ["check_vector"]

_SLOTS = 2
_TIMEOUT_SECONDS = 120
_UNICODE = "Grüße 🙂 e\u0301 \U0001d518 \u202e \u0000 \ud800 中文"
_UNICODE_CALL = call_text("инструмент🙂", {"ключ": _UNICODE})


def check_vector(subject: Subject) -> str:
    """Step two slots, in this process and in two others, and single environments."""
    recordings = _one_a_seed(subject)[:_SLOTS]
    turns = max(len(recording.replies) for recording in recordings) + 3
    scripts = [_script(recording, turns) for recording in recordings]
    expected = [
        _single(subject, recording.seed, script)
        for recording, script in zip(recordings, scripts, strict=True)
    ]
    seeds = [recording.seed for recording in recordings]
    _compare(subject, "sync", seeds, scripts, expected)
    try:
        cloudpickle.dumps(subject.spec)
    except Exception as err:
        raise Skipped(
            "in other processes: what makes the environment cannot be pickled "
            f"({type(err).__name__}: {err}); in this process all is well"
        ) from err
    _compare(subject, "async", seeds, scripts, expected)
    return f"{len(seeds)} slots, {turns} turns, sync and async"


def _one_a_seed(subject: Subject) -> list[Recording]:
    """Return the oracle's episode of each seed, or the random one."""
    return list(
        {recording.seed: recording for recording in subject.recordings}.values()
    )


def _script(recording: Recording, turns: int) -> list[Reply]:
    script = [_UNICODE_CALL, *recording.replies]
    return [*script, *[_UNICODE] * (turns - len(script))]


def _single(subject: Subject, seed: int, script: list[Reply]) -> list[str]:
    """Return what a slot must show: the step after an episode's end is a reset."""
    env: gym.Env[Any, Any] = gym.make(subject.spec, disable_env_checker=True)
    observation, _ = env.reset(seed=seed)
    pages = [_page(observation, 0.0, False, False)]
    ended = False
    for reply in script:
        if ended:
            observation, _ = env.reset()
            result: tuple[Any, ...] = (observation, 0.0, False, False)
        else:
            result = env.step(reply)[:4]
        ended = bool(result[2] or result[3])
        pages.append(_page(*result))
    env.close()
    return pages


def _compare(
    subject: Subject,
    mode: str,
    seeds: list[int],
    scripts: list[list[Reply]],
    expected: list[list[str]],
) -> None:
    for slot, pages in enumerate(_batched(subject, mode, seeds, scripts)):
        for turn, (one, other) in enumerate(zip(expected[slot], pages, strict=True)):
            found = None
            if one != other:
                found = difference(json.loads(one), json.loads(other))
            demand(
                found is None,
                f"seed {seeds[slot]}, slot {slot} of a {mode} vector environment, "
                f"after {turn} steps: {found}",
            )


def _batched(
    subject: Subject, mode: str, seeds: list[int], scripts: list[list[Reply]]
) -> list[list[str]]:
    """Return what each slot of a vector environment shows."""
    options = {"shared_memory": False} if mode == "async" else {}
    envs = gym.make_vec(
        subject.spec,
        num_envs=len(seeds),
        vectorization_mode=mode,
        vector_kwargs=options,
    )
    try:
        observations, _ = envs.reset(seed=seeds)  # type: ignore[arg-type]  # a list is taken
        pages = [[_page(observations[i], 0.0, False, False)] for i in range(len(seeds))]
        for actions in zip(*scripts, strict=True):
            result = _step(envs, actions)
            for slot, page in enumerate(pages):
                page.append(_page(*(column[slot] for column in result[:4])))
    finally:
        envs.close()
    return pages


def _step(envs: Any, actions: tuple[Reply, ...]) -> Any:
    if not isinstance(envs, AsyncVectorEnv):
        return envs.step(actions)
    envs.step_async(actions)
    return envs.step_wait(timeout=_TIMEOUT_SECONDS)


def _page(observation: Any, reward: Any, terminated: Any, truncated: Any) -> str:
    return jsontext.canonical(
        {
            "observation": observation,
            "reward": float(reward),
            "terminated": bool(terminated),
            "truncated": bool(truncated),
        }
    )
