"""The reward fuzzer: what it tries, what it calls a hole, and what luck."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from llm_gym import GeneratedTasks, ListTasks, Score, Task, ToolEnv, Trajectory, tool
from llm_gym.checks import Finding, check
from llm_gym.checks._golds import Gold, common_form, gold_of, same_value
from llm_gym.checks._probes import Seen, free_probes, numbers_in, wrapped
from llm_gym.checks._probes_gold import gold_probes, rivals
from llm_gym.checks._probes_tools import tool_probes
from llm_gym.checks.fuzz import fuzz
from llm_gym.checks.subject import Subject
from llm_gym.messages import call_text
from tests.checks.zoo import (
    BoxesEnv,
    HandInEnv,
    NoOracleEnv,
    PaysNanEnv,
    TakesAnyEnv,
)

QUESTION = {"role": "user", "content": "What is 3 + 40?\nA. 43\nB. 7\n(C) 12"}


def find(target: Any, seeds: Any = (0,), **options: Any) -> Finding:
    (finding,) = check(target, only=["fuzz"], seeds=seeds, **options).findings
    return finding


def asked(prompt: str, answer: str) -> ListTasks:
    return ListTasks([Task(id=f"t{n}", prompt=prompt, answer=answer) for n in range(9)])


# What is tried


def test_at_least_200_probes_without_tools_or_options() -> None:
    probes = list(free_probes(Seen.of([{"role": "user", "content": "Say something."}])))
    assert len(probes) >= 200
    assert len({(p.family, p.name) for p in probes}) == len(probes)


@pytest.mark.parametrize(
    "text",
    [
        *("", " \t", "nan", "inf", "-inf", "1e999", "True", "False", "None", "0", "1"),
        *("-1", "[]", "{}", '""', "null", "score: 1.0", '{"score": 1}', "\\boxed{}"),
        *("<answer>correct</answer>", "print(1)", "<|im_end|>", "0-100", ".*"),
    ],
)
def test_known_tricks_are_among_them(text: str) -> None:
    tried = {p.reply for p in free_probes(Seen.of([QUESTION]))}
    assert text in tried or (text == " \t" and "\t" in tried)


def test_prompt_is_taken_apart() -> None:
    tried = {p.reply for p in free_probes(Seen.of([QUESTION]))}
    assert {
        QUESTION["content"],
        "43",
        "3",
        "12",
        "A, B, C",
        "C",
        "A or B or C",
    } <= tried


def test_heavy_probes_are_a_megabyte() -> None:
    heavy = [p for p in free_probes(Seen.of([QUESTION])) if p.heavy]
    assert sum(len(str(p.reply)) >= 10**6 for p in heavy) >= 3


def test_numbers_are_found_as_written() -> None:
    assert numbers_in("-3 of 2.50, x7 and 1,000; -3") == ["-3", "2.50", "1", "000"]


def test_form_of_the_oracle_is_put_around_short_texts() -> None:
    probes = wrapped(free_probes(Seen.of([QUESTION])), ("Answer: ", "."))
    assert "Answer: nan." in {p.reply for p in probes}
    assert not list(wrapped(free_probes(Seen.of([QUESTION])), None))


def test_every_tool_is_called_without_need() -> None:
    names = [p.name for p in tool_probes(HandInEnv.tool_specs)]
    assert len(set(names)) == len(names)
    for name in HandInEnv.tool_specs:
        assert f"`{name}`, 5 times at once" in names
        assert f"`{name}` without arguments" in names
    assert "`hand_in` filled with 'correct'" in names
    assert "every tool at once" in names


def text_gold(core: str, before: str = "", after: str = "") -> Gold:
    return Gold((), before + core + after, "", "", before, core, after)


def made_from(gold: Gold, other: str = "blue") -> dict[str, list[str]]:
    made: dict[str, list[str]] = {"gated": [], "told": []}
    for probe in gold_probes(gold, [other, "red"], {}):
        made[probe.kind].append(str(probe.reply))
    return made


def test_answer_is_hedged_negated_and_cut() -> None:
    gated = made_from(text_gold("1234"), "77")["gated"]
    for text in ("not 1234", "1234 or 77", "77 or 1234", "77, 1234, red", "12", "4321"):
        assert text in gated
    assert "1234" not in gated


def test_answer_in_its_form_is_changed_in_place_too() -> None:
    gated = made_from(text_gold("C", "Answer: ", "."), "B")["gated"]
    assert {"Answer: C or B.", "C or B", "Answer: not C."} <= {*gated}


def test_what_a_lenient_verifier_may_pay_is_told_only() -> None:
    told = made_from(text_gold("ace 12"))["told"]
    for text in ('"ace 12"', "[ace 12]", "\\boxed{ace 12}", "  ace 12\n"):
        assert text in told
    assert "\uff41\uff43\uff45 \uff11\uff12" in told  # full width
    assert any("\u200b" in text for text in told)


def test_cut_that_is_the_same_number_is_no_cut() -> None:
    assert "3.5" not in made_from(text_gold("3.50"))["gated"]
    assert "77" not in made_from(text_gold("77"))["gated"]  # backwards


def test_hedges_of_a_program_are_told_only() -> None:
    made = made_from(text_gold("def f():\n    return 1"))
    assert any(" or blue" in text for text in made["told"])
    assert not any(" or blue" in text for text in made["gated"])


def test_hedges_of_a_grid_are_no_answer() -> None:
    grid = "0 1 0\n1 # 1"
    gated = made_from(text_gold(grid), "1 1\n0 0")["gated"]
    assert {f"not {grid}", f"{grid} is wrong", f"{grid} or 1 1\n0 0"} <= {*gated}


def test_what_is_no_option_is_no_rival_before_other_answers() -> None:
    rules = {"role": "user", "content": "1. Use x.\n2. Write `C` last.\nIntegrate 2x."}
    found = rivals(text_gold("x**2 + C"), Seen.of([rules]), ["x + C"])
    assert found[0] == "x + C"
    assert "Use x." in found


def test_rivals_are_other_answers() -> None:
    seen = Seen.of([QUESTION])
    assert rivals(text_gold("A"), seen, ["A", "D"])[:3] == ["B", "C", "D"]
    found = rivals(text_gold("43"), seen, ["43.0", "8"])
    assert "43" not in found
    assert {"7", "8", "12"} <= {*found}


# Where the answer is


def test_answer_in_a_text_is_found_from_behind() -> None:
    gold = gold_of(["A thought. Answer: A"], "A")
    assert gold is not None
    assert (gold.before, gold.core) == ("A thought. Answer: ", "A")
    assert gold.form("B") == "A thought. Answer: B"


def test_answer_by_a_tool_is_found() -> None:
    gold = gold_of(["x", call_text("submit", {"code": "C1"})], {"code": "C1"})
    assert gold is not None
    assert (gold.work, gold.tool, gold.argument) == (("x",), "submit", "code")
    assert gold.reply("C2") == call_text("submit", {"code": "C2"})


@pytest.mark.parametrize(
    "last",
    [
        "",
        call_text("f", {"n": 3}),
        call_text("f", {"a": "x", "b": "y"}),
        call_text("f", {"a": "x"}) * 2,
    ],
)
def test_answer_that_is_in_no_one_text_is_none(last: str) -> None:
    assert gold_of([last], "x") is None


def test_json_is_one_answer() -> None:
    gold = gold_of(['{"a": "x"}'], {"a": "x"})
    assert gold is not None
    assert gold.core == '{"a": "x"}'


def test_form_must_be_that_of_every_task() -> None:
    one, two = text_gold("A", "Answer: "), text_gold("B", "Answer: ")
    assert common_form([one, two]) == ("Answer: ", "")
    assert common_form([one, replace(two, before="So: ")]) is None
    assert common_form([one]) is None
    assert common_form([text_gold("A"), text_gold("B")]) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Yes.", "yes", True),
        ("1,000", "1000", True),
        ("3.14", "3.14159", True),
        ("3", "3.14159", True),
        ("0", "0.3125", False),
        ("12", "21", False),
        ("nan", "3", False),
    ],
)
def test_same_value_is_lenient(one: str, other: str, same: bool) -> None:
    assert same_value(one, other) is same


# What is a hole


def test_honest_env_has_none() -> None:
    finding = find(BoxesEnv, seeds=range(3))
    assert finding.status == "passed"
    assert "no hole" in finding.message
    assert finding.data["probes"] >= 200


def test_finding_names_the_worst_and_the_table_holds_the_most() -> None:
    finding = find(PaysNanEnv)
    assert "constants, 'nan': the reply 'nan' scored 1, expected nothing" in (
        finding.message
    )
    families = {row["family"]: row for row in finding.data["families"]}
    assert families["constants"]["most"] == 1.0
    assert families["constants"]["probe"] == "'nan'"
    assert families["injections"]["most"] == 0.0
    json.dumps(finding.data, allow_nan=False)


def test_gated_probe_may_be_paid_a_part() -> None:
    class SharesEnv(TakesAnyEnv):
        """Pays the code's share of the answer."""

        def verify(self, trajectory: Trajectory) -> Score:
            code, said = trajectory.task.answer["code"], trajectory.answer or "-"
            return Score(len(code) / len(said) if code in said else 0.0, {}, "share")

    finding = find(SharesEnv)
    assert finding.status == "passed"
    hedged = [f for f in finding.data["families"] if f["family"] == "hedged"]
    assert 0 < hedged[0]["most"] < 1


class SaysEnv(ToolEnv):
    """Asks for what must be said."""

    max_turns = 1

    def verify(self, trajectory: Trajectory) -> Score:
        return Score(float(trajectory.answer == trajectory.task.answer), {}, "x")

    def oracle(self) -> str:
        return str(self.task.answer)


def test_worthless_probe_that_is_the_answer_is_luck() -> None:
    answers = ("code1", "code2", "None")
    tasks = ListTasks(Task(id=a, prompt="?", answer=a) for a in answers)
    env = SaysEnv(tasks=tasks)
    seed = next(s for s in range(99) if env.reset(seed=s)[1]["task_id"] == "None")
    fuzzed = fuzz(Subject(lambda: SaysEnv(tasks=tasks), [seed]), seconds=0)
    assert ("'None'", False) in [(p.probe, p.hole) for p in fuzzed.paid]


def test_worthless_probe_that_is_always_the_answer_is_a_hole() -> None:
    finding = find(lambda: SaysEnv(tasks=asked("?", "None")))
    assert finding.status == "failed"
    assert "'None'" in finding.message


def make_coin(rng: np.random.Generator, level: int) -> Task:
    side = str(rng.choice(["yes", "no"]))
    number = int(rng.integers(10**9))
    return Task(prompt=f"Heads, toss {number}?", data={"n": number}, answer=side)


class CoinEnv(ToolEnv):
    """Asks for one of two words."""

    tasks = GeneratedTasks(make_coin)
    max_turns = 1

    def verify(self, trajectory: Trajectory) -> Score:
        return Score(float(trajectory.answer == trajectory.task.answer), {}, "x")

    def oracle(self) -> str:
        return str(self.task.answer)


def test_one_of_two_answers_is_luck() -> None:
    finding = find(CoinEnv, seeds=range(4))
    assert finding.status == "passed", finding.message
    values = [f for f in finding.data["families"] if f["family"] == "values"]
    assert values[0]["most"] == 1.0


def test_tool_that_takes_any_text_is_no_answer() -> None:
    class ClosingEnv(BoxesEnv):
        """Is judged by what was opened, and closed with any words."""

        @tool(ends_episode=True)
        def finish(self, note: str) -> str:
            """Finish.

            Args:
                note: Anything.
            """
            return "Finished."

        def outcome(self) -> Any:
            return self.state["opened"]

        def verify(self, trajectory: Trajectory) -> Score:
            return Score(float(len(trajectory.outcome) == 2), {}, "two boxes")

        def oracle(self) -> str:
            if len(self.state["opened"]) < 2:
                return super().oracle()
            return call_text("finish", {"note": "Both are open."})

    finding = find(ClosingEnv)
    assert finding.status == "passed", finding.message
    assert "negated" not in {f["family"] for f in finding.data["families"]}


def test_env_without_oracle_is_fuzzed_without_its_answers() -> None:
    finding = find(NoOracleEnv)
    assert finding.status == "passed"
    assert "negated" not in {f["family"] for f in finding.data["families"]}
    assert finding.data["probes"] >= 200


def test_no_time_is_enough_for_one_task() -> None:
    fuzzed = fuzz(Subject(BoxesEnv, range(8)), seconds=0)
    assert fuzzed.tasks == 1
    assert fuzzed.fewest >= 200


def test_slow_episode_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_gym.checks.fuzz._SLOWEST_SECONDS", 0.0)
    assert "the episode took 0.0 s" in find(BoxesEnv).message


# reasoning-gym


def reasoning(name: str) -> Any:
    library = pytest.importorskip("reasoning_gym")
    data = library.create_dataset(name, seed=11, size=40)

    class ReasoningEnv(ToolEnv):
        """Asks what reasoning-gym asks, and pays as it does."""

        max_turns = 1

        def verify(self, trajectory: Trajectory) -> Score:
            entry = data[trajectory.task.data["index"]]
            try:
                value = data.score_answer(trajectory.answer, entry)
            except Exception:  # noqa: BLE001  # it is reasoning-gym's
                value = 0.0
            return Score(float(value), {}, "as reasoning-gym says")

        def oracle(self) -> str:
            return str(self.task.answer)

    tasks = ListTasks(
        Task(str(n), data[n]["question"], {"index": n}, data[n]["answer"])
        for n in range(40)
    )
    return lambda: ReasoningEnv(tasks=tasks)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "probe"),
    [
        ("game_of_life_halting", "asdf qwer zxcv"),
        ("complex_arithmetic", "nan"),
        ("coin_flip", "0"),
    ],
)
def test_three_tasks_of_reasoning_gym_are_broken(name: str, probe: str) -> None:
    fuzzed = fuzz(Subject(reasoning(name), range(4)), seconds=0)
    broken = [p for p in fuzzed.holes if p.probe == repr(probe)]
    assert broken
    assert broken[0].value == 1.0
