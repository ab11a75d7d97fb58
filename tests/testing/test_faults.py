"""Plans of faults."""

from __future__ import annotations

import pytest

from llm_gym.testing import Fault, FaultPlan, all_faults


def test_all_faults_are_told():
    assert set(all_faults()) == set(Fault)
    assert Fault.WRONG_IDS.ids_only
    assert not Fault.RESET.ids_only


def test_a_list_comes_first_and_then_what_is_always():
    plan = FaultPlan([Fault.RESET, None], always=Fault.CONFLICT)
    faults = [plan.fault_of(number) for number in range(4)]
    assert faults == [Fault.RESET, None, Fault.CONFLICT, Fault.CONFLICT]


def test_rates_are_drawn_by_number_and_seed():
    def drawn(seed):
        plan = FaultPlan(rates={Fault.RESET: 0.2, Fault.CONFLICT: 0.1}, seed=seed)
        return [plan.fault_of(number) for number in range(1000)]

    faults = drawn(1)
    assert faults == drawn(1) != drawn(2)
    assert 150 < faults.count(Fault.RESET) < 250
    assert 60 < faults.count(Fault.CONFLICT) < 140


@pytest.mark.parametrize("rates", [{Fault.RESET: -0.1}, {Fault.RESET: 1.1}])
def test_rates_that_are_no_probabilities_are_refused(rates):
    with pytest.raises(ValueError, match="`rates` must be 0 or more, 1 at most in sum"):
        FaultPlan(rates=rates)
