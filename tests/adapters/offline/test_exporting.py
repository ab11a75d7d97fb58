"""Whole exports: what stands in the rows, and that nothing is lost on the way."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from llm_gym.adapters.offline import (
    Choice,
    Pairing,
    export_dpo,
    export_grpo,
    export_kto,
    export_reward_model,
    export_sft,
)
from llm_gym.adapters.trl.starts import Start
from llm_gym.errors import FormatError
from tests.adapters.offline.stage import edited, episodes, lines, write
from tests.adapters.offline.test_nemo_gym import call, message, result, row
from tests.sample_envs import VaultEnv


@pytest.fixture(scope="module")
def played():
    return episodes(8, 2)


@pytest.fixture
def run(tmp_path, played):
    return write(tmp_path / "run.jsonl", played)


def exported(export, run, *args, **options):
    out = Path(run).parent / "out.jsonl"
    report = export(run, out, *args, overwrite=True, **options)
    return report, lines(out) if report.out else []


def test_an_episode_to_imitate_is_its_conversation(run, played):
    report, rows = exported(export_sft, run, Choice(where="reward == 1"))
    assert (report.read, report.used, report.rows) == (8, 4, 4)
    first = rows[0]
    assert first["prompt"] == list(played[0].prompt)
    look, told, opened = first["completion"]
    (asked,) = look["tool_calls"]
    assert isinstance(asked["function"]["arguments"], dict)
    assert told["role"] == "tool"
    assert told["tool_call_id"] == asked["id"]
    assert opened["tool_calls"][0]["function"]["name"] == "open"
    assert first["tools"] == [s.schema() for s in VaultEnv.tool_specs.values()]


def test_tools_stand_in_the_order_in_which_they_were_shown(run):
    _, rows = exported(export_sft, run)
    shown = [spec.schema() for spec in VaultEnv.tool_specs.values()]
    assert json.dumps(rows[0]["tools"]) == json.dumps(shown)


def test_a_row_says_where_it_comes_from(run, played):
    _, rows = exported(export_sft, run)
    source, episode = rows[0]["source"], played[0]
    assert source["digest"] == episode.digest
    assert (source["run"], source["line"]) == ("run.jsonl", 1)
    assert (source["seed"], source["task"]) == (episode.seed, episode.task.id)
    assert (source["policy"], source["env"]) == ("vault", episode.env_id)
    assert (rows[0]["reward"], rows[0]["task"]) == (1.0, episode.task.id)


def test_messages_are_one_list(run):
    _, rows = exported(export_sft, run, form="messages")
    roles = [m["role"] for m in rows[0]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    assert "prompt" not in rows[0]


def test_each_reply_may_be_a_row(run):
    _, rows = exported(export_sft, run, Choice(best=1), form="turns")
    assert [row["turn"] for row in rows] == [0, 1] * 4
    assert [len(row["prompt"]) for row in rows[:2]] == [2, 4]
    assert all(m["role"] == "assistant" for row in rows for m in row["completion"])


def test_weights_are_what_was_asked_for(run):
    report, rows = exported(export_sft, run, weight="reward / rows_of_task")
    assert [row["weight"] for row in rows[:2]] == [0.5, 0.0]
    assert "TRL's trainers do not read" in report.notes[0]
    with pytest.raises(ValueError, match="below zero"):
        exported(export_sft, run, weight="reward - 1")


def test_a_pair_is_two_endings_of_one_prompt(run, played):
    report, rows = exported(export_dpo, run)
    assert (report.rows, report.used) == (4, 8)
    first = rows[0]
    assert first["prompt"] == list(played[0].prompt)
    assert (first["chosen_reward"], first["rejected_reward"]) == (1.0, 0.0)
    assert first["chosen"][-1] != first["rejected"][-1]
    assert first["rejected_source"]["digest"] == played[1].digest
    assert "margin" not in first


def test_a_pair_may_be_the_first_reply_in_which_they_differ(run):
    _, rows = exported(export_dpo, run, form="reply")
    first = rows[0]
    assert [m["role"] for m in first["prompt"]][-1] == "tool"
    assert len(first["chosen"]) == len(first["rejected"]) == 1


def test_a_pair_without_such_a_reply_is_told(tmp_path, played):
    good, bad = played[:2]
    same = edited(good, 0.0, run=bad.run)  # the same words, paid otherwise
    run = write(tmp_path / "run.jsonl", [good, same])
    choice = Choice(doubles=True)
    report, rows = exported(export_dpo, run, choice, form="reply")
    assert rows == []
    assert report.reasons == {"no reply in which it and its partner part": 2}
    assert report.out is None


def test_margins_are_a_column_only_where_asked_for(run):
    _, rows = exported(export_reward_model, run, margins=True)
    assert [row["margin"] for row in rows] == [1.0] * 4
    _, rows = exported(export_reward_model, run)
    assert "margin" not in rows[0]


def test_labels_follow_the_rules(run):
    report, rows = exported(export_kto, run)
    assert [row["label"] for row in rows] == [True, False] * 4
    assert report.notes == (
        "4 good and 4 bad; `KTOConfig(undesirable_weight=1.00)` balances them",
    )


def test_what_is_neither_good_nor_bad_is_dropped(tmp_path, played):
    middling = [edited(t, 0.5) for t in played[:2]]
    run = write(tmp_path / "run.jsonl", [*middling, *played[2:]])
    rules = {"good": "reward > 0.9", "bad": "reward < 0.1"}
    report, rows = exported(export_kto, run, **rules)
    assert report.reasons == {"neither good nor bad": 2}
    assert len(rows) == 6
    report, _ = exported(export_kto, run, good="reward > 0.1", bad="reward < 0.9")
    assert report.reasons == {"both good and bad": 2}


def test_prompts_carry_their_start_and_figures(run, played):
    report, rows = exported(export_grpo, run)
    assert (report.rows, report.used) == (4, 8)
    first, episode = rows[0], played[0]
    assert first["prompt"] == list(episode.prompt)
    start = Start.from_text(first["llm_gym"])
    assert (start.seed, start.task_id) == (episode.seed, episode.task.id)
    assert (first["episodes"], first["solved"], first["mean_reward"]) == (2, 0.5, 0.5)


def test_tasks_that_teach_nothing_may_be_left_out(tmp_path, played):
    solved = [edited(t, 1.0) for t in played[:2]]
    never = [edited(t, 0.0) for t in played[2:4]]
    run = write(tmp_path / "run.jsonl", [*solved, *never, *played[4:]])
    report, rows = exported(export_grpo, run, tasks="solved > 0 and solved < 1")
    assert [row["solved"] for row in rows] == [0.5, 0.5]
    assert report.reasons == {"its task is not wanted": 4}
    with pytest.raises(ValueError, match="`reward` is no field"):
        exported(export_grpo, run, tasks="reward > 0")


def test_doubles_count_in_the_figures_of_a_task(tmp_path, played):
    good, bad = played[:2]
    run = write(tmp_path / "run.jsonl", [good, good, good, bad])
    _, rows = exported(export_grpo, run, Choice())
    assert (rows[0]["episodes"], rows[0]["solved"]) == (4, 0.75)


def test_faults_and_the_unfinished_are_reported_and_never_data(tmp_path, played):
    fault = dataclasses.replace(played[0], fault="the disk broke", score=None)
    begun = dataclasses.replace(played[1], score=None, stop_reason=None)
    run = write(tmp_path / "run.jsonl", [fault, begun, *played[2:]])
    for export in (export_sft, export_dpo, export_kto, export_reward_model):
        report, _ = exported(export, run)
        assert (report.read, report.used) == (8, 6)
        assert report.reasons == {"fault": 1, "unfinished": 1}
        assert report.dropped[0].detail == "the disk broke"


def test_what_was_changed_after_it_was_written_is_reported(run):
    text = run.read_text().splitlines()
    text[3] = text[3].replace('"reward":0.0', '"reward":1.0')
    text.append('{"torn": ')
    run.write_text("\n".join(text))
    report, _ = exported(export_sft, run)
    assert (report.read, report.used) == (9, 7)
    assert report.reasons == {"unreadable": 2}
    changed, torn = report.dropped
    assert (changed.place, torn.place) == ("run.jsonl:4", "run.jsonl:9")
    assert "was changed after it was written" in changed.detail


def test_several_runs_are_one(tmp_path, played):
    first = write(tmp_path / "a.jsonl", played[:4])
    other = write(tmp_path / "b.jsonl", played[4:])
    report, rows = exported(export_sft, first)
    report = export_sft([first, other], tmp_path / "both.jsonl")
    assert [(f.name, f.episodes) for f in report.files] == [
        ("a.jsonl", 4),
        ("b.jsonl", 4),
    ]
    assert report.used == 8
    assert len(rows) == 4


def test_rows_of_nemo_gym_are_exported_too(tmp_path):
    good = row([call(1, q="a"), result(1, "x"), message("You.")])
    bad = row([message("Me.")], reward=0.0)
    other = row([message("It.")], reward=None)
    run = tmp_path / "nemo.jsonl"
    run.write_text("".join(json.dumps(one) + "\n" for one in (good, bad, other)))
    report, rows = exported(export_sft, run, Choice(where="reward >= 0.5"))
    assert (report.used, report.reasons) == (1, {"unfinished": 1, "the filter": 1})
    assert rows[0]["tools"][0]["function"]["name"] == "search"
    _, rows = exported(export_dpo, run)
    assert (rows[0]["chosen"][-1]["content"], rows[0]["rejected"][0]["content"]) == (
        "You.",
        "Me.",
    )
    _, rows = exported(export_grpo, run)
    assert (rows[0]["llm_gym"], rows[0]["solved"]) == (None, 0.5)


def test_a_file_of_something_else_is_refused(tmp_path):
    run = tmp_path / "run.jsonl"
    for text, why in (("{}\n", "neither a trajectory"), ("", "it is empty")):
        run.write_text(text)
        with pytest.raises(FormatError, match=f"holds no episode: {why}"):
            export_sft(run, tmp_path / "out.jsonl")
    with pytest.raises(FormatError, match="cannot be read"):
        export_sft(tmp_path / "none.jsonl", tmp_path / "out.jsonl")
    with pytest.raises(ValueError, match="no file of episodes"):
        export_sft([], tmp_path / "out.jsonl")


def test_the_report_stands_beside_the_rows(run):
    report, _ = exported(export_sft, run, Choice(where="reward == 1"))
    told = json.loads(Path(report.path).read_text())
    assert report.path.endswith("out.jsonl.report.json")
    assert told["reasons"] == {"the filter": 4}
    assert told["files"][0]["episodes"] == 8
    assert len(told["dropped"]) == told["read"] - told["used"] == 4
    assert told["options"]["where"] == "reward == 1"


def test_nothing_left_writes_a_report_and_no_rows(run):
    report, rows = exported(export_sft, run, Choice(where="reward > 1"))
    assert (report.rows, report.out, rows) == (0, None, [])
    assert math.isnan(report.mean_reward)
    assert json.loads(Path(report.path).read_text())["mean_reward"] is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"form": "text"}, "`form` is completion, messages or turns"),
        ({"form": "turns", "tokens": True}, "leave it out where tokens"),
        ({"weight": "rows_of_tsk"}, "did you mean `rows_of_task`"),
    ],
)
def test_what_cannot_be_is_refused(arguments, expected, run, tmp_path):
    with pytest.raises(ValueError, match=expected):
        export_sft(run, tmp_path / "out.jsonl", **arguments)
    assert not (tmp_path / "out.jsonl.report.json").exists()


def test_forms_of_pairs_are_checked(run, tmp_path):
    with pytest.raises(ValueError, match="`form` is episode or reply"):
        export_dpo(run, tmp_path / "out.jsonl", form="turn")
    report, _ = exported(export_dpo, run, None, Pairing(margin=2.0))
    assert report.notes[0].startswith("4 possible pairs are closer than 2")


def test_tokens_that_nobody_told_are_missed_aloud(run):
    report, rows = exported(export_sft, run, tokens=True)
    assert rows == []
    assert report.reasons == {"it has no tokens: its policy did not tell them": 8}


@pytest.mark.parametrize(
    ("number", "reasons", "notes"),
    [
        (2**64, {"a call has an integer that datasets cannot read": 1}, 0),
        (1 / 3, {}, 1),
        ([{"x": 0.25, "y": 2**64 - 1}], {}, 0),
    ],
)
def test_numbers_that_datasets_changes_are_told(tmp_path, number, reasons, notes):
    run = tmp_path / "nemo.jsonl"
    run.write_text(json.dumps(row([call(1, n=number)])) + "\n")
    report, _ = exported(export_sft, run)
    assert report.reasons == reasons
    assert len([n for n in report.notes if "ten decimals" in n]) == notes
