"""A simulated user: of rules, of a policy, and one that breaks its contract.

The user of a policy is scripted here so that this runs offline. Any policy will do:
`PolicyUser(TransformersPolicy("Qwen/Qwen2.5-7B-Instruct"))`.
"""

import gymnasium as gym

import llm_gym  # noqa: F401  # registers the environments
from llm_gym.errors import EnvironmentFault
from llm_gym.messages import ChatRequest
from llm_gym.policies import ScriptedPolicy
from llm_gym.transcript import transcript
from llm_gym.users import PolicyUser, RuleUser, User
from llm_gym.users.model import GOODBYE


def serve(user: User) -> gym.Env:
    """Let the oracle serve a customer, and return where that ended."""
    env = gym.make("llmgym/CustomerService-v0", level=1, user=user).unwrapped
    env.reset(seed=11)
    over = False
    while not over:
        *_, terminated, truncated, info = env.step(env.oracle())
        over = terminated or truncated
    print(
        f"{info['stop_reason']}: {info['score']['value']}, {info['score']['reason']}\n"
    )
    return env


def obedient(request: ChatRequest) -> str:
    """Write what a model would that follows its instructions."""
    now = request["messages"][0]["content"].partition("Now:\n")[2]
    told = [line.partition("letter for letter: ")[2] for line in now.splitlines()]
    parts = [f"Here you are: {value}." for value in told if value]
    if GOODBYE in now:
        parts.append(f"Thanks a lot, goodbye. {GOODBYE}")
    if "Say yes" in now:
        parts.append("Yes, that would be kind.")
    return " ".join(parts) or "And what comes of it?"


def forgetful(request: ChatRequest) -> str:
    """Write what a model would that makes things up."""
    return "My number is W-99999, and I am Bruno."


print("A user of rules")
env = serve(RuleUser())
print(transcript(env.trajectory.messages[1:]))  # the first one holds the shop's rules

print("\nA user of a policy")
env = serve(PolicyUser(ScriptedPolicy(obedient)))
print(*[turn["content"] for turn in env.state["user"]["talk"]], sep="\n")

print("\nA user that breaks its contract")
try:
    serve(PolicyUser(ScriptedPolicy(forgetful)))
except EnvironmentFault as fault:  # nobody's reward: rollouts try the episode again
    print(f"{type(fault.__cause__).__name__}: {fault.__cause__}")
