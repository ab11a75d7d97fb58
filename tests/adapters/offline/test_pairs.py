"""Which episodes become pairs, and why others do not."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym.adapters.offline.episodes import of_trajectory
from llm_gym.adapters.offline.pairs import Pairing, make_pairs, parting
from llm_gym.adapters.offline.selection import Ledger
from tests.adapters.offline.stage import episodes, wrongly
from tests.adapters.offline.test_selection import entry


def paired(entries, ledger=None, **pairing):
    made = make_pairs(entries, Pairing(**pairing), ledger or Ledger())
    return [(p.chosen.place.line, p.rejected.place.line) for p in made.pairs]


ROWS = [entry(1, 0.0), entry(2, 0.55), entry(3, 1.0), entry(4, 0.5), entry(5, 1, "b")]


def test_the_ends_of_each_task_are_paired():
    ledger = Ledger()
    assert paired(ROWS, ledger) == [(3, 1)]
    assert ledger.reasons() == {
        "its pairs were not taken": 2,
        "no partner: its task has no other episode": 1,
    }


def test_all_pairs_that_are_apart_come_by_margin():
    pairs = paired(ROWS, take="all", margin=0.1)
    assert pairs == [(3, 1), (2, 1), (3, 4), (4, 1), (3, 2)]
    assert paired(ROWS, take="all", margin=0.5) == [(3, 1), (2, 1), (3, 4), (4, 1)]
    assert paired(ROWS, take="all", per_task=2) == [(3, 1), (2, 1)]


def test_near_ties_are_left_out_and_counted():
    ledger = Ledger()
    made = make_pairs([entry(1, 0.5), entry(2, 0.55)], Pairing(), ledger)
    assert (made.pairs, made.near_ties) == ([], 1)
    assert ledger.reasons() == {"near-tie: no partner is far enough apart": 2}
    assert make_pairs(ROWS, Pairing(take="all"), Ledger()).near_ties == 1
    assert make_pairs(ROWS, Pairing(per_task=1, take="all"), Ledger()).over_cap == 4


def test_the_better_one_must_be_fit_to_be_imitated():
    rows = [entry(1, 0.0), entry(2, 1.0, unlike="a reply was cut off"), entry(3, 0.6)]
    assert paired(rows) == [(3, 1)]
    assert paired([rows[0], rows[1]]) == []
    assert paired(rows, chosen="reward >= 0.9") == []
    other = [entry(1, 0.0, unlike="a reply was cut off"), entry(2, 1.0)]
    assert paired(other) == [(2, 1)]


def test_what_is_better_may_be_said():
    rows = [entry(1, facts={"turns": 9}), entry(2, facts={"turns": 3})]
    assert paired(rows) == []
    assert paired(rows, by="-turns", margin=2) == [(2, 1)]


def test_groups_may_be_kept_apart():
    rows = [entry(n, n % 2, facts={"group": n // 2}) for n in range(4)]
    assert len(paired(rows, take="all")) == 4
    assert paired(rows, take="all", same_group=True) == [(1, 0), (3, 2)]


@pytest.mark.parametrize(
    ("pairing", "expected"),
    [
        ({"margin": 0}, "`margin` must be above 0"),
        ({"margin": float("nan")}, "`margin` must be above 0"),
        ({"take": "some"}, "`take` is ends or all"),
        ({"per_task": 0}, "`per_task` must be at least 1"),
        ({"chosen": "reward"}, "must come to yes or no"),
    ],
)
def test_a_pairing_that_cannot_be_is_refused(pairing, expected):
    with pytest.raises(ValueError, match=expected):
        Pairing(**pairing)


rewards = st.lists(
    st.tuples(st.integers(0, 10), st.sampled_from("ab"), st.booleans()), max_size=9
)


@given(rewards, st.sampled_from(["ends", "all"]), st.none() | st.integers(1, 4))
def test_pairs_are_apart_alike_in_start_and_accounted_for(rows, take, cap):
    entries = [
        entry(n, reward / 10, start, unlike="cut off" if bad else "")
        for n, (reward, start, bad) in enumerate(rows)
    ]
    ledger = Ledger()
    pairing = Pairing(margin=0.3, take=take, per_task=cap)
    made = make_pairs(entries, pairing, ledger)
    used = {e.place for p in made.pairs for e in (p.chosen, p.rejected)}
    assert len(used) + len(ledger.dropped) == len(rows)
    for pair in made.pairs:
        assert pair.chosen.start == pair.rejected.start
        assert pair.margin == pair.chosen.reward - pair.rejected.reward >= 0.3
        assert not pair.chosen.unlike
    ties = sum(
        a.start == b.start and abs(a.reward - b.reward) < 0.3
        for i, a in enumerate(entries)
        for b in entries[:i]
    )
    assert made.near_ties == ties


def test_two_episodes_part_at_the_first_other_reply():
    good, bad = (of_trajectory(t) for t in episodes(2, 2))
    before, better, worse = parting(good, bad)
    assert [m["role"] for m in before] == ["system", "user", "assistant", "tool"]
    assert better["tool_calls"][0]["function"]["name"] == "open"
    assert better != worse
    assert parting(good, good) is None


def test_ids_of_calls_do_not_part_them():
    good, bad = (of_trajectory(t) for t in episodes(2, 2))
    first, *rest = bad.completion
    call = {**first["tool_calls"][0], "id": "drawn_by_chance"}
    result = {**rest[0], "tool_call_id": "drawn_by_chance"}
    other = [{**first, "tool_calls": [call]}, result, *rest[1:]]
    again = dataclasses.replace(bad, completion=other)
    assert len(parting(good, again)[0]) == 4


def test_they_do_not_part_where_the_environment_answers_differently():
    good, bad = (of_trajectory(t) for t in episodes(2, 2))
    first, result, *rest = bad.completion
    other = [first, {**result, "content": "7"}, *rest]
    assert parting(good, dataclasses.replace(bad, completion=other)) is None


def test_they_may_part_at_once():
    (good,) = episodes(1, 1)
    found = parting(of_trajectory(good), of_trajectory(wrongly(good, "No.")))
    assert found is not None
    assert [m["role"] for m in found[0]] == ["system", "user"]
    assert found[2]["content"] == "No."
