"""A language model plays one episode: Gymnasium's loop, nothing more.

Needs the extra `transformers` and the embedded model (`make demo` installs both), or
hand `TransformersPolicy` the name of any other model.
"""

import asyncio

import gymnasium as gym

import llm_gym  # noqa: F401  # registers the environments
from llm_gym.policies import Sampling, TransformersPolicy

env = gym.make("llmgym/MultiStep-v0", level=0, render_mode="ansi")
policy = TransformersPolicy(sampling=Sampling(max_new_tokens=64, temperature=0.3))

request, info = env.reset(seed=7)
over = False
while not over:
    reply = asyncio.run(policy.reply(request))
    request, reward, terminated, truncated, info = env.step(reply)
    over = terminated or truncated

print(env.render())
print(f"{info['stop_reason']}: {info['score']['value']}, {info['score']['reason']}")
