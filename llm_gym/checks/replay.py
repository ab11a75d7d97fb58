"""The other end of the check `new_process`: `python -m llm_gym.checks.replay`.

It reads a job as JSON from its input: `spec` (what `EnvSpec.to_json` wrote) and
`episodes`, each with `seed` and `replies`. It writes `env_hash`, that of the code, and
`episodes`, for each of them `shown` and `digest` of a `Recording`.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from llm_gym.checks.episodes import play
from llm_gym.env import ToolEnv
from llm_gym.fingerprint import code_hash

__all__ = ["replay"]


def replay(job: dict[str, Any]) -> dict[str, Any]:
    """Play the episodes of a job and return what each of them showed."""
    spec = EnvSpec.from_json(job["spec"])
    env = gym.make(spec, disable_env_checker=True).unwrapped
    if not isinstance(env, ToolEnv):
        raise TypeError(f"expected a ToolEnv, not {env!r}")
    found = []
    for episode in job["episodes"]:
        shown = play(env, episode["replies"], seed=episode["seed"])
        found.append({"shown": shown, "digest": env.trajectory.digest})
    env.close()
    return {"env_hash": code_hash(type(env)), "episodes": found}


def main() -> None:
    """Read a job from the input, and write what its episodes showed."""
    with contextlib.redirect_stdout(sys.stderr):  # an env may print
        answer = json.dumps(replay(json.load(sys.stdin)))
    sys.stdout.write(answer)


if __name__ == "__main__":
    main()
