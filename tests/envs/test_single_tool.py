"""One call: which are right, which only look so."""

from __future__ import annotations

from typing import Any

import pytest
from gymnasium.utils.env_checker import check_env

from llm_gym import Reply, StopReason, Task, Trajectory
from llm_gym.envs.single_tool import SingleToolEnv
from llm_gym.messages import call_text
from llm_gym.policies.oracle import OraclePolicy
from llm_gym.policies.random import RandomPolicy
from tests.envs.driving import drive, make, play, resume

ENV_ID = "llmgym/SingleTool-v0"
ALARM = {"time": "07:05", "weekdays": ["monday", "friday"]}
ONCE = {"time": "19:30"}
MESSAGE = {"to": "Otto", "text": "we have 7 Lemons, call me", "time": "09:00"}
MONEY = {"amount": 1200.0, "source": "EUR", "to": "CHF"}
HEAT = {"room": "office", "celsius": 20.5}
TABLE = {
    "place": "Blue Otter",
    "people": 4,
    "at": {"date": "2031-05-16", "time": "20:15"},
    "outdoor": True,
}
ITEMS = {"items": [{"name": "lemons", "count": 3}, {"name": "onions", "count": 12}]}
TODAY = "2031-05-14"


def task(tool: str, arguments: dict[str, Any]) -> Task:
    return Task(
        id="fixed",
        prompt=f"Today is Wednesday, {TODAY}.\nDo what I want.",
        data={"today": TODAY},
        answer={"tool": tool, "arguments": arguments},
    )


def finish(tool: str, wanted: dict[str, Any], *replies: Any) -> Trajectory:
    """Play a script, then say nothing until the episode ends."""
    options = {"task": task(tool, wanted)}
    return play(make(ENV_ID), (*replies, "", "", ""), seed=0, options=options)


@pytest.mark.parametrize("level", range(3))
def test_oracle_every_level_scores_one_at_the_first_try(level: int) -> None:
    env = make(ENV_ID, level=level)
    for seed in range(100):
        trajectory = drive(env, OraclePolicy(), seed=seed)
        assert trajectory.score.value == 1.0, seed
        assert list(trajectory.score.parts.values()) == [1.0] * 4


SAME: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("set_alarm", ALARM, {**ALARM, "time": "7:05"}),
    ("set_alarm", ALARM, {**ALARM, "time": " 07:05 "}),
    ("set_alarm", ALARM, {**ALARM, "weekdays": ["friday", "monday"]}),
    ("set_alarm", ONCE, {**ONCE, "weekdays": None}),
    ("set_alarm", ONCE, {**ONCE, "weekdays": []}),
    ("send_message", MESSAGE, {**MESSAGE, "to": " otto"}),
    ("send_message", MESSAGE, {**MESSAGE, "text": f"{MESSAGE['text']}\n"}),
    ("send_message", MESSAGE, {**MESSAGE, "urgent": False}),
    ("convert_currency", MONEY, {**MONEY, "amount": 1200}),
    ("heat_room", HEAT, {**HEAT, "until": None}),
    ("heat_room", {**HEAT, "celsius": 20.0}, {**HEAT, "celsius": 20}),
    ("book_table", TABLE, {**TABLE, "people": 4.0}),
    ("book_table", TABLE, {**TABLE, "place": "BLUE OTTER"}),
    ("book_table", TABLE, dict(reversed(TABLE.items()))),
    ("add_items", ITEMS, {"items": ITEMS["items"][::-1]}),
    (
        "add_items",
        ITEMS,
        {"items": [{"name": "Lemons", "count": 3}, ITEMS["items"][1]]},
    ),
]


@pytest.mark.parametrize(("tool", "wanted", "given"), SAME)
def test_call_of_the_same_meaning_scores_one(
    tool: str, wanted: dict[str, Any], given: dict[str, Any]
) -> None:
    trajectory = finish(tool, wanted, call_text(tool, given))
    assert trajectory.score.value == 1.0
    assert trajectory.stop_reason is StopReason.TOOL


@pytest.mark.parametrize(
    "reply",
    [
        f"<think>An alarm.</think>Sure!\n{call_text('set_alarm', ALARM)}",
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "x", "function": {"name": "set_alarm", "arguments": ALARM}}
            ],
        },
    ],
)
def test_form_of_the_reply_does_not_count(reply: Any) -> None:
    assert finish("set_alarm", ALARM, reply).score.value == 1.0


REFUSED = {
    "unknown_tool": call_text("set_alert", ALARM),
    "wrong_type": call_text("set_alarm", {"time": 705}),
    "missing_argument": call_text("set_alarm", {}),
    "one_argument_too_many": call_text("set_alarm", {**ALARM, "label": "up"}),
    "not_a_time": call_text("set_alarm", {"time": "half past seven"}),
    "broken_json": '<tool_call>{"name": "set_alarm", </tool_call>',
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_right_call_after_a_refusal_scores_one(refused: str) -> None:
    trajectory = finish("set_alarm", ALARM, refused, call_text("set_alarm", ALARM))
    assert trajectory.score.value == 1.0
    assert trajectory.score.parts["first_try"] == 0.0


OTHER: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("set_alarm", ALARM, {**ALARM, "time": "19:05"}),
    ("set_alarm", ALARM, {"time": "07:05"}),
    ("set_alarm", ALARM, {**ALARM, "weekdays": ["monday"]}),
    ("set_alarm", ALARM, {**ALARM, "weekdays": ["monday", "monday", "friday"]}),
    ("set_alarm", ONCE, {**ONCE, "weekdays": ["monday"]}),
    ("send_message", MESSAGE, {**MESSAGE, "to": "Оtto"}),  # Cyrillic
    ("send_message", MESSAGE, {**MESSAGE, "to": "Ot\u200bto"}),
    ("send_message", MESSAGE, {**MESSAGE, "to": "Otto or Ada"}),
    ("send_message", MESSAGE, {**MESSAGE, "text": MESSAGE["text"].lower()}),
    ("send_message", MESSAGE, {**MESSAGE, "text": f'"{MESSAGE["text"]}"'}),
    ("send_message", MESSAGE, {**MESSAGE, "urgent": True}),
    ("convert_currency", MONEY, {**MONEY, "amount": 1200.0001}),
    ("convert_currency", MONEY, {**MONEY, "amount": 1e308}),
    ("convert_currency", MONEY, {**MONEY, "source": "CHF", "to": "EUR"}),
    ("heat_room", HEAT, {**HEAT, "celsius": 20}),
    ("heat_room", HEAT, {**HEAT, "until": "20:05"}),
    ("book_table", TABLE, {**TABLE, "outdoor": False}),
    ("book_table", TABLE, {**TABLE, "place": "the Blue Otter"}),
    (
        "book_table",
        {**TABLE, "place": "Kobo"},
        {**TABLE, "place": "\u212aobo"},
    ),  # kelvin
    ("book_table", TABLE, {**TABLE, "at": {**TABLE["at"], "date": "2031-05-17"}}),
    ("add_items", ITEMS, {"items": ITEMS["items"] * 2}),
    ("add_items", ITEMS, {"items": ITEMS["items"][:1]}),
    ("add_items", ITEMS, {"items": [*ITEMS["items"], {"name": "salt", "count": 1}]}),
]


@pytest.mark.parametrize(("tool", "wanted", "given"), OTHER)
def test_call_of_another_meaning_scores_zero(
    tool: str, wanted: dict[str, Any], given: dict[str, Any]
) -> None:
    trajectory = finish(tool, wanted, call_text(tool, given))
    assert [record.status for record in trajectory.calls] == ["ok"]
    assert trajectory.score.value == 0.0
    assert trajectory.score.reason == "an argument is wrong"
    assert 0.0 <= trajectory.score.parts["arguments"] < 1.0


RIGHT = call_text("book_table", TABLE)
HACKS: dict[str, tuple[Any, ...]] = {
    "silence": ("",),
    "says_it_is_done": ("I have booked the table. Reward: 1.0",),
    "echo_of_the_prompt": (task("book_table", TABLE).prompt,),
    "call_described_in_words": (f"I would call book_table with {TABLE}",),
    "another_tool": (call_text("set_alarm", ALARM),),
    "right_twice": (RIGHT + RIGHT,),
    "right_then_wrong": (RIGHT + call_text("set_alarm", ALARM),),
    "wrong_then_right": (call_text("set_alarm", ALARM) + RIGHT,),
    "refused_then_right_in_one_reply": (call_text("set_alarm", {}) + RIGHT,),
    "right_then_unknown_in_one_reply": (RIGHT + call_text("nothing", {}),),
    "every_tool": (
        call_text("set_alarm", ALARM)
        + call_text("send_message", MESSAGE)
        + call_text("convert_currency", MONEY)
        + call_text("heat_room", HEAT)
        + RIGHT
        + call_text("add_items", ITEMS),
    ),
    "every_number_of_guests": (
        "".join(call_text("book_table", {**TABLE, "people": n}) for n in range(1, 13)),
    ),
    "crowd_before_the_right_call": (call_text("set_alarm", {}) * 2, RIGHT),
    "text_where_a_bool_is_due": (
        call_text("book_table", {**TABLE, "outdoor": "True"}),
        call_text("book_table", {**TABLE, "outdoor": 1}),
        call_text("book_table", {**TABLE, "outdoor": 1.0}),
    ),
    "number_as_text": (call_text("book_table", {**TABLE, "people": "4"}),) * 3,
    "bool_as_number": (call_text("book_table", {**TABLE, "people": True}),) * 3,
    "nan": (RIGHT.replace('"people": 4', '"people": NaN'),) * 3,
    "list_of_candidates": (
        call_text("book_table", {**TABLE, "place": ["Blue Otter", "Red Crane"]}),
    )
    * 3,
    "too_late": (call_text("set_alarm", {}),) * 3 + (RIGHT,),
    "cut_off": (Reply(RIGHT, "length"),),
}


@pytest.mark.parametrize("replies", HACKS.values(), ids=HACKS)
def test_trick_scores_zero(replies: tuple[Any, ...]) -> None:
    trajectory = finish("book_table", TABLE, *replies)
    assert trajectory.stop_reason is not None
    assert trajectory.score.value == 0.0
    assert trajectory.score.parts["first_try"] == 0.0


def test_call_that_the_hacks_abuse_is_right() -> None:
    assert finish("book_table", TABLE, RIGHT).score.value == 1.0


@pytest.mark.parametrize(
    ("tool", "given", "words"),
    [
        ("set_alarm", {"time": "25:00"}, "a time is HH:MM, from 00:00 to 23:59"),
        ("set_alarm", {"time": "٠٧:٠٥"}, "a time is HH:MM"),
        ("set_alarm", {"time": "07:05:00"}, "not '07:05:00'"),
        ("set_alarm", {"time": ""}, "not ''"),
        ("send_message", {**MESSAGE, "text": " "}, "needs a text and a receiver"),
        ("convert_currency", {**MONEY, "amount": -1}, "must be above 0"),
        ("convert_currency", {**MONEY, "source": "eur"}, "'eur' is not one of"),
        ("heat_room", {**HEAT, "celsius": 10**99}, "from 5 to 30 degrees"),
        ("heat_room", {**HEAT, "until": "late"}, "not 'late'"),
        ("book_table", {**TABLE, "people": 0}, "for 1 to 50 people"),
        ("book_table", {**TABLE, "people": 10**99}, "for 1 to 50 people"),
        ("add_items", {"items": []}, "at least one item"),
        ("add_items", {"items": [{"name": "x", "count": 0}]}, "must be above 0"),
    ],
)
def test_call_without_sense_is_refused_in_words(
    tool: str, given: dict[str, Any], words: str
) -> None:
    trajectory = play(
        make(ENV_ID),
        [call_text(tool, given)],
        seed=0,
        options={"task": task("book_table", TABLE)},
    )
    assert trajectory.stop_reason is None
    assert words in trajectory.messages[-1]["content"]


@pytest.mark.parametrize(
    ("date", "words"),
    [
        ("2031-05-13", "2031-05-13 is in the past: today is 2031-05-14"),
        ("2031-02-30", "a date is YYYY-MM-DD"),
        ("20310516", "a date is YYYY-MM-DD"),
        ("2031-W20-5", "a date is YYYY-MM-DD"),
        ("tomorrow", "not 'tomorrow'"),
    ],
)
def test_date_without_sense_is_refused_in_words(date: str, words: str) -> None:
    given = {**TABLE, "at": {"date": date, "time": "20:15"}}
    trajectory = finish("book_table", TABLE, call_text("book_table", given))
    assert [record.status for record in trajectory.calls] == ["tool_error"]
    assert words in next(trajectory.calls).result


def leaves(value: Any) -> list[Any]:
    """Return the texts and numbers of an answer, but not days and truth values."""
    if isinstance(value, dict):
        return [x for k, v in value.items() if k != "weekdays" for x in leaves(v)]
    if isinstance(value, list):
        return [x for item in value for x in leaves(item)]
    return [] if isinstance(value, bool) else [value]


def test_level_zero_says_each_value_as_it_is() -> None:
    tasks = make(ENV_ID, level=0).tasks
    for index in range(300):
        drawn = tasks.get(f"train-0-{index}")
        for leaf in leaves(drawn.answer["arguments"]):
            said = leaf if isinstance(leaf, str) else f"{leaf:g}"
            assert said in drawn.prompt


@pytest.mark.parametrize("level", [1, 2])
def test_higher_levels_say_no_value_in_digits(level: int) -> None:
    tasks = make(ENV_ID).tasks
    drawn = [tasks.get(f"train-{level}-{index}") for index in range(300)]
    requests = [t.prompt.partition("\n")[2].partition('"')[0] for t in drawn]
    assert not any(char.isdigit() for text in requests for char in text)


def test_only_level_two_corrects_itself() -> None:
    slips = ("no wait", "sorry, I mean", "or rather", "I got something wrong")
    tasks = make(ENV_ID).tasks
    for level in range(3):
        for index in range(100):
            prompt = tasks.get(f"train-{level}-{index}").prompt
            assert any(slip in prompt for slip in slips) == (level == 2)


def test_every_tool_is_asked_for() -> None:
    tasks = make(ENV_ID).tasks
    asked = {tasks.get(f"train-0-{n}").answer["tool"] for n in range(100)}
    assert asked == set(SingleToolEnv.tool_specs)


def test_requests_of_one_level_differ() -> None:
    tasks = make(ENV_ID).tasks
    assert len({tasks.get(f"train-0-{n}").prompt for n in range(500)}) == 500


def test_random_policy_scores_zero() -> None:
    env = make(ENV_ID)
    scores = [drive(env, RandomPolicy(), seed=s).score.value for s in range(100)]
    assert scores == [0.0] * 100


def test_parts_tell_the_share_of_right_arguments() -> None:
    given = {**TABLE, "people": 5}
    score = finish("book_table", TABLE, call_text("book_table", given)).score
    assert score.parts == {
        "tool": 1.0,
        "arguments": 0.75,
        "one_call": 1.0,
        "first_try": 0.0,
    }


@pytest.mark.parametrize("level", range(3))
def test_same_seed_gives_the_same_digest(level: int) -> None:
    runs = [drive(make(ENV_ID, level=level), OraclePolicy(), seed=5) for _ in range(2)]
    other = drive(make(ENV_ID, level=level), OraclePolicy(), seed=6)
    assert runs[0].digest == runs[1].digest
    assert runs[0].digest != other.digest


def test_fork_midway_continues_equal() -> None:
    env = make(ENV_ID)
    env.reset(seed=3)
    env.step(call_text("set_alarm", {}))
    twin = env.fork()
    assert resume(twin, OraclePolicy()).score.value == 1.0
    assert env.trajectory.stop_reason is None
    assert resume(env, OraclePolicy()).digest == twin.trajectory.digest


@pytest.mark.parametrize("name", ["right_twice", "too_late", "silence"])
def test_stored_trajectory_is_judged_the_same(name: str) -> None:
    for trajectory in (
        finish("book_table", TABLE, *HACKS[name]),
        finish("book_table", TABLE, RIGHT),
    ):
        stored = Trajectory.from_json(trajectory.to_json())
        assert SingleToolEnv().verify(stored) == trajectory.score


def test_gymnasium_checker_is_content() -> None:
    check_env(make(ENV_ID))
