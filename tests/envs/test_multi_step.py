"""Chains of look-ups: what reaches the end of one, what only pretends to."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from gymnasium.utils.env_checker import check_env

from llm_gym import Reply, StopReason, Task, Trajectory
from llm_gym.envs.multi_step import MultiStepEnv
from llm_gym.messages import call_text
from llm_gym.policies.oracle import OraclePolicy
from llm_gym.policies.random import RandomPolicy
from tests.envs.driving import call, drive, make, play, resume

ENV_ID = "llmgym/MultiStep-v0"
TASK_ID = "train-3-11"
LOOK_UPS = tuple(name for name in MultiStepEnv.tool_specs if name != "submit")

Script = Callable[[Task], tuple]


def submit(answer: object) -> str:
    return call("submit", answer=answer)


def code(task: Task) -> str:
    return task.answer["code"]


def look_ups(task: Task) -> tuple[str, ...]:
    return tuple(call_text(s["tool"], s["arguments"]) for s in task.answer["steps"])


def start(task: Task) -> str:
    return next(iter(task.answer["steps"][0]["arguments"].values()))


def last_record(task: Task) -> dict[str, str]:
    ((table, key),) = task.answer["steps"][-1]["arguments"].items()
    return task.data[table][key]


def all_codes(task: Task) -> list[str]:
    return [key for table in task.data.values() for key in table]


def finish(script: Script, task_id: str = TASK_ID) -> Trajectory:
    env = make(ENV_ID)
    replies = script(env.tasks.get(task_id))
    return play(env, replies, seed=0, options={"task_id": task_id})


@pytest.mark.parametrize("level", range(7))
def test_oracle_every_level_scores_one_in_the_stated_calls(level: int) -> None:
    env = make(ENV_ID, level=level)
    for seed in range(60):
        trajectory = drive(env, OraclePolicy(), seed=seed)
        assert trajectory.score.value == 1.0, seed
        assert trajectory.score.parts == {"answer": 1.0, "progress": 1.0}
        assert len(list(trajectory.calls)) == level + 2
        assert len(trajectory.task.data["name"]) == level + 2


def structured(task: Task) -> tuple:
    entry = {
        "id": "a",
        "type": "function",
        "function": {"name": "submit", "arguments": {"answer": code(task)}},
    }
    message = {"role": "assistant", "content": "There.", "tool_calls": [entry]}
    return (*look_ups(task), message)


HONEST: dict[str, Script] = {
    "step_by_step": lambda t: (*look_ups(t), submit(code(t))),
    "with_words_around": lambda t: (
        *(f"<think>Next.</think>I look.\n{step}" for step in look_ups(t)),
        f"Found it.\n{submit(code(t))}",
    ),
    "structured_reply": structured,
    "several_calls_a_reply": lambda t: ("".join(look_ups(t)), submit(code(t))),
    "twice_each": lambda t: (*(step * 2 for step in look_ups(t)), submit(code(t))),
    "backwards": lambda t: (*reversed(look_ups(t)), submit(code(t))),
    "after_wrong_turns": lambda t: (
        call("get_truck", truck="NOONE"),
        call("get_lorry", truck="NOONE"),
        call("get_truck", lorry="NOONE"),
        *look_ups(t),
        submit(code(t)),
    ),
    "by_way_of_side_records": lambda t: (
        *look_ups(t),
        call("get_invoice", invoice=next(iter(t.data["invoice"]))),
        submit(code(t)),
    ),
    "after_a_submission_that_is_no_call": lambda t: (
        *look_ups(t),
        submit(7),
        submit([code(t)]),
        submit(code(t)),
    ),
    "a_late_call_that_did_not_run": lambda t: (
        *look_ups(t),
        submit(code(t)) + look_ups(t)[0],
    ),
    "on_the_last_turn": lambda t: (
        *[look_ups(t)[0]] * 12,
        *look_ups(t)[1:],
        submit(code(t)),
    ),
}


@pytest.mark.parametrize("script", HONEST.values(), ids=HONEST)
def test_honest_script_scores_one(script: Script) -> None:
    assert finish(script).score.value == 1.0


def cyrillic(text: str) -> str:
    return text.translate(str.maketrans("ABCEHKMPTXY", "АВСЕНКМРТХУ"))


HACKS: dict[str, Script] = {
    "silence": lambda t: ("",),
    "answer_as_text": lambda t: (*look_ups(t), f"The code is {code(t)}."),
    "echo_of_the_prompt": lambda t: (t.prompt,),
    "submits_the_prompt": lambda t: (submit(t.prompt),),
    "submits_what_the_prompt_names": lambda t: (submit(start(t)),),
    "guess": lambda t: (submit("K7QXA"),),
    "nothing_submitted": lambda t: look_ups(t) * 4,
    "the_code_before": lambda t: (
        *look_ups(t),
        submit(next(iter(t.answer["steps"][-1]["arguments"].values()))),
    ),
    "the_other_field": lambda t: (
        *look_ups(t),
        submit(next(v for v in last_record(t).values() if v != code(t))),
    ),
    "right_then_wrong": lambda t: (submit(code(t)) + submit("K7QXA"),),
    "wrong_then_right": lambda t: (submit("K7QXA") + submit(code(t)),),
    "right_twice": lambda t: (submit(code(t)) * 2,),
    "every_code_submitted": lambda t: ("".join(map(submit, all_codes(t))),),
    "every_code_in_one_answer": lambda t: (submit(" ".join(all_codes(t))),),
    "lower_case": lambda t: (*look_ups(t), submit(code(t).lower())),
    "space_at_the_end": lambda t: (*look_ups(t), submit(f"{code(t)} ")),
    "in_a_sentence": lambda t: (*look_ups(t), submit(f"It is {code(t)}.")),
    "the_whole_record": lambda t: (*look_ups(t), submit(str(last_record(t)))),
    "look_alike_letters": lambda t: (*look_ups(t), submit(cyrillic(code(t)))),
    "zero_width_letter": lambda t: (*look_ups(t), submit(f"{code(t)}\u200b")),
    "wrong_types_for_ever": lambda t: (submit([code(t)]), submit({"x": 1})) * 8,
    "null_and_true": lambda t: (submit(None), submit(True)) * 8,
    "another_tools_name": lambda t: (call("Submit", answer=code(t)),) * 16,
    "one_argument_too_many": lambda t: (
        (call("submit", answer=code(t), correct=True),) * 16
    ),
    "cut_off": lambda t: (*look_ups(t), Reply(submit(code(t)), "length")),
    "after_the_last_turn": lambda t: (*[look_ups(t)[0]] * 16, submit(code(t))),
}


@pytest.mark.parametrize("script", HACKS.values(), ids=HACKS)
def test_trick_scores_zero(script: Script) -> None:
    trajectory = finish(script)
    assert trajectory.stop_reason is not None
    assert trajectory.score.value == 0.0
    assert trajectory.score.parts["answer"] == 0.0


def test_look_alike_letters_differ_from_the_code() -> None:
    code_of_task = code(make(ENV_ID).tasks.get(TASK_ID))
    assert cyrillic(code_of_task) != code_of_task


@pytest.mark.parametrize(
    ("script", "progress", "reason"),
    [
        (lambda t: ("",), 0.0, "no answer was submitted"),
        (lambda t: (look_ups(t)[0], "done"), 0.25, "no answer was submitted"),
        (lambda t: (submit(code(t)),), 0.0, "the submitted answer is right"),
        (lambda t: (*look_ups(t), submit("x")), 1.0, "the submitted answer is wrong"),
        (lambda t: (submit("x") * 2,), 0.0, "more than one answer was submitted"),
    ],
)
def test_score_parts_tell_how_far_it_came(
    script: Script, progress: float, reason: str
) -> None:
    score = finish(script).score
    assert score.parts["progress"] == progress
    assert score.reason == reason


@pytest.mark.parametrize("tool", LOOK_UPS)
def test_unknown_key_is_refused_in_words(tool: str) -> None:
    ((argument, _),) = MultiStepEnv.tool_specs[tool].parameters["properties"].items()
    trajectory = finish(lambda t: (call_text(tool, {argument: "Nemo"}),))
    what = "customer" if argument == "name" else argument
    assert trajectory.messages[-1]["content"].startswith(
        f"Error: there is no {what} 'Nemo'; "
    )


def test_code_of_another_kind_is_refused() -> None:
    trajectory = finish(
        lambda t: (call("get_depot", depot=next(iter(t.data["truck"]))),)
    )
    assert [record.status for record in trajectory.calls] == ["tool_error"]


@pytest.mark.parametrize("level", range(7))
def test_answer_is_reached_by_the_last_look_up_alone(level: int) -> None:
    tasks = make(ENV_ID, level=level).tasks
    for index in range(60):
        task = tasks.get(f"train-{level}-{index}")
        *_, last = task.answer["steps"]
        assert code(task) not in task.prompt
        assert code(task) not in reachable(task, but=last["arguments"])
        assert code(task) in reachable(task, but={})


def reachable(task: Task, but: dict[str, str]) -> list[str]:
    """Return all that any look-ups can show, without the one that is left out."""
    found = [start(task)]
    for key in found:  # grows while it is walked
        for table, rows in task.data.items():
            if key in rows and {table: key} != but:
                found += [str(v) for v in rows[key].values() if str(v) not in found]
    return found


def test_worlds_of_one_level_differ() -> None:
    tasks = make(ENV_ID).tasks
    drawn = [tasks.get(f"train-0-{index}") for index in range(200)]
    assert len({code(task) for task in drawn}) == 200
    assert len({task.answer["steps"][0]["tool"] for task in drawn}) == 7


def test_random_policy_scores_zero() -> None:
    env = make(ENV_ID)
    scores = [drive(env, RandomPolicy(), seed=s).score.value for s in range(50)]
    assert scores == [0.0] * 50


def test_plain_text_ends_the_episode() -> None:
    assert finish(lambda t: ("I give up.",)).stop_reason is StopReason.ANSWER


@pytest.mark.parametrize("level", [0, 6])
def test_same_seed_gives_the_same_digest(level: int) -> None:
    runs = [drive(make(ENV_ID, level=level), OraclePolicy(), seed=5) for _ in range(2)]
    other = drive(make(ENV_ID, level=level), OraclePolicy(), seed=6)
    assert runs[0].digest == runs[1].digest
    assert runs[0].digest != other.digest


def test_fork_midway_continues_equal() -> None:
    env = make(ENV_ID, level=4)
    env.reset(seed=3)
    env.step(env.oracle())
    twin = env.fork()
    assert resume(twin, OraclePolicy()).score.value == 1.0
    assert env.trajectory.stop_reason is None
    assert resume(env, OraclePolicy()).digest == twin.trajectory.digest


def test_oracle_goes_on_from_a_detour() -> None:
    env = make(ENV_ID, level=6)
    env.reset(seed=8)
    env.step(call("get_truck", truck="NOONE"))
    env.step(call_text("find_customer", {"name": "Nemo"}) + env.oracle())
    assert resume(env, OraclePolicy()).score.value == 1.0


@pytest.mark.parametrize("script", [HONEST["step_by_step"], HACKS["right_twice"]])
def test_stored_trajectory_is_judged_the_same(script: Script) -> None:
    trajectory = finish(script)
    stored = Trajectory.from_json(trajectory.to_json())
    assert MultiStepEnv().verify(stored) == trajectory.score


def test_live_environment_stays_small() -> None:
    make(ENV_ID, level=6).reset(seed=0)  # what all share
    tracemalloc.start()
    envs = [make(ENV_ID, level=6) for _ in range(20)]
    for seed, env in enumerate(envs):
        env.reset(seed=seed)
        for _ in range(15):
            env.step(call("get_employee", employee=env.task.answer["code"]))
    live_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert live_bytes / len(envs) < 70_000


def test_gymnasium_checker_is_content() -> None:
    check_env(make(ENV_ID))
