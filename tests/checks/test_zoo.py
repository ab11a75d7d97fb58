"""Each check passes a healthy environment and fails the ones broken for it."""

from __future__ import annotations

import re

import pytest

from llm_gym.checks import CHECKS, Report, check
from tests.checks.zoo import ZOO, BoxesEnv, Specimen

_OUTSIDE = ("new_process", "vector", "soak")  # seconds each, for those who name them


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fuzz and mutate one task, and soak for less long."""
    monkeypatch.setattr("llm_gym.checks.fuzz.MOST_SECONDS", 0)
    monkeypatch.setattr("llm_gym.checks.mutation.MOST_SECONDS", 0)
    monkeypatch.setattr("llm_gym.checks.soak._EPISODES", 300)


each_specimen = pytest.mark.parametrize(
    "specimen", ZOO, ids=lambda specimen: specimen.env.__name__
)


def failures(report: Report) -> dict[str, str]:
    return {f.check: f.message for f in report.findings if f.status != "passed"}


@each_specimen
def test_broken_env_fails_the_checks_it_names(specimen: Specimen) -> None:
    report = check(specimen.env, seeds=range(4), only=specimen.fails)
    failed = failures(report)
    assert set(failed) == set(specimen.fails)
    assert re.search(specimen.match, failed[specimen.fails[0]])
    assert not report.passed


@pytest.mark.slow
@each_specimen
def test_broken_env_fails_no_other_check(specimen: Specimen) -> None:
    only = {*CHECKS, *specimen.fails} - {*_OUTSIDE} | {*specimen.fails}
    report = check(specimen.env, seeds=range(4), only=only)
    assert set(failures(report)) == set(specimen.fails)


def test_healthy_env_passes_every_check() -> None:
    report = check(BoxesEnv)
    assert failures(report) == {}
    assert [finding.check for finding in report.findings] == list(CHECKS)


def test_every_check_has_a_specimen_of_its_own() -> None:
    assert {specimen.fails[0] for specimen in ZOO} == set(CHECKS)
