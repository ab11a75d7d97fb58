"""Which episodes are taken, and what the ledger says of the others."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym.adapters.offline.episodes import Entry, Place
from llm_gym.adapters.offline.selection import Choice, Ledger, choose


def entry(line, reward=1.0, start="a", content=None, **more):
    facts = {"reward": reward, "turns": 2, "task": start, "tokens": None}
    facts |= more.pop("facts", {})
    place = Place(0, line, name="run.jsonl")
    return Entry(place, facts, start, content or f"{start}{line}", **more)


def taken(entries, ledger=None, imitate=False, **choice):
    ledger = Ledger() if ledger is None else ledger
    kept = choose(entries, Choice(**choice), ledger, imitate=imitate)
    return [one.place.line for one in kept]


def test_the_filter_takes_what_it_holds_for():
    ledger = Ledger()
    rows = [entry(1, 0.2), entry(2, 0.9), entry(3, 0.8)]
    assert taken(rows, ledger, where="reward >= 0.8") == [2, 3]
    (dropped,) = ledger.dropped
    assert (dropped.place, dropped.why) == ("run.jsonl:1", "the filter")
    assert dropped.detail == "reward >= 0.8"


def test_what_a_filter_cannot_say_is_dropped_by_another_name():
    ledger = Ledger()
    rows = [entry(1), entry(2, facts={"tokens": 5})]
    assert taken(rows, ledger, where="not tokens > 9") == [2]
    assert ledger.reasons() == {"`tokens` is not told": 1}


def test_an_unknown_part_is_the_callers_mistake():
    rows = [entry(1, facts={"parts.format": 1.0})]
    assert taken(rows, where="parts.format == 1") == [1]
    with pytest.raises(ValueError, match=r"`parts.fromat` .* .did you mean `format`"):
        taken(rows, where="parts.fromat == 1")


def test_faults_and_the_unfinished_are_never_data():
    ledger = Ledger()
    rows = [
        entry(1, problem="fault: the disk"),
        entry(2, problem="unfinished: no score"),
        entry(3, float("nan")),
        entry(4),
    ]
    assert taken(rows, ledger) == [4]
    assert [d.why for d in ledger.dropped] == [
        "fault",
        "unfinished",
        "its reward is no finite number",
    ]
    assert ledger.dropped[0].detail == "the disk"


def test_what_is_not_to_be_imitated_may_still_be_disliked():
    rows = [entry(1, unlike="a reply was cut off"), entry(2)]
    assert taken(rows, imitate=True) == [2]
    assert taken(rows) == [1, 2]


def test_doubles_are_dropped_unless_asked_for():
    ledger = Ledger()
    rows = [entry(1, content="x"), entry(2, content="y"), entry(3, content="x")]
    assert taken(rows, ledger) == [1, 2]
    assert ledger.dropped[0].detail == "like run.jsonl:1"
    assert taken(rows, doubles=True) == [1, 2, 3]


def test_the_best_of_each_task_by_what_is_asked():
    rows = [
        entry(1, 0.5),
        entry(2, 1.0, facts={"turns": 9}),
        entry(3, 1.0, facts={"turns": 3}),
        entry(4, 0.0, "b"),
    ]
    assert taken(rows, best=1) == [2, 4]  # of equals the first
    assert taken(rows, best=1, by="reward - 0.01 * turns") == [3, 4]
    assert taken(rows, best=2, where="reward > 0") == [2, 3]


def test_a_cap_is_drawn_by_the_seed():
    rows = [entry(n) for n in range(20)]
    first = taken(rows, per_task=5, seed=1)
    assert first == taken(rows, per_task=5, seed=1) == sorted(first)
    assert len(first) == 5
    assert first != taken(rows, per_task=5, seed=2)


def test_rejection_sampling_keeps_the_best_and_others_by_chance():
    rows = [entry(n, float(n % 2), start=str(n // 2)) for n in range(2_000)]
    kept = Counter(n % 2 for n in taken(rows, accept=1.0))
    assert kept[1] == 1_000  # the best of each task always stays
    assert kept[0] == pytest.approx(1_000 * np.exp(-1), rel=0.1)
    assert Counter(n % 2 for n in taken(rows, accept=0.01))[0] == 0


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"best": 0}, "`best` must be at least 1, not 0"),
        ({"per_task": -1}, "`per_task` must be at least 1"),
        ({"accept": 0.0}, "`accept` must be above 0"),
        ({"where": "rewrad > 0"}, "`rewrad` is no field"),
        ({"by": "valid"}, "must come to a number"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_at_once(choice, expected):
    with pytest.raises(ValueError, match=expected):
        Choice(**choice)


many = st.lists(
    st.builds(
        lambda reward, start, content, problem, unlike: {
            "reward": reward,
            "start": start,
            "content": content,
            "problem": problem,
            "unlike": unlike,
        },
        st.sampled_from([0.0, 0.3, 1.0, float("nan")]),
        st.sampled_from("abc"),
        st.none() | st.sampled_from("xyz"),
        st.sampled_from(["", "", "", "fault: it", "unfinished"]),
        st.sampled_from(["", "", "a reply was cut off"]),
    ),
    max_size=12,
)
choices = st.fixed_dictionaries(
    {},
    optional={
        "where": st.sampled_from(["reward > 0", "tokens > 3", "turns == 2"]),
        "best": st.integers(1, 3),
        "per_task": st.integers(1, 3),
        "accept": st.sampled_from([0.1, 10.0]),
        "doubles": st.booleans(),
    },
)


@given(many, choices, st.booleans())
def test_every_episode_is_taken_or_dropped_once(rows, choice, imitate):
    ledger = Ledger()
    entries = [entry(line, **row) for line, row in enumerate(rows)]
    kept = taken(entries, ledger, imitate, **choice)
    places = [f"run.jsonl:{line}" for line in kept]
    places += [one.place for one in ledger.dropped]
    assert sorted(places) == sorted(str(one.place) for one in entries)
    assert ledger.read == len(rows)
    assert kept == sorted(kept)
    assert not any(entries[line].problem for line in kept)
