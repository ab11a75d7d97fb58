"""Groups of rollouts of one task each, as GRPO wants them, kept on disk and read back.

The random policy stands in for a model: `TransformersPolicy()` takes its place.
"""

import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean, pstdev

from llm_gym import rollout
from llm_gym.policies import RandomPolicy
from llm_gym.rollouts.summary import summarize
from llm_gym.store import TrajectoryWriter, read_trajectories

path = Path(tempfile.mkdtemp()) / "groups.jsonl"
with TrajectoryWriter(path) as writer:
    for trajectory in rollout(
        "llmgym/SingleTool-v0", RandomPolicy(), episodes=32, group_size=8, seed=3
    ):
        writer.write(trajectory)

groups = defaultdict(list)
for trajectory in read_trajectories(path):
    if trajectory.fault is None:  # a fault has no reward: it must not enter a mean
        groups[trajectory.run.group].append(trajectory)

for number, group in sorted(groups.items()):
    starts = {trajectory.prompt[-1]["content"] for trajectory in group}
    returns = [trajectory.episode_return for trajectory in group]
    centre, spread = mean(returns), pstdev(returns)
    advantages = [(value - centre) / (spread + 1e-6) for value in returns]
    print(f"group {number}: {len(starts)} start, returns {returns}")
    print(f"         advantages {[round(value, 2) for value in advantages]}")

print(
    summarize(trajectory for group in groups.values() for trajectory in group).table()
)
