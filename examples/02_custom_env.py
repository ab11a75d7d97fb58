"""An environment of one's own: one class, tools with type hints, a verifier."""

import gymnasium as gym

from llm_gym import Response, Score, Task, ToolEnv, ToolError, Trajectory, rollout, tool
from llm_gym.messages import call_text
from llm_gym.policies import RandomPolicy, ScriptedPolicy

COLOURS = ("red", "green", "blue")


class VaultEnv(ToolEnv):
    """Look the code of a vault up and open it."""

    max_turns = 6

    def begin(self, task: Task) -> str:
        rng = task.rng()  # depends on the task alone: every rollout of it sees the same
        codes = {colour: int(rng.integers(10_000)) for colour in COLOURS}
        self.state = {"codes": codes, "opened": []}
        return f"Open the {rng.choice(COLOURS)} vault."

    @tool
    def lookup(self, colour: str) -> int:
        """Look the code of a vault up.

        Args:
            colour: The vault's colour.
        """
        if colour not in self.state["codes"]:
            raise ToolError(f"there is no {colour} vault")  # the model reads this
        return self.state["codes"][colour]

    @tool(ends_episode=True)
    def open(self, colour: str, code: int) -> str:
        """Open a vault. One try only.

        Args:
            colour: The vault's colour.
            code: Its code.
        """
        if self.state["codes"].get(colour) == code:
            self.state["opened"].append(colour)
        return "The handle turns."

    def outcome(self) -> list[str]:
        return self.state["opened"]

    def verify(self, trajectory: Trajectory) -> Score:
        wanted = trajectory.prompt[0]["content"].split()[2]
        right = trajectory.outcome == [wanted]
        return Score(float(right), reason=f"opened: {trajectory.outcome}")

    def respond(self, reply: object) -> Response:
        return Response("Use the tools, please.")  # text alone does not end the episode


def clever(request: dict) -> str:
    """Act as a model would that understood the task."""
    first, last = request["messages"][0], request["messages"][-1]
    colour = first["content"].split()[2]
    if last["role"] == "user":
        return call_text("lookup", {"colour": colour})
    return call_text("open", {"colour": colour, "code": int(last["content"])})


gym.register("my/Vault-v0", entry_point=VaultEnv)

if __name__ == "__main__":
    env = gym.make("my/Vault-v0")
    request, info = env.reset(seed=1)
    request, *_ = env.step(call_text("lookup", {"color": "red"}))  # a model's mistake
    print(request["messages"][-1]["content"])

    for policy in (RandomPolicy(), ScriptedPolicy(clever)):
        episodes = rollout("my/Vault-v0", policy, episodes=100)
        returns = [trajectory.episode_return for trajectory in episodes]
        print(f"{type(policy).__name__}: mean return {sum(returns) / len(returns):.2f}")
