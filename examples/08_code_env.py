"""Programs that nobody trusts: the sandbox, a session, and environments on top of both.

No Docker, no daemon, no root: `open_sandbox()` takes the best isolation of this machine
that withstood an attack on itself, or raises `SandboxUnavailable`.
"""

import gymnasium as gym

import llm_gym  # registers the environments
from llm_gym.policies import OraclePolicy
from llm_gym.sandbox import RunLimits, open_sandbox
from llm_gym.verifiers.code import CodeTests

with open_sandbox() as sandbox:
    result = sandbox.run("print(sum(map(int, input().split())))", stdin="1 2 3")
    print("run:", result.status.value, result.stdout.strip())
    limits = RunLimits(wall_seconds=1.0, memory_bytes=256 * 2**20)
    for name, program in {
        "endless": "while True: pass",
        "greedy": "x = [0] * 10**9",
        "curious": "print(open('/etc/passwd').read())",
        "talkative": "import socket; socket.create_connection(('127.0.0.1', 80))",
    }.items():
        result = sandbox.run(program, limits=limits)
        last = result.stderr.strip().splitlines()[-1:]
        print(f"{name}: {result.status.value}", *last)
    with sandbox.session() as session:  # names and files last
        session.execute("squares = [x * x for x in range(10)]")
        print("session:", session.execute("sum(squares)").stdout.strip())

    tests = {"function": "double", "cases": [{"args": [21], "expected": 42}]}
    verifier = CodeTests(sandbox=sandbox)
    honest = "def double(x): return 2 * x"
    equal_to_all = "class E(int):\n    __eq__ = lambda s, o: True\ndouble = E"
    print("honest:", verifier.score(honest, tests).value)
    print("hack:", verifier.score(equal_to_all, tests).value)

env = gym.make("llmgym/CodeRepair-v0", level=1)
env.reset(seed=3)
print(env.unwrapped.task.data["files"].keys())
for trajectory in llm_gym.rollout("llmgym/CodeRepair-v0", OraclePolicy(), episodes=4):
    calls = [call.name for call in trajectory.calls]
    print("repair:", calls, trajectory.score.value, trajectory.score.reason)
for trajectory in llm_gym.rollout("llmgym/PythonTool-v0", OraclePolicy(), episodes=2):
    print("python:", trajectory.turns[0].calls[0].result, trajectory.score.value)
