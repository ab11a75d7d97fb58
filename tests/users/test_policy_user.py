"""The user that a policy words: what the policy is told, and what comes of it."""

from __future__ import annotations

import asyncio
import copy
import pickle
from contextlib import suppress

import pytest

from llm_gym import Reply, rollout
from llm_gym.errors import PolicyFault, UserFault
from llm_gym.messages import ChatRequest, call_text
from llm_gym.policies import OraclePolicy, ScriptedPolicy
from llm_gym.users import PolicyUser, hear, open_talk
from llm_gym.users.model import GOODBYE
from tests.users.scenes import ANY_ELSE, EMAIL, SCENE, listen, scene

REFUND = "Refund for W-12345: 24.50"


def obedient(request: ChatRequest) -> str:
    """Write what a model would that follows its instructions."""
    now = request["messages"][0]["content"].partition("Now:\n")[2]
    told = [line.partition("letter for letter: ")[2] for line in now.splitlines()]
    parts = [f"Here you are: {value}." for value in told if value]
    if "own words: " in now:
        parts.append(now.partition("own words: ")[2].partition(" Keep ")[0])
    if GOODBYE in now:
        parts.append(f"Thanks, goodbye. {GOODBYE}")
    return " ".join(parts) or "And now?"


class Spy:
    """A policy that notes what it is asked, and follows its instructions."""

    def __init__(self) -> None:
        self.requests: list[ChatRequest] = []

    async def reply(self, request: ChatRequest, trace: object = None) -> Reply:
        self.requests.append(request)
        return Reply(obedient(request))


def asked_after(*said: str) -> tuple[str, str]:
    """Return the last instructions of a user, and the whole of its last request."""
    spy = Spy()
    listen(*said, user=PolicyUser(spy))
    return spy.requests[-1]["messages"][0]["content"], str(spy.requests[-1])


def test_policy_user_whole_conversation_keeps_every_contract() -> None:
    said = ("Your e-mail, please?", "Which order?", REFUND, ANY_ELSE, "done with W-777")
    speeches, state = listen(*said, ANY_ELSE, user=PolicyUser(ScriptedPolicy(obedient)))
    assert [speech.text for speech in speeches] == [
        f"Here you are: {EMAIL}.",
        "Here you are: W-12345.",
        "And now?",
        "And order W-777 too.",
        "And now?",
        "Thanks, goodbye.",
    ]
    assert state["left"]


def test_policy_is_not_told_what_nobody_asked_for() -> None:
    _, request = asked_after("How are you?")
    for secret in (EMAIL, "2034-05-17", "12 Fern Road", "W-777", "good customer"):
        assert secret not in request


def test_policy_is_told_what_was_asked_and_no_more() -> None:
    instructions, request = asked_after("Which order?")
    assert "- Tell the no, letter for letter: W-12345" in instructions
    assert EMAIL not in request
    later, _ = asked_after("Which order?", "I look.")
    assert "- the no: W-12345" in later
    assert "- Tell the no" not in later


@pytest.mark.parametrize(
    ("said", "instruction"),
    [
        (
            "Shall I go ahead?",
            "Bring this up in your own words: No, send it elsewhere.",
        ),
        ("I cannot.", "Bring this up in your own words: But I am a good customer!"),
        (f"{REFUND} {ANY_ELSE}", "And order W-777 too. Keep 'W-777' as it is."),
        (ANY_ELSE, "Your wish is still open."),
        ("I look.", "- Answer the last message."),
        ("Your phone, please.", "letter for letter: you do not know it"),
    ],
)
def test_policy_is_told_what_to_do_now(said: str, instruction: str) -> None:
    spy = Spy()
    state = open_talk(SCENE)
    with suppress(UserFault):  # the spy may not know what to make of it
        hear(PolicyUser(spy), SCENE, state, said)
    assert instruction in spy.requests[0]["messages"][0]["content"]


def test_policy_is_told_to_say_yes_and_to_leave() -> None:
    assert "Say yes" in asked_after("Shall I go ahead?", "May I proceed?")[0]
    spy = Spy()
    listen("Hm.", user=PolicyUser(spy), scenario=scene(patience=1))
    assert "You have no more time." in spy.requests[0]["messages"][0]["content"]


def test_policy_sees_the_visible_conversation_from_the_other_side() -> None:
    spy = Spy()
    thought = "<think>W-99 is hers</think>One moment."
    listen(thought, "Which order?", user=PolicyUser(spy))
    roles = [(m["role"], m["content"]) for m in spy.requests[-1]["messages"][1:]]
    assert roles == [
        ("user", "Hello, how can I help you?"),
        ("assistant", "Hello. Something must go back."),
        ("user", "One moment."),
        ("assistant", "And now?"),
        ("user", "Which order?"),
    ]
    assert "tools" not in spy.requests[-1]


def test_policy_thinking_aloud_is_not_said() -> None:
    policy = ScriptedPolicy(["<think>They ask for W-12345.</think>It is W-12345."])
    assert (
        listen("Which order?", user=PolicyUser(policy))[0][0].text == "It is W-12345."
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (call_text("get_order", {"order_id": "W-1"}), "holds thinking or a tool call"),
        ("", "it has 0 characters"),
        (GOODBYE, "it has 0 characters"),
        (f"Bye. {GOODBYE}", "leaves before its goal"),
        ("My name is Eve.", "invents 'Eve'"),
    ],
)
def test_policy_that_breaks_a_contract_is_a_fault(line: str, problem: str) -> None:
    with pytest.raises(UserFault, match=problem):
        listen("Hm.", user=PolicyUser(ScriptedPolicy([line])))


def test_policy_gets_a_fresh_sample() -> None:
    class Settles(Spy):
        async def reply(self, request: ChatRequest, trace: object = None) -> Reply:
            await super().reply(request)
            return Reply("I am Eve." if len(self.requests) < 3 else "Well?")

    spy = Settles()
    assert listen("Hm.", user=PolicyUser(spy))[0][0].text == "Well?"
    assert len(spy.requests) == 3


def test_policy_too_slow_is_a_fault_of_the_policy() -> None:
    class Slow:
        async def reply(self, request: ChatRequest, trace: object = None) -> Reply:
            await asyncio.sleep(30)
            return Reply("")

    with pytest.raises(PolicyFault, match=r"took longer than its limit of 0\.05"):
        listen("Hm.", user=PolicyUser(Slow(), seconds=0.05))


def test_seconds_not_positive_raises() -> None:
    with pytest.raises(ValueError, match="`seconds` must be positive or None, not 0"):
        PolicyUser(ScriptedPolicy([""]), seconds=0)


def test_policy_user_is_shared_by_copies_and_can_be_pickled() -> None:
    user = PolicyUser(ScriptedPolicy(["Hm."]))
    assert copy.deepcopy({"user": user})["user"] is user
    assert pickle.loads(pickle.dumps(user)).blocking is True


def test_rollout_with_a_policy_for_a_user_scores_one() -> None:
    user = PolicyUser(ScriptedPolicy(obedient))
    done = rollout(
        "llmgym/CustomerService-v0",
        OraclePolicy(),
        episodes=12,
        concurrency=4,
        env_kwargs={"user": user},
    )
    assert [trajectory.episode_return for trajectory in done] == [1.0] * 12


def test_rollout_with_a_lying_user_records_faults_and_no_reward() -> None:
    user = PolicyUser(ScriptedPolicy(["I am Eve, number 7."]))
    kwargs = {"user": user, "retries": 0}
    done = list(
        rollout(
            "llmgym/CustomerService-v0", OraclePolicy(), episodes=2, env_kwargs=kwargs
        )
    )
    assert [trajectory.score for trajectory in done] == [None, None]
    assert all("broke its contract" in trajectory.fault for trajectory in done)
