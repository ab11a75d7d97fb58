"""Users that break each contract on purpose, and what comes of it."""

from __future__ import annotations

import copy

import pytest

from llm_gym.errors import EnvironmentFault, UserFault
from llm_gym.users import Speech, hear, invented, open_talk
from tests.users.scenes import ANY_ELSE, EMAIL, SCENE, Says, listen, scene

BYE = Speech("Goodbye.", leaves=True)
BROKEN = {
    "empty": ("Hm.", " \n", "it has 0 characters"),
    "too_long": ("Hm.", "very " * 200, "it has 999 characters, not 1 to 600"),
    "unasked_fact": ("Hm.", f"My address is {EMAIL}.", "tells 'email', which nobody"),
    "unasked_in_capitals": ("Hm.", "w-12345", "tells 'order', which nobody asked for"),
    "condition_not_met": ("Which address?", "To 12 Fern Road.", "tells 'street'"),
    "asked_and_silent": ("Which order?", "Guess.", "does not tell 'order'"),
    "asked_and_altered": ("Which order?", "It is W-1234.", "does not tell 'order'"),
    "invented_number": ("Hm.", "I paid 35 for it.", "invents '35'"),
    "invented_amount": ("Hm.", "I want 24.50 back.", "invents '24.50'"),
    "invented_date": ("Hm.", "I got it on 3/4/2034.", "invents '3/4/2034'"),
    "invented_email": ("Hm.", "Try eve@x.example instead.", "invents 'eve@x.example'"),
    "invented_name": ("Hm.", "My name is Bruno.", "invents 'Bruno'"),
    "invented_word_number": ("Hm.", "I have twelve of them.", "invents 'twelve'"),
    "invented_weekday": ("Hm.", "it came on monday", "invents 'monday'"),
    "never": ("Hm.", "As an AI model I cannot.", "says 'an AI', which it must never"),
    "move_not_made": (f"Refund for W-12345: 1\n{ANY_ELSE}", "Yes.", "say 'W-777'"),
    "left_at_once": ("Hm.", BYE, "leaves before its goal is reached"),
    "left_unsettled": (ANY_ELSE, BYE, "leaves before its goal is reached"),
    "left_when_asked": (f"Which order? {ANY_ELSE}", BYE, "does not tell 'order'"),
    "thinking": ("Hm.", "<think>they ask</think> Hello.", "thinking or a tool call"),
    "tool_call": ("Hm.", "<tool_call>{}</tool_call>", "thinking or a tool call"),
}


@pytest.mark.parametrize(("said", "speech", "problem"), BROKEN.values(), ids=BROKEN)
def test_broken_contract_is_a_fault_of_the_user(
    said: str, speech: str | Speech, problem: str
) -> None:
    user = Says(speech)
    with pytest.raises(UserFault, match="broke its contract in each of 3") as caught:
        listen(said, user=user, scenario=scene(never=("an AI",)))
    assert problem in str(caught.value)
    assert isinstance(caught.value, EnvironmentFault)
    assert [attempt for attempt, _ in user.asked] == [0, 1, 2]


KEPT = {
    "plain": ("Hm.", "I wait."),
    "asked": ("Which order?", "Order w-12345, I think."),
    "agents_words": ("Ask Bruno, at 3:15, for 24.50.", "Is Bruno there at 3:15?"),
    "own_words_again": ("Hm.", "Hello. Something must go back."),
    "first_word_with_a_capital": ("Hm.", "Bread is what I want. OK, I am sorry."),
    "one": ("Hm.", "There is only one."),
    "move": (f"Refund for W-12345: 1\n{ANY_ELSE}", "W-777 has to go as well."),
    "spaces_around": ("Hm.", "  I wait.\n"),
}


@pytest.mark.parametrize(("said", "text"), KEPT.values(), ids=KEPT)
def test_kept_contract_is_said(said: str, text: str) -> None:
    assert listen(said, user=Says(text))[0][0].text == text.strip()


def test_leaving_goal_reached_is_no_breach() -> None:
    said = ("Declined for W-12345: R1", ANY_ELSE, "done with W-777", ANY_ELSE)
    user = Says("Well.", "W-777 too.", "Well.", BYE)
    assert listen(*said, user=user)[0][-1].leaves


def test_leaving_budget_spent_is_no_breach() -> None:
    speeches, state = listen("Hm.", user=Says(BYE), scenario=scene(patience=1))
    assert speeches[-1].leaves
    assert state["left"]


def test_budget_spent_ends_it_whatever_the_user_wants() -> None:
    speeches, _ = listen("Hm.", user=Says("Let us go on."), scenario=scene(max_turns=2))
    assert speeches == [Speech("Let us go on.", leaves=True)]


def test_broken_once_is_asked_again() -> None:
    user = Says("It is W-99.", "It is W-12345.")
    speeches, state = listen("Which order?", user=user)
    assert speeches[0].text == "It is W-12345."
    assert len(state["talk"]) == 3
    assert len(user.asked) == 2


def test_fault_leaves_the_conversation_as_it_was() -> None:
    state = open_talk(SCENE)
    before = copy.deepcopy(state)
    with pytest.raises(UserFault, match="in each of 1 samples"):
        hear(Says("42"), SCENE, state, "Which order?", retries=0)
    assert state == before


def test_user_never_sees_thoughts_nor_calls() -> None:
    class Hears(Says):
        def speak(self, scenario, talk, cue, attempt):  # type: ignore[no-untyped-def]
            assert talk[-1] == {"role": "agent", "content": "Which order?"}
            return super().speak(scenario, talk, cue, attempt)

    private = (
        "<think>His e-mail is x@y.example</think>Which order?",
        'Which order?<tool_call>{"name": "get"}</tool_call>',
        "It is secret</think> Which order?",
        "Which order?<think>never closed: W-4",
    )
    for said in private:
        listen(said, user=Hears("W-12345"))


def test_long_message_is_read_in_part() -> None:
    speeches, state = listen("x" * 10_000 + " Which order?")
    assert "W-12345" not in speeches[0].text
    assert len(state["talk"][1]["content"]) == 8_000


@pytest.mark.parametrize(
    ("text", "known", "found"),
    [
        ("W-12345", ["order W-12345."], []),
        ("W-1234", ["order W-12345."], ["W-1234"]),
        ("24.5", ["24.50"], ["24.5"]),
        ("50", ["24.50"], ["50"]),
        ("at 12:30.", ["until 12:30"], []),
        ("ADA Holm", ["Ada Holm"], []),
        ("It was Ada, not Bo.", ["ada"], ["Bo"]),
        ('He said "Never"', [], []),
        ("\u0661\u0662", [], ["\u0661\u0662"]),
    ],
)
def test_invented_is_what_nobody_said(
    text: str, known: list[str], found: list[str]
) -> None:
    assert invented(text, known) == found
