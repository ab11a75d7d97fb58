"""The user of rules: what it answers, and that it never says what it must not."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym.users import RuleUser, hear, open_talk
from tests.json_values import any_text
from tests.users.scenes import ANY_ELSE, EMAIL, FACTS, SCENE, listen, scene

REFUND = "Refund for W-12345: 24.50"


def last(*said: str) -> str:
    return listen(*said)[0][-1].text


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (["What is your E-Mail address?"], EMAIL),
        (["Please give me:\n1. your e mail\n2. the order number"], "It is W-12345."),
        (["Which order is it?"], "It is W-12345."),
        (["Which order is it?", "Which order is it?"], "As I said: It is W-12345."),
        (["On which day?"], "On 2034-05-17."),
        (["Your phone, please."], "I have no telephone."),
        (["I was told your e-mail yesterday."], "You can ask me for my e-mail or the"),
        (["Which address shall it be?"], "You can ask me for"),
        (["Your e-mail?", "How?"], "You can ask me for the no."),
        (["Would you like to do anything else?"], "what comes of"),
        (["Shall I go ahead?"], "No, send it elsewhere."),
        (["Shall I go ahead?", "To which address?"], "To 12 Fern Road."),
        (["I can't do that."], "But I am a good customer!"),
        ([f"{REFUND}\n{ANY_ELSE}"], "And order W-777 too."),
    ],
)
def test_rule_user_says_what_is_due(said: list[str], answer: str) -> None:
    assert answer in last(*said)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (["Shall I go ahead?", "May I proceed?"], r"Yes, .*"),
        ([ANY_ELSE], r"You have not told me .*|First I want to know .*"),
        (["What is the weight of the moon?"], r".*(do not know|cannot tell).*"),
        (["Shall I go ahead?", "Would you like to have it sent?"], r"Yes, .*"),
        (["I look."], r"(I see|Alright|Hm. And now\?).*"),
    ],
)
def test_rule_user_small_talk_is_one_of_a_few(said: list[str], answer: str) -> None:
    assert re.fullmatch(answer, last(*said))


def test_rule_user_all_dealt_with_leaves() -> None:
    said = (REFUND, ANY_ELSE, "I am done with W-777.", ANY_ELSE)
    speeches, state = listen(*said)
    assert [speech.leaves for speech in speeches] == [False, False, False, True]
    assert state["left"]
    assert state["settled"] == ["wish", "more"]


def test_rule_user_change_of_mind_drops_what_held_before() -> None:
    assert "2034" in last("On which day?")
    assert "2034" not in last("Shall I go ahead?", "On which day?")
    assert "2034" not in last("On which day?", "Shall I go ahead?", "On which day?")


@pytest.mark.parametrize(
    ("limits", "turns"), [({"patience": 2}, 2), ({"max_turns": 3}, 2)]
)
def test_rule_user_budget_spent_leaves(limits: dict[str, int], turns: int) -> None:
    speeches, state = listen(*["Hm."] * turns, scenario=scene(**limits))
    assert [speech.leaves for speech in speeches] == [False] * (turns - 1) + [True]
    assert state["left"]


def test_rule_user_news_restore_patience() -> None:
    said = ["Hm.", "Which order is it?", "Hm.", "Hm."]
    speeches, _ = listen(*said, scenario=scene(patience=2))
    assert [speech.leaves for speech in speeches] == [False, False, False, True]


def test_rule_user_who_left_hears_nothing() -> None:
    _, state = listen("Hm.", scenario=scene(patience=1))
    with pytest.raises(ValueError, match="the user has left"):
        hear(RuleUser(), SCENE, state, "Hello?")


def test_rule_user_same_words_same_answers_other_seed_others() -> None:
    said = ["What is your e-mail?", "I look.", "Shall I go ahead?", "Well?"]
    talks = [str(listen(*said, scenario=scene(seed=seed))[1]) for seed in range(12)]
    again = [str(listen(*said, scenario=scene(seed=seed))[1]) for seed in range(12)]
    assert talks == again
    assert len(set(talks)) > 4


def test_state_can_be_put_aside() -> None:
    _, state = listen("Which order is it?")
    copy = pickle.loads(pickle.dumps(state))
    user = pickle.loads(pickle.dumps(RuleUser()))
    assert hear(user, SCENE, copy, "Hm.") == hear(RuleUser(), SCENE, state, "Hm.")
    assert copy == state


words = st.sampled_from(
    [
        *("please tell me", "your e-mail", "order number", "which day", "phone", "?"),
        *("address", "confirm", "go ahead?", "cannot", "anything else?", ".", "\n"),
        *("Refund for W-12345: 1.00", "done with W-777", "<think>", "</think>", "1."),
        *("which order", "date", "W-777", "12 Fern Road", "everything"),
    ]
)
messages = st.lists(words | any_text, max_size=8).map(" ".join)


@given(st.lists(messages, max_size=9))
def test_rule_user_tells_nothing_unasked_whatever_it_hears(said: list[str]) -> None:
    state, heard = open_talk(SCENE), ""
    for text in said:
        speech = hear(RuleUser(), SCENE, state, text)
        heard += " " + " ".join(re.findall(r"[^\W_]+", text.casefold()))
        for fact in FACTS:
            asked = any(phrase.replace("-", " ") in heard for phrase in fact.asked_by)
            open_already = fact.value.casefold() in text.casefold()
            told = fact.value and fact.value in speech.text
            assert asked or open_already or not told
        assert 0 < len(speech.text) <= SCENE.max_chars
        if speech.leaves:
            break


@given(st.lists(messages, min_size=25, max_size=25))
def test_rule_user_leaves_in_time(said: list[str]) -> None:
    state = open_talk(SCENE)
    for text in said:
        if hear(RuleUser(), SCENE, state, text).leaves:
            break
    spoken = [line for line in state["talk"] if line["role"] == "user"]
    assert state["left"]
    assert len(spoken) <= SCENE.max_turns
