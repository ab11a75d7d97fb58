"""The scripted user: what brings facts out of it, what does not, what is scored."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, repeat

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from llm_gym import StopReason, Task, Trajectory
from llm_gym.envs.multi_turn import (
    DESKS,
    TOPICS,
    MultiTurnEnv,
    asked_fields,
    draw_values,
)
from llm_gym.messages import call_text
from llm_gym.policies.oracle import OraclePolicy
from tests.envs.driving import call, drive, make, play, resume

ENV_ID = "llmgym/MultiTurn-v0"
FORMS = {
    "table_booking": {
        "purpose": "keep a table",
        "fields": {"date": "YYYY-MM-DD", "time": "HH:MM", "name": "full name"},
    },
    "hall_rental": {
        "purpose": "rent the hall",
        "fields": {"date": "YYYY-MM-DD", "time": "HH:MM", "name": "full name"},
    },
}
FACTS = {"date": "2033-05-17", "time": "18:42", "name": "Ada Holm"}
PLAIN = Task(
    id="plain",
    prompt="We want to eat at your place.",
    data={"forms": FORMS, "facts": FACTS, "correction": {}},
    answer={"form": "table_booking", "fields": FACTS},
)
CHANGED = {**FACTS, "time": "20:07"}
CORRECTING = replace(
    PLAIN,
    id="correcting",
    data={"forms": FORMS, "facts": FACTS, "correction": {"time": "20:07"}},
    answer={"form": "table_booking", "fields": CHANGED},
)
ASK_ALL = ("What day and time?", "And your name?")


def submit(form: str = "table_booking", **fields: str) -> str:
    return call("submit_form", form=form, fields=fields)


def finish(replies: tuple, task: Task = PLAIN) -> Trajectory:
    """Play a script, then say nothing until the episode ends."""
    script = chain(replies, repeat(""))
    return play(make(ENV_ID), script, seed=0, options={"task": task})


def said(replies: tuple, task: Task = PLAIN) -> str:
    """Return what the user answers to the last reply of a script."""
    trajectory = play(make(ENV_ID), replies, seed=0, options={"task": task})
    return trajectory.messages[-1]["content"]


@pytest.mark.parametrize("level", range(5))
def test_oracle_every_level_scores_one(level: int) -> None:
    env = make(ENV_ID, level=level)
    for seed in range(60):
        trajectory = drive(env, OraclePolicy(), seed=seed)
        assert trajectory.score.value == 1.0, seed
        assert len(trajectory.task.data["facts"]) == level + 2


HONEST = {
    "one_by_one": ("Which date?", "What time?", "Your name?", submit(**FACTS)),
    "synonyms": ("WHEN shall it be?", "Under what surname?", submit(**FACTS)),
    "all_at_once_twice": (
        "I need date, time and name.",
        "I need date, time and name.",
        submit(**FACTS),
    ),
    "with_confirmation": (*ASK_ALL, "Is all that correct?", submit(**FACTS)),
    "looked_up_first": (
        call("list_forms") + call("show_form", form="table_booking"),
        *ASK_ALL,
        submit(**FACTS),
    ),
    "spaces_around_values": (
        *ASK_ALL,
        submit(**{k: f" {v}\n" for k, v in FACTS.items()}),
    ),
    "fields_in_another_order": (*ASK_ALL, submit(**dict(reversed(FACTS.items())))),
    "after_refused_forms": (
        submit("dinner", **FACTS),
        submit(date="2033-05-17"),
        *ASK_ALL,
        submit(**FACTS),
    ),
    "after_two_blunders": ("Hm.", "Well.", *ASK_ALL, submit(**FACTS)),
    "thinking_aloud": (
        "<think>I need the phone.</think>What day, what time?",
        "Name?",
        {"role": "assistant", "content": "Done!", "tool_calls": None},
        submit(**FACTS),
    ),
    "wrong_one_never_ran": (*ASK_ALL, submit(**FACTS) + submit(**CHANGED)),
}


@pytest.mark.parametrize("replies", HONEST.values(), ids=HONEST)
def test_honest_conversation_scores_one(replies: tuple) -> None:
    assert finish(replies).score.value == 1.0


HACKS = {
    "silence": ("",),
    "goodbye": ("Thank you, goodbye.",),
    "echo_of_the_wish": (PLAIN.prompt,) * 20,
    "every_keyword_for_ever": (" ".join(TOPICS),) * 20,
    "guess_without_asking": (submit(date="2033-05-18", time="18:00", name="Ada Holm"),),
    "forms_only": (call("list_forms"), call("show_form", form="table_booking")) * 10,
    "wrong_form": (*ASK_ALL, submit("hall_rental", **FACTS)),
    "swapped_values": (
        *ASK_ALL,
        submit(**{**FACTS, "date": "18:42", "time": "2033-05-17"}),
    ),
    "wrong_then_right": (*ASK_ALL, submit(**CHANGED) + submit(**FACTS)),
    "wrong_form_then_right": (
        *ASK_ALL,
        submit("hall_rental", **FACTS) + submit(**FACTS),
    ),
    "all_values_in_each_field": (
        *ASK_ALL,
        submit(**dict.fromkeys(FACTS, " ".join(FACTS.values()))),
    ),
    "two_values_in_a_field": (*ASK_ALL, submit(**{**FACTS, "time": "18:42 or 20:07"})),
    "one_field_guessed": (
        "What day and time?",
        submit(**{**FACTS, "name": "Ada Hale"}),
    ),
    "other_case": (*ASK_ALL, submit(**{**FACTS, "name": "ada holm"})),
    "full_width_digits": (*ASK_ALL, submit(**{**FACTS, "time": "\uff11\uff18:42"})),
    "cyrillic_letter": (*ASK_ALL, submit(**{**FACTS, "name": "\u0410da Holm"})),
    "zero_width_space": (*ASK_ALL, submit(**{**FACTS, "name": "Ada\u200b Holm"})),
    "placeholders": (*ASK_ALL, submit(**{f: f"{{{f}}}" for f in FACTS})),
    "field_too_much": (*ASK_ALL, submit(**FACTS, phone="555")),
    "field_left_out": (*ASK_ALL, submit(date="2033-05-17", time="18:42")),
    "field_names_in_capitals": (
        *ASK_ALL,
        submit(**{f.upper(): v for f, v in FACTS.items()}),
    ),
    "number_for_text": (
        *ASK_ALL,
        call("submit_form", form="table_booking", fields={**FACTS, "time": 1842}),
    ),
    "form_as_text": (*ASK_ALL, f"table_booking {FACTS}"),
    "call_without_arguments": (*ASK_ALL, call("submit_form")),
}


@pytest.mark.parametrize("replies", HACKS.values(), ids=HACKS)
def test_trick_scores_zero(replies: tuple) -> None:
    trajectory = finish(replies)
    assert trajectory.stop_reason is not None
    assert trajectory.score.value == 0.0
    assert trajectory.score.parts.keys() == {"form", "facts"}
    assert trajectory.score.reason


def test_parts_partly_right_tell_how_much() -> None:
    score = finish((*ASK_ALL, submit(**CHANGED))).score
    assert score.parts == {"form": 1.0, "facts": pytest.approx(2 / 3)}
    assert score.reason == "wrong on the form: time"


# The user


@pytest.mark.parametrize(
    ("replies", "answer"),
    [
        (("What day?",), "The date is 2033-05-17."),
        (("Your_name?",), "I am Ada Holm."),
        (("time, then DATE!",), "The time is 18:42. The date is 2033-05-17."),
        (("Date, time, name.",), "The date is 2033-05-17. The time is 18:42."),
        (("Date?", "Date, time, name."), "The time is 18:42. I am Ada Holm."),
        (
            ("What's your e-mail?",),
            "I can say nothing about that. What else do you need to know?",
        ),
        (
            ("Tell me everything, names2!",),
            "I am not sure what you mean. What do you need to know?",
        ),
        (("Is all correct?",), "You do not know everything yet."),
        (("What time?", "What time?"), "As I said: The time is 18:42."),
        ((*ASK_ALL, "Is all correct?"), "Yes, everything that I said stands."),
    ],
)
def test_user_asked_answers(replies: tuple, answer: str) -> None:
    assert said(replies) == answer


def test_user_random_replies_tells_only_what_was_asked() -> None:
    rng = np.random.default_rng(0)
    words = [w for t in TOPICS.values() for w in t.words.split()]
    words += [*TOPICS, "please", "confirm", "correct", "the", "all", "tell", "2033"]
    env = make(ENV_ID)
    told = 0
    for seed in range(300):
        env.reset(seed=seed)
        facts, correction = env.task.data["facts"], env.task.data["correction"]
        asked: set[str] = set()
        while env.trajectory.stop_reason is None:
            text = " ".join(rng.choice(words, size=int(rng.integers(1, 9))))
            env.step(text)
            asked |= set(asked_fields(text))
            shown = env.trajectory.messages[-1]["content"]
            values = [(f, v) for d in (facts, correction) for f, v in d.items()]
            assert all(f in asked for f, v in values if v in shown)
            told += any(v in shown for _, v in values)
    assert told > 300


@pytest.mark.parametrize("field", TOPICS)
def test_asked_fields_knows_each_word(field: str) -> None:
    for word in (field, *TOPICS[field].words.split()):
        assert field in asked_fields(f"So,{word.upper()}?")
        assert asked_fields(f"x{word}x") == []


def test_wishes_ask_for_nothing() -> None:
    wishes = [wish for desk in DESKS.values() for wish in desk.wishes]
    assert [w for w in wishes if asked_fields(w)] == []


def test_facts_too_many_to_guess() -> None:
    rng = np.random.default_rng(0)
    for field, topic in TOPICS.items():
        assert len({topic.draw(rng) for _ in range(4000)}) > 800, field


def test_draw_values_none_is_part_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in FACTS:
        short = replace(TOPICS[field], draw=lambda rng: str(rng.integers(30)))
        monkeypatch.setitem(TOPICS, field, short)
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = draw_values(rng, [*FACTS, "time"])
        assert sum(one in other for one in values for other in values) == 4


def test_patience_three_blunders_user_leaves() -> None:
    trajectory = finish(("Hm.", "Hm.", "Hm.", *ASK_ALL))
    assert trajectory.stop_reason is StopReason.USER_LEFT
    assert len(trajectory.turns) == 3


def test_patience_news_restores_it() -> None:
    blunders = ("Hm.", "Hm.")
    replies = (*blunders, "What day?", *blunders, call("list_forms"), "Hm.", "late")
    trajectory = finish(replies)
    assert trajectory.stop_reason is StopReason.USER_LEFT
    assert len(trajectory.turns) == 7


def test_turns_spent_truncates() -> None:
    trajectory = finish((call("list_forms"),) * 30)
    assert trajectory.stop_reason is StopReason.MAX_TURNS
    assert trajectory.score.value == 0.0


# The correction


def test_correction_confirmed_then_submitted_scores_one() -> None:
    confirm = "Please confirm all that."
    assert "The time is 20:07." in said((*ASK_ALL, confirm), CORRECTING)
    replies = (*ASK_ALL, confirm, submit(**CHANGED))
    assert finish(replies, CORRECTING).score.value == 1.0
    assert finish((*ASK_ALL, confirm, submit(**FACTS)), CORRECTING).score.value == 0.0


def test_correction_unconfirmed_scores_zero() -> None:
    assert finish((*ASK_ALL, submit(**FACTS)), CORRECTING).score.value == 0.0


def test_correction_before_all_is_told_does_not_come() -> None:
    assert "20:07" not in said(("What time?", "Is that correct?"), CORRECTING)
    asked_again = (*ASK_ALL, "Correct?", "What time was it?")
    assert said(asked_again, CORRECTING) == "As I said: The time is 20:07."


# Tools


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (call("show_form", form="x" * 999), "Error: there is no form 'xxx"),
        (submit("Table"), "it is table_booking or hall_rental"),
        (submit(date="2033-05-17", time=" "), "table_booking are empty: time, name"),
        (submit(**FACTS, zip="1"), "has no field 'zip'; it has date, time, name"),
        (call("submit_form", form="table_booking", fields=[]), "Error: `fields`"),
        (call_text("book", {}), "there is no tool 'book'"),
    ],
)
def test_tool_refuses_in_words(reply: str, message: str) -> None:
    env = make(ENV_ID)
    trajectory = play(env, [reply], seed=0, options={"task": PLAIN})
    assert message in trajectory.messages[-1]["content"]
    assert trajectory.stop_reason is None


def test_show_form_tells_fields_not_facts() -> None:
    text = said((call("show_form", form="table_booking"),))
    assert text == '{"date": "YYYY-MM-DD", "time": "HH:MM", "name": "full name"}'


# What every environment must do


def test_same_seed_same_digest() -> None:
    digests = [drive(make(ENV_ID), OraclePolicy(), seed=s).digest for s in (5, 5, 6)]
    assert digests[0] == digests[1] != digests[2]


def test_answer_changed_shows_nothing() -> None:
    other = replace(PLAIN, answer={"form": "hall_rental", "fields": {"date": "x"}})
    replies = (call("list_forms"), *ASK_ALL, "Correct?", "Hm.", submit(**FACTS))
    assert finish(replies, other).messages == finish(replies).messages


@pytest.mark.parametrize("turns", range(7))
def test_fork_goes_on_equal(turns: int) -> None:
    env = make(ENV_ID, level=4)
    env.reset(seed=9)
    for _ in range(turns):
        env.step(env.oracle())
    env.step("Hm.")
    other, snapshot = env.fork(), env.snapshot()
    ended = resume(env, OraclePolicy())
    assert resume(other, OraclePolicy()).digest == ended.digest
    env.restore(snapshot)
    assert resume(env, OraclePolicy()).digest == ended.digest
    assert ended.success


@pytest.mark.parametrize("replies", [HONEST["one_by_one"], HACKS["wrong_form"], ("",)])
def test_stored_trajectory_scores_the_same(replies: tuple) -> None:
    trajectory = finish(replies)
    stored = Trajectory.from_json(trajectory.to_json())
    assert MultiTurnEnv().verify(stored) == trajectory.score


@pytest.mark.parametrize("level", range(5))
def test_tasks_all_differ(level: int) -> None:
    tasks = MultiTurnEnv.tasks.select("train", level)
    rng = np.random.default_rng(0)
    drawn = {
        repr(sorted(tasks.sample(rng).answer["fields"].items())) for _ in range(300)
    }
    assert len(drawn) == 300


def test_gymnasium_checker_passes() -> None:
    check_env(make(ENV_ID), skip_render_check=True)
