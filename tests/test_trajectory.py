"""The record of an episode: its JSON form, its digest, what it refuses."""

from __future__ import annotations

import json
import math
import pickle
from contextlib import suppress
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_gym import FormatError, Score, StopReason, Task, Trajectory
from llm_gym.jsontext import MAX_DEPTH
from llm_gym.messages import Usage
from llm_gym.tokens.trace import Segment, TokenRecord
from llm_gym.tokens.trace import Span as TokenSpan
from llm_gym.trajectory import RunInfo, Timing, as_score
from tests.envs.driving import call, play
from tests.json_values import any_text, json_values, replies
from tests.sample_envs import KitEnv, VaultEnv


def finished():
    """Play an episode with a bit of everything."""
    calls = [
        call("lookup", colour="red"),
        call("lookup", colour="é"),
        call("zzz"),
        "<tool_call>{",
    ]
    return play(VaultEnv(), ["".join(calls), "I give up."], seed=3)


FINISHED = finished()
TEXT = FINISHED.to_json()


def test_a_trajectory_makes_the_round_trip():
    again = Trajectory.from_json(TEXT)
    assert again == FINISHED
    assert again.to_json() == TEXT
    assert json.loads(TEXT)["schema_version"] == 1
    assert "\n" not in TEXT


def test_a_trajectory_survives_pickling():
    assert pickle.loads(pickle.dumps(FINISHED)) == FINISHED


def test_a_trajectory_tells_what_happened():
    assert FINISHED.stop_reason is StopReason.ANSWER
    assert FINISHED.answer == "I give up."
    assert [c.status for c in FINISHED.calls] == [
        "ok",
        "tool_error",
        "invalid",
        "invalid",
    ]
    assert FINISHED.tool_errors == 3
    assert FINISHED.episode_return == 0.0
    assert not FINISHED.success
    roles = [message["role"] for message in FINISHED.messages]
    assert roles == ["system", "user", "assistant", *["tool"] * 4, "assistant"]


def test_an_episode_that_was_no_answer_has_none():
    assert replace(FINISHED, stop_reason=StopReason.MAX_TURNS).answer is None
    assert replace(FINISHED, stop_reason=None, turns=()).answer is None


def test_a_fault_has_no_return_and_no_success():
    broken = replace(FINISHED, fault="broke", score=None)
    assert math.isnan(broken.episode_return)
    assert not broken.success
    assert Trajectory.from_json(broken.to_json()) == broken


@pytest.mark.parametrize(
    ("value", "success"), [(1.0, True), (0.999, False), (0.0, False)]
)
def test_success_is_full_marks(value, success):
    assert replace(FINISHED, score=Score(value)).success == success


def test_the_digest_covers_all_but_the_circumstances():
    rerun = FINISHED.with_run(RunInfo("p", 5, 2, 3), Timing(1.5, 2.5))
    assert rerun.digest == FINISHED.digest
    assert Trajectory.from_json(rerun.to_json()) == rerun
    for changed in (
        replace(FINISHED, seed=4),
        replace(FINISHED, env_hash="0"),
        replace(FINISHED, task=replace(FINISHED.task, answer=0)),
        replace(FINISHED, turns=FINISHED.turns[:1]),
        replace(FINISHED, fault="broke"),
    ):
        assert changed.digest != FINISHED.digest


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"schema_version": 2},
            "`schema_version`: expected 1, came 2; it was written by",
        ),
        ({"schema_version": None}, "`schema_version`: expected 1, came None"),
        ({"digest": "0" * 64}, "the trajectory was changed after it was written"),
        ({"digest": None}, "the trajectory was changed"),
        ({"seed": 4}, "the trajectory was changed"),
        ({"seed": "3"}, "`seed`: '3' is not of type 'integer'"),
        ({"new_field": 1}, "'new_field' was unexpected"),
        ({"turns": {}}, "`turns`"),
        ({"prompt": [{"content": "no role"}]}, r"`prompt\[0\]`: 'role' is a required"),
        ({"prompt": [{"role": "user"}]}, r"`prompt\[0\]`: 'content' is a required"),
        ({"stop_reason": "bored"}, "`stop_reason`"),
        ({"score": {"value": 2.0, "parts": {}, "reason": ""}}, "must be in .0, 1."),
        ({"task": {"id": "a", "split": "dev"}}, "`task.split`: 'dev' is not one of"),
    ],
    ids=count(),
)
def test_what_a_reader_does_not_understand_is_refused_with_a_reason(changes, why):
    body = json.loads(TEXT) | changes
    with pytest.raises(FormatError, match=why):
        Trajectory.from_json(json.dumps(body))


@pytest.mark.parametrize(
    "missing", ["schema_version", "digest", "env_id", "task", "tools"]
)
def test_a_missing_field_is_refused(missing):
    body = json.loads(TEXT)
    del body[missing]
    with pytest.raises(FormatError, match=missing):
        Trajectory.from_json(json.dumps(body))


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", "{", "NaN", "\x00", "[" * 9999]
)
def test_what_is_no_trajectory_is_refused(text):
    with pytest.raises(FormatError):
        Trajectory.from_json(text)


@given(st.integers(0, len(TEXT) - 1))
@example(0)
@example(len(TEXT) - 1)
def test_a_trajectory_cut_anywhere_is_refused(length):
    with pytest.raises(FormatError):
        Trajectory.from_json(TEXT[:length])


@given(st.integers(0, len(TEXT) - 1), any_text)
def test_a_trajectory_changed_anywhere_is_refused_or_the_same(place, text):
    changed = TEXT[:place] + text + TEXT[place + max(1, len(text)) :]
    with suppress(FormatError):
        assert Trajectory.from_json(changed) == FINISHED


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255))
def test_a_trajectory_with_one_other_byte_is_refused_or_the_same(place, byte):
    raw = bytearray(TEXT.encode())
    raw[place] = byte
    with suppress(FormatError):
        assert Trajectory.from_json(raw.decode("latin-1")) == FINISHED


@given(st.lists(replies, min_size=1, max_size=4))
def test_whatever_a_model_writes_is_recorded_and_read_back(actions):
    trajectory = play(KitEnv(max_turns=4), actions, seed=1)
    again = Trajectory.from_json(trajectory.to_json())
    assert again == trajectory
    assert again.to_json() == trajectory.to_json()


@pytest.mark.parametrize("levels", [1, 40, MAX_DEPTH - 2, MAX_DEPTH - 1])
def test_arguments_as_deep_as_a_model_may_write_are_read_back(levels):
    value = 0
    for _ in range(levels):
        value = [value]
    function = {"name": "free", "arguments": {"value": value}}
    trajectory = play(KitEnv(), [{"tool_calls": [{"function": function}]}], seed=1)
    (record,) = trajectory.calls
    assert record.status == "ok"
    assert Trajectory.from_json(trajectory.to_json()) == trajectory


@given(st.dictionaries(any_text, json_values), json_values, any_text)
def test_whatever_a_task_holds_is_read_back(data, answer, prompt):
    task = Task("mine", prompt, data, answer)
    env = KitEnv()
    env.reset(seed=1, options={"task": task})
    assert Trajectory.from_json(env.trajectory.to_json()) == env.trajectory


@pytest.mark.parametrize(
    "data", [{"pair": (1, 2)}, {"by_number": {10: "a", 9: "b"}}], ids=["tuple", "keys"]
)
def test_a_task_that_is_not_plain_json_is_refused_or_made_so(data):
    env = KitEnv()
    try:
        env.reset(seed=1, options={"task": Task("mine", "Go.", data)})
    except (TypeError, ValueError):
        return
    assert Trajectory.from_json(env.trajectory.to_json()) == env.trajectory


@pytest.mark.parametrize("reason", StopReason)
def test_a_stop_reason_terminates_or_truncates(reason):
    truncating = ("max_turns", "max_tokens", "max_seconds", "reply_length")
    assert reason.terminated == (reason.value not in truncating)


@pytest.mark.parametrize("value", [-0.001, 1.001, math.nan, math.inf, -math.inf])
def test_a_score_outside_of_its_range_is_refused(value):
    with pytest.raises(ValueError, match="a score must be in"):
        Score(value)


@pytest.mark.parametrize("part", [math.nan, math.inf])
def test_a_part_that_is_not_finite_is_refused(part):
    with pytest.raises(ValueError, match="parts of a score must be finite"):
        Score(0.5, {"a": part})


def test_a_score_is_made_of_plain_floats():
    score = Score(np.float32(1), {"a": np.int64(2)})
    assert type(score.value) is float
    assert type(score.parts["a"]) is float
    parts = {"a": 1.0}
    score = Score(True, parts)
    parts["a"] = 2.0
    assert score.parts == {"a": 1.0}


@pytest.mark.parametrize(
    ("result", "score"),
    [
        (1, Score(1.0)),
        (False, Score(0.0)),
        (np.float32(0.5), Score(0.5)),
        (Score(0.5, {}, "why"), Score(0.5, {}, "why")),
    ],
)
def test_as_score_takes_numbers_and_scores(result, score):
    assert as_score(result) == score


@pytest.mark.parametrize("result", [None, "1.0", [1.0], {"value": 1.0}, 1j])
def test_as_score_refuses_what_is_no_number(result):
    with pytest.raises(TypeError, match="a Score or a float"):
        as_score(result)


def test_usage_is_recorded():
    turn = replace(FINISHED.turns[0], usage=Usage(3, 4), finish_reason="tool_calls")
    changed = replace(FINISHED, turns=(turn,))
    assert Trajectory.from_json(changed.to_json()).turns[0].usage == Usage(3, 4)


def with_tokens():
    """Return the record with two segments of tokens."""
    segments = (
        Segment((1, 2, 3), (TokenSpan(0, 1, 2),), (-0.5,)),
        Segment((1, 4), (TokenSpan(1, 1, 2),)),
    )
    return FINISHED.with_tokens(TokenRecord(segments, ("why",), "a" * 64, "b" * 64))


def test_tokens_make_the_round_trip_and_leave_the_digest_alone():
    sealed = with_tokens()
    assert Trajectory.from_json(sealed.to_json()) == sealed
    assert sealed.digest == FINISHED.digest
    assert sealed.certificate.digest == sealed.digest
    assert sealed.certificate.ids == sealed.tokens.ids_hash


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("tokens", "segments", 0, "ids", 1), 9, "certificate.ids"),
        (("tokens", "segments", 0, "spans", 0, "start"), 0, None),
        (("tokens", "segments", 1, "spans", 0, "start"), 0, None),
        (("tokens", "tokenizer_hash"), "c", "certificate.tokenizer"),
        (("tokens", "template_hash"), "c", "certificate.template"),
        (("certificate", "ids"), "c", "certificate.ids"),
        (("certificate", "mask"), "c", "certificate.mask"),
        (("certificate", "digest"), "c", "certificate.digest"),
        (("certificate",), None, "certificate.tokenizer"),
        (("tokens",), None, "certificate"),
    ],
)
def test_tokens_that_do_not_match_their_certificate_are_refused(path, value, named):
    body = json.loads(with_tokens().to_json())
    place = body
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    text = json.dumps(body)
    expected = "certificate.mask|log-probability" if named is None else f"`{named}`:"
    with pytest.raises(FormatError, match=expected):
        Trajectory.from_json(text)


def test_changed_record_can_be_read_to_be_looked_at():
    body = json.loads(with_tokens().to_json())
    body["tokens"]["template_hash"] = "c"
    body["seed"] += 1
    changed = Trajectory.from_json(json.dumps(body), check=False)
    assert changed.tokens.template_hash == "c"
    assert changed.seed == FINISHED.seed + 1
