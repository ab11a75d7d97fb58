"""The mutation score: what a mutant is, and which of them count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llm_gym import Score, Task, Trajectory
from llm_gym.checks import Finding, check
from llm_gym.checks._mutants import (
    Call,
    Move,
    Pool,
    last_as_junk,
    moves_of,
    mutants,
)
from llm_gym.messages import call_text
from tests.checks.test_parts import RichEnv
from tests.checks.zoo import BoxesEnv, HandInEnv, IgnoresArgumentEnv, NoOracleEnv

LOOK = Move("", (Call("open_box", {"box": "box-1"}),))
KNOCK = Move("", (Call("knock", {"times": 2}),))
SCRIPT = (LOOK, KNOCK, Move("12345", ()))


def find(target: Any, **options: Any) -> Finding:
    (finding,) = check(
        target, only=["mutation"], **{"seeds": range(2), **options}
    ).findings
    return finding


def kinds(script: Any = SCRIPT, foreign: Any = ()) -> dict[str, list[Any]]:
    pool = Pool({"inside": {"box-1": "box-2"}}, [script])
    made: dict[str, list[Any]] = {}
    for mutant in mutants(script, foreign, BoxesEnv.tool_specs, pool):
        made.setdefault(mutant.kind, []).append(mutant.script)
    return made


def test_every_kind_of_mutant_is_made() -> None:
    other = (Move("67890", ()),)
    made = kinds(foreign=[other])
    assert (KNOCK, SCRIPT[-1]) in made["drop"]
    assert (LOOK, LOOK, KNOCK, SCRIPT[-1]) in made["duplicate"]
    assert (KNOCK, LOOK, SCRIPT[-1]) in made["reorder"]
    assert (LOOK, KNOCK, other[0]) in made["foreign gold"]
    assert other in made["foreign gold"]
    assert made["no work"] == [SCRIPT[-1:]]
    assert made["no answer"] == [SCRIPT[:-1]]
    assert all(s[:2] == SCRIPT[:2] and len(s) == 4 for s in made["late write"])


def test_wrong_arguments_are_plausible() -> None:
    changed = [
        call.arguments
        for script in kinds()["wrong argument"]
        for move in script
        for call in move.calls
    ]
    assert {"box": "box-2"} in changed  # a box that the task has
    assert {"times": 3} in changed


def test_every_place_of_arguments_is_changed() -> None:
    arguments = {
        "folds": [{"corners": [1], "paper": "red"}],
        "size": [3, 1.5],
        "side": "a",
        "names": {"x": "y"},
    }
    script = (Move("", (Call("fold", arguments),)), Move("1", ()))
    made = mutants(script, [], RichEnv.tool_specs, Pool({}, []))
    wrong = [m.name for m in made if m.kind == "wrong argument"]
    for place in ("folds.0.corners.0", "folds.0.paper", "size.0", "side", "names.x"):
        assert any(f"`{place}` = " in name for name in wrong), place
    assert any('`side` = "b"' in name for name in wrong)


def test_text_in_the_middle_is_dropped_too() -> None:
    said = Move("What is your name?", ())
    assert (LOOK, SCRIPT[-1]) in kinds((LOOK, said, SCRIPT[-1]))["drop"]


def test_two_calls_of_one_reply_are_told_apart() -> None:
    both = Move("", (*LOOK.calls, *KNOCK.calls))
    made = kinds((both, SCRIPT[-1]))
    assert (KNOCK, SCRIPT[-1]) in made["drop"]
    swapped = Move("", (*KNOCK.calls, *LOOK.calls))
    assert (swapped, SCRIPT[-1]) in made["reorder"]


def test_last_call_is_doubled_in_its_reply() -> None:
    last = Move("", (Call("hand_in", {"box": "a", "code": "b"}),))
    doubled = kinds((LOOK, last))["duplicate"][-1]
    assert doubled[-1].calls == last.calls * 2


def test_junk_takes_the_place_of_the_last_reply() -> None:
    assert last_as_junk(SCRIPT, "x")[-1] == Move("x", ())
    handed = Move("", (Call("hand_in", {"code": "1", "n": 2}),))
    assert last_as_junk((handed,), "x")[0].calls[0].arguments == {"code": "x", "n": 2}


def test_moves_are_those_of_the_episode() -> None:
    env = BoxesEnv()
    env.reset(seed=1)
    env.step(call_text("knock", {"times": 2}))
    env.step("no")
    assert moves_of(env.trajectory) == (KNOCK, Move("no", ()))


def test_honest_env_kills_all() -> None:
    finding = find(HandInEnv)
    assert finding.status == "passed"
    assert finding.data["survived"] == 0
    assert finding.data["killed"] > 10


def test_mutant_with_the_same_end_does_not_count() -> None:
    data = find(BoxesEnv).data  # its boxes may be opened twice, or not at all
    assert data["equivalent"] > 10


def test_survivors_are_listed() -> None:
    finding = find(IgnoresArgumentEnv)
    assert finding.status == "failed"
    assert {s["kind"] for s in finding.data["survivors"]} == {"wrong argument"}
    assert "paid the same" in finding.message


def test_last_words_that_do_not_count_are_not_compared() -> None:
    class ChattyEnv(HandInEnv):
        """Is judged by the boxes that were opened; its last words are its own."""

        def outcome(self) -> Any:
            return sorted(set(self.state["opened"]))

        def verify(self, trajectory: Trajectory) -> Score:
            boxes = [*trajectory.task.data["inside"]]
            return Score(float(trajectory.outcome == sorted(boxes)), {}, "opened")

        def oracle(self) -> str:
            if len(self.state["opened"]) < 2:
                return super().oracle()
            return f"I opened {self.state['opened'][-1]}."

    finding = find(ChattyEnv)
    assert finding.status == "passed", finding.message
    assert finding.data["killed"] > 0


def test_env_without_oracle_is_skipped() -> None:
    assert find(NoOracleEnv).status == "skipped"


def test_mutant_that_breaks_the_env_is_a_finding() -> None:
    class FragileEnv(BoxesEnv):
        """Cannot be without its first call."""

        def verify(self, trajectory: Trajectory) -> Score:
            first = next(iter(trajectory.calls)).name
            return replace(super().verify(trajectory), reason=first)

    finding = find(FragileEnv)
    assert (
        "raised EnvironmentFault: the verifier raised StopIteration" in finding.message
    )


def test_task_without_data_has_a_pool() -> None:
    assert Pool(Task().data, []).other("box", "abc") == "bcd"
