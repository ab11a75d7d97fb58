"""Checks an installed llm_gym with its core dependencies alone.

Every registered id that needs no extra is made, reset and stepped, and the others name
theirs; at most fifteen packages are there; the import is quick and loads no torch.
"""

import importlib.metadata
import sys
import time

import gymnasium as gym

started = time.perf_counter()
import llm_gym  # noqa: E402  # timed on top of gymnasium
from llm_gym.registration import EXTRAS  # noqa: E402

seconds = time.perf_counter() - started

packages = sorted({d.metadata["Name"] for d in importlib.metadata.distributions()})
problems = []
if len(packages) > 15:
    problems.append(f"{len(packages)} packages, at most 15: {packages}")
if "torch" in sys.modules:
    problems.append("`import llm_gym` loads torch")
if "/site-packages/" not in llm_gym.__file__:
    problems.append(f"not the installed package: {llm_gym.__file__}")

ids = sorted(env_id for env_id in gym.registry if env_id.startswith("llmgym/"))
if not ids:
    problems.append("no llmgym id is registered")
for env_id in ids:
    if env_id in EXTRAS:
        try:
            gym.make(env_id)
            problems.append(f"{env_id} was made without its extra")
        except llm_gym.MissingDependencyError as err:
            if EXTRAS[env_id] not in str(err):
                problems.append(f"{env_id} does not name its extra: {err}")
        continue
    env = gym.make(env_id)
    _, info = env.reset(seed=7)
    _, reward, *_ = env.step(env.action_space.sample())
    print(f"{env_id}: task {info['task_id']}, reward {reward}")
    env.close()

print(f"{len(ids)} ids, {len(packages)} packages, import {seconds:.2f} s")
sys.exit("; ".join(problems) or 0)
