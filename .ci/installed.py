"""Checks an installed llm_gym with its core dependencies alone.

Every registered id is made, reset and stepped; at most fifteen packages are there; the
import is quick and loads no torch.
"""

import importlib.metadata
import sys
import time

import gymnasium as gym

started = time.perf_counter()
import llm_gym  # noqa: E402  # timed on top of gymnasium

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
    env = gym.make(env_id)
    _, info = env.reset(seed=7)
    _, reward, *_ = env.step(env.action_space.sample())
    print(f"{env_id}: task {info['task_id']}, reward {reward}")
    env.close()

print(f"{len(ids)} ids, {len(packages)} packages, import {seconds:.2f} s")
sys.exit("; ".join(problems) or 0)
