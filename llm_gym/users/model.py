"""A simulated user that a language model words, through any policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_gym.asking import ask
from llm_gym.messages import ChatRequest, Message
from llm_gym.policy import Policy
from llm_gym.replies import read_reply
from llm_gym.users.protocol import Cue, Line, Speech
from llm_gym.users.scenario import Scenario

__all__ = ["GOODBYE", "PolicyUser", "user_request"]

GOODBYE = "[GOODBYE]"
"""What a model writes into the message with which it leaves."""


_A_CALL = "<tool_call>"
"""What stands for a call, which is no message: the contract on markup refuses it."""


class PolicyUser:
    """Lets a policy word what a user says.

    The policy is told only what the user may say by now. A fact that nobody has asked
    for is not in its prompt, nor are the agent's thoughts, calls and their results.

    Args:
        policy: Any policy. It should sample: a message that breaks a contract is asked
            for again, and a policy that repeats itself repeats the fault.
        seconds: Wall-clock limit of one message, None for no limit.
    """

    blocking = True

    def __init__(self, policy: Policy, *, seconds: float | None = 120.0) -> None:
        if seconds is not None and not seconds > 0:
            raise ValueError(f"`seconds` must be positive or None, not {seconds!r}")
        self.policy = policy
        self.seconds = seconds

    def speak(
        self, scenario: Scenario, talk: Sequence[Line], cue: Cue, attempt: int
    ) -> Speech:
        """Ask the policy for the next message; see `User.speak`.

        Raises:
            EnvironmentFault: The policy failed or did not answer in time.
        """
        request = user_request(scenario, talk, cue)
        reply = read_reply(
            ask(self.policy, request, seconds=self.seconds), with_tools=False
        )
        if reply.calls:
            return Speech(_A_CALL)
        text = reply.text
        return Speech(text.replace(GOODBYE, "").strip(), GOODBYE in text)

    def __deepcopy__(self, memo: dict[int, Any]) -> PolicyUser:
        return self  # copies of an environment share the engine


def user_request(scenario: Scenario, talk: Sequence[Line], cue: Cue) -> ChatRequest:
    """Write what a policy is asked: its part, and the conversation from its side."""
    system = "\n".join(_part(scenario, cue))
    messages: list[Message] = [{"role": "system", "content": system}]
    for line in talk:
        own = line["role"] == "user"
        role: Any = "assistant" if own else "user"
        messages.append({"role": role, "content": line["content"]})
    if messages[1:2] and messages[1]["role"] == "assistant":
        # Many chat templates want the other side to begin.
        messages.insert(1, {"role": "user", "content": "Hello, how can I help you?"})
    return {"messages": messages}


def _part(scenario: Scenario, cue: Cue) -> list[str]:
    """Write the instructions of one message. The wording is our own."""
    lines = [
        "You play a person who talks to somebody at a service desk. You are not the "
        "one at the desk and offer no help. Write the person's next message and "
        "nothing else: plain text, one to three short sentences.",
        f"The person: {scenario.who}",
        f"What the person wants: {scenario.goal}",
        "Say only what stands here or was said before. Make up no name, number, date, "
        "amount, address or code, not in words either. What you do not find here, the "
        "person does not know.",
    ]
    told = {fact.name for fact in cue.tell}
    known = [f"- {_of(fact)}: {fact.value}" for fact in cue.known if fact.value]
    if known:
        lines += ["What the person may tell:", *known]
    unknown = [_of(fact) for fact in cue.known if not fact.value]
    lines += [f"The person does not know {name}." for name in unknown]
    lines.append("Now:")
    lines += [
        f"- Tell {_of(fact)}, letter for letter: {fact.value or 'you do not know it'}"
        for fact in cue.known
        if fact.name in told
    ]
    lines += _now(cue)
    return lines


def _now(cue: Cue) -> list[str]:
    """Write what the message is to do besides telling facts."""
    if cue.spent:
        return [f"- You have no more time. Say goodbye and end with {GOODBYE}"]
    if cue.move is not None:
        must = "".join(f" Keep {part!r} as it is." for part in cue.move.must)
        return [f"- Bring this up in your own words: {cue.move.says[0]}{must}"]
    if cue.may_leave:
        return [f"- All is dealt with. Thank, say goodbye and end with {GOODBYE}"]
    if cue.confirm:
        return ["- You were asked whether to go ahead. Say yes."]
    if cue.closing:
        return ["- Your wish is still open. Say that you wait for the result."]
    return ["- Answer the last message."]


def _of(fact: Any) -> str:
    return str(fact.about or fact.name)
