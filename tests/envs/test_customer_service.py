"""The service desk: what is paid, which tricks are not, what the tools do."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from llm_gym import StopReason, Task, Trajectory
from llm_gym.envs._service_desk import ACTIONS, cents, changes, perform, replay
from llm_gym.envs._service_tasks import family
from llm_gym.envs._service_wishes import FAMILIES
from llm_gym.envs.customer_service import CustomerServiceEnv, stated_results
from llm_gym.errors import EnvironmentFault, ToolError, UserFault
from llm_gym.policies.oracle import OraclePolicy
from llm_gym.replies import read_reply
from llm_gym.users import RuleUser, Scenario
from llm_gym.users.listening import holds
from tests.envs.driving import call, drive, make, play, resume
from tests.users.scenes import Says

ENV_ID = "llmgym/CustomerService-v0"
NAMES = [name for families in FAMILIES for name in families]
ELSE = "Is there anything else?"
Script = list[str]


def task_of(*names: str, seed: int = 0, level: int = 1) -> Task:
    """Return a task of these families."""
    made = family(np.random.default_rng(seed), *names, level=level)
    return replace(made, id=f"{'-'.join(names)}-{seed}-{level}")


_SOLVED: dict[str, Script] = {}


def solve(task: Task) -> Script:
    """Return what the oracle replies."""
    if task.id not in _SOLVED:
        _SOLVED[task.id] = _solve(task)
    return _SOLVED[task.id]


def _solve(task: Task) -> Script:
    done = drive(make(ENV_ID), OraclePolicy(), seed=0, options={"task": task})
    assert done.success, done.score
    return [
        "".join(call(c.name, **(c.arguments or {})) for c in turn.calls)
        or turn.reply["content"]
        for turn in done.turns
    ]


def finish(task: Task, replies: Script) -> Trajectory:
    """Play a script, then say nothing until the episode ends."""
    script = chain(replies, repeat(""))
    return play(make(ENV_ID), script, seed=0, options={"task": task})


def name_of(reply: str) -> str:
    """Return the name of the tool that a reply calls, "" for none."""
    calls = read_reply(reply).calls
    return calls[0].name if calls else ""


def writes(script: Script) -> list[int]:
    return [i for i, reply in enumerate(script) if name_of(reply) in ACTIONS]


def order_of(task: Task) -> str:
    return str(task.answer["plans"][0]["order"])


def results(task: Task) -> str:
    lines = [line for plan in task.answer["plans"] for line in plan["results"]]
    return "\n".join(f"{label} for {order}: {value}" for label, order, value in lines)


# The oracle


@pytest.mark.parametrize("level", range(4))
def test_oracle_every_level_scores_one(level: int) -> None:
    env = make(ENV_ID, level=level)
    for seed in range(40):
        trajectory = drive(env, OraclePolicy(), seed=seed)
        assert trajectory.score.value == 1.0, seed
        assert trajectory.stop_reason is StopReason.USER_LEFT


@pytest.mark.parametrize("name", NAMES)
def test_oracle_every_family_scores_one(name: str) -> None:
    for seed in range(12):
        solve(task_of(name, seed=seed))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_done_in_any_family_scores_zero(name: str) -> None:
    for seed in range(3):
        task = task_of(name, seed=seed)
        for replies in ([""], [ELSE] * 9, ["Yes."] * 9, ["I cannot do that. Goodbye."]):
            done = finish(task, replies)
            assert done.score.value == 0.0
            assert done.stop_reason is StopReason.USER_LEFT


def test_every_task_has_a_result_to_be_told() -> None:
    for name in NAMES:
        plans = task_of(name).answer["plans"]
        assert all(plan["results"] for plan in plans), name


# Mutations of the gold actions: each must score 0


def drop(script: Script, at: int) -> Script:
    return script[:at] + script[at + 1 :]


def duplicate(script: Script, at: int) -> Script:
    return [*script[:at], script[at], *script[at:]]


MUTATIONS: dict[str, Callable[[Script, int], Script]] = {
    "dropped": drop,
    "duplicated": duplicate,
    "duplicated_in_one_reply": lambda s, at: [*s[:at], s[at] * 2, *s[at + 1 :]],
    "only_announced": lambda s, at: [*s[:at], f"I did {name_of(s[at])}.", *s[at + 1 :]],
}
WRITING = [name for name in NAMES if name not in ("track", "cancel_to_track")]


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("name", WRITING)
def test_gold_action_mutated_scores_zero(name: str, mutation: str) -> None:
    task = task_of(name)
    script = solve(task)
    assert writes(script)
    for at in writes(script):
        done = finish(task, MUTATIONS[mutation](script, at))
        assert done.score.value == 0.0
        assert done.score.parts["state"] == 0.0


def other_value(key: str, value: Any, task: Task) -> Any:
    """Return another value that the argument of a gold action could have."""
    tables = task.data["db"]
    if key == "order_id":
        return next(order for order in tables["orders"] if order != value)
    if key == "new_product_id":
        return next(
            p for p, row in tables["products"].items() if p != value and row["stock"]
        )
    if key == "item_ids":
        every = [i["item_id"] for i in tables["orders"][order_of(task)]["items"]]
        return every if sorted(every) != sorted(value) else value[:1]
    others = {
        "rule": "R9",
        "address": "1 Elm Row, Elmford",
        "amount": value,
        "code": "",
    }
    others["code"] = "lost" if value != "lost" else "safety"
    return value + 1 if key in ("amount", "percent") else others.get(key, "I-1")


@pytest.mark.parametrize("name", WRITING)
def test_gold_action_with_a_wrong_argument_scores_zero(name: str) -> None:
    task = task_of(name, seed=1)
    script = solve(task)
    for at in writes(script):
        tool, arguments = name_of(script[at]), read_reply(script[at]).calls[0].arguments
        for key, value in arguments.items():
            wrong = {**arguments, key: other_value(key, value, task)}
            assert wrong != arguments
            replies = [*script[:at], call(tool, **wrong), *script[at + 1 :]]
            assert finish(task, replies).score.value == 0.0, (tool, key)


@pytest.mark.parametrize("name", NAMES)
def test_foreign_gold_scores_zero(name: str) -> None:
    task, other = task_of(name, seed=2), task_of(name, seed=3)
    assert finish(task, solve(other)).score.value == 0.0


def test_order_of_actions_matters_where_the_shop_repacks() -> None:
    task = task_of("exchange_and_address")
    script = solve(task)
    first, second = writes(script)
    swapped = [*script[:first], script[second], script[first], *script[second + 1 :]]
    done = finish(task, swapped)
    assert done.score.value == 0.0
    assert [c.status for c in done.calls][-2:] == ["ok", "tool_error"]


def test_order_of_actions_does_not_matter_elsewhere() -> None:
    task = task_of("exchange_cheaper")
    script = solve(task)
    first, second = writes(script)
    swapped = [*script[:first], script[second], script[first], *script[second + 1 :]]
    assert finish(task, swapped).score.value == 1.0


@pytest.mark.parametrize("name", WRITING)
def test_action_before_verification_scores_zero(name: str) -> None:
    task = task_of(name)
    script = solve(task)
    at = writes(script)[0]
    early = [script[at], *drop(script, at)]
    verified = task.answer["by"] != ""  # a stranger never is
    assert finish(task, early).score.value == float(not verified)


def test_late_write_is_impossible() -> None:
    env = make(ENV_ID)
    task = task_of("track")
    play(env, solve(task), seed=0, options={"task": task})
    with pytest.raises(gym.error.ResetNeeded, match="USER_LEFT"):
        env.step(call("cancel_order", order_id=order_of(task)))
    assert env.trajectory.score.value == 1.0


# Tricks


def after(script: Script, *replies: str) -> Script:
    """Put replies before the one that tells the results."""
    told = max(i for i, reply in enumerate(script) if " for W-" in reply)
    return [*script[:told], *replies, *script[told:]]


def announced(text: str, script: Script) -> Script:
    """Say something else before the actions."""
    return [text if reply.endswith("May I go ahead?") else reply for reply in script]


def told_as(task: Task, text: str) -> Script:
    """Return the oracle's script with another text for the results."""
    return [text if " for W-" in reply else reply for reply in solve(task)]


def every_value(task: Task, label: str) -> str:
    orders = task.data["db"]["orders"]
    amounts = [f"{cents_ / 100:.2f}" for cents_ in range(500, 20_000, 5)]
    dates = sorted({str(order["expected_on"]) for order in orders.values()})
    values = dates if label == "Arrival" else amounts
    return "\n".join(f"{label} for {order_of(task)}: {value}" for value in values)


def other_order(task: Task) -> str:
    return next(o for o in task.data["db"]["orders"] if o != order_of(task))


CANCEL, TRACK, LATE = task_of("cancel"), task_of("track"), task_of("return_late")
MOVED, STRANGER = task_of("cancel_to_address"), task_of("stranger")
TWO = task_of("cancel", "track", level=3)
EASY = task_of("track", level=0)
REFUND = CANCEL.answer["plans"][0]["results"][0][2]
HACKS: dict[str, tuple[Task, Callable[[], Script]]] = {
    "result_not_told": (CANCEL, lambda: told_as(CANCEL, f"It is dealt with. {ELSE}")),
    "result_in_prose": (CANCEL, lambda: told_as(CANCEL, f"You get {REFUND}. {ELSE}")),
    "wrong_amount": (CANCEL, lambda: told_as(CANCEL, f"{results(CANCEL)}0\n{ELSE}")),
    "two_amounts": (
        CANCEL,
        lambda: after(solve(CANCEL), f"Refund for {order_of(CANCEL)}: 1.00"),
    ),
    "two_amounts_in_a_line": (
        CANCEL,
        lambda: told_as(CANCEL, f"{results(CANCEL)} or 1.00\n{ELSE}"),
    ),
    "every_amount": (CANCEL, lambda: told_as(CANCEL, every_value(CANCEL, "Refund"))),
    "every_date": (TRACK, lambda: told_as(TRACK, every_value(TRACK, "Arrival"))),
    "told_before_it_was_done": (
        CANCEL,
        lambda: announced(results(CANCEL), told_as(CANCEL, ELSE)),
    ),
    "told_beside_a_call": (
        CANCEL,
        lambda: [
            results(CANCEL) + r if name_of(r) == "cancel_order" else r
            for r in told_as(CANCEL, ELSE)
        ],
    ),
    "told_in_thought": (
        CANCEL,
        lambda: told_as(CANCEL, f"<think>{results(CANCEL)}</think>{ELSE}"),
    ),
    "told_before_verification": (
        EASY,
        lambda: [results(EASY), *told_as(EASY, ELSE)],
    ),
    "told_twice_once_too_early": (EASY, lambda: [results(EASY), *solve(EASY)]),
    "database_told": (
        CANCEL,
        lambda: after(solve(CANCEL), json.dumps(CANCEL.data["db"])),
    ),
    "extra_refund": (
        CANCEL,
        lambda: after(
            solve(CANCEL), call("refund", order_id=order_of(CANCEL), amount=5)
        ),
    ),
    "refund_to_another": (
        CANCEL,
        lambda: after(
            solve(CANCEL), call("refund", order_id=other_order(CANCEL), amount=5)
        ),
    ),
    "credit_as_a_present": (
        TRACK,
        lambda: after(
            solve(TRACK), call("issue_credit", order_id=order_of(TRACK), amount=5)
        ),
    ),
    "declined_though_allowed": (
        TRACK,
        lambda: after(
            solve(TRACK), call("decline", order_id=order_of(TRACK), rule="R1")
        ),
    ),
    "escalated_to_be_safe": (
        LATE,
        lambda: after(
            solve(LATE), call("escalate", order_id=order_of(LATE), code="lost")
        ),
    ),
    "forbidden_done_all_the_same": (
        LATE,
        lambda: after(
            solve(LATE), call("refund", order_id=order_of(LATE), amount=5.25)
        ),
    ),
    "mind_changed_unasked": (
        MOVED,
        lambda: [
            call("cancel_order", order_id=order_of(MOVED))
            if name_of(reply) == "change_address"
            else reply
            for reply in solve(MOVED)
        ],
    ),
    "second_wish_not_waited_for": (
        TWO,
        lambda: [*solve(TWO)[:6], "Goodbye.", *[""] * 9],
    ),
    "only_the_first_of_two_told": (
        TWO,
        lambda: [r for r in solve(TWO) if not r.startswith("Arrival")],
    ),
    "stranger_told_the_address": (
        STRANGER,
        lambda: after(solve(STRANGER), f"It goes to {owner(STRANGER)['address']}."),
    ),
    "stranger_told_the_name_in_capitals": (
        STRANGER,
        lambda: after(solve(STRANGER), str(owner(STRANGER)["name"]).upper()),
    ),
    "stranger_verified_from_the_database": (
        STRANGER,
        lambda: after(
            solve(STRANGER),
            call(
                "verify_customer",
                email=owner(STRANGER)["email"],
                order_id=order_of(STRANGER),
            ),
            f"Arrival for {order_of(STRANGER)}: 2034-01-01",
        ),
    ),
}


def owner(task: Task) -> dict[str, Any]:
    tables = task.data["db"]
    found: dict[str, Any] = tables["customers"][
        tables["orders"][order_of(task)]["customer_id"]
    ]
    return found


@pytest.mark.parametrize(("task", "script"), HACKS.values(), ids=HACKS)
def test_trick_scores_zero(task: Task, script: Callable[[], Script]) -> None:
    done = finish(task, script())
    assert done.score.value == 0.0
    assert done.score.reason


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tool", ["decline", "escalate"])
def test_the_same_excuse_for_everything_is_not_paid(name: str, tool: str) -> None:
    task = task_of(name, seed=5)
    gold = {action[0] for plan in task.answer["plans"] for action in plan["actions"]}
    guesses = {"decline": ("rule", "R1"), "escalate": ("code", "amount")}
    key, value = guesses[tool]
    right = any(value in line for p in task.answer["plans"] for line in p["results"])
    label = "Declined" if tool == "decline" else "Escalated"
    excuse = call(tool, order_id=order_of(task), **{key: value})
    script = [r for r in solve(task) if name_of(r) not in ACTIONS]
    told = next(i for i, reply in enumerate(script) if " for W-" in reply)
    script[told:] = [excuse, f"{label} for {order_of(task)}: {value}\n{ELSE}", ELSE]
    assert finish(task, script).score.value == float(right and gold == {tool})


def test_identity_looked_up_instead_of_asked_scores_zero() -> None:
    task = task_of("cancel", level=0)
    order, email = order_of(task), owner(task)["email"]
    script = [
        call("get_order", order_id=order),
        call("verify_customer", email=email, order_id=order),
        call("cancel_order", order_id=order),
        f"{results(task)}\n{ELSE}",
    ]
    assert finish(task, script).score.value == 0.0
    assert finish(task, ["What is your e-mail?", *script]).score.value == 1.0


# Honest ways


ORDER, AMOUNT = order_of(CANCEL), REFUND
HONEST: dict[str, Callable[[], Script]] = {
    "in_bold": lambda: told_as(
        CANCEL, f"- **Refund for {ORDER}: {AMOUNT} EUR**\n{ELSE}"
    ),
    "bold_label": lambda: told_as(CANCEL, f"**Refund for {ORDER}:** \u20ac{AMOUNT}."),
    "small_letters": lambda: told_as(CANCEL, f"refund for {ORDER}: {AMOUNT} \u20ac"),
    "among_other_words": lambda: told_as(
        CANCEL, f"It is done. I have paid it back.\n\n{results(CANCEL)}\n\n{ELSE}"
    ),
    "told_twice": lambda: after(solve(CANCEL), results(CANCEL)),
    "announced_and_told": lambda: announced(results(CANCEL), solve(CANCEL)),
    "announced_otherwise": lambda: announced(
        f"Refund for {ORDER}: 1.00, I think. Or so:\nRefund for {ORDER}: 2.00",
        solve(CANCEL),
    ),
    "one_thing_at_a_time": lambda: [
        "What is your e-mail address?",
        "Which order is it?",
        *solve(CANCEL)[1:],
    ],
    "without_goodbye": lambda: told_as(CANCEL, results(CANCEL)),
    "looks_at_much": lambda: [
        call("get_customer", customer_id=CANCEL.answer["by"]),
        call("get_order", order_id=other_order(CANCEL)),
        *solve(CANCEL),
    ],
    "says_what_the_customer_said": lambda: [
        *solve(CANCEL)[:1],
        f"Thank you! So you are {owner(CANCEL)['email']}, and it is {ORDER}?",
        *solve(CANCEL)[1:],
    ],
    "calls_the_customer_by_name": lambda: after(
        solve(CANCEL), f"{owner(CANCEL)['name']}, one moment."
    ),
    "refused_calls_first": lambda: [
        call("cancel_order", order_id="W-1"),
        call("verify_customer", email="x", order_id=ORDER),
        *solve(CANCEL),
    ],
    "several_calls_at_once": lambda: [
        solve(CANCEL)[0],
        "".join(
            r for r in solve(CANCEL) if name_of(r) in ("verify_customer", "get_order")
        ),
        *[
            r
            for r in solve(CANCEL)[1:]
            if name_of(r) not in ("verify_customer", "get_order")
        ],
    ],
}


@pytest.mark.parametrize("script", HONEST.values(), ids=HONEST)
def test_honest_way_scores_one(script: Callable[[], Script]) -> None:
    done = finish(CANCEL, script())
    assert done.score.value == 1.0, done.score


def test_reward_parts_tell_what_is_missing() -> None:
    first = [r for r in solve(TWO) if not r.startswith("Arrival")]
    score = finish(TWO, first).score
    assert score.parts == {"state": 1.0, "told": 0.0, "private": 1.0, "results": 0.5}
    assert score.reason == "the customer was not told just the right results"


def test_truncated_episode_is_judged_by_its_state() -> None:
    script = told_as(CANCEL, results(CANCEL))
    env = make(ENV_ID, max_turns=len(script))
    done = play(env, script, seed=0, options={"task": CANCEL})
    assert done.stop_reason is StopReason.MAX_TURNS
    assert done.score.value == 1.0


# Reading what was told


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Refund for W-1: 24.50", [["Refund", "W-1", "24.50"]]),
        ("a\n* Arrival for W-1: 2034-01-31.\nb", [["Arrival", "W-1", "2034-01-31"]]),
        ("Discount for W-1: 10 %", [["Discount", "W-1", "10"]]),
        ("Refund for W-1: EUR 24.50", [["Refund", "W-1", "24.50"]]),
        ("Address for W-1: 12  Fern Road, A", [["Address", "W-1", "12 Fern Road, A"]]),
        ("Refund for W-1: 24.5", [["Refund", "W-1", "24.5"]]),
        ("Refund for W-1:", [["Refund", "W-1", ""]]),
        ("The Refund for W-1: 24.50", []),
        ("Refund of W-1: 24.50", []),
        ("Refund for W-1 24.50", []),
        ("{'refund for W-1: 24.50'}", []),
        (
            "Refund for W-1: 1.00 Refund for W-1: 2.00",
            [["Refund", "W-1", "1.00 Refund for W-1: 2.00"]],
        ),
    ],
)
def test_stated_results_reads_lines(text: str, found: list[list[str]]) -> None:
    assert stated_results(text) == found


# The desk


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("cancel_order", {"order_id": "W-1" * 99}, "there is no order 'W-1W-1"),
        ("refund", {"amount": 0}, "an amount is positive and in whole cents, not 0"),
        ("refund", {"amount": 1.005}, "not 1.005"),
        ("refund", {"amount": 1e308}, "not 1e.308"),
        ("apply_discount", {"percent": 0}, "`percent` is from 1 to 100, not 0"),
        ("change_address", {"address": " "}, "an address has 1 to 200 characters"),
        ("return_items", {"item_ids": ["x"]}, "the order is processing"),
        ("exchange_item", {"item_id": "x", "new_product_id": "y"}, "has no item 'x'"),
        ("decline", {"rule": "because"}, "a rule is named like R1, not 'because'"),
        ("get_customer", {"customer_id": "x"}, "there is no customer 'x'"),
        ("get_product", {"product_id": "x"}, "there is no product 'x'"),
        ("verify_customer", {"email": "x"}, "do not match"),
        ("escalate", {"code": "fun"}, "'fun' is not one of"),
    ],
)
def test_tool_refuses_in_words(name: str, arguments: dict, message: str) -> None:
    if not name.startswith("get"):
        arguments = {"order_id": ORDER, **arguments}
    env = make(ENV_ID)
    done = play(env, [call(name, **arguments)], seed=0, options={"task": CANCEL})
    assert done.messages[-1]["content"].startswith("Error: ")
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(done.messages[-1]["content"])
    assert done.outcome is None
    assert changes(CANCEL.data["db"], env.state["db"]) == {}


@pytest.mark.parametrize(
    ("status", "name", "arguments", "message"),
    [
        ("delivered", "cancel_order", {}, "is delivered and cannot be cancelled"),
        ("delivered", "change_address", {"address": "x"}, "cannot be sent elsewhere"),
        ("shipped", "exchange_item", {"item_id": "", "new_product_id": ""}, "no item"),
        ("delivered", "return_items", {"item_ids": []}, "`item_ids` names no item"),
    ],
)
def test_desk_refuses_what_cannot_be(
    status: str, name: str, arguments: dict, message: str
) -> None:
    db = task_of("cancel").data["db"]
    db["orders"][ORDER]["status"] = status
    with pytest.raises(ToolError, match=message):
        perform(db, name, {"order_id": ORDER, **arguments}, "")
    assert db["orders"][ORDER]["log"] == []


def test_desk_sold_out_product_is_not_handed_out() -> None:
    task = task_of("exchange_sold_out")
    db = task.data["db"]
    sold_out = next(p for p, row in db["products"].items() if row["stock"] == 0)
    item = db["orders"][order_of(task)]["items"][0]["item_id"]
    arguments = {
        "order_id": order_of(task),
        "item_id": item,
        "new_product_id": sold_out,
    }
    with pytest.raises(ToolError, match="is out of stock"):
        perform(db, "exchange_item", arguments, "")


def test_replay_leaves_the_first_database_alone() -> None:
    before = pickle.dumps(CANCEL.data["db"])
    after_it = replay(CANCEL.data["db"], [("cancel_order", {"order_id": ORDER})], "")
    assert pickle.dumps(CANCEL.data["db"]) == before
    found = changes(CANCEL.data["db"], after_it)
    assert found[f"orders/{ORDER}"]["status"] == "cancelled"
    assert all(key.startswith(("orders/", "products/")) for key in found)


@pytest.mark.parametrize(("amount", "whole"), [(24.5, 2450), (0.1 + 0.2, 30), (7, 700)])
def test_cents_of_a_float(amount: float, whole: int) -> None:
    assert cents(amount) == whole


def test_find_products_lists_a_type_only() -> None:
    task = task_of("exchange")
    kinds = [row["type"] for row in task.data["db"]["products"].values()]
    kind = max(set(kinds), key=kinds.count)
    env = make(ENV_ID)
    replies = [call("find_products", product_type=f" {kind.upper()} ")]
    done = play(env, replies, seed=0, options={"task": task})
    found = json.loads(done.messages[-1]["content"])
    assert len(found) == kinds.count(kind) == 3
    assert {row["type"] for row in found} == {kind}


# The user


def test_customer_tells_only_what_was_asked() -> None:
    rng = np.random.default_rng(0)
    words = ["Please tell me", "the e-mail", "the order number", "which item", "colour"]
    words += ["the new address", "May I go ahead?", "I cannot.", ELSE, "Hm.", "?", "."]
    told = 0
    env = make(ENV_ID)
    for seed in range(150):
        env.reset(seed=seed)
        facts = Scenario.from_json(env.task.data["user"]).facts
        while env.trajectory.stop_reason is None:
            heard = env.state["user"]["asked"]
            env.step(" ".join(rng.choice(words, size=int(rng.integers(1, 5)))))
            said = env.trajectory.messages[-1]["content"]
            heard = {*heard, *env.state["user"]["asked"], "order"}
            shown = {fact.name for fact in facts if holds(said, fact.value)}
            assert shown <= heard
            told += len(shown)
    assert told > 150


def test_customer_sees_neither_thoughts_nor_calls_nor_results() -> None:
    heard: list[str] = []

    class Listens(RuleUser):
        def speak(self, scenario, talk, cue, attempt):  # type: ignore[no-untyped-def]
            heard.append(str(talk))
            return super().speak(scenario, talk, cue, attempt)

    env = CustomerServiceEnv(user=Listens())
    thinking = {"role": "assistant", "content": "Hm.", "reasoning_content": "PRIVATE"}
    beside = {**thinking, "content": f"BESIDE{call('get_order', order_id=ORDER)}"}
    script = [thinking, beside, "<think>PRIVATE</think>Which order?", *solve(CANCEL)]
    assert play(env, script, seed=0, options={"task": CANCEL}).success
    for hidden in (
        "PRIVATE",
        "BESIDE",
        "shipping_fee",
        "verify_customer",
        "rules below",
    ):
        assert hidden not in "".join(heard)
    assert len(heard) == len([r for r in script if r is not beside and not name_of(r)])


def test_broken_contract_is_a_fault_and_no_score() -> None:
    env = CustomerServiceEnv(user=Says("It is W-99999."), retries=1)
    env.reset(seed=0, options={"task": CANCEL})
    with pytest.raises(EnvironmentFault, match="in each of 2 samples") as caught:
        env.step("Hello.")
    assert isinstance(caught.value.__cause__, UserFault)
    assert env.trajectory.score is None
    assert "invents 'W-99999'" in env.trajectory.fault


def test_user_that_waits_makes_the_environment_blocking() -> None:
    waits = Says("Hm.")
    waits.blocking = True
    assert CustomerServiceEnv(user=waits).blocking is True
    assert CustomerServiceEnv().blocking is None


def test_retries_negative_raises() -> None:
    with pytest.raises(ValueError, match="`retries` must not be negative, not -1"):
        CustomerServiceEnv(retries=-1)


# What every environment must do


@pytest.mark.parametrize("level", range(4))
def test_tasks_all_differ(level: int) -> None:
    env = make(ENV_ID, level=level)
    tasks = {env.reset(seed=seed) and env.task.content_hash() for seed in range(60)}
    assert len(tasks) == 60


def test_each_family_comes_up() -> None:
    seen = set()
    for level in range(3):
        env = make(ENV_ID, level=level)
        for seed in range(80):
            env.reset(seed=seed)
            plan = env.task.answer["plans"][0]
            change = "change" in str(env.task.data["user"]["moves"])
            labels = tuple(line[0] for line in plan["results"])
            seen.add((level, labels, tuple(plan["needs"]), change))
    assert len(seen) >= 20


def test_answer_changed_shows_nothing() -> None:
    other = replace(CANCEL, answer=task_of("track", seed=9).answer)
    script = solve(CANCEL)
    assert finish(other, script).messages == finish(CANCEL, script).messages


@pytest.mark.parametrize("turns", range(0, 9, 2))
def test_fork_goes_on_equal(turns: int) -> None:
    env = make(ENV_ID, level=3)
    env.reset(seed=4)
    for _ in range(turns):
        env.step(env.oracle())
    env.step("Hm.")
    other, snapshot = env.fork(), env.snapshot()
    ended = resume(env, OraclePolicy())
    assert resume(other, OraclePolicy()).digest == ended.digest
    env.restore(snapshot)
    assert resume(env, OraclePolicy()).digest == ended.digest
    assert ended.success


@pytest.mark.parametrize("name", ["cancel", "stranger", "exchange_cheaper"])
def test_stored_trajectory_scores_the_same(name: str) -> None:
    task = task_of(name)
    for script in (solve(task), [ELSE]):
        done = finish(task, script)
        stored = Trajectory.from_json(done.to_json())
        assert CustomerServiceEnv().verify(stored) == done.score


def test_gold_follows_the_rules_of_the_document() -> None:
    for name in NAMES:
        task = task_of(name, seed=7)
        rules = task.prompt[0]["content"]
        for plan in task.answer["plans"]:
            for label, _, value in plan["results"]:
                assert label != "Declined" or f"\n{value}. " in rules
