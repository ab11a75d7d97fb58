"""The rollout engine: a mixture of environments, groups, limits and exact tokens.

Run: pip install 'llm-gym[transformers]', then python examples/05_engine.py
"""

from collections import Counter

from llm_gym import Limits, rollout
from llm_gym.policies import Sampling, TransformersPolicy

policy = TransformersPolicy(sampling=Sampling(max_new_tokens=32, seed=1))
mixture = {"llmgym/SingleTool-v0": 2, "llmgym/MultipleChoice-v0": 1}  # by weight
played, sampled, read = Counter(), 0, 0

for trajectory in rollout(
    mixture,
    policy,
    episodes=12,
    concurrency=6,
    group_size=2,  # members share task and seed, and come together or not at all
    env_kwargs={"level": 0, "max_turns": 3},
    limits=Limits(reply=300),  # more is a fault: retried, and never a reward
    progress=True,
):
    if trajectory.fault is not None:
        print("left out:", trajectory.fault)
        continue
    played[trajectory.env_id] += 1
    for sample in trajectory.tokens.to_samples():
        sampled += sum(sample.mask)
        read += len(sample.prompt_ids) + sample.mask.count(0)

print("episodes:", dict(played))
print(
    f"tokens to train on: {sampled} sampled, with their log-probabilities; {read} read"
)
