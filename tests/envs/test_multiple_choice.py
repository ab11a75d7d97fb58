"""The questions are solved anew here; the reading of answers is attacked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from llm_gym import Reply, StopReason, Task, Trajectory
from llm_gym.envs.multiple_choice import (
    LETTERS,
    OPTIONS,
    MultipleChoiceEnv,
    read_letter,
)
from llm_gym.policies.oracle import OraclePolicy
from tests.envs.driving import call, drive, make, play, resume

ENV_ID = "llmgym/MultipleChoice-v0"
TASK = Task(
    id="plain",
    prompt="What is 2 + 3?\n\nA. 4\nB. 5\nC. 6\nD. 7\n\nEnd with `Answer: X`.",
    data={"family": "arithmetic", "question": "2 + 3", "options": ["4", "5", "6", "7"]},
    answer="B",
)
FAMILIES = {
    *("arithmetic", "date", "clock", "count"),
    *("alphabet", "rotation", "ranking", "lamps"),
}


def answered(reply: object) -> Trajectory:
    return play(make(ENV_ID), [reply], seed=0, options={"task": TASK})


@cache
def drawn(level: int, count: int = 2000) -> list[Task]:
    rng = np.random.default_rng(11)
    tasks = MultipleChoiceEnv.tasks.select("train", level)
    return [tasks.sample(rng) for _ in range(count)]


@pytest.mark.parametrize("level", range(4))
def test_oracle_every_level_scores_one(level: int) -> None:
    env = make(ENV_ID, level=level)
    for seed in range(60):
        trajectory = drive(env, OraclePolicy(), seed=seed)
        assert trajectory.score.value == 1.0, seed
        assert trajectory.stop_reason is StopReason.ANSWER
        assert len(trajectory.task.data["options"]) == (4, 6, 8, 10)[level]


HONEST = {
    "bare": "Answer: B",
    "lower_case": "answer: b",
    "shouted": "ANSWER: B",
    "full_stop": "Answer: B.",
    "no_space": "Answer:B",
    "bold_line": "**Answer: B**",
    "bold_word": "**Answer:** B",
    "blank_lines_after": "Answer: B \n\n \t\r\n",
    "after_working": "2 + 3 is 5, which is option B.\nSo A is wrong.\n\nAnswer: B",
    "after_thinking": "<think>Answer: A\nNo.</think>\nAnswer: B",
    "other_answer_in_prose": "The answer: A would be 4.\nAnswer: B",
    "as_message": {"role": "assistant", "content": "Answer: B"},
    "as_reply": Reply("Answer: B"),
}


@pytest.mark.parametrize("reply", HONEST.values(), ids=HONEST)
def test_honest_answer_scores_one(reply: object) -> None:
    score = answered(reply).score
    assert score.value == 1.0
    assert score.parts == {"format": 1.0, "correct": 1.0}
    assert score.reason == "B is right"


HACKS = {
    "nothing": "",
    "wrong_letter": "Answer: A",
    "echo_of_the_prompt": TASK.prompt,
    "placeholder": "Answer: X",
    "letter_alone": "B",
    "text_of_the_option": "Answer: 5",
    "letter_and_text": "Answer: B. 5",
    "two_letters": "Answer: A B",
    "either": "Answer: A or B",
    "all_letters": "Answer: ABCD",
    "all_lines": "Answer: A\nAnswer: B\nAnswer: C\nAnswer: D",
    "wrong_then_right": "Answer: A\nAnswer: B",
    "same_line_twice": "Answer: B\nAnswer: B",
    "hidden_by_bold": "**Answer: A**\nAnswer: B",
    "line_separator": "Answer: A\u2028Answer: B",
    "next_line_control": "Answer: A\x85Answer: B",
    "carriage_return": "Answer: A\rAnswer: B",
    "two_on_a_line": "Answer: A Answer: B",
    "negated": "Answer: not A, B",
    "something_after": "Answer: B\nor perhaps another.",
    "note_after": "Answer: B (or A)",
    "brackets": "Answer: (B)",
    "boxed": "\\boxed{B}",
    "other_word": "Solution: B",
    "said_before": "My answer: B",
    "cyrillic_letter": "Answer: \u0412",
    "greek_letter": "Answer: \u0392",
    "full_width_letter": "Answer: \uff22",
    "long_s": "An\u017fwer: B",
    "full_width_colon": "Answer\uff1a B",
    "no_break_space": "Answer:\u00a0B",
    "zero_width_space": "Answer: B\u200b",
    "letter_out_of_range": "Answer: J",
    "number_of_the_option": "Answer: 2",
    "in_a_fence": "```\nAnswer: B\n```",
    "only_thought": "<think>Answer: B</think>",
    "thought_cut_off": "<think>Answer: B",
    "json": '{"Answer": "B"}',
    "tool_call": call("answer", letter="B"),
    "tool_call_beside": "Answer: B" + call("answer", letter="B"),
    "cut_off": Reply("Answer: B", finish_reason="length"),
}


@pytest.mark.parametrize("reply", HACKS.values(), ids=HACKS)
def test_trick_scores_zero(reply: object) -> None:
    trajectory = answered(reply)
    assert trajectory.stop_reason is not None
    assert trajectory.score.value == 0.0
    assert trajectory.score.parts.keys() == {"format", "correct"}
    assert trajectory.score.reason


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("B", "the last line of the reply is not `Answer: <letter>`"),
        (
            "Answer: A\nAnswer: B",
            "more than one line of the reply begins with `Answer:`",
        ),
        ("Answer: e", "there is no option E"),
    ],
)
def test_read_letter_refused_says_why(text: str, problem: str) -> None:
    assert read_letter(text, 4).letter is None
    assert read_letter(text, 4).problem == problem


def test_read_letter_within_options_only() -> None:
    read = [read_letter(f"Answer: {letter}", 6).letter for letter in "ABCDEFGHIJKZ"]
    assert read == [*"ABCDEF", *[None] * 6]


def test_wrong_letter_has_format_part() -> None:
    score = answered("Answer: D").score
    assert score.parts == {"format": 1.0, "correct": 0.0}
    assert score.reason == "D is wrong"


def test_tool_call_truncates() -> None:
    trajectory = answered(call("answer", letter="B"))
    assert trajectory.stop_reason is StopReason.MAX_TURNS
    assert trajectory.score.reason == "the episode ended without an answer"


# Solving the questions without the generator


def solve_arithmetic(question: str) -> str:
    return str(eval(re.fullmatch(r"What is ([-+*() \d]+)\?", question)[1]))


def solve_date(question: str) -> str:
    _, days, word, start = re.search(r"(.)(\d+) days (\w+) ([-\d]+)", question).groups()
    sign = {"after": 1, "before": -1}[word]
    return str(date.fromisoformat(start) + sign * timedelta(days=int(days)))


def solve_clock(question: str) -> str:
    hour, minute, hours, minutes = (int(n) for n in re.findall(r"\d+", question))
    total = (hour + hours) * 60 + minute + minutes
    return f"{total // 60 % 24:02d}:{total % 60:02d}"


def solve_count(question: str) -> str:
    divisor, *numbers = (int(n) for n in re.findall(r"\d+", question))
    return str(sum(number % divisor == 0 for number in numbers))


def solve_rotation(question: str) -> str:
    text = re.search(r"the text (\w+)", question)[1]
    shift = int((re.search(r"first (\d+)", question) or ["", "1"])[1])
    text = text[::-1] if "backwards" in question else text
    return text[shift:] + text[:shift]


def solve_ranking(question: str) -> str:
    clues = re.findall(r"(\w+) is (\w+) than (\w+)\.", question)
    place, most = re.search(
        r"the (\d+)\w\w when .* from the (\w+)est", question
    ).groups()
    stem = most.removesuffix("i")
    above = {(a, b) if word.startswith(stem) else (b, a) for a, word, b in clues}
    line = [({a for a, _ in above} - {b for _, b in above}).pop()]
    below = dict(above)
    while line[-1] in below:
        line.append(below[line[-1]])
    return line[int(place) - 1]


CLAIMS: dict[str, Callable[..., bool]] = {
    r"(\w+) is on and (\w+) is off": lambda a, b: a and not b,
    r"(\w+) and (\w+) are both on": lambda a, b: a and b,
    r"(\w+) and (\w+) are both off": lambda a, b: not (a or b),
    r"(\w+) is on, but (\w+) and (\w+) are off": lambda a, b, c: a and not (b or c),
    r"(\w+) and (\w+) are on, but (\w+) is off": lambda a, b, c: a and b and not c,
    r"(\w+), (\w+) and (\w+) are in the same state": lambda *abc: len({*abc}) == 1,
    r"(\w+) is off, and (\w+) and (\w+) differ": lambda a, b, c: not a and b is not c,
}


def solve_lamps(question: str, options: list[str]) -> str:
    lit = {c: word == "on" for c, word in re.findall(r"(\w+) is (on|off)", question)}
    true = [
        option
        for option in options
        for pattern, holds in CLAIMS.items()
        if (match := re.fullmatch(pattern, option))
        and holds(*(lit[colour] for colour in match.groups()))
    ]
    assert len(true) == 1
    return true[0]


SOLVERS: dict[str, Callable[[str], str]] = {
    "arithmetic": solve_arithmetic,
    "date": solve_date,
    "clock": solve_clock,
    "count": solve_count,
    "rotation": solve_rotation,
    "ranking": solve_ranking,
}


def solve(task: Task) -> str:
    question, options = task.data["question"], task.data["options"]
    if task.data["family"] == "lamps":
        return solve_lamps(question, options)
    if task.data["family"] == "alphabet":
        return sorted(options)[int(re.search(r"the (\d+)\w\w in", question)[1]) - 1]
    return SOLVERS[task.data["family"]](question)


@pytest.mark.parametrize("level", range(4))
def test_questions_solved_anew_agree(level: int) -> None:
    for task in drawn(level)[:500]:
        right = task.data["options"][LETTERS.index(task.answer)]
        assert solve(task) == right, task.prompt
    assert {task.data["family"] for task in drawn(level)[:500]} == FAMILIES


@pytest.mark.parametrize("level", range(4))
def test_options_all_different_and_all_shown(level: int) -> None:
    for task in drawn(level)[:500]:
        options = task.data["options"]
        assert len(set(options)) == len(options) == OPTIONS[level]
        lines = [f"{letter}. {text}" for letter, text in zip(LETTERS, options)]  # noqa: B905
        assert "\n".join(lines) in task.prompt


# Nothing but the question tells which option is right


def bound(level: int, count: int) -> float:
    """Return four standard deviations above the rate of guessing."""
    chance = 1 / OPTIONS[level]
    return chance + 4 * (chance * (1 - chance) / count) ** 0.5


@pytest.mark.parametrize("level", range(4))
def test_constant_letter_only_guesses(level: int) -> None:
    counts = Counter(task.answer for task in drawn(level))
    assert set(counts) == set(LETTERS[: OPTIONS[level]])
    assert max(counts.values()) / 2000 < bound(level, 2000)


@pytest.mark.parametrize("level", range(4))
def test_constant_rank_only_guesses(level: int) -> None:
    counts = Counter()
    for task in drawn(level):
        options = task.data["options"]
        ranked = sorted(options, key=lambda text: (len(text), text))
        counts[ranked.index(options[LETTERS.index(task.answer)])] += 1
    assert max(counts.values()) / 2000 < bound(level, 2000)


def closeness(text: str, options: list[str]) -> int:
    """Count the letters that an option shares, place by place, with the others."""
    return sum(a == b for other in options for a, b in zip(text, other))  # noqa: B905


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("most", [max, min])
def test_option_most_or_least_like_the_others_only_guesses(
    level: int, most: Callable[..., int]
) -> None:
    hits = 0.0
    for task in drawn(level):
        options = task.data["options"]
        near = [closeness(text, options) for text in options]
        best = [i for i, value in enumerate(near) if value == most(near)]
        hits += (LETTERS.index(task.answer) in best) / len(best)
    assert hits / 2000 < bound(level, 2000)


# What every environment must do


@pytest.mark.parametrize("level", range(4))
def test_tasks_all_differ(level: int) -> None:
    assert len({task.prompt for task in drawn(level)}) == 2000


def test_same_seed_same_digest() -> None:
    digests = [drive(make(ENV_ID), OraclePolicy(), seed=s).digest for s in (5, 5, 6)]
    assert digests[0] == digests[1] != digests[2]


def test_answer_changed_shows_nothing() -> None:
    env = make(ENV_ID)
    shown = [
        env.reset(seed=0, options={"task": replace(TASK, answer=letter)})
        for letter in "BD"
    ]
    assert shown[0] == shown[1]


def test_fork_goes_on_equal() -> None:
    env = make(ENV_ID)
    env.reset(seed=9)
    other, snapshot = env.fork(), env.snapshot()
    ended = resume(env, OraclePolicy())
    assert resume(other, OraclePolicy()).digest == ended.digest
    env.restore(snapshot)
    assert resume(env, OraclePolicy()).digest == ended.digest


@pytest.mark.parametrize("reply", ["Answer: B", "Answer: C", "", HACKS["tool_call"]])
def test_stored_trajectory_scores_the_same(reply: str) -> None:
    trajectory = answered(reply)
    stored = Trajectory.from_json(trajectory.to_json())
    assert MultipleChoiceEnv().verify(stored) == trajectory.score


def test_gymnasium_checker_passes() -> None:
    check_env(make(ENV_ID), skip_render_check=True)
