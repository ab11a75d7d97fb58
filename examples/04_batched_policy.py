"""Vectorized environments, with the policy's generation batched over all of them.

Run: pip install 'llm-gym[transformers]', then python examples/04_batched_policy.py
"""

import gymnasium as gym

import llm_gym  # noqa: F401  # registers the environments
from llm_gym.policies import Sampling, TransformersPolicy
from llm_gym.wrappers.vector import BatchedPolicy

envs = gym.make_vec("llmgym/MultiStep-v0", num_envs=8, level=0, max_turns=3)
policy = TransformersPolicy(sampling=Sampling(max_new_tokens=32, seed=1))
batched = BatchedPolicy(envs, policy)
for trajectory in batched.run(episodes=16):
    print(trajectory.task.id, len(trajectory.turns), trajectory.episode_return)
