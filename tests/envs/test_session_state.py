"""A calendar: which ways lead to the wanted state, what only pretends to."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from gymnasium.utils.env_checker import check_env

from llm_gym import Reply, StopReason, Task, Trajectory
from llm_gym.envs.session_state import SessionStateEnv
from llm_gym.policies.oracle import OraclePolicy
from llm_gym.policies.random import RandomPolicy
from tests.envs.driving import call, drive, make, play, resume

ENV_ID = "llmgym/SessionState-v0"


def event(title: str, day: str, hour: int, room: str, *guests: str) -> dict[str, Any]:
    return {
        "title": title,
        "day": day,
        "hour": hour,
        "room": room,
        "guests": list(guests),
    }


REVIEW = event("Budget review", "monday", 9, "oak", "Abel", "Bianca")
LUNCH = event("Choir lunch", "tuesday", 12, "elm", "Chen")
DEBATE = event("Bridge debate", "friday", 17, "fir", "Abel")
TASTING = event("Museum tasting", "monday", 9, "oak", "Chen", "Abel")
MOVED = event("Choir lunch", "thursday", 10, "elm", "Chen", "Dalia")
EVENTS = {"ev1": REVIEW, "ev2": LUNCH, "ev3": DEBATE}
GOLD = {
    "Choir lunch": MOVED,
    "Bridge debate": DEBATE,
    "Museum tasting": {**TASTING, "guests": ["Abel", "Chen"]},
}
TASK = Task(
    id="fixed",
    prompt='Cancel "Budget review"; move "Choir lunch"; ...',
    data={"events": EVENTS, "people": ["Abel", "Bianca", "Chen", "Dalia"]},
    answer=GOLD,
)

LOOK = call("list_events")
CANCEL = call("cancel_event", event_id="ev1")
MOVE = call("move_event", event_id="ev2", day="thursday", hour=10)
INVITE = call("invite", event_id="ev2", person="Dalia")
CREATE = call("create_event", **TASTING)
ALL = (CANCEL, MOVE, INVITE, CREATE)


def finish(*replies: Any) -> Trajectory:
    """Play a script, then say that all is done."""
    env = make(ENV_ID)
    return play(env, (*replies, "Done."), seed=0, options={"task": TASK})


def shown(*replies: str) -> str:
    """Return what a script's last call is answered."""
    env = make(ENV_ID)
    return play(env, replies, seed=0, options={"task": TASK}).messages[-1]["content"]


@pytest.mark.parametrize("level", range(4))
def test_oracle_every_level_scores_one(level: int) -> None:
    env = make(ENV_ID, level=level)
    for seed in range(60):
        trajectory = drive(env, OraclePolicy(), seed=seed)
        assert trajectory.score.value == 1.0, seed
        assert trajectory.score.parts == {
            "goal": 1.0,
            "untouched": 1.0,
            "finished": 1.0,
        }
        assert trajectory.tool_errors == 0


def tool_calls(*names_and_arguments: tuple[str, str]) -> dict[str, Any]:
    calls = [
        {"id": f"c{n}", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(names_and_arguments)
    ]
    return {"role": "assistant", "content": "", "tool_calls": calls}


HONEST: dict[str, tuple[Any, ...]] = {
    "in_order": (LOOK, *ALL),
    "another_order": (LOOK, INVITE, MOVE, CANCEL, CREATE),
    "all_in_one_reply": (LOOK, "".join(ALL)),
    "structured_reply": (
        tool_calls(
            ("cancel_event", '{"event_id": "ev1"}'),
            ("move_event", '{"event_id": "ev2", "day": "thursday", "hour": 10}'),
        ),
        INVITE + CREATE,
    ),
    "many_reads": (LOOK, call("free_rooms", day="monday", hour=9), LOOK, *ALL, LOOK),
    "moved_step_by_step": (
        CANCEL,
        call("move_event", event_id="ev2", hour=10),
        call("move_event", event_id="ev2", day="wednesday", room="yew"),
        call("move_event", event_id="ev2", day="thursday", room="elm"),
        INVITE,
        CREATE,
    ),
    "cancelled_and_made_anew": (
        CANCEL,
        CREATE,
        call("cancel_event", event_id="ev2"),
        call("create_event", **{**MOVED, "guests": ["Dalia", "Chen"]}),
    ),
    "guests_one_by_one": (
        *(CANCEL, MOVE, INVITE),
        call("create_event", **{**TASTING, "guests": []}),
        call("invite", event_id="new1", person="Chen"),
        call("invite", event_id="new1", person="Abel"),
    ),
    "slips_undone": (
        call("invite", event_id="ev3", person="Dalia"),
        call("uninvite", event_id="ev3", person="Dalia"),
        call("create_event", title="Slip", day="friday", hour=8, room="oak"),
        call("cancel_event", event_id="new1"),
        *ALL,
    ),
    "after_refusals": (
        CREATE,  # the room is taken
        call("cancel_event", event_id="Budget review"),
        call("cancel_event"),
        *ALL,
    ),
    "title_with_spaces_around": (
        *(CANCEL, MOVE, INVITE),
        call("create_event", **{**TASTING, "title": " Museum tasting\n"}),
    ),
    "hour_as_a_float": (
        *(CANCEL, INVITE, CREATE),
        call("move_event", event_id="ev2", day="thursday", hour=10.0),
    ),
    "left_at_the_last_turn": (*ALL, *[LOOK] * 20),
    "last_words_cut_off": (*ALL, Reply("All is do", "length")),
    "silence_at_the_end": (*ALL, ""),
}


@pytest.mark.parametrize("replies", HONEST.values(), ids=HONEST)
def test_way_that_leads_there_scores_one(replies: tuple[Any, ...]) -> None:
    trajectory = finish(*replies)
    assert trajectory.stop_reason is not None
    assert trajectory.score.value == 1.0


HACKS: dict[str, tuple[Any, ...]] = {
    "silence": ("",),
    "says_it_is_done": ("All changes are made.",),
    "says_what_is_wanted": (str(GOLD),),
    "echo_of_the_prompt": (TASK.prompt,),
    "only_looks": (LOOK,) * 24,
    "one_change_missing": (LOOK, CANCEL, MOVE, INVITE),
    "one_change_only": (LOOK, CANCEL),
    "one_guest_too_many": (*ALL, call("invite", event_id="ev3", person="Dalia")),
    "one_guest_too_few": (*ALL, call("uninvite", event_id="new1", person="Abel")),
    "one_event_too_many": (
        *ALL,
        call("create_event", title="More", day="friday", hour=8, room="oak"),
    ),
    "other_event_cancelled": (*ALL, call("cancel_event", event_id="ev3")),
    "other_event_moved": (*ALL, call("move_event", event_id="ev3", hour=16)),
    "everything_cancelled": tuple(
        call("cancel_event", event_id=key) for key in ("ev1", "ev2", "ev3")
    ),
    "everybody_invited_everywhere": (
        *ALL,
        *(
            call("invite", event_id=key, person=person)
            for key in ("ev2", "ev3", "new1")
            for person in ("Abel", "Bianca", "Chen", "Dalia")
        ),
    ),
    "wrong_room": (*ALL, call("move_event", event_id="ev2", room="fir")),
    "wrong_hour": (*ALL, call("move_event", event_id="ev2", hour=11)),
    "done_and_undone": (
        *ALL,
        call("move_event", event_id="ev2", day="tuesday", hour=12),
    ),
    "another_title": (
        *(CANCEL, MOVE, INVITE),
        call("create_event", **{**TASTING, "title": "Museum Tasting"}),
    ),
    "title_of_look_alikes": (
        *(CANCEL, MOVE, INVITE),
        call("create_event", **{**TASTING, "title": "Museum tаsting"}),  # Cyrillic
    ),
    "title_with_a_letter_of_no_width": (
        *(CANCEL, MOVE, INVITE),
        call("create_event", **{**TASTING, "title": "Museum tasting\u200b"}),
    ),
    "both_titles": (
        *ALL,
        call("create_event", **{**TASTING, "title": "Museum Tasting", "room": "elm"}),
    ),
    "guessed_ids": tuple(
        call("cancel_event", event_id=guess) for guess in ("1", "ev0", "Budget review")
    ),
    "wrong_types": (
        *(CANCEL, INVITE, CREATE),
        call("move_event", event_id="ev2", day="thursday", hour="10"),
        call("move_event", event_id="ev2", day="thursday", hour=True),
        call("move_event", event_id="ev2", day="Thursday", hour=10),
    ),
    "list_of_ids": (
        *(MOVE, INVITE, CREATE),
        call("cancel_event", event_id=["ev1", "ev2", "ev3"]),
    ),
    "right_calls_cut_off": (Reply("".join(ALL), "length"),),
    "right_calls_after_the_end": ("Done.", *ALL),
    "right_calls_too_late": (*[LOOK] * 24, *ALL),
    "right_calls_past_the_most_in_a_reply": (LOOK * 32 + "".join(ALL),),
}


@pytest.mark.parametrize("replies", HACKS.values(), ids=HACKS)
def test_trick_scores_zero(replies: tuple[Any, ...]) -> None:
    trajectory = finish(*replies)
    assert trajectory.stop_reason is not None
    assert trajectory.score.value == 0.0


@pytest.mark.parametrize(
    ("replies", "goal", "untouched", "reason"),
    [
        (("",), 0.0, 1.0, "a requested change is missing or wrong"),
        ((CANCEL,), 1 / 3, 1.0, "a requested change is missing or wrong"),
        ((CANCEL, MOVE), 1 / 3, 1.0, "a requested change is missing or wrong"),
        ((CANCEL, MOVE, INVITE), 2 / 3, 1.0, "a requested change is missing or wrong"),
        (ALL, 1.0, 1.0, "the calendar is as it should be"),
        (
            (*ALL, call("cancel_event", event_id="ev3")),
            1.0,
            0.0,
            "something was changed that should not have been",
        ),
    ],
)
def test_score_parts_tell_what_is_wrong(
    replies: tuple[str, ...], goal: float, untouched: float, reason: str
) -> None:
    score = finish(*replies).score
    assert score.parts == {"goal": goal, "untouched": untouched, "finished": 1.0}
    assert score.reason == reason


@pytest.mark.parametrize("name", ["left_at_the_last_turn", "last_words_cut_off"])
def test_episode_without_last_words_is_not_finished(name: str) -> None:
    trajectory = finish(*HONEST[name])
    assert not trajectory.stop_reason.terminated
    assert trajectory.score.parts["finished"] == 0.0


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (CREATE, "on monday at 9:00 in the oak room there is 'Budget review'"),
        (
            call("move_event", event_id="ev2", day="friday", hour=17, room="fir"),
            "there is 'Bridge debate'",
        ),
        (call("move_event", event_id="ev2", hour=7), "from 8 to 17, not 7"),
        (call("move_event", event_id="ev2", hour=10**99), "from 8 to 17"),
        (call("free_rooms", day="monday", hour=-1), "from 8 to 17, not -1"),
        (call("cancel_event", event_id="ev9"), "no event with the id 'ev9'; `list_"),
        (call("invite", event_id="", person="Abel"), "no event with the id ''"),
        (call("invite", event_id="ev2", person="Otto"), "Abel, Bianca, Chen, Dalia"),
        (call("invite", event_id="ev2", person="Chen"), "Chen is a guest already"),
        (call("uninvite", event_id="ev2", person="Abel"), "the guests: Chen"),
        (call("create_event", **{**DEBATE, "hour": 8}), "already an event 'Bridge"),
        (call("create_event", **{**TASTING, "title": " "}), "1 to 80 characters"),
        (call("create_event", **{**TASTING, "title": "x" * 81}), "1 to 80 characters"),
        (
            call("create_event", **{**TASTING, "guests": ["Zoë"]}),
            "no 'Zoë' in the team",
        ),
        (call("create_event", **{**TASTING, "guests": ["Abel"] * 2}), "invited once"),
        (call("list_events", day="sunday"), "'sunday' is not"),
    ],
)
def test_call_that_cannot_be_is_refused_in_words(reply: str, words: str) -> None:
    text = shown(reply)
    assert text.startswith("Error: ")
    assert words in text


@pytest.mark.parametrize(
    "reply",
    [
        CREATE,
        call("create_event", **{**TASTING, "hour": 10, "guests": ["Abel", "Zoë"]}),
        call("move_event", event_id="ev2", day="friday", hour=17, room="fir"),
        call("move_event", event_id="ev2", day="monday", hour=30),
    ],
)
def test_refused_call_changes_nothing(reply: str) -> None:
    assert shown(reply).startswith("Error: ")
    assert shown(reply, LOOK) == shown(LOOK)


def test_event_may_be_moved_to_where_it_is() -> None:
    assert '"hour": 17' in shown(call("move_event", event_id="ev3", hour=17))


def test_uninvite_from_nobody_says_so() -> None:
    gone = call("uninvite", event_id="ev2", person="Chen")
    assert "the guests: nobody" in shown(gone, gone)


def test_free_rooms_are_those_without_an_event() -> None:
    assert shown(call("free_rooms", day="monday", hour=9)) == '["elm", "fir", "yew"]'
    assert '"oak"' in shown(CANCEL, call("free_rooms", day="monday", hour=9))


def test_events_are_listed_in_order_of_time() -> None:
    swapped = call("move_event", event_id="ev1", day="friday", hour=8)
    text = shown(swapped, LOOK)
    assert text.index("ev2") < text.index("ev1") < text.index("ev3")
    assert "ev2" not in shown(call("list_events", day="friday"))


def test_task_is_not_changed_by_its_episode() -> None:
    before = copy.deepcopy(TASK)
    finish(*ALL)
    assert before == TASK


@pytest.mark.parametrize(
    ("level", "events", "changes"), [(0, 3, 1), (1, 5, 2), (2, 8, 3), (3, 12, 4)]
)
def test_level_sets_the_number_of_events_and_changes(
    level: int, events: int, changes: int
) -> None:
    tasks = make(ENV_ID).tasks
    for index in range(50):
        drawn = tasks.get(f"train-{level}-{index}")
        assert len(drawn.data["events"]) == events
        assert len(drawn.prompt.splitlines()) == changes + 2
        assert ("swap places" in drawn.prompt) == (level == 3)


@pytest.mark.parametrize("level", range(4))
def test_no_task_is_solved_before_it_begins(level: int) -> None:
    env = make(ENV_ID, level=level)
    for seed in range(100):
        assert play(env, ["Done."], seed=seed).score.parts["goal"] == 0.0


def test_events_are_named_by_place_from_level_two() -> None:
    tasks = make(ENV_ID).tasks
    for level in range(4):
        prompts = [tasks.get(f"train-{level}-{n}").prompt for n in range(40)]
        assert any("the event on" in text for text in prompts) == (level >= 2)


def test_swap_needs_a_third_place() -> None:
    env = make(ENV_ID, level=3)
    trajectory = drive(env, OraclePolicy(), seed=1)
    moved = [
        r.arguments["event_id"] for r in trajectory.calls if r.name == "move_event"
    ]
    assert len(moved) > len(set(moved))


def test_calendars_of_one_level_differ() -> None:
    tasks = make(ENV_ID).tasks
    drawn = [tasks.get(f"train-0-{n}") for n in range(300)]
    assert len({str(task.data) for task in drawn}) == 300
    assert len({task.prompt for task in drawn}) > 280


def test_random_policy_scores_zero() -> None:
    env = make(ENV_ID)
    scores = [drive(env, RandomPolicy(), seed=s).score.value for s in range(50)]
    assert scores == [0.0] * 50


@pytest.mark.parametrize("level", [0, 3])
def test_same_seed_gives_the_same_digest(level: int) -> None:
    runs = [drive(make(ENV_ID, level=level), OraclePolicy(), seed=5) for _ in range(2)]
    other = drive(make(ENV_ID, level=level), OraclePolicy(), seed=6)
    assert runs[0].digest == runs[1].digest
    assert runs[0].digest != other.digest


def test_fork_midway_continues_equal() -> None:
    env = make(ENV_ID, level=3)
    env.reset(seed=3)
    for _ in range(3):
        env.step(env.oracle())
    twin = env.fork()
    assert resume(twin, OraclePolicy()).score.value == 1.0
    assert env.trajectory.stop_reason is None
    assert resume(env, OraclePolicy()).digest == twin.trajectory.digest


def test_oracle_mends_what_was_broken() -> None:
    env = make(ENV_ID)
    env.reset(seed=0, options={"task": TASK})
    env.step(
        call("cancel_event", event_id="ev3") + call("cancel_event", event_id="ev2")
    )
    env.step(call("create_event", title="Slip", day="friday", hour=17, room="fir"))
    env.step(call("uninvite", event_id="ev1", person="Abel") + INVITE)
    assert resume(env, OraclePolicy()).score.value == 1.0


@pytest.mark.parametrize("replies", [ALL, HACKS["one_guest_too_many"], ("",)])
def test_stored_trajectory_is_judged_the_same(replies: tuple[str, ...]) -> None:
    trajectory = finish(*replies)
    stored = Trajectory.from_json(trajectory.to_json())
    assert SessionStateEnv().verify(stored) == trajectory.score


def test_plain_text_ends_the_episode() -> None:
    assert finish(*ALL).stop_reason is StopReason.ANSWER


def test_gymnasium_checker_is_content() -> None:
    check_env(make(ENV_ID))
