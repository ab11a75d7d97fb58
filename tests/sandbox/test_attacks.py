"""Every attack, on every tier, as root and as another user; judged on the host."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import pytest

from tests.sandbox.attacks.corpus import ATTACKS, FAMILIES
from tests.sandbox.guard import can_be_another_user, guarded

USERS = ["same", "other"] if can_be_another_user() else ["same"]
TIERS = ["ns", "landlock", "bubblewrap"]
RUNNER = "tests.sandbox.attacks.runner"


def attacked(tier: str, family: str, user: str) -> list[dict]:
    """Run a family of attacks and return what came of each."""
    if tier == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    ran = guarded(RUNNER, tier, family, user=user, seconds=150.0)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert lines.pop() == {"end": True}
    return lines


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tier", TIERS)
def test_no_attack_gets_out(tier, family, user):
    lines = attacked(tier, family, user)
    breaches = {line["name"]: line for line in lines if line["problems"]}
    assert breaches == {}
    expected = [a.name for a in ATTACKS if a.family == family and tier in a.tiers]
    assert [line["name"] for line in lines] == expected


@pytest.mark.parametrize("family", ["files", "host_data", "signals"])
def test_no_attack_gets_out_of_namespaces_where_there_is_no_landlock(family):
    lines = attacked("ns-without-landlock", family, USERS[-1])
    assert {line["name"]: line for line in lines if line["problems"]} == {}
    assert len(lines) >= 9


@pytest.mark.skipif(not can_be_another_user(), reason="needs root, to be nobody")
def test_attacks_get_out_where_nothing_keeps_them(monkeypatch):
    monkeypatch.setenv("LLM_GYM_UNSAFE_SANDBOX", "1")
    lines = attacked("unsafe", "all", "other")
    contained = [line["name"] for line in lines if not line["problems"]]
    # A shell may lack what the attack is made of.
    assert set(contained) <= {"tcp_of_a_shell", "daemon_of_a_shell"}
    assert len(lines) >= 18


def test_there_are_enough_attacks_of_every_family():
    names = Counter(attack.name for attack in ATTACKS)
    assert max(names.values()) == 1
    for tier in ("ns", "landlock"):
        held = Counter(a.family for a in ATTACKS if tier in a.tiers)
        assert held.total() >= 60
        assert set(held) == set(FAMILIES)
        assert min(held.values()) >= 9
